//! The host of a component: its imports. Each function here is all that names its import, so that an import nobody
//! calls is dropped by the linker.

mod send;

pub(crate) use send::send;

use std::cell::Cell;

use crate::Failure;
use crate::bindings::policy::lictor::policy::host;
use crate::bindings::policy::wasi::clocks::wall_clock;
use crate::bindings::policy::wasi::keyvalue::store;
use crate::bindings::policy::wasi::logging::logging;
use crate::log::Level;

/// The one bucket. Opened once and kept for as long as the instance lives: closing it with each call would cost a
/// resident instance two host calls more, and every policy the import, since whatever has a context could have to
/// close it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket(&'static store::Bucket);

thread_local! {
    static OPEN: Cell<Option<Bucket>> = const { Cell::new(None) };
}

impl Bucket {
    pub(crate) fn open() -> Result<Self, Failure> {
        if let Some(bucket) = OPEN.get() {
            return Ok(bucket);
        }
        let bucket = store::open("").map_err(context_failure)?;
        let bucket = Self(Box::leak(Box::new(bucket)));
        OPEN.set(Some(bucket));
        Ok(bucket)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.0.get(key).map_err(context_failure)
    }

    pub(crate) fn set(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.0.set(key, bytes).map_err(context_failure)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), Failure> {
        self.0.delete(key).map_err(context_failure)
    }

    pub(crate) fn contains(&self, key: &str) -> Result<bool, Failure> {
        self.0.exists(key).map_err(context_failure)
    }

    pub(crate) fn keys(&self) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.0.list_keys(cursor).map_err(context_failure)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

fn context_failure(err: store::Error) -> Failure {
    match err {
        store::Error::AccessDenied => Failure::new("denied_capability", "this policy was not granted its context"),
        store::Error::NoSuchStore => Failure::new("not_available", "this host has no context"),
        store::Error::Other(why) => Failure::new("context_failed", why),
    }
}

pub(crate) fn log(level: Level, target: &str, message: &str) {
    let level = match level {
        Level::Error => logging::Level::Error,
        Level::Warn => logging::Level::Warn,
        Level::Info => logging::Level::Info,
        Level::Debug => logging::Level::Debug,
        Level::Trace => logging::Level::Trace,
    };
    logging::log(level, target, message);
}

pub(crate) fn now_ms() -> u64 {
    let now = wall_clock::now();
    now.seconds.saturating_mul(1000).saturating_add(u64::from(now.nanoseconds / 1_000_000))
}

pub(crate) fn call_host(name: &str, args: &str) -> Result<String, Failure> {
    Ok(host::call(name, args)?)
}
