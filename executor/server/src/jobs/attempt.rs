//! One attempt at a job on the executor in this process, and what is made of how it went.

use lictor_loader::LoadCode;
use lictor_model::{
    Outcome,
    job::{Blame, Job, Trouble, pause_ms},
    json,
};
use serde_json::{Map, Value};

use super::{Jobs, board::InHand, lane::Slot, now};
use crate::{
    access::Asker,
    checked::Checked,
    error::{Error, ErrorKind},
    executor::{Origin, Request},
    store::{JobChange, Stage},
};

/// Runs a job once. One that is let go of meanwhile is dropped, and nothing is written of it.
pub(super) async fn run(jobs: &Jobs, hand: &InHand, slot: Slot, mut job: Job, revision: i64) -> Result<(), Error> {
    job.start(now());
    let begun = JobChange::new(&job, revision, None);
    let revision = begun.revision;
    // That it runs need not be on disk before it does: after a crash it runs again either way.
    jobs.parts.writer.note(begun).await;
    let input = job.submit.inputs.to_string();
    let parameters = job.submit.policy_rule_parameters.clone().map(|object| Value::Object(object).to_string());
    let asker = Asker { token: job.submit.submitted_by.as_deref().map(Into::into), ..Asker::default() };
    let request = Request {
        policy_rule_uri: &job.submit.policy_rule_uri,
        input: &input,
        parameters: parameters.as_deref(),
        timeout_ms: job.submit.timeout_ms,
        origin: Origin::Job,
        asker: Some(&asker),
        ..Request::default()
    };
    let called = hand.let_go.run_until_cancelled(Box::pin(jobs.parts.executor.execute(&request))).await;
    let Some(called) = called else { return Ok(()) };
    let _room = slot.ran();
    let next = conclude(&mut job, called);
    jobs.parts.writer.write_at_last(JobChange::new(&job, revision, Some(next))).await.map(drop)
}

/// Notes in a job how an attempt went, and says what is next.
fn conclude(job: &mut Job, called: Result<Checked, Error>) -> (Stage, i64) {
    let (blame, trouble) = match called {
        Ok(Checked { run, .. }) => {
            job.usage = serde_json::json!(run.usage);
            match answer(run.outcome) {
                Ok(output) => {
                    job.complete(output, now());
                    return removal(job);
                }
                Err(trouble) => (Blame::Policy, trouble),
            }
        }
        Err(error) => {
            job.usage = Value::Null;
            (blame(&error), told(&job.id, &error))
        }
    };
    after(job, blame, trouble, Stage::Due)
}

/// Notes in a job why an attempt failed, and says what is next: `again`, or the end.
pub(super) fn after(job: &mut Job, blame: Blame, trouble: Trouble, again: Stage) -> (Stage, i64) {
    if !job.may_retry(blame) {
        job.fail(trouble, now());
        return removal(job);
    }
    let pause = pause_ms(job.attempts, uuid::Uuid::new_v4().as_u64_pair().0);
    let pause = i64::try_from(pause).unwrap_or(i64::MAX);
    job.retry(trouble, now().plus(pause));
    (again, pause)
}

/// When the record of a job that ended is removed.
pub(super) fn removal(job: &Job) -> (Stage, i64) {
    (Stage::Done, i64::try_from(job.ttl).unwrap_or(i64::MAX).saturating_mul(1000).min(i64::MAX / 2))
}

/// The policy's answer, or why there is none that a record can hold.
fn answer(outcome: Outcome) -> Result<Value, Trouble> {
    match outcome {
        Outcome::Finished(output) => {
            let parsed = json::parse(&format!("[{output}]")).map(|mut list| list.get_mut(0).map(Value::take));
            let no_room = "the policy's answer is nested too deeply, or has a number too large, for a record";
            parsed.ok().flatten().ok_or_else(|| Trouble::new("bad_output", no_room))
        }
        Outcome::Failed(failure) => {
            let details = failure.details.as_deref().and_then(|details| json::parse(&format!("[[[{details}]]]")).ok());
            let details = details.and_then(|list| list.pointer("/0/0/0").cloned()).unwrap_or_default();
            let own = serde_json::json!({"code": failure.code, "details": details});
            let more = Map::from_iter([("failure".to_owned(), own)]);
            Err(Trouble { more, ..Trouble::new("policy_error", failure.message) })
        }
        Outcome::Stopped(stop) => {
            let Value::Object(mut more) = stop.to_json() else { return Err(Trouble::new("trap", stop.message)) };
            more.retain(|name, _| name == "violations");
            Err(Trouble { more, ..Trouble::new(stop.kind.code(), stop.message) })
        }
    }
}

