//! Deployed, called, read, found, removed; what they keep, and what they say.

use std::thread;

use lictor_tests::{Guest, TestServer, counter, eventually, policy, sandbox};
use serde_json::{Value, json};

use super::{ask, call, create, deploy, load, load_with, read, standing};

#[test]
fn a_function_is_initialised_once_and_keeps_what_it_knows() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    let snapshot = server.get(&format!("/policy/{uri}")).data();
    let body = json!({
        "name": "f", "policy_rule_uri": uri, "replicas": 1, "function_tags": ["network"], "function_metadata": {"a": 1},
        "colour": "red",
    });
    let deployed = create(&server, &body);
    assert_eq!((deployed.status, &deployed.data()), (200, &snapshot));
    assert_eq!(deployed.json()["warnings"], json!(["`colour` is no field of a deployment and has no effect"]));
    for n in 1..=3 {
        assert_eq!(call(&server, &json!({"any": "input"})), json!({"count": n, "value": 0}));
    }
    for input in ["null", "0", "\"\"", "[]", "{}", " false "] {
        let reply = server.post_text("/function/call_function/f?usage=1", input);
        assert!(reply.json()["usage"]["wall_us"].is_u64(), "{}", reply.text());
    }
    let function = read(&server);
    for (field, value) in [
        ("function_id", json!("f")),
        ("function_executor_id", json!("executor-001")),
        ("function_policy_rule_uri", json!(uri)),
        ("function_policy_data", snapshot),
        ("function_policy_rule_parameters", Value::Null),
        ("function_tags", json!(["network"])),
        ("function_metadata", json!({"a": 1})),
        ("replicas", json!(1)),
        ("autoscaling", Value::Null),
    ] {
        assert_eq!(function[field], value, "{field}");
    }
    let status = &function["function_status"];
    assert_eq!((&status["phase"], &status["state_from"]), (&json!("ready"), &json!("saved_state")));
    assert_eq!(status["replicas"], json!([{"replica": 1, "state": "ready", "calls": 9, "restarts": 0}]));
    let found = |filter: Value| server.post("/function/query", &filter).data().as_array().unwrap().len();
    assert_eq!(found(json!({"function_tags": {"$in": ["network"]}, "function_policy_rule_uri": uri})), 1);
    assert_eq!(found(json!({"function_status.phase": "ready"})), 1);
    assert_eq!(found(json!({"function_executor_id": "other"})), 0);
}

#[test]
fn the_same_deployment_again_is_fine_and_another_is_not() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(false));
    let body = json!({"name": "f", "policy_rule_uri": uri});
    create(&server, &body).data();
    call(&server, &json!(1));
    create(&server, &body).data();
    // It is not deployed anew.
    assert_eq!(call(&server, &json!(1))["count"], 2);
    let mut other = body.clone();
    other["replicas"] = json!(2);
    assert_eq!(create(&server, &other).refusal(), (409, "conflict".into()));
    // Also under the name that the original's clients have for the executor here.
    server.post("/function/deployments/create/executor-0", &body).data();
    let nowhere = server.post("/function/deployments/create/nowhere", &body);
    assert_eq!(nowhere.refusal(), (404, "not_found".into()));
}

#[test]
fn parameters_of_the_function_replace_those_of_the_policy() {
    let server = TestServer::start();
    // Answers the first character of its parameters' text after the opening brace.
    let guest = Guest {
        data: "(global $c (mut i32) (i32.const 0))",
        init: "(global.set $c (i32.load8_u offset=2 (local.get $parameters))) (i32.const 960)",
        eval: "(i32.store8 (i32.const 2048) (global.get $c)) (call $quote (i32.const 2048) (i32.const 1))",
        ..Guest::default()
    };
    let uri = load_with(&server, "p", &guest.build(), &json!({"policy_parameters": {"stored": 1}}));
    create(&server, &json!({"name": "f", "policy_rule_uri": uri})).data();
    assert_eq!(call(&server, &json!(1)), "s");
    let body = json!({"name": "g", "policy_rule_uri": uri, "policy_rule_parameters": {"own": 1}});
    create(&server, &body).data();
    assert_eq!(server.post("/function/call_function/g", &json!(1)).data(), "o");
    assert_eq!(server.get("/function/g").data()["function_policy_rule_parameters"], json!({"own": 1}));
}

