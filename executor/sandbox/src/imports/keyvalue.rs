//! `wasi:keyvalue/store`: the policy's context. One bucket, named `""`, that is private to the policy.

use std::sync::Arc;

use wasmtime::{Result, component::Resource};

use super::bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use crate::{
    context::{Bucket, QuotaError},
    state::State,
};

/// What a guest holds when it has opened its context. Which bucket that is, each call says anew: an instance that
/// stays may keep this for longer than its context stays in memory.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Opened;

/// Keys in one answer of `list-keys`.
const PAGE: usize = 1000;

impl State {
    fn bucket(&self, opened: &Resource<Opened>) -> Result<Arc<Bucket>> {
        self.table.get(opened)?;
        self.context.clone().ok_or_else(|| wasmtime::format_err!("the context of this call is not there"))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
fn refused(error: QuotaError) -> Error {
    Error::Other(error.to_string())
}

impl Host for State {
    fn open(&mut self, identifier: String) -> Result<Result<Resource<Opened>, Error>> {
        self.check_host_calls()?;
        if !identifier.is_empty() {
            return Ok(Err(Error::NoSuchStore));
        }
        if self.context.is_none() || !self.grant.context {
            self.log.denied("`capabilities.context`");
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.table.push(Opened)?))
    }
}

impl HostBucket for State {
    fn get(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<Option<Vec<u8>>, Error>> {
        self.check_host_calls()?;
        Ok(Ok(self.bucket(&opened)?.get(&key)))
    }

    fn set(&mut self, opened: Resource<Opened>, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        self.check_host_calls()?;
        Ok(self.bucket(&opened)?.set(&key, value, self.context_bytes).map_err(refused))
    }

    fn delete(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<(), Error>> {
        self.check_host_calls()?;
        Ok(self.bucket(&opened)?.delete(&key).map_err(refused))
    }

    fn exists(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<bool, Error>> {
        self.check_host_calls()?;
        Ok(Ok(self.bucket(&opened)?.contains(&key)))
    }

    fn list_keys(&mut self, opened: Resource<Opened>, cursor: Option<u64>) -> Result<Result<KeyResponse, Error>> {
        self.check_host_calls()?;
        let skip = cursor.and_then(|cursor| usize::try_from(cursor).ok()).unwrap_or(0);
        let keys = self.bucket(&opened)?.keys(skip, PAGE);
        let next = (keys.len() == PAGE).then(|| skip.saturating_add(PAGE) as u64);
        Ok(Ok(KeyResponse { keys, cursor: next }))
    }

    fn drop(&mut self, opened: Resource<Opened>) -> Result<()> {
        self.table.delete(opened)?;
        Ok(())
    }
}
