//! The policies that are ready to run, by their uris.
//!
//! PERF: a call looks here first and never waits: a shard is read without a lock, and each change of one makes another
//! map of it. There are enough shards that such a map is small, also while many policies are loaded one after the
//! other.

use std::{
    array,
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use super::Ready;
use crate::stripes::Striped;

/// Parts that are changed independently of each other.
const SHARDS: usize = 64;
/// Policies that one of them keeps.
const MAX_IN_SHARD: usize = 160;

/// What is ready.
pub(super) struct ReadyMap {
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    ready: ArcSwap<HashMap<String, Copies>>,
    /// How many records of this shard were changed so far. Held while `ready` is changed, and for nothing else.
    changes: Mutex<u64>,
}

/// A policy once for each of a few threads, so that calls on different processors do not count references in one place.
type Copies = Arc<Striped<Arc<Ready>>>;

/// Whether a policy may take the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Somebody calls it.
    Called,
    /// Somebody may call it soon.
    Foreseen,
}

impl ReadyMap {
    pub(super) fn new() -> Self {
        Self { shards: array::from_fn(|_| Shard::default()), hasher: RandomState::new() }
    }

    fn shard(&self, uri: &str) -> &Shard {
        let idx = usize::try_from(self.hasher.hash_one(uri) % SHARDS as u64).unwrap_or(0);
        let [first, ..] = &self.shards;
        self.shards.get(idx).unwrap_or(first)
    }

    /// The policy, if it is ready.
    pub(super) fn get(&self, uri: &str) -> Option<Arc<Ready>> {
        self.shard(uri).ready.load().get(uri).map(|copies| Arc::clone(copies.own()))
    }

    /// A number that is another one after the record of `uri` was changed.
    pub(super) fn changes(&self, uri: &str) -> u64 {
        *self.shard(uri).lock()
    }

    /// Forgets what is ready of a record that was changed or removed, or of all.
    pub(super) fn forget(&self, uri: Option<&str>) {
        match uri {
            Some(uri) => self.shard(uri).forget(|ready| drop(ready.remove(uri)), |ready| ready.contains_key(uri)),
            None => self.shards.iter().for_each(|shard| shard.forget(HashMap::clear, |ready| !ready.is_empty())),
        }
    }

    /// Keeps `ready` for the next calls, where there is room or a call needs it, if nothing was changed since `seen`.
    /// Returns whether nothing was.
    pub(super) fn keep(&self, uri: &str, ready: &Arc<Ready>, seen: u64, need: Need) -> bool {
        let shard = self.shard(uri);
        let changes = shard.lock();
        if *changes != seen {
            return false;
        }
        let there = shard.ready.load();
        let full = MAX_IN_SHARD <= there.len() && !there.contains_key(uri);
        if full && need == Need::Foreseen {
            return true;
        }
        let mut all = HashMap::clone(&there);
        if full && let Some(other) = all.keys().next().cloned() {
            tracing::debug!(policy = other, "too many policies are ready: this one goes");
            all.remove(&other);
        }
        all.insert(uri.to_owned(), Arc::new(Striped::new(|_| Arc::new(Ready::clone(ready)))));
        shard.ready.store(Arc::new(all));
        true
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(
        &self,
        change: impl FnOnce(&mut HashMap<String, Copies>),
        concerns: impl FnOnce(&HashMap<String, Copies>) -> bool,
    ) {
        let mut changes = self.lock();
        *changes = changes.wrapping_add(1);
        if concerns(&self.ready.load()) {
            let mut ready = HashMap::clone(&self.ready.load());
            change(&mut ready);
            self.ready.store(Arc::new(ready));
        }
    }
}
