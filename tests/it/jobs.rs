//! Jobs: durable before they are acknowledged, retried, cancelled, watched, and there again after kill -9.

mod events;
mod survives;

use std::thread;

use lictor_tests::{
    Answer, Builder, Client, CodeServer, Guest, TestServer, eventually, guest_record, policy, record, sandbox,
};
use serde_json::{Value, json};

/// Submits a job, which must succeed, and returns its id.
#[track_caller]
fn submit_to(client: &Client, executor: &str, body: &Value) -> String {
    let reply = client.post(&format!("/jobs/submit/{executor}"), body);
    let answer = reply.json();
    assert_eq!((reply.status, &answer["success"]), (201, &json!(true)), "{answer}");
    assert!(answer.get("data").is_none(), "{answer}");
    answer["job_id"].as_str().expect("a job has an id").to_owned()
}

#[track_caller]
fn submit(client: &Client, body: &Value) -> String {
    submit_to(client, "executor-001", body)
}

/// The smallest job.
fn job(uri: &str) -> Value {
    json!({"name": "a job", "policy_rule_uri": uri})
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

#[track_caller]
fn read(client: &Client, id: &str) -> Value {
    client.get(&format!("/jobs/{id}")).data()
}

/// Waits until the job is in this state.
#[track_caller]
fn until(client: &Client, id: &str, status: &str) -> Value {
    eventually(&format!("the job to be {status}"), || {
        let record = read(client, id);
        if record["job_status"] == status { Ok(record) } else { Err(record) }
    })
}

/// Waits until the job has ended.
#[track_caller]
fn ended(client: &Client, id: &str) -> Value {
    eventually("the job to end", || {
        let record = read(client, id);
        let status = record["job_status"].as_str().unwrap_or_default();
        if ["completed", "failed", "cancelled"].contains(&status) { Ok(record) } else { Err(record) }
    })
}

#[track_caller]
fn cancel(client: &Client, id: &str) -> Value {
    client.send("POST", &format!("/jobs/{id}/cancel"), &[], b"").data()
}

/// A policy that answers its parameters.
fn parameters() -> Vec<u8> {
    Guest {
        data: "(global $own (mut i32) (i32.const 0)) (global $ownn (mut i32) (i32.const 0))",
        init: "(global.set $own (local.get $parameters)) (global.set $ownn (local.get $parametersn)) (i32.const 960)",
        eval: "(if (result i32) (local.get $has)
            (then (call $ok (local.get $parameters) (local.get $parametersn)))
            (else (call $ok (global.get $own) (global.get $ownn))))",
        ..Guest::default()
    }
    .build()
}

/// A policy that fails.
fn fails() -> Vec<u8> {
    Guest {
        data: "(data (i32.const 1024) \"own\")",
        eval: "(call $err (i32.const 1024) (i32.const 3))",
        ..Guest::default()
    }
    .build()
}

fn spins() -> Vec<u8> {
    Guest { eval: "(loop $for_ever (br $for_ever)) (unreachable)", ..Guest::default() }.build()
}

#[track_caller]
fn load(server: &TestServer, name: &str, code: &[u8]) -> String {
    server.load(&record(name, &server.put_file(&format!("{name}.wasm"), code)))
}

/// A policy that waits for as long as a call may take, and uses nothing meanwhile.
#[track_caller]
fn sleeps(server: &TestServer) -> String {
    let code = server.put_file("sleeps.wasm", &sandbox::Guest::named("sleeps").component());
    server.load(&with(record("sleeps", &code), "limits", json!({"timeout_ms": 60_000})))
}

/// A job that runs until it is cancelled.
fn sleeping(uri: &str) -> Value {
    with(job(uri), "inputs", json!(0))
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.starts_with("20") && text.ends_with('Z'))
}

