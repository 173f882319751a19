//! What other servers answer, and what policies that are asked about places answer.

use lictor_loader::{Answer, system};
use lictor_model::{
    Time,
    alloc::{Allocation, Estimate},
    job::{Job, Submit},
    json,
};
use serde_json::{Value, json as value};

/// An answer of a system. Only what says that it is a success is one, and what it says of a job is kept as it is.
pub(crate) fn answer(data: &[u8]) {
    let answer = Answer { status: 200, etag: None, retry_after: None, body: data.to_vec().into() };
    match system::data(&"it", &answer) {
        Ok(data) => told(&data),
        Err(untold) => {
            assert!(untold.to_string().chars().count() < 2100, "a message without a bound");
            let _: bool = untold.is_not_found();
        }
    }
}

fn told(data: &Value) {
    if let Ok(allocation) = Allocation::parse(data) {
        assert!(allocation.replica_count.is_none_or(|count| 0 < count));
    }
    drop(Estimate::parse(data));
    let Value::Object(record) = data else { return };
    let mut job = job();
    let before = job.clone();
    assert_eq!(job.take_over(record), job != before);
    assert!(!job.take_over(record), "the same is something new");
    assert_eq!((&job.id, &job.submit, &job.executor_id), (&before.id, &before.submit, &before.executor_id));
    let written = Value::Object(job.to_document()).to_string();
    if let Ok(Value::Object(document)) = json::parse(&written) {
        assert_eq!(Job::read(&document).as_ref(), Ok(&job));
    } else {
        // What is told is one level less deep than what it is kept in.
        panic!("what it says cannot be kept: {written}");
    }
}

fn job() -> Job {
    let submit = value!({"name": "n", "policy_rule_uri": "a:1.0-b", "ttl_seconds_after_finished": 60});
    Job::new("j".into(), Submit::parse(submit).expect("a job"), "e".into(), 60, Time::from_millis(0))
}
