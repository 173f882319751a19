//! Watching a job: its record, and each one that takes its place, up to the last.

use lictor_model::job::Job;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, broadcast::error::RecvError};

use super::{
    Jobs,
    board::{Event, News, Seat},
};
use crate::{
    error::{Error, ErrorKind},
    store::{Kind, Record},
};

/// Requests that may watch jobs at the same time.
pub(super) const MAX_WATCHERS: usize = 1000;

/// Somebody who watches a job.
pub struct Watch {
    jobs: Jobs,
    seat: Seat,
    job_id: String,
    /// What was there at the beginning, until it is taken.
    first: Option<Event>,
    /// The revision that was told last.
    told: i64,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Jobs {
    /// Watches a job from now on.
    pub async fn watch(&self, job_id: &str) -> Result<Watch, Error> {
        let place = self.parts.watchers.clone().try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Busy,
                format!(
                    "jobs are watched by {MAX_WATCHERS} requests, which is as many as may: read the record instead"
                ),
            )
        })?;
        // Before the record is read, so that nothing happens in between.
        let seat = self.parts.board.watch(job_id);
        let first = match self.parts.board.latest(job_id) {
            Some(latest) => latest,
            None => {
                let read = Event::read(&self.parts.registry.stored(job_id).await?)?;
                self.parts.board.settle(job_id, read)
            }
        };
        Ok(Watch {
            jobs: self.clone(),
            seat,
            job_id: job_id.to_owned(),
            told: first.revision,
            first: Some(first),
            ended: false,
            _place: place,
        })
    }

    /// Looks at what somebody else did with a job, and tells whoever wants to know.
    pub(super) async fn look_at(&self, job_id: &str) -> Result<(), Error> {
        let board = &self.parts.board;
        match self.parts.store.read(Kind::Job, job_id).await? {
            None => {
                board.tell(job_id, News::Removed);
                board.let_go(job_id);
            }
            Some(record) => {
                let event = Event::read(&record)?;
                if event.is_end {
                    board.let_go(job_id);
                }
                board.tell(job_id, News::Changed(event));
            }
        }
        Ok(())
    }
}

impl Event {
    pub(super) fn read(record: &Record) -> Result<Self, Error> {
        let job = Job::read(&record.document)?;
        let document = Value::Object(record.document.clone()).to_string().into();
        Ok(Self { document, is_end: job.status.is_end(), revision: record.revision })
    }
}

impl Watch {
    /// The next record; none after the last.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            let event = match self.first.take() {
                Some(first) => Some(first),
                // What was read already may be told once more.
                None => self.hear().await.filter(|event| event.revision != self.told),
            };
            if let Some(event) = event {
                self.told = event.revision;
                self.ended |= event.is_end;
                return Some(event);
            }
        }
        None
    }

    async fn hear(&mut self) -> Option<Event> {
        match self.seat.news.recv().await {
            Ok(News::Changed(event)) => Some(event),
            Err(RecvError::Lagged(_)) => self.read_again().await,
            Ok(News::Removed) | Err(RecvError::Closed) => {
                self.ended = true;
                None
            }
        }
    }

    async fn read_again(&mut self) -> Option<Event> {
        // What is still to be heard is older than what is read now.
        self.seat.news = self.seat.news.resubscribe();
        let record = self.jobs.parts.store.read(Kind::Job, &self.job_id).await.ok().flatten();
        let event = record.and_then(|record| Event::read(&record).ok());
        self.ended |= event.is_none();
        event
    }
}