#[test]
fn the_job_of_the_document_runs_and_is_found() {
    let server = TestServer::start();
    let uri = server.load(&with(guest_record("ip_allowlist"), "release_tag", json!("beta")));
    let mut body: Value = serde_json::from_str(include_str!("../data/seed/submit_job.json")).unwrap();
    body["policy_rule_uri"] = json!(uri);
    let id = submit(&server, &body);
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    let record = ended(&server, &id);
    assert_eq!(record["job_output_data"]["allowed"], true, "{record}");
    for (name, value) in [
        ("job_id", json!(id)),
        ("job_status", json!("completed")),
        ("node_id", json!("")),
        ("job_policy_rule_uri", json!(uri)),
        ("policy_rule_uri", json!(uri)),
        ("name", body["name"].clone()),
        ("inputs", body["inputs"].clone()),
        ("executor_id", json!("executor-001")),
        ("policy_rule_parameters", body["policy_rule_parameters"].clone()),
        ("node_selector", body["node_selector"].clone()),
        ("backoff_limit", json!(0)),
        ("timeout_ms", json!(null)),
        ("ttl_seconds_after_finished", json!(7 * 24 * 3600)),
        ("attempts", json!(1)),
        ("next_attempt_at", json!(null)),
        ("code", json!(null)),
        ("message", json!(null)),
    ] {
        assert_eq!(record[name], value, "{name}");
    }
    for name in ["submitted_at", "started_at", "finished_at"] {
        assert!(is_time(&record[name]), "{name}: {record}");
    }
    assert!(record["submitted_at"].as_str() <= record["started_at"].as_str());
    assert!(record["started_at"].as_str() <= record["finished_at"].as_str());
    assert!(0 < record["usage"]["wall_us"].as_u64().unwrap(), "{record}");

    submit(&server, &with(job(&uri), "inputs", json!({"ip": "10.0.0.1"})));
    let query = json!({"policy_rule_uri": uri, "inputs.ip": "192.168.1.1"});
    assert_eq!(server.post("/jobs/query", &query).data(), json!([record]));
    for (field, value) in [("job_status", "completed"), ("name", "run-ip-check-job"), ("executor_id", "executor-001")] {
        let found = server.post("/jobs/query", &json!({field: value, "inputs.ip": "192.168.1.1"})).data();
        assert_eq!(found, json!([record]), "{field}");
    }
}

#[test]
fn what_comes_of_a_run_is_in_the_record() {
    let server = TestServer::start();
    let good = load(&server, "good", &policy("[1, {\"a\": null}]"));
    let [fails, spins] = [("fails", fails()), ("spins", spins())].map(|(name, code)| load(&server, name, &code));
    let traps = load(&server, "traps", &Guest { eval: "(unreachable)", ..Guest::default() }.build());
    let deep = load(&server, "deep", &policy(&format!("{}{}", "[".repeat(128), "]".repeat(128))));
    let large = load(&server, "large", &policy("1e999"));
    let own = json!({"code": "policy_error", "message": "own", "failure": {"code": "own", "details": null}});
    for (uri, timeout_ms, status, code, output) in [
        (&good, None, "completed", json!(null), Some(json!([1, {"a": null}]))),
        (&fails, None, "failed", json!("policy_error"), Some(own)),
        (&traps, None, "failed", json!("trap"), None),
        (&spins, Some(50), "failed", json!("timeout"), None),
        (&deep, None, "failed", json!("bad_output"), None),
        (&large, None, "failed", json!("bad_output"), None),
    ] {
        let record = ended(&server, &submit(&server, &with(job(uri), "timeout_ms", json!(timeout_ms))));
        assert_eq!((&record["job_status"], &record["code"]), (&json!(status), &code), "{record}");
        match output {
            Some(output) => assert_eq!(record["job_output_data"], output),
            None => {
                assert_eq!(record["job_output_data"]["code"], code, "{record}");
                assert!(record["job_output_data"]["message"].is_string(), "{record}");
            }
        }
        assert_eq!((&record["attempts"], record["usage"].is_object()), (&json!(1), true), "{record}");
    }
    // The option is the same as the field, and the lower of the two counts.
    let reply =
        server.post("/jobs/submit/executor-001?timeout_ms=50&usage=1", &with(job(&spins), "timeout_ms", json!(9999)));
    let record = ended(&server, reply.json()["job_id"].as_str().unwrap());
    assert_eq!((&record["timeout_ms"], &record["code"]), (&json!(50), &json!("timeout")));
}

#[test]
fn parameters_are_the_stored_ones_or_its_own() {
    let server = TestServer::start();
    let code = server.put_file("p.wasm", &parameters());
    let uri = server.load(&with(record("p", &code), "policy_parameters", json!({"stored": true})));
    for (parameters, expected) in
        [(json!(null), json!({"stored": true})), (json!({}), json!({})), (json!({"own": 1}), json!({"own": 1}))]
    {
        let id = submit(&server, &with(job(&uri), "policy_rule_parameters", parameters));
        assert_eq!(ended(&server, &id)["job_output_data"], expected);
    }
    assert_eq!(ended(&server, &submit(&server, &job(&uri)))["job_output_data"], json!({"stored": true}));
}

