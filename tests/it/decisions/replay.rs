//! A recorded decision comes to the same again, on another process, whatever it asked of the world; and another version of
//! its policy comes to what it would have come to.

use std::path::Path;

use lictor_tests::{Answer, CodeServer, Command, Output, TestServer, counter, guest_record, sandbox::Guest};
use serde_json::{Value, json};

use super::{decisions, load, verify, wait_for};

fn replay(data: &Path, options: &[&str]) -> Output {
    Command::new(["replay", "--data-dir"]).arg(data).args(options).run()
}

fn sum(output: &Output) -> Value {
    serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap()
}

#[track_caller]
fn all_same(data: &Path) -> u64 {
    let output = replay(data, &[]).exits(0);
    let sum = sum(&output);
    assert_eq!(sum["decisions"], sum["same"], "{}", output.stdout);
    sum["same"].as_u64().unwrap()
}

#[test]
fn clocks_chance_and_failures_come_to_the_same_again() {
    let server = TestServer::start();
    let clocks = load(&server, "clocks", &Guest::named("clocks").component(), &json!({}));
    let metered =
        load(&server, "metered", &Guest::named("clocks").component(), &json!({"limits": {"fuel": 1_000_000}}));
    let frozen = load(&server, "frozen", &Guest::named("clocks").component(), &json!({"deterministic": true}));
    for which in 0..5 {
        for uri in [&clocks, &metered, &frozen] {
            server.execute(uri, &json!(which)).data();
        }
    }
    let traps = load(&server, "traps", &Guest::eval("unreachable").component(), &json!({}));
    let forever = Guest::eval("(loop $l (br $l)) (unreachable)").component();
    let fuel = load(&server, "fuel", &forever, &json!({"limits": {"fuel": 100_000}}));
    let fails =
        load(&server, "fails", &Guest::eval("(call $err (local.get $in) (local.get $n))").component(), &json!({}));
    let bad = load(&server, "bad", &Guest::eval("(call $ok (local.get $in) (i32.const 0))").component(), &json!({}));
    for uri in [&traps, &fuel, &fails, &bad] {
        server.execute(uri, &json!("input"));
    }
    let schemas = json!({
        "schema_mode": "enforce", "policy_input_schema": {"n": {"type": "number", "required": true}},
    });
    let checked = load(&server, "checked", &Guest::echo().component(), &schemas);
    server.execute(&checked, &json!({"n": 1})).data();
    assert_eq!(server.execute(&checked, &json!({"n": "x"})).json()["code"], "input_schema");
    let timeout = load(&server, "timeout", &forever, &json!({"limits": {"timeout_ms": 30}}));
    assert_eq!(server.execute(&timeout, &json!(1)).json()["code"], "timeout");
    let data = server.data_dir();
    let all = wait_for(&data, 15 + 4 + 2 + 1);
    let codes: Vec<_> = all.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    for code in ["trap", "out_of_fuel", "policy_error", "bad_output", "input_schema", "timeout"] {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
    let stopped = server.stop();
    let data = stopped.data_dir();
    let output = replay(&data, &[]).exits(0);
    let sum = sum(&output);
    assert_eq!((&sum["same"], &sum["stopped_by_time"]), (&json!(21), &json!(1)), "{}", output.stdout);
    // One alone.
    let id = all[3]["decision"].as_str().unwrap();
    assert_eq!(self::sum(&replay(&data, &[id]).exits(0))["same"], 1);
    replay(&data, &["01a1ffca-e806-7000-8000-0000f64fa297"]).exits(1);
    replay(&data, &["1"]).exits(2);
}

/// Waits for the first of a moment that is far away and one that is near; answers which of them it was.
fn polls() -> Guest {
    Guest::new(
        r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (i32.store (i32.const 4096) (call $after (i64.const 3600000000000)))
            (i32.store (i32.const 4100) (call $after (i64.const 1000000)))
            (call $poll (i32.const 4096) (i32.const 2) (i32.const 16))
            (call $number (i64.load32_u (i32.load (i32.const 16)))))"#,
    )
}

