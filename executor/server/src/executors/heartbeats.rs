//! How executors say that they are there.
//!
//! One of another process says it over HTTP, one of a process on the same database in the database. Nobody is
//! registered by saying so.

use std::time::{Duration, Instant};

use lictor_model::FieldError;
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior};

use super::Executors;
use crate::{
    error::{Error, ErrorKind},
    executor::Executor,
    system::System,
};

/// How often it is looked at whether there is something new to say.
const LOOK: Duration = Duration::from_millis(250);

/// What an executor says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It takes calls.
    Healthy,
    /// It runs as many as it may: others wait.
    Busy,
}

impl Beat {
    /// Reads the body of a heartbeat.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        match body.get("executor_status") {
            None => Err(FieldError::new("executor_status", "is required: `healthy` or `busy`")),
            Some(status) if status == "healthy" => Ok(Self::Healthy),
            Some(status) if status == "busy" => Ok(Self::Busy),
            Some(_) => Err(FieldError::new("executor_status", "must be `healthy` or `busy`")),
        }
    }

    /// As it is written.
    pub fn status(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Busy => "busy",
        }
    }

    pub(super) fn of(executor: &Executor) -> Self {
        if executor.gate().is_full() { Self::Busy } else { Self::Healthy }
    }
}

/// When there is something to say.
struct Pulse {
    interval: Duration,
    look: Interval,
    last: Option<(Beat, Instant)>,
}

impl Pulse {
    fn new(interval: Duration) -> Self {
        let mut look = tokio::time::interval(LOOK.min(interval));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, look, last: None }
    }

    /// Waits until it is time to say something: at once, then after every interval, and when there is something new.
    async fn next(&mut self, executor: &Executor) -> Beat {
        loop {
            self.look.tick().await;
            let beat = Beat::of(executor);
            if self.last.is_none_or(|(said, at)| said != beat || self.interval <= at.elapsed()) {
                self.last = Some((beat, Instant::now()));
                return beat;
            }
        }
    }
}

/// Notes for the other processes on the same database how the executor in this one is.
pub(super) async fn note(executors: &Executors, beat: Beat) -> Result<(), Error> {
    executors.parts.store.heartbeat(executors.parts.own.id.as_str(), beat.status()).await.map(drop)
}

/// Says it again and again.
pub(super) async fn keep_noted(executors: Executors, interval: Duration) {
    let mut pulse = Pulse::new(interval);
    loop {
        let beat = pulse.next(&executors.parts.embedded).await;
        if let Err(error) = note(&executors, beat).await {
            tracing::warn!(error = error.chain(), "a heartbeat could not be noted");
        }
    }
}

/// Tells the system that the executor in this process is there. Says once what is wrong, and once that it is mended.
pub async fn report(system: System, executor: Executor, interval: Duration) {
    let (mut pulse, mut failing) = (Pulse::new(interval), None);
    loop {
        let beat = pulse.next(&executor).await;
        let error = system.heartbeat(beat.status()).await.err();
        let kind = error.as_ref().map(Error::kind);
        match &error {
            Some(error) if kind != failing => complain(&system, error),
            None if failing.is_some() => {
                tracing::info!("the system at {} knows again that this executor is there", system.url());
            }
            _ => {}
        }
        failing = kind;
    }
}

fn complain(system: &System, error: &Error) {
    if error.kind() == ErrorKind::NotFound {
        let (url, how) = (system.url(), system.how_to_register());
        tracing::warn!("the system at {url} does not know this executor and sends it no calls; to register it: {how}");
    } else {
        tracing::warn!("the system at {} is not told that this executor is there: {error}", system.url());
    }
}
