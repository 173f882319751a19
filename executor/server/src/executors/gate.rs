//! How many calls run on one executor at the same time, and who waits.
//!
//! Past the limit a caller waits for as long as its own call might take; then it is told to come again. The line has
//! a bound. Without a limit nothing is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind};

/// Callers that wait at the same time.
const MAX_WAITING: usize = 10_000;

/// The way into one executor.
#[derive(Debug, Default)]
pub struct Gate {
    slots: ArcSwapOption<Slots>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Slots {
    limit: usize,
    free: Arc<Semaphore>,
}

/// A place among the running calls; dropping it makes room.
pub type Place = Option<OwnedSemaphorePermit>;

impl Gate {
    /// Sets how many calls run at the same time; 0 is any number. Calls that run already are not counted anew.
    pub fn set(&self, limit: u64) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        if self.slots.load().as_ref().map_or(0, |slots| slots.limit) == limit {
            return;
        }
        let slots = (limit != 0).then(|| Arc::new(Slots { limit, free: Arc::new(Semaphore::new(limit)) }));
        self.slots.store(slots);
    }

    /// Whether another call would have to wait.
    pub fn is_full(&self) -> bool {
        self.slots.load().as_ref().is_some_and(|slots| slots.free.available_permits() == 0)
    }

    /// How many calls run, and how many may, if they are counted.
    pub fn load(&self) -> Option<(usize, usize)> {
        let slots = self.slots.load_full()?;
        Some((slots.limit.saturating_sub(slots.free.available_permits()), slots.limit))
    }

    /// Takes a place, waiting for one no longer than `patience`.
    pub async fn enter(&self, patience: Duration) -> Result<Place, Error> {
        let Some(slots) = self.slots.load_full() else { return Ok(None) };
        match Arc::clone(&slots.free).try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            // PERF: boxed, so that the future of a call that finds a place stays small.
            Err(_) => Box::pin(self.wait(slots, patience)).await.map(Some),
        }
    }

    async fn wait(&self, slots: Arc<Slots>, patience: Duration) -> Result<OwnedSemaphorePermit, Error> {
        let busy = |why: &str| {
            let limit = slots.limit;
            Error::new(ErrorKind::Busy, format!("the executor runs {limit} calls already, its `max_processes`, {why}"))
        };
        let Some(_in_line) = InLine::join(&self.waiting) else {
            return Err(busy("and as many as may are waiting"));
        };
        match tokio::time::timeout(patience, Arc::clone(&slots.free).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(busy("and none of them ended while this one could wait")),
        }
    }
}

/// A place in the line; dropping it leaves the line.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn join(waiting: &'a AtomicUsize) -> Option<Self> {
        let res = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(res)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn lets_in_as_many_as_its_limit_and_the_next_when_one_leaves() {
        let gate = Arc::new(Gate::default());
        assert!(gate.enter(SHORT).await.unwrap().is_none());
        assert_eq!(gate.load(), None);
        gate.set(2);
        let (first, _second) = (gate.enter(SHORT).await.unwrap(), gate.enter(SHORT).await.unwrap());
        assert!(gate.is_full());
        assert_eq!(gate.load(), Some((2, 2)));
        assert_eq!(gate.enter(SHORT).await.unwrap_err().kind(), ErrorKind::Busy);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(LONG).await.unwrap().is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
        gate.set(0);
        assert!(!gate.is_full());
    }

    #[tokio::test]
    async fn the_line_has_a_bound() {
        let gate = Gate::default();
        gate.set(1);
        let _inside = gate.enter(SHORT).await.unwrap();
        gate.waiting.store(MAX_WAITING, Ordering::Relaxed);
        let error = gate.enter(LONG).await.unwrap_err();
        assert!(error.message().contains("as many as may are waiting"), "{error}");
        assert_eq!(gate.waiting.load(Ordering::Relaxed), MAX_WAITING);
    }
}
