//! What one caller may take: requests a second, and requests at the same time.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::error::{Error, ErrorKind};

/// What each caller may take; 0 is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests a second, over any time; as many may come at once.
    pub per_second: u32,
    /// Requests at the same time.
    pub at_once: u32,
}

/// What is left for one caller.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Option<DefaultDirectRateLimiter>,
    at_once: Option<NonZeroU32>,
    running: AtomicU32,
}

/// A request that is being answered; dropping it says that it was.
#[derive(Debug)]
pub struct Running(Arc<Allowance>);

impl Allowance {
    /// That of a caller who took nothing yet; none where nothing is bounded.
    pub(super) fn of(rates: Rates) -> Option<Arc<Self>> {
        let per_second = NonZeroU32::new(rates.per_second);
        let at_once = NonZeroU32::new(rates.at_once);
        per_second.or(at_once)?;
        let rate = per_second.map(|n| RateLimiter::direct(Quota::per_second(n)));
        Some(Arc::new(Self { rate, at_once, running: AtomicU32::new(0) }))
    }

    /// Takes one request, if there is any left.
    pub(super) fn take(self: &Arc<Self>) -> Result<Running, Error> {
        // Counted first, so that one that does not fit in takes nothing from the rate.
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        let running = Running(Arc::clone(self));
        if let Some(most) = self.at_once.filter(|most| most.get() <= before) {
            return Err(busy(format!(
                "this caller has {most} requests already at the same time, which is as many as one may have"
            )));
        }
        if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            return Err(busy("this caller sends more requests a second than one may send".into()));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

fn busy(why: String) -> Error {
    Error::new(ErrorKind::Busy, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_counted_where_nothing_is_bounded() {
        assert!(Allowance::of(Rates::default()).is_none());
    }

    #[test]
    fn so_many_at_the_same_time_and_no_more() {
        let allowance = Allowance::of(Rates { per_second: 0, at_once: 2 }).unwrap();
        let (one, two) = (allowance.take().unwrap(), allowance.take().unwrap());
        assert_eq!(allowance.take().unwrap_err().kind(), ErrorKind::Busy);
        drop(one);
        let three = allowance.take().unwrap();
        assert!(allowance.take().is_err());
        drop((two, three));
        assert_eq!(allowance.running.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_more_a_second_than_that() {
        let allowance = Allowance::of(Rates { per_second: 1, at_once: 0 }).unwrap();
        drop(allowance.take().unwrap());
        // On a machine so slow that a second goes by between two of them, both come in.
        assert!((0..1000).any(|_| allowance.take().is_err()));
        assert_eq!(allowance.running.load(Ordering::Relaxed), 0);
    }
}
