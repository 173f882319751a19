//! The one task that writes jobs: whatever came while a write was under way goes into the next one, so many changes
//! share one sync of the disk.
//!
//! What a run came to is not lost to a database that fails for a while: it is written again until it is there. Whoever
//! submits or cancels is told at once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lictor_model::field::shorten;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::board::{Board, Event, News};
use crate::{
    error::{Error, ErrorKind},
    store::{JobChange, JobWrite, Stage, Store},
};

/// Writes that may wait; past that, those who want one wait.
const MAX_WAITING: usize = 1024;
/// Writes in one transaction.
const MAX_BATCH: usize = 256;
/// How long to wait after the database failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Where writes are handed in.
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    closing: CancellationToken,
    task: TaskTracker,
}

/// A write that somebody wants made.
struct Order {
    write: JobWrite,
    /// Whether it is made again and again until it is made.
    lasting: bool,
    /// Who is told whether it was made.
    done: Option<oneshot::Sender<Result<bool, Error>>>,
    /// Changes before this one that need not be written for themselves.
    before: Vec<JobChange>,
}

impl Writer {
    /// Starts the task.
    pub(super) fn start(store: Store, board: Arc<Board>, most: u64) -> Self {
        let (orders, inbox) = mpsc::channel(MAX_WAITING);
        let (closing, task) = (CancellationToken::new(), TaskTracker::new());
        let queues = Queues { most, known: HashMap::new() };
        task.spawn(Task { store, board, queues, closing: closing.clone() }.run(inbox));
        task.close();
        Self { orders, closing, task }
    }

    /// Writes what is still waiting, and ends.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    /// Makes a write, and says whether that went: see [`Store::write_jobs`].
    pub(super) async fn write(&self, write: JobWrite) -> Result<bool, Error> {
        self.order(write, false).await
    }

    /// Makes a change that must not be lost.
    pub(super) async fn write_at_last(&self, change: JobChange) -> Result<bool, Error> {
        self.order(JobWrite::Change(change), true).await
    }

    /// Makes a change that nobody waits for.
    pub(super) async fn note(&self, change: JobChange) {
        let order = Order { write: JobWrite::Change(change), lasting: true, done: None, before: Vec::new() };
        self.orders.send(order).await.ok();
    }

    async fn order(&self, write: JobWrite, lasting: bool) -> Result<bool, Error> {
        let lost = || Error::new(ErrorKind::ShuttingDown, "the server is stopping");
        let (done, answer) = oneshot::channel();
        let order = Order { write, lasting, done: Some(done), before: Vec::new() };
        self.orders.send(order).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?
    }
}

