//! A policy's context: the key-value store behind `wasi:keyvalue/store`, private to one policy, bounded.
//!
//! The entries live in memory while the policy is in use. The keys that were written are remembered, so that the
//! owner of the bucket can commit them before it answers the call; the sandbox itself knows no database.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The longest key in bytes.
pub const MAX_KEY: usize = 1024;
/// Entries of one bucket.
const MAX_ENTRIES: usize = 100_000;

/// Bytes of keys that may wait to be committed: a guest that sets and deletes ever new keys is stopped here.
const MAX_DIRTY: usize = 4 << 20;

/// One change: a value that was set, or none where the key was deleted.
pub type Write = (String, Option<Vec<u8>>);

/// The context of one policy.
#[derive(Debug, Default)]
pub struct Bucket {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Shared with copies until either is written to.
    entries: Arc<BTreeMap<String, Vec<u8>>>,
    bytes: usize,
    /// Keys written since the last commit took them.
    dirty: BTreeSet<String>,
    dirty_bytes: usize,
    /// Writes made since the bucket was opened.
    made: u64,
}

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The key is too long.
    #[error("the key is longer than {MAX_KEY} bytes")]
    Key,
    /// The bucket is full.
    #[error("the context is full: it may hold {0} bytes")]
    Bytes(usize),
    /// Too many keys.
    #[error("the context is full: it may hold {MAX_ENTRIES} keys")]
    Entries,
    /// Too many keys wait to be committed.
    #[error("too many different keys were written in too short a time")]
    Dirty,
}

impl Bucket {
    /// A bucket with these entries.
    pub fn new(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let bytes = entries.iter().map(|(key, value)| cost(key, value)).sum();
        Self { inner: Mutex::new(Inner { entries: Arc::new(entries), bytes, ..Inner::default() }) }
    }

    /// A bucket with the same entries, of which nothing is ever committed. Costs nothing as long as neither is written to,
    /// and then once what all entries cost to clone.
    #[must_use]
    pub fn copy(&self) -> Self {
        let inner = self.lock();
        let (entries, bytes) = (Arc::clone(&inner.entries), inner.bytes);
        Self { inner: Mutex::new(Inner { entries, bytes, ..Inner::default() }) }
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Held for the time of a map operation only, and never across a wait.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().entries.get(key).cloned()
    }

    /// Whether there is a value.
    pub fn contains(&self, key: &str) -> bool {
        self.lock().entries.contains_key(key)
    }

    /// Up to `n` keys in order, leaving out the first `skip`.
    pub fn keys(&self, skip: usize, n: usize) -> Vec<String> {
        self.lock().entries.keys().skip(skip).take(n).cloned().collect()
    }

    /// Sets `key` if everything together then stays within `max_bytes`.
    pub fn set(&self, key: &str, value: Vec<u8>, max_bytes: usize) -> Result<(), QuotaError> {
        if MAX_KEY < key.len() {
            return Err(QuotaError::Key);
        }
        let mut inner = self.lock();
        let old = inner.entries.get(key).map(|old| cost(key, old));
        if old.is_none() && MAX_ENTRIES <= inner.entries.len() {
            return Err(QuotaError::Entries);
        }
        let bytes = inner.bytes.saturating_sub(old.unwrap_or(0)).saturating_add(cost(key, &value));
        if max_bytes < bytes {
            return Err(QuotaError::Bytes(max_bytes));
        }
        inner.written(key)?;
        inner.bytes = bytes;
        Arc::make_mut(&mut inner.entries).insert(key.to_owned(), value);
        Ok(())
    }

    /// Removes `key`.
    pub fn delete(&self, key: &str) -> Result<(), QuotaError> {
        let mut inner = self.lock();
        if !inner.entries.contains_key(key) {
            return Ok(());
        }
        inner.written(key)?;
        if let Some(old) = Arc::make_mut(&mut inner.entries).remove(key) {
            inner.bytes = inner.bytes.saturating_sub(cost(key, &old));
        }
        Ok(())
    }

