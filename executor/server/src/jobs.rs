//! Jobs: runs of policies in the background. A job is durable before it is acknowledged, ends once, and is run again
//! after a crash.
//!
//! ```text
//! entity   its record in the registry              writer   all writes of this process, many at a time
//! lane     which job is seen to next               attempt  one run here, and what is made of it
//! follow   a job of another executor               board    what the tasks tell each other
//! watch    each record that takes another's place  tend     removal, and what other processes do
//! ```
//!
//! A job is seen to by the process of one executor: the one that it is for, if that shares the database, and else the
//! one that it was submitted to, which follows it. How it stands is in the database and nowhere else. Each change is
//! made of a revision that it names, so of an end and a cancellation one wins, whoever asks for them.

mod attempt;
mod board;
mod entity;
mod follow;
mod lane;
mod tend;
mod watch;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use lictor_model::{
    Time,
    job::{Job, Status, Submit, check_id},
};
use lictor_sandbox::{Op, Run};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{board::Board, lane::Lane, writer::Writer};
pub use self::{board::Event, entity::JobEntity, watch::Watch};
use crate::{
    access::Caller,
    checked::{self, Checked},
    config::Config,
    error::{Error, ErrorKind},
    executor::Executor,
    executors::{Executors, Target},
    policies::Policies,
    registry::Registry,
    store::{JobChange, JobWrite, Kind, NewJob, Stage, Store},
};

/// Other executors that are spoken to at the same time, to hand over and to ask after.
const ELSEWHERE_AT_ONCE: usize = 16;
/// How long a job waits that could not be seen to, in milliseconds.
const WAIT: i64 = 60_000;
/// How long what is under way may take to be written when the server stops.
const STOP: Duration = Duration::from_secs(5);

/// The jobs of this server. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    parts: Arc<Parts>,
}

struct Parts {
    registry: Registry<JobEntity>,
    store: Store,
    executor: Executor,
    executors: Executors,
    policies: Policies,
    board: Arc<Board>,
    writer: Writer,
    watchers: Arc<Semaphore>,
    /// The executor in this process.
    own: String,
    default_ttl: u64,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// Where a job is to run.
struct Place {
    executor_id: String,
    /// The executor whose process sees to it, and how.
    owner: String,
    stage: Stage,
}

/// What a submission would come to.
pub enum TriedOut {
    /// A job on this executor.
    Job(String),
    /// Nothing: the schemas do not let the inputs in.
    Refused(Box<Checked>),
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Jobs {
    /// The jobs in `store`. Those of the executor in this process are run in the background.
    pub fn start(config: &Config, store: Store, executor: Executor, executors: Executors, policies: Policies) -> Self {
        let board = Arc::<Board>::default();
        let parts = Parts {
            registry: Registry::new(store.clone(), JobEntity),
            writer: Writer::start(store.clone(), Arc::clone(&board), config.max_queued_jobs),
            store,
            executor,
            executors,
            policies,
            board,
            watchers: Arc::new(Semaphore::new(watch::MAX_WATCHERS)),
            own: config.executor_id.to_string(),
            default_ttl: config.job_ttl.as_secs(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let jobs = Self { parts: Arc::new(parts) };
        let tasks = &jobs.parts.tasks;
        for (stage, at_once) in
            [(Stage::Due, config.max_jobs), (Stage::Send, ELSEWHERE_AT_ONCE), (Stage::Follow, ELSEWHERE_AT_ONCE)]
        {
            tasks.spawn(Lane::new(jobs.clone(), stage, at_once).run());
        }
        tasks.spawn(tend::sweep(jobs.clone()));
        tasks.spawn(tend::follow_changes(jobs.clone()));
        jobs
    }

    /// Their records.
    pub fn registry(&self) -> &Registry<JobEntity> {
        &self.parts.registry
    }

    /// Refuses a job of somebody else's to who sees only its own: as if it were not there.
    pub async fn must_see(&self, job_id: &str, caller: &Caller) -> Result<(), Error> {
        if !caller.sees_only_its_own() {
            return Ok(());
        }
        let record = self.parts.registry.stored(job_id).await?;
        let submitted_by = record.document.get("submitted_by").and_then(Value::as_str);
        let own = submitted_by.is_some() && submitted_by == caller.id();
        if own { Ok(()) } else { Err(self.parts.registry.missing(job_id)) }
    }

    /// Stores a job for an executor, and returns its id.
    pub async fn submit(&self, executor_id: &str, submit: Submit) -> Result<String, Error> {
        self.submit_as(executor_id, None, submit).await
    }

    /// The same under an id that its author chose, if there is one.
    pub async fn submit_as(&self, executor_id: &str, job_id: Option<String>, submit: Submit) -> Result<String, Error> {
        if let Some(job_id) = &job_id {
            check_id(job_id)?;
        }
        let place = self.place(executor_id).await?;
        self.parts.policies.must_exist(&submit.policy_rule_uri).await?;
        self.store(place, job_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()), submit).await
    }

    /// Checks a submission, and stores nothing.
    pub async fn try_out(&self, executor_id: &str, submit: &Submit) -> Result<TriedOut, Error> {
        let place = self.place(executor_id).await?;
        let ready = self.parts.policies.ready(&submit.policy_rule_uri).await?;
        let input = submit.inputs.to_string();
        let parameters = submit.policy_rule_parameters.clone().map(|object| Value::Object(object).to_string());
        let op = Op::Eval { parameters: parameters.as_deref(), input: &input };
        // Whatever gets past the schemas is not run.
        let got_in = async { Err::<Run, _>(()) };
        match checked::run(&ready.schemas, op, got_in).await {
            Ok(refused) => Ok(TriedOut::Refused(Box::new(refused))),
            Err(()) => Ok(TriedOut::Job(place.executor_id)),
        }
    }

    /// Stores a job for the executor in this process, and returns its id. One under an id that its author chose may be
    /// submitted again.
    pub async fn submit_here(&self, job_id: Option<String>, submit: Submit) -> Result<String, Error> {
        if let Some(job_id) = &job_id {
            check_id(job_id)?;
        }
        let own = self.parts.executors.serving()?.to_string();
        self.parts.policies.must_exist(&submit.policy_rule_uri).await?;
        let place = Place { executor_id: own.clone(), owner: own, stage: Stage::Due };
        self.store(place, job_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()), submit).await
    }

    async fn place(&self, executor_id: &str) -> Result<Place, Error> {
        let parts = &self.parts;
        let to = match parts.executors.target(executor_id).await? {
            Target::Here => {
                let own = parts.executors.serving()?.to_string();
                return Ok(Place { executor_id: own.clone(), owner: own, stage: Stage::Due });
            }
            Target::Elsewhere(to) => to.id.to_string(),
        };
        // An executor in a process on this database finds it there, also if it does not run just now.
        if parts.store.is_shared() && parts.store.was_embedded(&to).await? {
            return Ok(Place { executor_id: to.clone(), owner: to, stage: Stage::Due });
        }
        Ok(Place { executor_id: to, owner: parts.own.clone(), stage: Stage::Send })
    }

    async fn store(&self, place: Place, job_id: String, submit: Submit) -> Result<String, Error> {
        let Place { executor_id, owner, stage } = place;
        let job = Job::new(job_id.clone(), submit, executor_id, self.parts.default_ttl, now());
        if self.parts.writer.write(JobWrite::New(NewJob::new(&job, owner, stage))).await? {
            return Ok(job_id);
        }
        let there = Job::read(&self.parts.registry.stored(&job_id).await?.document)?;
        if there.was_asked(&job.submit) {
            return Ok(job_id);
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("there is already another job `{job_id}`: give this one another id"),
        ))
    }