#[test]
fn what_came_over_http_and_from_the_context_comes_again_and_nothing_goes_out() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok(vec![b'x'; 200_000]));
    let server = TestServer::builder().allow_loopback().start();
    let origin = web.origin();
    let granted = json!({"capabilities": {"http": [origin]}});
    let downloads = load(&server, "downloads", &Guest::named("downloads").component(), &granted);
    let fetches = load(&server, "fetches", &Guest::named("fetches").component(), &granted);
    let authority = json!(web.origin().trim_start_matches("http://"));
    assert_eq!(server.execute(&downloads, &authority).data(), json!(200_000));
    server.execute(&fetches, &authority).data();
    // Refused, for want of a grant; and refused by nobody being there.
    server.execute(&fetches, &json!("example.com")).data();
    let context = load(&server, "context", &Guest::named("context").component(), &json!({}));
    for input in ["s key value", "g key", "e key", "e other", "l", "d key", "g key", "k"] {
        server.execute(&context, &json!(input)).data();
    }
    let polls = load(&server, "polls", &polls().component(), &json!({}));
    assert_eq!(server.execute(&polls, &json!(1)).data(), json!(1));
    let prints = load(&server, "prints", &Guest::named("prints").component(), &json!({}));
    server.execute(&prints, &json!("a"));
    let data = server.data_dir();
    let all = wait_for(&data, 13);
    assert!(all.iter().any(|line| line["calls"].to_string().contains("\"refused\"")), "{all:?}");
    let asked = web.seen().len();
    let stopped = server.stop();
    let data = stopped.data_dir();
    assert_eq!(all_same(&data), 13);
    assert_eq!(web.seen().len(), asked, "a replay asked the network");
    verify(&data).exits(0);
    let id = all.iter().find(|line| line["policy"] == downloads).unwrap()["decision"].as_str().unwrap();
    let story = Command::new(["audit", "show", id, "--data-dir"]).arg(&data).run().exits(0).stdout;
    assert!(story.contains("GET http://") && story.contains("200, 200000 bytes"), "{story}");
}

#[test]
fn an_instance_is_replayed_from_its_beginning() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true), &json!({}));
    server
        .post("/function/deployments/create/executor-001", &json!({"name": "f", "policy_rule_uri": uri, "replicas": 2}))
        .data();
    for _ in 0..20 {
        server.post("/function/call_function/f", &json!(1)).data();
    }
    server.post("/function/management/f", &json!({"mgmt_action": "set", "mgmt_data": 7})).data();
    let server = server.stop().start();
    for _ in 0..20 {
        server.post("/function/call_function/f", &json!(1)).data();
    }
    let stopped = server.stop();
    let data = stopped.data_dir();
    let all = decisions(&data);
    let calls = all.iter().filter(|line| line["op"].is_null()).count();
    assert_eq!(calls, 40);
    assert_eq!(all_same(&data), all.len() as u64);
    // One of the last is made again by making again what came before it.
    let id = all.iter().rfind(|line| line["op"].is_null()).unwrap()["decision"].as_str().unwrap();
    let output = replay(&data, &[id]).exits(0);
    assert_eq!((&sum(&output)["decisions"], &sum(&output)["same"]), (&json!(1), &json!(1)), "{}", output.stdout);
}

/// Allows digits below this one.
fn allows_below(digit: u32) -> Vec<u8> {
    Guest::eval(&format!(
        "(call $number (i64.extend_i32_u (i32.lt_u (i32.load8_u (local.get $in)) (i32.const {}))))",
        48 + digit
    ))
    .component()
}