#[test]
fn what_is_not_known_is_told_and_executor_0_is_this_one() {
    let server = TestServer::start();
    let uri = load(&server, "good", &policy("7"));
    let reply = server.post("/jobs/submit/executor-0", &with(job(&uri), "colour", json!("red"))).json();
    assert_eq!(reply["warnings"], json!(["unknown field `colour` is not used"]));
    let record = ended(&server, reply["job_id"].as_str().unwrap());
    assert_eq!((&record["executor_id"], record.get("colour")), (&json!("executor-001"), None));
}

#[test]
fn a_dry_run_checks_everything_and_stores_nothing() {
    let server = TestServer::start();
    let uri = load(&server, "good", &policy("7"));
    let path = "/jobs/submit/executor-001?dry_run=1";
    let fits = server.post(path, &job(&uri)).data();
    assert_eq!(fits, json!({"dry_run": true, "executor_id": "executor-001"}));
    let code = server.put_file("s.wasm", &policy("7"));
    let mut strict = with(record("strict", &code), "schema_mode", json!("enforce"));
    strict["policy_input_schema"] = json!({"n": {"type": "number", "required": true}});
    let strict = server.load(&strict);
    let refused = server.post(path, &job(&strict));
    assert_eq!(refused.refusal(), (200, "input_schema".into()));
    server.post(path, &with(job(&strict), "inputs", json!({"n": 1}))).data();
    let bad = server.create_policy(&record("bad", &server.put_file("bad.wasm", b"nothing")));
    server.wait_loaded(&bad);
    for (body, refusal) in [
        (job("no:1.0-such"), (404, "not_found")),
        (job(&bad), (422, "bad_archive")),
        (json!({"name": "x"}), (400, "invalid_input")),
    ] {
        let (status, code) = server.post(path, &body).refusal();
        assert_eq!((status, code.as_str()), refusal, "{body}");
    }
    assert_eq!(server.post("/jobs/query", &json!({})).data(), json!([]));
}

#[test]
fn a_policy_that_fails_is_tried_again_as_often_as_its_author_says() {
    let server = TestServer::start();
    let uri = load(&server, "fails", &fails());
    let id = submit(&server, &with(job(&uri), "backoff_limit", json!(1)));
    let waits = eventually("the first attempt to fail", || {
        let record = read(&server, &id);
        if record["code"].is_null() || record["job_status"] != "pending" { Err(record) } else { Ok(record) }
    });
    assert_eq!(
        (&waits["attempts"], &waits["code"], &waits["message"]),
        (&json!(1), &json!("policy_error"), &json!("own"))
    );
    assert!(is_time(&waits["next_attempt_at"]) && waits["finished_at"].is_null(), "{waits}");
    assert!(waits["started_at"].as_str() < waits["next_attempt_at"].as_str(), "{waits}");
    let record = ended(&server, &id);
    assert_eq!((&record["job_status"], &record["attempts"]), (&json!("failed"), &json!(2)), "{record}");
    assert!(waits["next_attempt_at"].as_str() <= record["started_at"].as_str(), "{waits} {record}");
    assert!(record["next_attempt_at"].is_null());
}

#[test]
fn what_is_not_the_policys_fault_is_tried_again_by_itself() {
    let web = CodeServer::start();
    web.answers("/p.wasm", [Answer::status(503), Answer::status(503), Answer::ok(policy("7"))]);
    let server = TestServer::builder().allow_loopback().start();
    let uri = server.create_policy(&record("later", &web.url("/p.wasm")));
    server.wait_loaded(&uri);
    let record = ended(&server, &submit(&server, &job(&uri)));
    assert_eq!((&record["job_status"], &record["job_output_data"]), (&json!("completed"), &json!(7)), "{record}");
    assert!(1 < record["attempts"].as_u64().unwrap(), "{record}");
}

#[test]
fn what_lasts_fails_at_once() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let bad = server.create_policy(&record("bad", &server.put_file("bad.wasm", b"nothing")));
    server.wait_loaded(&bad);
    let body = |uri: &str| with(job(uri), "backoff_limit", json!(10));
    let record = ended(&server, &submit(&server, &body(&bad)));
    let told = |record: &Value| ["job_status", "code", "attempts"].map(|name| record[name].clone());
    assert_eq!(told(&record), [json!("failed"), json!("bad_archive"), json!(1)], "{record}");

    let (sleeps, going) = (sleeps(&server), load(&server, "going", &policy("7")));
    let blocks = submit(&server, &sleeping(&sleeps));
    until(&server, &blocks, "running");
    let waits = submit(&server, &body(&going));
    server.delete(&format!("/policy/{going}")).data();
    cancel(&server, &blocks);
    let record = ended(&server, &waits);
    assert_eq!(told(&record), [json!("failed"), json!("not_found"), json!(1)], "{record}");
}