    /// Takes over what is stored now, where another process may write too; keys that wait to be committed keep theirs.
    pub fn refresh(&self, stored: BTreeMap<String, Vec<u8>>) {
        let mut inner = self.lock();
        let mut entries = stored;
        for key in &inner.dirty {
            match inner.entries.get(key) {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        inner.bytes = entries.iter().map(|(key, value)| cost(key, value)).sum();
        inner.entries = Arc::new(entries);
    }

    /// How many writes were made since the bucket was opened: what a commit must reach to cover them all.
    pub fn writes_made(&self) -> u64 {
        self.lock().made
    }

    /// Takes what changed since it was last taken, and the number of writes that this covers.
    pub fn take_writes(&self) -> (Vec<Write>, u64) {
        let mut inner = self.lock();
        inner.dirty_bytes = 0;
        let dirty = std::mem::take(&mut inner.dirty);
        let now = |key: String| {
            let value = inner.entries.get(&key).cloned();
            (key, value)
        };
        (dirty.into_iter().map(now).collect(), inner.made)
    }
}

impl Inner {
    fn written(&mut self, key: &str) -> Result<(), QuotaError> {
        if !self.dirty.contains(key) {
            let bytes = self.dirty_bytes.saturating_add(key.len());
            if MAX_DIRTY < bytes {
                return Err(QuotaError::Dirty);
            }
            self.dirty_bytes = bytes;
            self.dirty.insert(key.to_owned());
        }
        self.made = self.made.saturating_add(1);
        Ok(())
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_within_its_bytes_however_often_a_key_is_set() {
        let bucket = Bucket::default();
        for _ in 0..10 {
            bucket.set("k", vec![0; 9], 10).unwrap();
        }
        assert_eq!(bucket.set("l", vec![0; 1], 10), Err(QuotaError::Bytes(10)));
        bucket.delete("k").unwrap();
        bucket.delete("never there").unwrap();
        bucket.set("l", vec![0; 9], 10).unwrap();
        assert_eq!(bucket.set(&"k".repeat(1025), vec![], 1 << 20), Err(QuotaError::Key));
        assert_eq!(bucket.keys(0, 10), ["l"]);
        let (writes, made) = bucket.take_writes();
        assert_eq!((writes, made), (vec![("k".into(), None), ("l".into(), Some(vec![0; 9]))], 12));
        assert_eq!(bucket.take_writes().0.len(), 0);
    }

    #[test]
    fn what_others_wrote_is_taken_over_and_what_waits_stays() {
        let bucket = Bucket::new([("gone".into(), vec![0; 5]), ("kept".into(), vec![1])].into());
        bucket.set("waits", vec![2], 100).unwrap();
        bucket.delete("kept").unwrap();
        bucket.refresh([("kept".into(), vec![1]), ("waits".into(), vec![3]), ("new".into(), vec![4])].into());
        assert_eq!((bucket.keys(0, 10), bucket.get("waits")), (vec!["new".into(), "waits".into()], Some(vec![2])));
        assert_eq!(bucket.take_writes().0, [("kept".into(), None), ("waits".into(), Some(vec![2]))]);
        // The bytes are those of what is there: 4 + 6.
        assert_eq!(bucket.set("k", vec![0], 11), Err(QuotaError::Bytes(11)));
        bucket.set("k", vec![0], 12).unwrap();
    }

    #[test]
    fn a_copy_and_what_it_was_copied_from_do_not_see_each_other() {
        let bucket = Bucket::new([("k".into(), vec![1])].into());
        let copy = bucket.copy();
        bucket.set("k", vec![2], 100).unwrap();
        copy.set("l", vec![3], 100).unwrap();
        assert_eq!((bucket.get("k"), bucket.get("l")), (Some(vec![2]), None));
        assert_eq!((copy.get("k"), copy.get("l")), (Some(vec![1]), Some(vec![3])));
        // The bytes of a copy are those that are in it.
        assert_eq!(copy.set("m", vec![0; 2], 6), Err(QuotaError::Bytes(6)));
    }

    #[test]
    fn ever_new_keys_do_not_pile_up() {
        let bucket = Bucket::default();
        let churn = |n: usize| {
            let key = format!("{n:01000}");
            bucket.set(&key, vec![], 1 << 20).and_then(|()| bucket.delete(&key))
        };
        assert_eq!((0..10_000).try_for_each(churn), Err(QuotaError::Dirty));
    }
}
