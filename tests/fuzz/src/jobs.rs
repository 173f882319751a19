//! What becomes of jobs, and when each is seen to next, against a plain map.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use lictor::{
    jobs::JobEntity,
    registry::Registry,
    store::{ActiveJobs, JobChange, JobWrite, Kind, NewJob, Stage, Store},
};
use lictor_model::{
    Filter, Query, Time,
    job::{Blame, Job, Status, Submit, Trouble},
    query::Options,
};
use serde_json::{Value, json};

use crate::{RUNTIME, store::store};

const IDS: [&str; 4] = ["a", "b", "é", "z"];
const OWNERS: [&str; 2] = ["e", "f"];
const STAGES: [Stage; 4] = [Stage::Due, Stage::Send, Stage::Follow, Stage::Done];
/// Milliseconds after which something is due now, or not as long as this takes.
const AFTER: [i64; 2] = [-1, 3_600_000];

/// A job, and when it is seen to next.
#[derive(Clone)]
struct Known {
    job: Job,
    revision: i64,
    stage: Stage,
    due: bool,
}

#[derive(Default)]
struct Model {
    there: BTreeMap<&'static str, Known>,
    /// A change that was made of a revision which is not the last any more.
    old: Vec<JobChange>,
    now: i64,
}

/// What happens to jobs. Each write is made as the map says, and what the database holds then is what the map holds, job by
/// job and in every way of finding them.
pub(crate) fn job(data: &[u8]) {
    let (mut bytes, mut model) = (Unstructured::new(data), Model::default());
    for _ in 0..30 {
        if bytes.is_empty() || model.step(&mut bytes).is_err() {
            break;
        }
    }
    model.check();
    for known in model.there.values_mut().filter(|known| known.stage != Stage::Done || !known.due) {
        known.job.cancel(Time::from_millis(0));
        write(&JobWrite::Change(JobChange::new(&known.job, known.revision, Some((Stage::Done, -1)))));
    }
    let removed = RUNTIME.block_on(store().remove_jobs(100)).expect("a removal");
    assert_eq!(removed.len(), model.there.len());
    model.there.clear();
    model.check();
}

fn write(write: &JobWrite) -> bool {
    RUNTIME.block_on(store().write_jobs(&[write])).expect("a write")[0]
}

