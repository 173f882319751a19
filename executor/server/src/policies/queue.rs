//! Which policies are loaded next, in the background, a few at a time.
//!
//! The registry itself is the queue: a policy is pending until how its loading went was noted, however many there are
//! and whenever the process ended. What was just created comes by a short cut; when that is full, the worker is behind
//! and looks into the registry once it has caught up.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::Policies;

/// Policies that are loaded in the background at the same time.
const LOADS_AT_ONCE: usize = 4;
/// Policies that wait outside of the registry.
const SHORT_CUT: usize = 256;

/// Where what is to be loaded is handed in.
pub(super) struct Queue {
    short_cut: mpsc::Sender<String>,
    behind: AtomicBool,
}

/// Where it is taken out.
pub(super) struct Waiting {
    short_cut: mpsc::Receiver<String>,
    /// What the registry said was pending when it was last asked: uris only.
    pending: VecDeque<String>,
}

impl Queue {
    pub(super) fn new() -> (Self, Waiting) {
        let (sender, short_cut) = mpsc::channel(SHORT_CUT);
        (Self { short_cut: sender, behind: AtomicBool::new(true) }, Waiting { short_cut, pending: VecDeque::new() })
    }

    /// Says that a policy of the registry is pending.
    pub(super) fn push(&self, uri: &str) {
        if self.short_cut.try_send(uri.to_owned()).is_err() {
            self.behind.store(true, Ordering::SeqCst);
            // What is waited for may have been taken out before the flag was set: then there is room again.
            drop(self.short_cut.try_send(uri.to_owned()));
        }
    }

    fn was_behind(&self) -> bool {
        self.behind.swap(false, Ordering::SeqCst)
    }
}

/// Loads whatever is pending, as long as the process lives.
pub(super) async fn run(policies: Policies, waiting: Waiting) {
    let next = |mut waiting: Waiting| async {
        let uri = waiting.next(&policies).await?;
        Some((uri, waiting))
    };
    let load = |uri: String| {
        let policies = &policies;
        async move { policies.load_ahead(&uri).await }
    };
    stream::unfold(waiting, next).for_each_concurrent(LOADS_AT_ONCE, load).await;
}

impl Waiting {
    /// The next policy to load; none once nobody can hand in any more.
    async fn next(&mut self, policies: &Policies) -> Option<String> {
        if let Ok(uri) = self.short_cut.try_recv() {
            return Some(uri);
        }
        if self.pending.is_empty() && policies.parts.queue.was_behind() {
            match policies.parts.store.pending().await {
                Ok(pending) => self.pending = pending.into(),
                Err(error) => {
                    tracing::error!(error = error.chain(), "the policies to load cannot be read");
                    policies.parts.queue.behind.store(true, Ordering::SeqCst);
                }
            }
        }
        match self.pending.pop_front() {
            Some(uri) => Some(uri),
            None => self.short_cut.recv().await,
        }
    }
}
