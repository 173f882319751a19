//! The functions of this process by their names, and how many replicas they may have together.
//!
//! PERF: a call looks a function up without a lock; only deployments and removals change the map.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use tokio::sync::OwnedMutexGuard;

use super::deployment::Deployment;
use crate::error::{Error, ErrorKind};

/// The functions that are here.
pub(super) struct Directory {
    here: ArcSwap<HashMap<String, Arc<Deployment>>>,
    desk: Mutex<Desk>,
    max_replicas: usize,
}

/// What is looked at when something is deployed or removed.
#[derive(Default)]
struct Desk {
    replicas: usize,
    /// Whose turn it is at each name.
    turns: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
}

/// Replicas that count against the bound of the executor; dropping this gives them back.
pub(super) struct Reserved {
    directory: Arc<Directory>,
    n: usize,
}

impl Directory {
    pub(super) fn new(max_replicas: usize) -> Arc<Self> {
        Arc::new(Self { here: ArcSwap::default(), desk: Mutex::default(), max_replicas })
    }

    /// The function of this name, if it is here.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Deployment>> {
        self.here.load().get(name).cloned()
    }

    /// All that are here.
    pub(super) fn all(&self) -> Vec<Arc<Deployment>> {
        self.here.load().values().cloned().collect()
    }

    pub(super) fn insert(&self, deployment: &Arc<Deployment>) {
        let _desk = self.desk();
        let mut all = HashMap::clone(&self.here.load());
        all.insert(deployment.name.clone(), Arc::clone(deployment));
        self.here.store(Arc::new(all));
    }

    pub(super) fn remove(&self, name: &str) -> Option<Arc<Deployment>> {
        let _desk = self.desk();
        let mut all = HashMap::clone(&self.here.load());
        let removed = all.remove(name);
        self.here.store(Arc::new(all));
        removed
    }

    /// Waits until nobody else deploys or removes a function of this name.
    pub(super) async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut desk = self.desk();
            desk.turns.retain(|_, turn| turn.strong_count() != 0);
            match desk.turns.get(name).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::<tokio::sync::Mutex<()>>::default();
                    desk.turns.insert(name.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }

    /// Sets replicas aside. Those of a function that is there already are not refused.
    pub(super) fn reserve(self: &Arc<Self>, n: usize, promised: bool) -> Result<Reserved, Error> {
        let mut desk = self.desk();
        let (there, most) = (desk.replicas, self.max_replicas);
        if most < there.saturating_add(n) {
            let why = format!(
                "there are {there} replicas of functions on this executor and may be {most}, its `max_replicas`: {n} more do not fit"
            );
            if !promised {
                return Err(Error::new(ErrorKind::Busy, why));
            }
            tracing::warn!("{why}, and are there all the same, since they were there before");
        }
        desk.replicas = there.saturating_add(n);
        Ok(Reserved { directory: Arc::clone(self), n })
    }

    /// Held for the time of a map operation only, and never across a wait.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Adds some.
    pub(super) fn add(&mut self, mut other: Self) {
        self.n = self.n.saturating_add(std::mem::take(&mut other.n));
    }

    /// Gives back all above `n`.
    pub(super) fn shrink(&mut self, n: usize) {
        let over = self.n.saturating_sub(n);
        self.n = self.n.saturating_sub(over);
        let mut desk = self.directory.desk();
        desk.replicas = desk.replicas.saturating_sub(over);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_bounded_and_come_back() {
        let directory = Directory::new(3);
        let mut two = directory.reserve(2, false).unwrap();
        let error = directory.reserve(2, false).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.message().contains("there are 2 replicas") && error.message().contains("may be 3"), "{error}");
        two.add(directory.reserve(1, false).unwrap());
        assert!(directory.reserve(1, false).is_err());
        two.shrink(1);
        let others = directory.reserve(2, false).unwrap();
        assert_eq!((two.n, others.n), (1, 2));
        drop(directory.reserve(5, true).unwrap());
        drop(two);
        drop(others);
        assert!(directory.reserve(3, false).is_ok());
    }

    #[tokio::test]
    async fn one_after_the_other_deploys_under_a_name() {
        let directory = Directory::new(1);
        let first = directory.turn("f").await;
        drop(directory.turn("g").await);
        let waiting = tokio::spawn({
            let directory = Arc::clone(&directory);
            async move { drop(directory.turn("f").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }
}