struct Task {
    store: Store,
    board: Arc<Board>,
    queues: Queues,
    closing: CancellationToken,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut batch = Vec::new();
        loop {
            if batch.is_empty() {
                if !self.receive(&mut inbox, &mut batch).await {
                    return;
                }
            } else if self.closing.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                tracing::error!("{} changes of jobs could not be written: these jobs run again", batch.len());
                return;
            } else {
                // What cannot be written holds up nothing else.
                let more = std::iter::from_fn(|| inbox.try_recv().ok());
                batch.extend(more.take(MAX_BATCH));
            }
            batch = self.write(batch).await;
        }
    }

    /// Waits for orders; false once there will be none.
    async fn receive(&self, inbox: &mut mpsc::Receiver<Order>, batch: &mut Vec<Order>) -> bool {
        let some = tokio::select! {
            biased;
            n = inbox.recv_many(batch, MAX_BATCH) => 0 < n,
            () = self.closing.cancelled() => false,
        };
        if some {
            return true;
        }
        inbox.close();
        0 < inbox.recv_many(batch, MAX_BATCH).await
    }

    /// Writes a batch; returns what is to be written again.
    async fn write(&mut self, batch: Vec<Order>) -> Vec<Order> {
        let batch = merged(self.admitted(batch).await);
        let writes: Vec<&JobWrite> = batch.iter().map(|order| &order.write).collect();
        match self.store.write_jobs(&writes).await {
            Ok(made) => {
                for (order, made) in batch.into_iter().zip(made) {
                    self.conclude(order, made);
                }
                Vec::new()
            }
            Err(error) => self.write_each(batch, error).await,
        }
    }

    /// Writes one after the other what could not be written together, so that nothing is held up by what cannot be
    /// written. After two failures it is the database.
    async fn write_each(&mut self, batch: Vec<Order>, mut error: Error) -> Vec<Order> {
        tracing::error!(error = error.chain(), "jobs could not be written");
        let (mut again, mut failures) = (Vec::new(), if batch.len() == 1 { 2 } else { 0 });
        for order in batch {
            if failures < 2 {
                match self.store.write_jobs(&[&order.write]).await {
                    Ok(made) => {
                        self.conclude(order, made.first().copied().unwrap_or_default());
                        continue;
                    }
                    Err(why) => (error, failures) = (why, failures + 1),
                }
            }
            if order.lasting {
                again.push(order);
            } else if let Some(done) = order.done {
                done.send(Err(error.again())).ok();
            }
        }
        again
    }

    /// Without the new jobs for which there is no room.
    async fn admitted(&mut self, batch: Vec<Order>) -> Vec<Order> {
        let mut admitted = Vec::with_capacity(batch.len());
        for order in batch {
            let refused = match &order.write {
                JobWrite::New(new) => self.queues.admit(&self.store, &new.owner).await.err(),
                _ => None,
            };
            match (refused, order.done) {
                (None, done) => admitted.push(Order { done, ..order }),
                (Some(error), Some(done)) => drop(done.send(Err(error))),
                (Some(_), None) => {}
            }
        }
        admitted
    }

    /// Tells everybody what was made of an order.
    fn conclude(&self, order: Order, made: bool) {
        let Order { write, done, before, .. } = order;
        let job_id = write.job_id().to_owned();
        let next = match write {
            JobWrite::New(new) => Some((new.stage, 0)),
            JobWrite::Later(..) => None,
            JobWrite::Change(change) if made => {
                let next = change.next;
                for change in before.into_iter().chain([change]) {
                    self.board.tell(&job_id, News::Changed(Event::of(change)));
                }
                if matches!(next, Some((Stage::Done, _))) {
                    self.board.let_go(&job_id);
                }
                next
            }
            JobWrite::Change(_) => None,
        };
        if let Some((stage, after)) = next
            && (stage != Stage::Done || after == 0)
        {
            self.board.bell(stage).notify_one();
        }
        // Nobody listens any more if the caller went away: what was written stands all the same.
        done.map(|done| done.send(Ok(made)));
    }
}

impl Event {
    fn of(change: JobChange) -> Self {
        let is_end = matches!(change.next, Some((Stage::Done, _)));
        Self { document: change.document, is_end, revision: change.revision }
    }
}

/// In the order of the jobs, and of two changes of one job, of which the second builds on the first and nobody waits for
/// the first, only the second.
fn merged(mut batch: Vec<Order>) -> Vec<Order> {
    batch.sort_by(|a, b| a.write.job_id().cmp(b.write.job_id()));
    let mut merged: Vec<Order> = Vec::with_capacity(batch.len());
    for mut order in batch {
        let builds_on = match (merged.last(), &order.write) {
            (Some(Order { write: JobWrite::Change(first), done: None, .. }), JobWrite::Change(second)) => {
                first.job_id == second.job_id && first.revision == second.of
            }
            _ => false,
        };
        if builds_on
            && let Some(Order { write: JobWrite::Change(first), mut before, .. }) = merged.pop()
            && let JobWrite::Change(second) = &mut order.write
        {
            second.of = first.of;
            second.next = second.next.or(first.next);
            before.push(first);
            order.before = before;
        }
        merged.push(order);
    }
    merged
}