#[test]
fn so_many_run_at_the_same_time_and_the_rest_waits_its_turn() {
    let server = TestServer::builder().config("max_jobs = 2").start();
    let (sleeps, good) = (sleeps(&server), load(&server, "good", &policy("7")));
    let mut sleeping: Vec<String> = (0..2).map(|_| submit(&server, &sleeping(&sleeps))).collect();
    for id in &sleeping {
        until(&server, id, "running");
    }
    let waiting: Vec<String> = (0..5).map(|_| submit(&server, &job(&good))).collect();
    let running = || server.post("/jobs/query", &json!({"job_status": "running"})).data().as_array().unwrap().len();
    assert_eq!(running(), 2);
    for id in &waiting {
        assert_eq!(read(&server, id)["job_status"], "pending");
    }
    cancel(&server, &sleeping.remove(0));
    for id in &waiting {
        assert_eq!(ended(&server, id)["job_status"], "completed");
    }
    let starts: Vec<Value> = waiting.iter().map(|id| read(&server, id)["started_at"].clone()).collect();
    assert!(starts.is_sorted_by(|a, b| a.as_str() <= b.as_str()), "{starts:?}");
    assert_eq!(running(), 1);
}

// attack 72
#[test]
fn so_many_may_wait() {
    let server = TestServer::builder().config("max_jobs = 1\nmax_queued_jobs = 3").start();
    let sleeps = sleeps(&server);
    let ids: Vec<String> = (0..3).map(|_| submit(&server, &sleeping(&sleeps))).collect();
    let refused = server.post("/jobs/submit/executor-001", &sleeping(&sleeps));
    assert_eq!(refused.refusal(), (429, "busy".into()));
    assert!(refused.text().contains("3 jobs") && refused.header("retry-after").is_some(), "{}", refused.text());
    cancel(&server, &ids[2]);
    eventually("room", || {
        let reply = server.post("/jobs/submit/executor-001", &sleeping(&sleeps));
        if reply.status == 201 { Ok(()) } else { Err(reply.text()) }
    });
}

// attack 72
#[test]
fn a_job_is_cancelled_before_it_runs_and_while_it_runs() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let sleeps = sleeps(&server);
    let [runs, waits] = [(); 2].map(|()| submit(&server, &sleeping(&sleeps)));
    until(&server, &runs, "running");
    let cancelled = cancel(&server, &waits);
    assert_eq!((&cancelled["job_status"], &cancelled["attempts"]), (&json!("cancelled"), &json!(0)), "{cancelled}");
    assert!(is_time(&cancelled["finished_at"]) && cancelled["started_at"].is_null(), "{cancelled}");
    assert_eq!(cancel(&server, &waits), cancelled, "once more is as good");

    let cancelled = cancel(&server, &runs);
    assert_eq!((&cancelled["job_status"], &cancelled["attempts"]), (&json!("cancelled"), &json!(1)), "{cancelled}");
    assert_eq!(read(&server, &runs), cancelled);
    // Its slot is free: the next one runs.
    let good = load(&server, "good", &policy("7"));
    let id = submit(&server, &job(&good));
    assert_eq!(ended(&server, &id)["job_status"], "completed");
    assert_eq!(read(&server, &runs), cancelled, "nothing came after it");

    let too_late = server.send("POST", &format!("/jobs/{id}/cancel"), &[], b"");
    assert_eq!(too_late.refusal(), (409, "conflict".into()));
    assert!(too_late.text().contains("completed"), "{}", too_late.text());
    let unknown = server.send("POST", "/jobs/none/cancel", &[], b"");
    assert_eq!(unknown.refusal(), (404, "not_found".into()));
    assert!(unknown.text().contains("Job with ID 'none' not found."), "{}", unknown.text());
}

// attack 72
#[test]
fn of_a_cancellation_and_an_end_exactly_one_wins() {
    let server = TestServer::start();
    let uri = load(&server, "good", &policy("7"));
    let mut won = [0, 0];
    for _ in 0..60 {
        let id = submit(&server, &job(&uri));
        let reply = server.send("POST", &format!("/jobs/{id}/cancel"), &[], b"");
        let record = ended(&server, &id);
        let (cancelled, status) = (reply.status == 200, if reply.status == 200 { "cancelled" } else { "completed" });
        assert_eq!(record["job_status"], status, "{} {record}", reply.text());
        if !cancelled {
            assert_eq!(reply.refusal(), (409, "conflict".into()));
        }
        won[usize::from(cancelled)] += 1;
        assert_eq!(read(&server, &id), record);
    }
    assert_eq!(won[0] + won[1], 60);
}