#[test]
fn a_policy_that_does_not_start_is_not_deployed() {
    let server = TestServer::start();
    for (name, init, code) in [
        ("fails", "(call $err (i32.const 1000) (i32.const 4))", "policy_error"),
        ("traps", "(unreachable)", "trap"),
        ("spins", "(loop $on (br $on)) (unreachable)", "timeout"),
    ] {
        let guest = Guest { init, ..Guest::default() };
        let uri = load_with(&server, name, &guest.build(), &json!({"limits": {"timeout_ms": 200}}));
        let reply = create(&server, &json!({"name": "f", "policy_rule_uri": uri, "replicas": 3}));
        let body = reply.json();
        assert_eq!((reply.status, &body["success"], &body["data"]["code"]), (200, &json!(false), &json!(code)));
        assert_eq!(server.get("/function/f").refusal(), (404, "not_found".into()), "{name}");
        assert_eq!(ask(&server, &json!(1)).refusal(), (404, "not_found".into()), "{name}");
    }
    let code = server.put_file("broken.wasm", b"nothing");
    server.create_policy(&lictor_tests::record("broken", &code));
    let reply = create(&server, &json!({"name": "f", "policy_rule_uri": "broken:1.0-test"}));
    assert_eq!(reply.refusal(), (422, "bad_archive".into()));
    let reply = create(&server, &json!({"name": "f", "policy_rule_uri": "none:1.0-test"}));
    assert_eq!(reply.refusal(), (404, "not_found".into()));
    // The name is free.
    let uri = load(&server, "counter", &counter(false));
    deploy(&server, &uri, 1);
    assert_eq!(call(&server, &json!(1))["count"], 1);
}

#[test]
fn there_are_as_many_replicas_as_the_executor_may_have() {
    let server = TestServer::builder().config("max_replicas = 3").start();
    let uri = load(&server, "counter", &counter(false));
    deploy(&server, &uri, 2);
    let reply = create(&server, &json!({"name": "g", "policy_rule_uri": uri, "replicas": 2}));
    assert_eq!(reply.refusal(), (429, "busy".into()));
    assert!(reply.text().contains("there are 2 replicas") && reply.text().contains("may be 3"), "{}", reply.text());
    create(&server, &json!({"name": "g", "policy_rule_uri": uri})).data();
    server.delete("/function/deployments/remove/f").data();
    create(&server, &json!({"name": "h", "policy_rule_uri": uri, "replicas": 2})).data();
}

#[test]
fn a_function_that_is_removed_leaves_nothing() {
    let server = TestServer::start();
    let uri = load(&server, "context", &sandbox::Guest::named("context").component());
    deploy(&server, &uri, 1);
    call(&server, &json!("s key value"));
    assert_eq!(call(&server, &json!("g key")), "value");
    // Its context is its own.
    assert_eq!(server.execute(&uri, &json!("g key")).data(), Value::Null);
    let removed = server.delete("/function/deployments/remove/f");
    assert_eq!((removed.status, removed.data()), (200, json!("Deployment 'f' removed successfully.")));
    for reply in [server.delete("/function/deployments/remove/f"), server.get("/function/f"), ask(&server, &json!(1))] {
        assert_eq!(reply.refusal(), (404, "not_found".into()));
    }
    deploy(&server, &uri, 1);
    assert_eq!(call(&server, &json!("g key")), Value::Null);
    call(&server, &json!("s key again"));
    let server = server.kill().start();
    assert_eq!(call(&server, &json!("g key")), "again");
}

#[test]
fn calls_in_flight_when_it_is_removed_are_all_answered() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 2);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let reply = ask(&server, &json!("work"));
                        match reply.status {
                            200 => assert!(reply.data()["count"].is_u64(), "{}", reply.text()),
                            _ => return reply.refusal(),
                        }
                    }
                })
            })
            .collect();
        standing(&server, "calls to run", |status| status["replicas"][1]["calls"].as_u64() > Some(5));
        server.delete("/function/deployments/remove/f").data();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), (404, "not_found".into()));
        }
    });
    deploy(&server, &uri, 1);
    assert_eq!(call(&server, &json!(1)), json!({"count": 1, "value": 0}));
}

#[test]
fn a_dry_run_leaves_nothing() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    let deployment = json!({"name": "f", "policy_rule_uri": uri});
    server.post("/function/deployments/create/executor-001?dry_run=1", &deployment).data();
    assert_eq!(server.get("/function/f").refusal(), (404, "not_found".into()));
    deploy(&server, &uri, 1);
    super::set(&server, "set", 7);
    call(&server, &json!(1));
    let dry = |path: &str, body: &Value| server.post(&format!("/function/{path}?dry_run=1"), body).data();
    for _ in 0..2 {
        // It begins where a replacement would: with what was saved, which may be a second old.
        assert_eq!(dry("call_function/f", &json!(1))["value"], 7);
        assert_eq!(dry("management/f", &json!({"mgmt_action": "add", "mgmt_data": 1})), json!({"value": 8}));
    }
    let trapped = server.post("/function/call_function/f?dry_run=1", &json!("trap")).json();
    assert_eq!(trapped["code"], "trap");
    assert_eq!(call(&server, &json!(1)), json!({"count": 2, "value": 7}));
    assert_eq!(read(&server)["function_status"]["replicas"][0]["restarts"], 0);
    let uri = load(&server, "context", &sandbox::Guest::named("context").component());
    create(&server, &json!({"name": "c", "policy_rule_uri": uri})).data();
    dry("call_function/c", &json!("s key value"));
    assert_eq!(server.post("/function/call_function/c", &json!("g key")).data(), Value::Null);
}

