//! A job of another executor that keeps its own records: handed over, and asked after until it ended.
//!
//! Both survive a restart: what is to be done is in the database. A job may be handed over twice then, under the same
//! id, which is one job.

use lictor_model::{
    ExecutorSpec, Time,
    job::{Blame, Job, Trouble},
};
use serde_json::Value;

use super::{
    Jobs,
    attempt::{after, blame, removal, told},
    board::InHand,
    now,
};
use crate::{
    error::Error,
    executors::Target,
    store::{JobChange, JobWrite, Stage},
};

/// How long to wait between two questions: longer the longer it takes.
const SOONEST: i64 = 200;
const LATEST: i64 = 5000;
/// How long a job may be silent: the original's executors keep no records until a job ended, and none of some.
const SILENT: i64 = 24 * 3600 * 1000;

/// Hands a job to its executor.
pub(super) async fn hand_over(jobs: &Jobs, hand: &InHand, mut job: Job, revision: i64) -> Result<(), Error> {
    job.start(now());
    let handed = hand.let_go.run_until_cancelled(Box::pin(create(jobs, &job))).await;
    let Some(handed) = handed else { return Ok(()) };
    let next = match handed {
        Ok(stage) => (stage, SOONEST),
        Err(error) => after(&mut job, blame(&error), told(&hand.job_id, &error), Stage::Send),
    };
    jobs.parts.writer.write_at_last(JobChange::new(&job, revision, Some(next))).await.map(drop)
}

async fn create(jobs: &Jobs, job: &Job) -> Result<Stage, Error> {
    match jobs.parts.executors.target(&job.executor_id).await? {
        // It moved here.
        Target::Here => Ok(Stage::Due),
        Target::Elsewhere(to) => {
            let mut body = job.submit.to_body();
            body.insert("job_id".into(), job.id.as_str().into());
            jobs.parts.executors.create_job_at(&to, &Value::Object(body)).await?;
            Ok(Stage::Follow)
        }
    }
}

/// Asks after a job that was handed over.
pub(super) async fn ask(jobs: &Jobs, hand: &InHand, mut job: Job, revision: i64) -> Result<(), Error> {
    let record = hand.let_go.run_until_cancelled(Box::pin(record(jobs, &job))).await;
    let Some(record) = record else { return Ok(()) };
    let waited = now().millis().saturating_sub(job.started_at.map_or(0, Time::millis));
    let pause = (waited / 4).clamp(SOONEST, LATEST);
    let news = matches!(&record, Ok(Some(record)) if job.take_over(record));
    let next = if job.status.is_end() {
        job.finished_at.get_or_insert(now());
        removal(&job)
    } else if SILENT < waited && !matches!(record, Ok(Some(_))) {
        let why = "its executor has said nothing of it for a day: executors of the original's say nothing of jobs that never ran";
        after(&mut job, Blame::Lasting, Trouble::new("code_unreachable", why), Stage::Follow)
    } else {
        (Stage::Follow, pause)
    };
    if news || next.0 == Stage::Done {
        return jobs.parts.writer.write_at_last(JobChange::new(&job, revision, Some(next))).await.map(drop);
    }
    jobs.parts.writer.write(JobWrite::Later(job.id, pause)).await.map(drop)
}

async fn record(jobs: &Jobs, job: &Job) -> Result<Option<serde_json::Map<String, Value>>, Error> {
    match jobs.parts.executors.target(&job.executor_id).await? {
        Target::Here => Ok(None),
        Target::Elsewhere(to) => jobs.parts.executors.job_at(&to, &job.id).await,
    }
}

/// Has another executor cancel a job, if it can.
pub(super) async fn cancel(jobs: Jobs, to: ExecutorSpec, job_id: String) {
    let asked = jobs.parts.stopping.run_until_cancelled(jobs.parts.executors.cancel_job_at(&to, &job_id)).await;
    if let Some(Err(error)) = asked {
        let executor = to.id.as_str();
        tracing::info!(job = job_id, executor, error = error.chain(), "the executor could not be told to cancel a job");
    }
}