/// How many jobs wait for each executor, as far as that was looked up lately.
struct Queues {
    most: u64,
    known: HashMap<String, (u64, Instant)>,
}

impl Queues {
    /// Makes room for one more, if there is any.
    async fn admit(&mut self, store: &Store, owner: &str) -> Result<(), Error> {
        // What is full may have room soon; of what is not, those that went are forgotten for a second.
        let most = self.most;
        let fresh = |n: u64| if n < most { Duration::from_secs(1) } else { Duration::from_millis(100) };
        self.known.retain(|_, (n, at)| at.elapsed() < fresh(*n));
        if !self.known.contains_key(owner) {
            self.known.insert(owner.to_owned(), (store.jobs_queued(owner).await?, Instant::now()));
        }
        match self.known.get_mut(owner) {
            Some((n, _)) if most <= *n => {
                let owner = shorten(owner, 100);
                let why = format!("{n} jobs wait for the executor `{owner}`, which is as many as may: try again later");
                Err(Error::new(ErrorKind::Busy, why))
            }
            Some((n, _)) => {
                *n += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use lictor_model::{
        Time,
        job::{Job, Submit},
    };
    use serde_json::json;

    use super::*;
    use crate::store::{Kind, Location, NewJob};

    fn job(id: &str) -> Job {
        let submit = json!({"name": "n", "policy_rule_uri": "a:1-b"});
        Job::new(id.into(), Submit::parse(submit).unwrap(), "e".into(), 60, Time::from_millis(0))
    }

    fn new(id: &str) -> JobWrite {
        JobWrite::New(NewJob::new(&job(id), "e".into(), Stage::Due))
    }

    async fn writer(most: u64) -> (Writer, Store, Arc<Board>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::File(folder.path().join("lictor.db"))).await.unwrap();
        let board = Arc::<Board>::default();
        (Writer::start(store.clone(), Arc::clone(&board), most), store, board, folder)
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_no_more() {
        let (writer, store, _board, _folder) = writer(3).await;
        let all = futures_util::future::join_all((0..5).map(|n| writer.write(new(&n.to_string())))).await;
        assert_eq!(all.iter().filter(|written| written.is_ok()).count(), 3, "{all:?}");
        let refused = all.into_iter().find_map(Result::err).unwrap();
        assert_eq!((refused.kind(), refused.message().starts_with("3 jobs")), (ErrorKind::Busy, true), "{refused}");
        assert_eq!(store.jobs_queued("e").await.unwrap(), 3);
    }

    #[tokio::test]
    async fn changes_that_build_on_each_other_are_told_one_by_one() {
        let (writer, store, board, _folder) = writer(9).await;
        assert!(writer.write(new("a")).await.unwrap());
        let mut seat = board.watch("a");
        let hand = board.take("a", &CancellationToken::new());
        let mut job = job("a");
        let of = store.revision(Kind::Job, "a").await.unwrap().unwrap();
        job.start(Time::from_millis(1));
        let begun = JobChange::new(&job, of, None);
        job.complete(json!(7), Time::from_millis(2));
        let ended = JobChange::new(&job, begun.revision, Some((Stage::Done, 0)));
        let revision = ended.revision;
        writer.note(begun).await;
        assert!(writer.write_at_last(ended.clone()).await.unwrap());
        // It is another one now.
        assert!(!writer.write_at_last(ended).await.unwrap());
        assert_eq!(store.revision(Kind::Job, "a").await.unwrap(), Some(revision));
        for (is_end, status) in [(false, "running"), (true, "completed")] {
            let Ok(News::Changed(event)) = seat.news.try_recv() else { panic!("no news") };
            assert!(event.is_end == is_end && event.document.contains(status), "{event:?}");
        }
        assert!(hand.let_go.is_cancelled());
        writer.close().await;
        assert_eq!(writer.write(new("b")).await.unwrap_err().kind(), ErrorKind::ShuttingDown);
    }
}
