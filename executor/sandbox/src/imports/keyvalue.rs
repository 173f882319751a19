//! `wasi:keyvalue/store`: the policy's context. One bucket, named `""`, that is private to the policy.

use std::sync::Arc;

use wasmtime::{Result, component::Resource};

use super::bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use crate::{
    context::Bucket,
    state::State,
    tape::{Data, Event, Question, Refused, Unknown},
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

impl Host for State {
    fn open(&mut self, identifier: String) -> Result<Result<Resource<Opened>, Error>> {
        self.check_host_calls()?;
        if !identifier.is_empty() {
            return Ok(Err(Error::NoSuchStore));
        }
        if self.context.is_none() || !self.grant.context {
            self.denied("`capabilities.context`");
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.table.push(Opened)?))
    }
}

impl HostBucket for State {
    fn get(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<Option<Vec<u8>>, Error>> {
        self.check_host_calls()?;
        let bucket = self.bucket(&opened)?;
        let told = self.tape.told(&of("context.get", Unknown::Guess, &bucket, &key), |event| match event {
            Event::Get { key: of, value } if *of == key => Some(value.clone()),
            _ => None,
        })?;
        if let Some(value) = told {
            return Ok(Ok(value.map(|value| value.0)));
        }
        let value = bucket.get(&key);
        self.tape.note(|| Event::Get { key, value: value.clone().map(Data) });
        Ok(Ok(value))
    }

    fn set(&mut self, opened: Resource<Opened>, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        self.check_host_calls()?;
        let bucket = self.bucket(&opened)?;
        let told = self.tape.told(&Question::new("context.set", Unknown::Fine).about(&key), |event| match event {
            Event::Set { key: of, value: to, refused } if *of == key && to.0 == value => Some(refused.clone()),
            _ => None,
        })?;
        let refused = match told {
            Some(refused) => refused,
            None => {
                let noted = self.tape.is_recording().then(|| value.clone());
                let refused = bucket.set(&key, value, self.context_bytes).err().map(|why| why.to_string());
                self.tape.note(|| Event::Set { key, value: Data(noted.unwrap_or_default()), refused: refused.clone() });
                refused
            }
        };
        Ok(done(refused))
    }

    fn delete(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<(), Error>> {
        self.check_host_calls()?;
        let bucket = self.bucket(&opened)?;
        let told =
            self.tape.told(&Question::new("context.delete", Unknown::Fine).about(&key), |event| match event {
                Event::Delete { key: of, refused } if *of == key => Some(refused.clone()),
                _ => None,
            })?;
        let refused = match told {
            Some(refused) => refused,
            None => {
                let refused = bucket.delete(&key).err().map(|why| why.to_string());
                self.tape.note(|| Event::Delete { key, refused: refused.clone() });
                refused
            }
        };
        Ok(done(refused))
    }

    fn exists(&mut self, opened: Resource<Opened>, key: String) -> Result<Result<bool, Error>> {
        self.check_host_calls()?;
        let bucket = self.bucket(&opened)?;
        let told = self.tape.told(&of("context.exists", Unknown::Guess, &bucket, &key), |event| match event {
            Event::Exists { key: of, found } if *of == key => Some(*found),
            _ => None,
        })?;
        if let Some(found) = told {
            return Ok(Ok(found));
        }
        let found = bucket.contains(&key);
        self.tape.note(|| Event::Exists { key, found });
        Ok(Ok(found))
    }

    fn list_keys(&mut self, opened: Resource<Opened>, cursor: Option<u64>) -> Result<Result<KeyResponse, Error>> {
        self.check_host_calls()?;
        let bucket = self.bucket(&opened)?;
        let told = self.tape.told(&Question::new("context.list-keys", Unknown::Guess), |event| match event {
            Event::ListKeys { cursor: from, keys, next } if *from == cursor => Some((keys.clone(), *next)),
            _ => None,
        })?;
        if let Some((keys, cursor)) = told {
            return Ok(Ok(KeyResponse { keys, cursor }));
        }
        let skip = cursor.and_then(|cursor| usize::try_from(cursor).ok()).unwrap_or(0);
        let keys = bucket.keys(skip, PAGE);
        let next = (keys.len() == PAGE).then(|| skip.saturating_add(PAGE) as u64);
        self.tape.note(|| Event::ListKeys { cursor, keys: keys.clone(), next });
        Ok(Ok(KeyResponse { keys, cursor: next }))
    }

    fn drop(&mut self, opened: Resource<Opened>) -> Result<()> {
        self.table.delete(opened)?;
        Ok(())
    }
}

/// What is read of a key that the guest has not written itself, and, in a loose replay, of one that it has.
fn of<'a>(what: &'a str, unknown: Unknown, bucket: &Bucket, key: &'a str) -> Question<'a> {
    let known = bucket.contains(key);
    Question::new(what, if known { Unknown::Fine } else { unknown }).about(key)
}

fn done(refused: Refused) -> Result<(), Error> {
    refused.map_or(Ok(()), |why| Err(Error::Other(why)))
}
