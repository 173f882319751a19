//! Going through the jobs that are due, in order, a few at the same time.
//!
//! Jobs wait in the database: what is here is a page of ids, and the jobs in hand. A job stays in hand until what came
//! of its run is written, so that nobody takes it twice; its slot is free as soon as it has run, so that writing holds up
//! no other job.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Jobs, attempt, board::InHand, follow};
use crate::{
    error::Error,
    store::{JobDue, Stage},
};

/// Ids that are read at once.
const PAGE: usize = 64;
/// Jobs in hand that have run and are not written yet.
const UNWRITTEN: usize = 64;
/// How often it is looked for jobs that nobody told us of.
const LOOK: Duration = Duration::from_secs(1);

/// Sees to the jobs of one stage.
pub(super) struct Lane {
    jobs: Jobs,
    stage: Stage,
    slots: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// What a job in hand takes.
pub(super) struct Slot {
    /// Given back when it has run.
    running: OwnedSemaphorePermit,
    /// Given back when that is written.
    room: OwnedSemaphorePermit,
}

impl Slot {
    /// Lets the next one run; what is left is to be kept until what came of this one is written.
    pub(super) fn ran(self) -> OwnedSemaphorePermit {
        drop(self.running);
        self.room
    }
}

impl Lane {
    pub(super) fn new(jobs: Jobs, stage: Stage, at_once: usize) -> Self {
        let slots = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        Self { jobs, stage, slots: slots(at_once), room: slots(at_once.saturating_add(UNWRITTEN)) }
    }

    /// Sees to them until the server stops.
    pub(super) async fn run(self) {
        let stopping = self.jobs.parts.stopping.clone();
        stopping.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(&self) {
        loop {
            let wait = match self.page().await {
                Ok((ids, _)) if !ids.is_empty() => {
                    for job_id in ids {
                        self.take(job_id).await;
                    }
                    continue;
                }
                Ok((_, wait)) => wait.min(LOOK),
                Err(error) => {
                    tracing::error!(error = error.chain(), "it cannot be seen which jobs are due");
                    LOOK
                }
            };
            tokio::time::timeout(wait, self.jobs.parts.board.bell(self.stage).notified()).await.ok();
        }
    }

    /// The next jobs, and how long there is nothing to do if there are none.
    async fn page(&self) -> Result<(Vec<String>, Duration), Error> {
        let parts = &self.jobs.parts;
        // An executor that was taken out of service runs nothing.
        if self.stage == Stage::Due && parts.executors.serving().is_err() {
            return Ok((Vec::new(), LOOK));
        }
        // Looked at before: what is let go of meanwhile may have changed, and is in the next page if it is due.
        let in_hand = parts.board.in_hand();
        let due = parts.store.jobs_due(&parts.own, self.stage, PAGE.saturating_add(in_hand.len())).await?;
        let later = due.iter().find(|due| 0 < due.in_ms).and_then(|due| u64::try_from(due.in_ms).ok());
        let now = |due: &JobDue| due.in_ms <= 0 && !in_hand.contains(&due.job_id);
        let ids = due.into_iter().filter(now).map(|due| due.job_id).collect();
        Ok((ids, later.map_or(LOOK, Duration::from_millis)))
    }

    /// Begins to see to a job once there is a slot for it.
    async fn take(&self, job_id: String) {
        let permits = (Arc::clone(&self.room).acquire_owned().await, Arc::clone(&self.slots).acquire_owned().await);
        let (Ok(room), Ok(running)) = permits else { return };
        let parts = &self.jobs.parts;
        let hand = parts.board.take(&job_id, &parts.stopping);
        let (jobs, stage, slot) = (self.jobs.clone(), self.stage, Slot { running, room });
        parts.tasks.spawn(async move {
            if let Err(error) = see_to(&jobs, stage, &hand, slot).await {
                tracing::error!(job = hand.job_id, error = error.chain(), "a job could not be seen to");
                jobs.later(&hand.job_id).await;
            }
        });
    }
}

async fn see_to(jobs: &Jobs, stage: Stage, hand: &InHand, slot: Slot) -> Result<(), Error> {
    let Some((job, revision)) = jobs.unfinished(&hand.job_id).await? else { return Ok(()) };
    match stage {
        Stage::Due => attempt::run(jobs, hand, slot, job, revision).await,
        Stage::Send => follow::hand_over(jobs, hand, job, revision).await,
        Stage::Follow => follow::ask(jobs, hand, job, revision).await,
        Stage::Done => Ok(()),
    }
}