    /// Cancels a job that has not ended, and returns its record.
    pub async fn cancel(&self, job_id: &str) -> Result<Map<String, Value>, Error> {
        loop {
            let record = self.parts.registry.stored(job_id).await?;
            let mut job = Job::read(&record.document)?;
            match job.status {
                Status::Cancelled => return Ok(record.document),
                Status::Completed | Status::Failed => {
                    let why = format!("the job is {} and cannot be cancelled any more", job.status.name());
                    return Err(Error::new(ErrorKind::Conflict, why));
                }
                Status::Pending | Status::Running => {}
            }
            job.cancel(now());
            let change = JobChange::new(&job, record.revision, Some(attempt::removal(&job)));
            if self.parts.writer.write(JobWrite::Change(change)).await? {
                self.tell_its_executor(&job).await;
                return Ok(job.to_document());
            }
        }
    }

    /// A job that was cancelled may be in the hands of an executor that has a database of its own.
    async fn tell_its_executor(&self, job: &Job) {
        let parts = &self.parts;
        if job.attempts == 0 || parts.executors.is_here(&job.executor_id) {
            return;
        }
        if let Ok(Target::Elsewhere(to)) = parts.executors.target(&job.executor_id).await
            && !(parts.store.is_shared() && parts.store.was_embedded(to.id.as_str()).await.unwrap_or(false))
        {
            parts.tasks.spawn(follow::cancel(self.clone(), to, job.id.clone()));
        }
    }

    /// A job that did not end yet, with its revision.
    async fn unfinished(&self, job_id: &str) -> Result<Option<(Job, i64)>, Error> {
        let Some(record) = self.parts.store.read(Kind::Job, job_id).await? else { return Ok(None) };
        let job = Job::read(&record.document)?;
        Ok(Some((job, record.revision)).filter(|(job, _)| !job.status.is_end()))
    }

    /// Leaves a job for later that could not be seen to.
    async fn later(&self, job_id: &str) {
        if let Err(error) = self.parts.writer.write(JobWrite::Later(job_id.to_owned(), WAIT)).await {
            tracing::error!(job = job_id, error = error.chain(), "a job could not be left for later");
        }
    }

    /// Ends the runs of this process; what was running runs again.
    pub async fn stop(&self) {
        let parts = &self.parts;
        let cut = parts.board.in_hand().len();
        parts.stopping.cancel();
        if 0 < cut {
            tracing::info!("{cut} jobs are cut: they run again when the server is started again");
        }
        parts.tasks.close();
        let ended = async {
            parts.tasks.wait().await;
            parts.writer.close().await;
        };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::warn!("what came of some jobs could not be written in time: they run again");
        }
    }
}
