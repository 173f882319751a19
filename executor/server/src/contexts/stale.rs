//! Which contexts other processes have changed since they were read.
//!
//! Changes are numbered. A context that has seen the last number is fresh, which is all that a call has to look at
//! where nobody else changes anything.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Contexts that are told apart; beyond, all are taken for changed.
const MAX_CHANGED: usize = 10_000;

/// The last changes.
#[derive(Default)]
pub(super) struct Stale {
    last: AtomicU64,
    changed: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    /// The last change of each.
    each: HashMap<String, u64>,
    /// The last change of any.
    all: u64,
}

impl Stale {
    /// The number of the last change: what is read from now on has all changes up to it.
    pub(super) fn now(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Notes a change of this context, or of any.
    pub(super) fn note(&self, uri: Option<&str>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.now() + 1;
        match uri {
            Some(uri) if changed.each.len() < MAX_CHANGED => drop(changed.each.insert(uri.to_owned(), number)),
            _ => *changed = Changed { each: HashMap::new(), all: number },
        }
        self.last.store(number, Ordering::Release);
    }

    /// Whether the context of `uri` was changed after what `seen` says; notes there that it was not.
    pub(super) fn is(&self, uri: &str, seen: &AtomicU64) -> bool {
        let has = seen.load(Ordering::Acquire);
        if has == self.now() {
            return false;
        }
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = changed.each.get(uri).copied().unwrap_or(0).max(changed.all);
        if has < last {
            return true;
        }
        seen.fetch_max(self.now(), Ordering::AcqRel);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_stale_until_it_is_read_again() {
        let stale = Stale::default();
        let (a, b) = (AtomicU64::new(0), AtomicU64::new(0));
        assert!(!stale.is("a", &a) && !stale.is("b", &b));
        stale.note(Some("a"));
        assert!(stale.is("a", &a) && !stale.is("b", &b));
        let now = stale.now();
        stale.note(Some("a"));
        a.fetch_max(now, Ordering::AcqRel);
        // Changed again while it was read.
        assert!(stale.is("a", &a));
        a.fetch_max(stale.now(), Ordering::AcqRel);
        assert!(!stale.is("a", &a));
        stale.note(None);
        assert!(stale.is("a", &a) && stale.is("b", &b));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (stale, never) = (Stale::default(), AtomicU64::new(0));
        for n in 0..=MAX_CHANGED {
            stale.note(Some(&n.to_string()));
        }
        assert!(stale.is("5", &never) && stale.is("another", &never));
        assert!(stale.changed.lock().unwrap().each.len() <= MAX_CHANGED);
    }
}
