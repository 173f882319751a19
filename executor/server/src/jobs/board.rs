//! What the tasks of this process tell each other about jobs: which are in hand, which are watched, and that there is
//! something to do.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::store::Stage;

/// Changes of one job that a watcher may be behind; past that it reads the record.
const MAX_BEHIND: usize = 16;

/// Shared by all tasks of jobs.
#[derive(Default)]
pub(super) struct Board {
    /// Jobs that somebody has in hand, and how to make them let go.
    in_hand: Mutex<HashMap<String, CancellationToken>>,
    watched: Mutex<HashMap<String, Watched>>,
    due: Notify,
    send: Notify,
    follow: Notify,
    done: Notify,
}

struct Watched {
    sender: broadcast::Sender<News>,
    watchers: usize,
    /// The last record that is known: one for all who watch.
    latest: Option<Event>,
}

/// Something happened to a job.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Its record is another one.
    Changed(Event),
    /// It is there no more.
    Removed,
}

/// The record of a job after a change.
#[derive(Clone, Debug)]
pub struct Event {
    /// As text.
    pub document: Arc<str>,
    /// Whether no other one follows.
    pub is_end: bool,
    pub(super) revision: i64,
}

/// A job that is in hand as long as this lives.
pub(super) struct InHand {
    board: Arc<Board>,
    pub(super) job_id: String,
    /// Set when the job is to be let go.
    pub(super) let_go: CancellationToken,
}

/// A place among those that watch a job.
pub(super) struct Seat {
    board: Arc<Board>,
    job_id: String,
    pub(super) news: broadcast::Receiver<News>,
}

/// A lock is held for a look or a change and nothing else.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Takes a job in hand, until `until` at the latest.
    pub(super) fn take(self: &Arc<Self>, job_id: &str, until: &CancellationToken) -> InHand {
        let let_go = until.child_token();
        lock(&self.in_hand).insert(job_id.to_owned(), let_go.clone());
        InHand { board: Arc::clone(self), job_id: job_id.to_owned(), let_go }
    }

    /// The jobs that are in hand.
    pub(super) fn in_hand(&self) -> HashSet<String> {
        lock(&self.in_hand).keys().cloned().collect()
    }

    /// Has whoever has this job in hand let go of it.
    pub(super) fn let_go(&self, job_id: &str) {
        if let Some(token) = lock(&self.in_hand).get(job_id) {
            token.cancel();
        }
    }

    /// Sits down to watch a job.
    pub(super) fn watch(self: &Arc<Self>, job_id: &str) -> Seat {
        let mut watched = lock(&self.watched);
        let new = || Watched { sender: broadcast::Sender::new(MAX_BEHIND), watchers: 0, latest: None };
        let job = watched.entry(job_id.to_owned()).or_insert_with(new);
        job.watchers += 1;
        Seat { board: Arc::clone(self), job_id: job_id.to_owned(), news: job.sender.subscribe() }
    }

    /// Tells those that watch a job.
    pub(super) fn tell(&self, job_id: &str, news: News) {
        if let Some(job) = lock(&self.watched).get_mut(job_id) {
            if let News::Changed(event) = &news {
                job.latest = Some(event.clone());
            }
            job.sender.send(news).ok();
        }
    }

    /// The last record of a watched job, if it is known.
    pub(super) fn latest(&self, job_id: &str) -> Option<Event> {
        lock(&self.watched).get(job_id)?.latest.clone()
    }

    /// Has a record that was read be the last that is known, unless there is one by now. Returns the one that is.
    pub(super) fn settle(&self, job_id: &str, read: Event) -> Event {
        match lock(&self.watched).get_mut(job_id) {
            Some(job) => job.latest.get_or_insert(read).clone(),
            None => read,
        }
    }

    /// Whether somebody here wants to know what becomes of this job.
    pub(super) fn concerns(&self, job_id: &str) -> bool {
        lock(&self.watched).contains_key(job_id) || lock(&self.in_hand).contains_key(job_id)
    }

    /// All jobs of which somebody here wants to know what becomes of them.
    pub(super) fn of_concern(&self) -> HashSet<String> {
        let mut ids = self.in_hand();
        ids.extend(lock(&self.watched).keys().cloned());
        ids
    }

    /// Who is told that there is something to do.
    pub(super) fn bell(&self, stage: Stage) -> &Notify {
        match stage {
            Stage::Due => &self.due,
            Stage::Send => &self.send,
            Stage::Follow => &self.follow,
            Stage::Done => &self.done,
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        lock(&self.board.in_hand).remove(&self.job_id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut watched = lock(&self.board.watched);
        if let Some(job) = watched.get_mut(&self.job_id) {
            job.watchers = job.watchers.saturating_sub(1);
            if job.watchers == 0 {
                watched.remove(&self.job_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: i64) -> News {
        News::Changed(Event { document: "{}".into(), is_end: false, revision })
    }

    #[test]
    fn those_that_watch_are_told_and_nothing_is_left_of_them() {
        let board = Arc::<Board>::default();
        let (mut one, mut two) = (board.watch("a"), board.watch("a"));
        board.tell("a", event(1));
        board.tell("b", event(2));
        for seat in [&mut one, &mut two] {
            assert!(matches!(seat.news.try_recv(), Ok(News::Changed(Event { revision: 1, .. }))));
            assert!(seat.news.try_recv().is_err());
        }
        drop(one);
        assert!(board.concerns("a"));
        drop(two);
        assert!(!board.concerns("a") && board.of_concern().is_empty());
    }

    #[test]
    fn what_is_in_hand_is_let_go() {
        let (board, stop) = (Arc::<Board>::default(), CancellationToken::new());
        let (a, b) = (board.take("a", &stop), board.take("b", &stop));
        board.let_go("a");
        board.let_go("c");
        assert!(a.let_go.is_cancelled() && !b.let_go.is_cancelled() && !stop.is_cancelled());
        stop.cancel();
        assert!(b.let_go.is_cancelled());
        assert_eq!(board.in_hand().len(), 2);
        drop((a, b));
        assert!(board.in_hand().is_empty());
    }
}