/// Whose fault it is that something could not even be tried.
pub(super) fn blame(error: &Error) -> Blame {
    match error.kind() {
        ErrorKind::Busy
        | ErrorKind::ShuttingDown
        | ErrorKind::Unrecorded
        | ErrorKind::Unreachable
        | ErrorKind::Upstream
        | ErrorKind::Internal
        | ErrorKind::TooSlow
        | ErrorKind::Load(LoadCode::CodeUnreachable | LoadCode::Internal) => Blame::Circumstances,
        _ => Blame::Lasting,
    }
}

/// An error as the record says it; what went wrong with us is for the log.
pub(super) fn told(job_id: &str, error: &Error) -> Trouble {
    if error.kind() == ErrorKind::Internal {
        tracing::error!(job = job_id, error = error.chain(), "an attempt at a job failed for a reason of ours");
    }
    Trouble::new(error.kind().code(), error.message())
}

#[cfg(test)]
mod tests {
    use lictor_model::{Failure, Stop, StopKind, Usage, job::Submit};
    use lictor_sandbox::Run;
    use serde_json::json;

    use super::*;

    fn job(backoff_limit: u64) -> Job {
        let submit = json!({"name": "n", "policy_rule_uri": "a:1-b", "backoff_limit": backoff_limit});
        let mut job = Job::new("j".into(), Submit::parse(submit).unwrap(), "e".into(), 60, now());
        job.start(now());
        job
    }

    fn ran(outcome: Outcome) -> Result<Checked, Error> {
        Ok(Checked { run: Run::new(outcome, Usage::default()), warnings: Vec::new() })
    }

    #[test]
    fn what_came_of_an_attempt_is_in_the_record() {
        let failure = Failure { code: "own".into(), message: "m".into(), details: Some("{\"a\":1}".into()) };
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let internal = || Err(Error::internal("m", "secret"));
        let stopped = || ran(Outcome::Stopped(Stop::new(StopKind::Timeout, "m")));
        let policy = json!({"message": "m", "code": "policy_error", "failure": {"code": "own", "details": {"a": 1}}});
        for (limit, called, status, output, code, stage) in [
            (0, ran(Outcome::Finished("[1,{}]".into())), "completed", json!([1, {}]), None, Stage::Done),
            (0, ran(Outcome::Failed(failure)), "failed", policy, Some("policy_error"), Stage::Done),
            (0, stopped(), "failed", json!({"message": "m", "code": "timeout"}), Some("timeout"), Stage::Done),
            (1, stopped(), "pending", json!({}), Some("timeout"), Stage::Due),
            (0, internal(), "pending", json!({}), Some("internal"), Stage::Due),
            (
                9,
                Err(Error::new(ErrorKind::NotFound, "m")),
                "failed",
                json!({"message": "m", "code": "not_found"}),
                Some("not_found"),
                Stage::Done,
            ),
            (
                9,
                Err(Error::new(ErrorKind::Load(LoadCode::BadArchive), "m")),
                "failed",
                json!({"message": "m", "code": "bad_archive"}),
                Some("bad_archive"),
                Stage::Done,
            ),
        ] {
            let mut job = job(limit);
            let (next, after) = conclude(&mut job, called);
            let trouble = job.trouble.as_ref().map(|trouble| trouble.code.as_str());
            assert_eq!((job.status.name(), &job.output, trouble, next), (status, &output, code, stage));
            assert!((1000..=60_000).contains(&after), "{after}");
            assert!(!Value::Object(job.to_document()).to_string().contains("secret"));
        }
        for (output, holds) in [(deep(127), true), (deep(128), false), ("1e999".into(), false)] {
            let mut job = job(0);
            conclude(&mut job, ran(Outcome::Finished(output)));
            assert_eq!(job.status.name() == "completed", holds);
            assert!(json::parse(&Value::Object(job.to_document()).to_string()).is_ok());
        }
    }
}