#[test]
fn a_candidate_lists_exactly_the_decisions_that_change() {
    let server = TestServer::start();
    let uri = load(&server, "allows", &allows_below(5), &json!({}));
    for n in 0..100 {
        server.execute(&uri, &json!(n % 10)).data();
    }
    wait_for(&server.data_dir(), 100);
    let home = tempfile::tempdir().unwrap();
    let candidate = home.path().join("candidate.wasm");
    std::fs::write(&candidate, allows_below(6)).unwrap();
    let data = server.data_dir();
    let output = replay(&data, &["--with", candidate.to_str().unwrap(), "--policy", "allows:*"]).exits(1);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (sum, changed) = lines.split_last().unwrap();
    assert_eq!((&sum["same"], &sum["different"]), (&json!(90), &json!(10)));
    assert!(changed.iter().all(|line| line["input"] == "5" && line["replayed"]["output"] == "1"), "{changed:?}");
    assert!(changed.iter().all(|line| line["recorded"]["output"] == "0"), "{changed:?}");
    // The same component under another name changes nothing; one that cannot be loaded is refused.
    std::fs::write(&candidate, allows_below(5)).unwrap();
    replay(&data, &["--with", candidate.to_str().unwrap()]).exits(0);
    std::fs::write(&candidate, "no component").unwrap();
    replay(&data, &["--with", candidate.to_str().unwrap()]).exits(3);
}

/// Policies of one web server that answers, and of one that does not.
fn with_http(server: &TestServer, web: &CodeServer) -> Vec<String> {
    web.answer("/list", Answer::json(&json!({"allowlist": ["10.1.2.3"]})));
    web.answer("/fails", Answer::status(500));
    let of = |path: &str| {
        let mut record = guest_record("ip_allowlist");
        record["name"] = json!(path.trim_start_matches('/'));
        record["policy_settings"] = json!({"allowlist_api": web.url(path)});
        record["capabilities"] = json!({"http": [web.origin()]});
        server.load(&record)
    };
    vec![of("/list"), of("/fails")]
}

/// Asks for `n` decisions about some of these inputs in turn.
fn ask(server: &TestServer, uri: &str, inputs: &[Value], n: usize) {
    let inputs: Vec<&Value> = inputs.iter().cycle().take(n).collect();
    for some in inputs.chunks(500) {
        let body = json!({"policy_rule_uri": uri, "inputs": some});
        assert_eq!(server.post("/executor/executor-001/execute_policy/batch", &body).status, 200);
    }
}

/// All examples, with host calls and failures, ten thousand times: on another process, after another start.
#[test]
fn ten_thousand_decisions_of_the_examples_come_to_the_same_again() {
    const DECISIONS: usize = 10_000;
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let examples = crate::tidy::example_folders();
    let each = DECISIONS.div_ceil(examples.len());
    for name in &examples {
        let mut record = guest_record(name);
        record["policy_settings"] = json!({});
        let uri = server.load(&record);
        let fixtures = lictor_tests::repository().join("guest-examples").join(name).join("expected.json");
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(fixtures).unwrap()).unwrap();
        // What no policy expects fails.
        let inputs = cases.iter().map(|case| case["input"].clone()).chain([json!(null)]);
        ask(&server, &uri, &inputs.collect::<Vec<_>>(), each);
    }
    for uri in with_http(&server, &web) {
        ask(&server, &uri, &[json!({"ip": "10.1.2.3"}), json!({"ip": "10.0.0.1"})], 100);
    }
    // A policy of the server's own, which asks its host.
    server.post("/estimator/estimate", &json!({"mode": "adhoc", "policy": {}})).data();
    wait_for(&server.data_dir(), each * examples.len() + 201);
    let stopped = server.kill().start().stop();
    let data = stopped.data_dir();
    verify(&data).exits(0);
    let all = decisions(&data);
    let has = |what: &str| all.iter().any(|line| line["calls"].to_string().contains(what));
    assert!(has("http.request") && has("host.call") && all.iter().any(|line| line["outcome"] == "policy_error"));
    let asked = web.seen().len();
    // What the server asks itself is of components that it carries, and that are in no cache of loaded code.
    let builtin = lictor_tests::repository().join("executor/server/src/placement/builtin/estimator.wasm");
    let output = replay(&data, &["--component", builtin.to_str().unwrap()]).exits(0);
    let sum = sum(&output);
    assert_eq!(sum["decisions"], sum["same"], "{}", output.stdout);
    assert!((DECISIONS as u64) < sum["same"].as_u64().unwrap());
    assert_eq!(web.seen().len(), asked, "a replay asked the network");
}
