//! The contexts that are in memory: those that somebody uses, and some that nobody does.
//!
//! A policy has one context at a time: two calls with a context each would not see what the other one wrote. The cache
//! may let go of one that is in use, or not even take it, so what is in use is remembered beside it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use moka::future::Cache;

use super::Context;
use crate::error::Error;

/// Contexts that stay in memory when nobody uses them.
const MAX_IDLE: u64 = 1000;
/// Contexts that are remembered before those that nobody uses any more are looked for.
const MANY: usize = 4000;

/// The contexts by the uris of their policies. Cheap to clone.
#[derive(Clone)]
pub(super) struct Open {
    cache: Cache<String, Arc<Context>>,
    in_use: Arc<Mutex<InUse>>,
}

struct InUse {
    contexts: HashMap<String, Weak<Context>>,
    many: usize,
}

impl Open {
    pub(super) fn new() -> Self {
        let in_use = InUse { contexts: HashMap::new(), many: MANY };
        Self { cache: Cache::new(MAX_IDLE), in_use: Arc::new(Mutex::new(in_use)) }
    }

    /// The context of the policy `uri`, made by `read` if it is not in memory.
    pub(super) async fn get(
        &self,
        uri: &str,
        read: impl Future<Output = Result<Arc<Context>, Error>>,
    ) -> Result<Arc<Context>, Arc<Error>> {
        if let Some(context) = self.cache.get(uri).await {
            return Ok(context);
        }
        // PERF: boxed, since the cache moves it through many futures, each of which has room for it twice: it would make
        // that of every call so large that it overflows the stack.
        let open = Box::pin(async {
            // Not within a condition: the lock would be held there while it is read.
            let in_use = self.lock().contexts.get(uri).and_then(Weak::upgrade);
            if let Some(context) = in_use {
                return Ok(context);
            }
            let context = read.await?;
            self.lock().insert(uri, &context);
            Ok(context)
        });
        Box::pin(self.cache.try_get_with_by_ref(uri, open)).await
    }

    /// Has the next who asks read it again.
    pub(super) async fn forget(&self, uri: &str) {
        self.lock().contexts.remove(uri);
        self.cache.invalidate(uri).await;
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    fn insert(&mut self, uri: &str, context: &Arc<Context>) {
        if self.many <= self.contexts.len() {
            self.contexts.retain(|_, context| context.strong_count() != 0);
            self.many = MANY.max(self.contexts.len().saturating_mul(2));
        }
        self.contexts.insert(uri.to_owned(), Arc::downgrade(context));
    }
}