#[test]
fn what_it_says_can_be_read() {
    let server = TestServer::start();
    // A thousand lines of a kilobyte or so at once is more than is kept.
    let uri = load_with(
        &server,
        "logs",
        &sandbox::Guest::named("logs").component(),
        &json!({"limits": {"timeout_ms": 20_000, "log_kb": 1024}}),
    );
    deploy(&server, &uri, 2);
    let logs = |query: &str| {
        let reply = server.get(&format!("/function/get_logs/f{query}"));
        assert_eq!((reply.status, &reply.json()["success"]), (200, &json!(true)), "{}", reply.text());
        reply.json()["logs"].as_str().unwrap().to_owned()
    };
    call(&server, &json!("once"));
    let text = eventually("a line of the guest", || {
        let text = logs("");
        if text.contains(" replica 1: ") { Ok(text) } else { Err(text) }
    });
    assert!(text.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{text}");
    assert_eq!(logs("?tail=0"), "");
    assert_eq!(logs("?tail=1").lines().count(), 1);
    assert_eq!(logs("?tail=1").trim_end(), text.lines().last().unwrap());
    let uri = load_with(&server, "spins", &counter(false), &json!({"limits": {"timeout_ms": 50}}));
    create(&server, &json!({"name": "g", "policy_rule_uri": uri})).data();
    server.post("/function/call_function/g", &json!("spin"));
    let text = server.get("/function/get_logs/g").json()["logs"].as_str().unwrap().to_owned();
    assert!(text.contains("error replica 1: lictor: a call was stopped:") && text.contains("timeout"), "{text}");
}

#[test]
fn a_call_waits_for_its_turn_and_is_told_when_that_does_not_come() {
    let server = TestServer::start();
    let uri = load_with(&server, "counter", &counter(true), &json!({"limits": {"timeout_ms": 1000}}));
    deploy(&server, &uri, 1);
    thread::scope(|scope| {
        let spinning = scope.spawn(|| ask(&server, &json!("spin")));
        standing(&server, "a call to run", |status| status["replicas"][0]["state"] == "busy");
        let reply = server.post("/function/call_function/f?timeout_ms=50", &json!(1));
        assert_eq!((reply.refusal(), reply.header("retry-after")), ((429, "busy".into()), Some("1")));
        // This one waits, and is answered by the replica that takes the place of the one that spins.
        assert!(call(&server, &json!(1))["count"].is_u64());
        assert_eq!(spinning.join().unwrap().json()["code"], "timeout");
    });
}

#[test]
fn an_executor_that_is_out_of_service_calls_none() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 1);
    let before = server.get("/executor/executor-001").data();
    server.delete("/executor/executor-001").data();
    let reply = ask(&server, &json!(1));
    assert_eq!(reply.refusal(), (404, "not_found".into()));
    assert!(reply.text().contains("Executor not found"), "{}", reply.text());
    server.post("/executor", &json!({"executor_id": before["executor_id"]})).data();
    assert_eq!(call(&server, &json!(1))["count"], 1);
}

#[test]
fn a_call_whose_client_went_away_takes_no_replica_along() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 1);
    super::set(&server, "set", 5);
    for _ in 0..3 {
        let request = "POST /function/call_function/f HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n\"spin\"";
        let mut stream = server.connect().unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        standing(&server, "a call to run", |status| status["replicas"][0]["state"] == "busy");
        drop(stream);
        assert_eq!(call(&server, &json!(1))["value"], 5);
    }
}

#[test]
fn a_policy_keeps_being_what_was_deployed() {
    let server = TestServer::start();
    let uri = load(&server, "p", &policy("1"));
    deploy(&server, &uri, 1);
    let code = server.put_file("other.wasm", &policy("2"));
    server.put(&format!("/policy/{uri}"), &json!({"$set": {"code": code}})).data();
    server.wait_loaded(&uri);
    assert_eq!(server.execute(&uri, &json!(1)).data(), 2);
    assert_eq!(call(&server, &json!(1)), 1);
    let server = server.kill().start();
    assert_eq!(call(&server, &json!(1)), 1);
    server.delete(&format!("/policy/{uri}")).data();
    let server = server.kill().start();
    assert_eq!(call(&server, &json!(1)), 1);
    // Until it is told to take what there is now.
    let gone = server.post("/function/f/upgrade", &json!({"policy_rule_uri": uri}));
    assert_eq!(gone.refusal(), (404, "not_found".into()));
}

#[test]
fn an_input_that_is_no_document_is_refused() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 1);
    for body in [&b""[..], b"{\"a\":", b"1 2", b"nul", b"\"\xff\"", "[".repeat(129).as_bytes()] {
        let headers = [("Content-Type", "application/json")];
        let reply = server.send("POST", "/function/call_function/f", &headers, body);
        assert_eq!(reply.refusal(), (400, "invalid_input".into()), "{body:?}");
    }
    let reply = server.send("POST", "/function/call_function/f", &[("Content-Type", "text/plain")], b"1");
    assert_eq!(reply.refusal(), (415, "invalid_input".into()));
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(server.post_text("/function/call_function/f", &deep).data()["count"], 1);
}
