use super::*;

fn job() -> Job {
    let submit = json!({"name": "n", "policy_rule_uri": "a:1-b", "inputs": {"ip": "::1"}, "timeout_ms": 5});
    Job::new("1a2b".into(), Submit::parse(submit).unwrap(), "e".into(), 60, at(0))
}

fn at(ms: i64) -> Time {
    Time::from_millis(ms)
}

/// What of the record tells how it went: status, attempts, output, code, when it began, ended, and is tried again.
fn told(job: &Job) -> Value {
    let document = job.to_document();
    let names = ["job_status", "attempts", "job_output_data", "code", "started_at", "finished_at", "next_attempt_at"];
    json!(names.map(|name| document[name].clone()))
}

#[test]
fn a_job_goes_from_state_to_state() {
    let second = |n: u32| format!("1970-01-01T00:00:{n:02}.000Z");
    let mut job = job();
    assert_eq!(told(&job), json!(["pending", 0, {}, null, null, null, null]));
    job.start(at(1000));
    assert_eq!(told(&job), json!(["running", 1, {}, null, second(1), null, null]));
    job.retry(Trouble::new("busy", "later"), at(3000));
    assert_eq!(told(&job), json!(["pending", 1, {}, "busy", second(1), null, second(3)]));
    job.start(at(4000));
    assert_eq!(told(&job), json!(["running", 2, {}, "busy", second(4), null, null]));
    let running = job.clone();
    job.complete(json!(7), at(5000));
    assert_eq!(told(&job), json!(["completed", 2, 7, null, second(4), second(5), null]));
    let mut job = running.clone();
    job.fail(Trouble { more: Map::from_iter([("x".into(), json!(1))]), ..Trouble::new("trap", "m") }, at(5000));
    let output = json!({"message": "m", "code": "trap", "x": 1});
    assert_eq!(told(&job), json!(["failed", 2, output, "trap", second(4), second(5), null]));
    let mut job = running;
    job.cancel(at(5000));
    assert_eq!(told(&job), json!(["cancelled", 2, {}, "busy", second(4), second(5), null]));
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let mut job = job();
    for change in [
        |_: &mut Job| {},
        |job: &mut Job| job.start(at(1000)),
        |job: &mut Job| job.retry(Trouble::new("busy", "later"), at(3000)),
        |job: &mut Job| job.complete(json!([1, {"a": null}]), at(5)),
    ] {
        change(&mut job);
        let read = Job::read(&job.to_document()).unwrap();
        assert_eq!(read.to_document(), job.to_document());
        assert!(read.was_asked(&job.submit));
    }
    assert_eq!(job.to_document()["policy_rule_uri"], job.to_document()["job_policy_rule_uri"]);
    assert_eq!(
        job.to_document().keys().take(5).collect::<Vec<_>>(),
        ["job_id", "job_output_data", "job_status", "node_id", "job_policy_rule_uri"]
    );
}

#[test]
fn another_request_is_not_the_same() {
    let job = job();
    let read = Job::read(&job.to_document()).unwrap();
    for (name, value, same) in [
        ("name", json!("n"), true),
        ("unknown", json!(1), true),
        ("ttl_seconds_after_finished", json!(60), true),
        ("ttl_seconds_after_finished", json!(61), false),
        ("name", json!("m"), false),
        ("inputs", json!({"ip": "::2"}), false),
        ("policy_rule_parameters", json!({}), false),
        ("backoff_limit", json!(1), false),
    ] {
        let mut body = json!({"name": "n", "policy_rule_uri": "a:1-b", "inputs": {"ip": "::1"}, "timeout_ms": 5});
        body[name] = value;
        assert_eq!(read.was_asked(&Submit::parse(body.clone()).unwrap()), same, "{body}");
    }
}

#[test]
fn what_another_executor_says_is_taken_over() {
    let original = |status: &str| {
        json!({"job_id": "1a2b", "job_output_data": {"a": 1}, "job_status": status, "node_id": "n",
            "job_policy_rule_uri": "a:1-b"})
    };
    let mut job = job();
    for (record, expected, new) in [
        (json!({"job_status": "pending", "attempts": 0}), json!(["pending", 0, {}, null, null, null, null]), false),
        (original("started"), json!(["running", 1, {"a": 1}, null, null, null, null]), true),
        (original("started"), json!(["running", 1, {"a": 1}, null, null, null, null]), false),
        (original("completed"), json!(["completed", 1, {"a": 1}, null, null, null, null]), true),
    ] {
        assert_eq!(job.take_over(record.as_object().unwrap()), new, "{record}");
        assert_eq!(told(&job), expected, "{record}");
    }
    assert_eq!(job.node_id, "n");
}

#[test]
fn a_record_that_is_none_is_refused() {
    let good = json!({"job_id": "1a2b", "job_status": "completed", "policy_rule_uri": "a:1-b"});
    assert_eq!(parse(good.clone()).unwrap().id, "1a2b");
    for (field, value) in [
        ("job_id", json!("")),
        ("job_status", json!(1)),
        ("job_status", json!("done")),
        ("policy_rule_uri", json!(5)),
        ("job_policy_rule_uri", json!("b:1-b")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        assert_eq!(parse(body).unwrap_err().field(), field);
    }
}