#[test]
fn the_record_is_removed_when_its_time_is_over() {
    let server = TestServer::builder().config("job_ttl_seconds = 0").start();
    let uri = load(&server, "good", &policy("7"));
    let stays = submit(&server, &with(job(&uri), "ttl_seconds_after_finished", json!(3600)));
    let goes = submit(&server, &job(&uri));
    eventually("the record to go", || {
        let reply = server.get(&format!("/jobs/{goes}"));
        if reply.json()["code"] == "not_found" { Ok(()) } else { Err(reply.text()) }
    });
    assert_eq!(ended(&server, &stays)["ttl_seconds_after_finished"], 3600);
    let found = server.post("/jobs/query", &json!({"policy_rule_uri": uri})).data();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
}

#[test]
fn an_executor_that_was_taken_out_of_service_runs_nothing() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let (sleeps, good) = (sleeps(&server), load(&server, "good", &policy("7")));
    let blocks = submit(&server, &sleeping(&sleeps));
    until(&server, &blocks, "running");
    let waits = submit(&server, &job(&good));
    server.delete("/executor/executor-001").data();
    assert_eq!(server.post("/jobs/submit/executor-001", &job(&good)).refusal(), (404, "not_found".into()));
    server.post("/executor", &json!({"executor_id": "executor-001"})).data();
    cancel(&server, &blocks);
    assert_eq!(ended(&server, &waits)["job_status"], "completed");
}

/// A server, and another executor on the same database.
fn two() -> (TestServer, TestServer) {
    let one = TestServer::on_postgres().allow_loopback().start();
    let two = Builder::beside(&one).flag("--executor-id", "executor-002").allow_loopback().start();
    (one, two)
}

#[test]
fn on_one_postgresql_a_job_runs_at_its_executor_and_is_seen_and_cancelled_from_the_others() {
    let (one, two) = two();
    let (good, sleeps) = (load(&one, "good", &policy("7")), sleeps(&one));
    let id = submit_to(&one, "executor-002", &job(&good));
    let record = ended(&one, &id);
    assert_eq!((&record["executor_id"], &record["job_output_data"]), (&json!("executor-002"), &json!(7)), "{record}");
    assert_eq!(read(&two, &id), record);

    let id = submit_to(&one, "executor-002", &sleeping(&sleeps));
    let mut events = events::Events::of(&one, &id);
    events.until("\"job_status\":\"running\"");
    cancel(&one, &id);
    let seen = events.all_records();
    assert_eq!(seen.last().unwrap()["job_status"], "cancelled", "{seen:?}");
    // Its slot is free again, all of them are.
    let ids: Vec<String> = (0..20).map(|_| submit_to(&two, "executor-002", &job(&good))).collect();
    for id in ids {
        assert_eq!(ended(&one, &id)["job_status"], "completed");
    }
}

#[test]
fn on_one_postgresql_a_job_waits_for_an_executor_that_is_not_there_now() {
    let (one, two) = two();
    let uri = load(&one, "good", &policy("7"));
    let builder = two.stop();
    let id = submit_to(&one, "executor-002", &job(&uri));
    assert_eq!(read(&one, &id)["job_status"], "pending");
    let two = builder.start();
    assert_eq!(ended(&one, &id)["job_output_data"], 7);
    drop(two);
}

#[test]
fn many_submit_at_the_same_time_and_every_job_ends_once() {
    let server = TestServer::start();
    let (good, fails) = (load(&server, "good", &policy("7")), load(&server, "fails", &fails()));
    let ids: Vec<(bool, String)> = thread::scope(|scope| {
        let submitter = |n: usize| {
            let (server, good, fails) = (&server, &good, &fails);
            scope.spawn(move || {
                let kinds = (0..25).map(|i| !(i + n).is_multiple_of(3));
                kinds.map(|fine| (fine, submit(server, &job(if fine { good } else { fails })))).collect::<Vec<_>>()
            })
        };
        let submitters: Vec<_> = (0..8).map(submitter).collect();
        submitters.into_iter().flat_map(|submitter| submitter.join().unwrap()).collect()
    });
    for (fine, id) in &ids {
        let record = ended(&server, id);
        assert_eq!(record["job_status"], if *fine { "completed" } else { "failed" });
        assert_eq!(record["attempts"], 1, "{record}");
    }
    let ended =
        |status: &str| server.post("/jobs/query", &json!({"job_status": status})).data().as_array().unwrap().len();
    assert_eq!(ended("completed") + ended("failed"), ids.len());
}