impl Model {
    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        self.now += 1;
        let (id, now, after) = (*bytes.choose(&IDS)?, Time::from_millis(self.now), *bytes.choose(&AFTER)?);
        let what = bytes.int_in_range(0..=9)?;
        match what {
            0 | 1 => self.submit(id, bytes)?,
            2 => self.change(id, None, |job| job.start(now)),
            3 => self.change(id, Some((Stage::Done, after)), |job| job.complete(json!([self::value()]), now)),
            4 => self.fail(id, *bytes.choose(&[Blame::Policy, Blame::Circumstances, Blame::Lasting])?, after),
            5 => self.change(id, Some((Stage::Done, after)), |job| job.cancel(now)),
            6 => self.later(id, after),
            7 => {
                // Made of what is there no more, it changes nothing.
                if let Some(change) = self.old.pop() {
                    assert!(!write(&JobWrite::Change(change)), "a change of an old revision was made");
                }
            }
            8 => self.expire(bytes.int_in_range(0..=3)?),
            _ => self.of_two_one(id, after),
        }
        Ok(())
    }

    fn submit(&mut self, id: &'static str, bytes: &mut Unstructured<'_>) -> Result<()> {
        let (owner, stage) = (*bytes.choose(&OWNERS)?, *bytes.choose(&STAGES[..3])?);
        let submit = json!({"name": "n", "policy_rule_uri": "a:1-b", "backoff_limit": bytes.int_in_range(0..=2)?});
        let submit = Submit::parse(submit).expect("a job");
        let job = Job::new(id.into(), submit, owner.into(), 60, Time::from_millis(self.now));
        let made = write(&JobWrite::New(NewJob::new(&job, owner.into(), stage)));
        assert_eq!(made, !self.there.contains_key(id));
        if made {
            let revision = stored(id).expect("it is there").1;
            self.there.insert(id, Known { job, revision, stage, due: true });
        }
        Ok(())
    }

    /// A change of a job that did not end, as whoever sees to jobs makes it.
    fn change(&mut self, id: &str, next: Option<(Stage, i64)>, change: impl FnOnce(&mut Job)) {
        let Some(known) = self.there.get_mut(id).filter(|known| !known.job.status.is_end()) else { return };
        let mut job = known.job.clone();
        change(&mut job);
        let change = JobChange::new(&job, known.revision, next);
        // What follows makes this one's revision an old one.
        self.old.push(JobChange::new(&job, known.revision, next));
        let revision = change.revision;
        assert!(write(&JobWrite::Change(change)), "a change of the last revision was not made");
        known.become_of(job, revision, next);
    }

    fn fail(&mut self, id: &str, blame: Blame, after: i64) {
        let Some(job) = self.there.get(id).map(|known| &known.job) else { return };
        let (trouble, again) = (Trouble::new("trap", "m"), job.may_retry(blame));
        assert!(!again || job.attempts <= job.submit.backoff_limit.max(4), "it is tried again for ever");
        let (now, stage) = (Time::from_millis(self.now), if again { Stage::Due } else { Stage::Done });
        self.change(id, Some((stage, after)), |job| {
            if again { job.retry(trouble, now.plus(after)) } else { job.fail(trouble, now) }
        });
    }

    fn later(&mut self, id: &str, after: i64) {
        assert!(write(&JobWrite::Later(id.into(), after)));
        if let Some(known) = self.there.get_mut(id).filter(|known| known.stage != Stage::Done) {
            known.due = after < 0;
        }
    }

    /// Those are removed that ended and whose time is over, so many at most.
    fn expire(&mut self, most: usize) {
        let removed = RUNTIME.block_on(store().remove_jobs(most)).expect("a removal");
        let over = |known: &Known| known.stage == Stage::Done && known.due;
        assert_eq!(removed.len(), self.there.values().filter(|known| over(known)).count().min(most));
        for id in removed {
            assert!(self.there.remove(id.as_str()).is_some_and(|known| over(&known)), "{id} was not over");
        }
    }

    /// It ends and is cancelled in the same moment: one of the two is what happened.
    fn of_two_one(&mut self, id: &str, after: i64) {
        let Some(known) = self.there.get_mut(id).filter(|known| !known.job.status.is_end()) else { return };
        let (mut ended, mut cancelled, now) = (known.job.clone(), known.job.clone(), Time::from_millis(self.now));
        ended.complete(value(), now);
        cancelled.cancel(now);
        let next = Some((Stage::Done, after));
        let changes = [&ended, &cancelled].map(|job| JobChange::new(job, known.revision, next));
        let revisions = [changes[0].revision, changes[1].revision];
        let writes = changes.map(JobWrite::Change);
        let made = RUNTIME.block_on(store().write_jobs(&writes.iter().collect::<Vec<_>>())).expect("a write");
        assert!(made[0] != made[1], "{made:?}");
        let (job, revision) = if made[0] { (ended, revisions[0]) } else { (cancelled, revisions[1]) };
        known.become_of(job, revision, next);
    }

    fn check(&self) {
        let store = store();
        for id in IDS {
            let expected = self.there.get(id).map(|known| (Value::Object(known.job.to_document()), known.revision));
            assert_eq!(stored(id), expected);
        }
        for owner in OWNERS {
            let own = |known: &&Known| known.job.executor_id == owner;
            for stage in STAGES {
                let due = RUNTIME.block_on(store.jobs_due(owner, stage, 100)).expect("a schedule");
                let due: BTreeMap<_, _> = due.iter().map(|due| (due.job_id.as_str(), due.in_ms <= 0)).collect();
                let of_stage = self.there.iter().filter(|(_, known)| known.stage == stage && own(known));
                assert_eq!(
                    due,
                    of_stage.map(|(id, known)| (*id, known.due)).collect::<BTreeMap<_, _>>(),
                    "{owner} {stage:?}"
                );
            }
            let queued = self.there.values().filter(|known| known.stage != Stage::Done && own(known)).count();
            assert_eq!(RUNTIME.block_on(store.jobs_queued(owner)).expect("a number"), queued as u64);
            let count = |status| self.there.values().filter(|known| own(known) && known.job.status == status).count();
            let active =
                RUNTIME.block_on(store.active_jobs()).expect("numbers").get(owner).copied().unwrap_or_default();
            let [running, pending] = [Status::Running, Status::Pending].map(|status| count(status) as u64);
            assert_eq!(active, ActiveJobs { running, pending });
        }
        for status in Status::ALL {
            let expected = self.there.iter().filter(|(_, known)| known.job.status == status);
            assert_eq!(found(&store, status), expected.map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>());
        }
    }
}

impl Known {
    fn become_of(&mut self, job: Job, revision: i64, next: Option<(Stage, i64)>) {
        (self.job, self.revision) = (job, revision);
        if let Some((stage, after)) = next {
            (self.stage, self.due) = (stage, after < 0);
        }
    }
}

fn value() -> Value {
    json!({"a": [1.5, null, "\0"]})
}

fn stored(id: &str) -> Option<(Value, i64)> {
    let record = RUNTIME.block_on(store().read(Kind::Job, id)).expect("a read");
    record.map(|record| (Value::Object(record.document), record.revision))
}

/// The ids of the jobs that a query by their status finds.
fn found(store: &Store, status: Status) -> Vec<String> {
    let filter = Filter::parse(&json!({"job_status": status.name()})).expect("a filter");
    let jobs = Registry::new(store.clone(), JobEntity);
    let found = RUNTIME.block_on(jobs.query(Query { filter, options: Options::default() })).expect("an answer");
    let id = |text: &String| serde_json::from_str::<Value>(text).expect("a job")["job_id"].as_str().map(str::to_owned);
    found.documents.iter().filter_map(id).collect()
}
