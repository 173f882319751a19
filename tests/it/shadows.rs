//! Candidates beside a policy: what they are asked, what is counted of them, and that nobody else notices.

use std::thread;

use lictor_tests::{
    Answer, Builder, CodeServer, Guest, Reply, TestServer, eventually, guest_record, policy, record, sandbox,
};
use serde_json::{Value, json};

/// A policy in force and its candidate, which answer these documents.
fn pair(server: &TestServer, current: &str, candidate: &str) -> (String, String) {
    let load = |name: &str, answer: &str| {
        server.load(&record(name, &server.put_file(&format!("{name}.wasm"), &policy(answer))))
    };
    (load("current", current), load("candidate", candidate))
}

fn set(server: &TestServer, uri: &str, body: &Value) -> Reply {
    server.put(&format!("/policy/{uri}/shadow"), body)
}

fn shadow(server: &TestServer, uri: &str) -> Value {
    server.get(&format!("/policy/{uri}/shadow")).data()
}

/// What came of the calls so far, as `compared agreed disagreed candidate_failed dropped`.
fn counts(shadow: &Value) -> [u64; 5] {
    ["compared", "agreed", "disagreed", "candidate_failed", "dropped"].map(|name| shadow[name].as_u64().unwrap())
}

/// Waits until so much was counted.
#[track_caller]
fn counted(server: &TestServer, uri: &str, expected: [u64; 5]) -> Value {
    eventually("calls to be compared", || {
        let shadow = shadow(server, uri);
        if counts(&shadow) == expected { Ok(shadow) } else { Err(shadow) }
    })
}

#[test]
fn a_candidate_that_answers_the_same_agrees_and_one_that_does_not_is_shown() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, r#"{"a":1,"b":[1,{"c":2}]}"#, r#"{"b":[1.0,{"c":2}],"a":1}"#);
    let other = server.load(&record("other", &server.put_file("other.wasm", &policy(r#"{"a":1,"b":[2]}"#))));
    let put = set(&server, &uri, &json!({"candidate": candidate})).data();
    assert_eq!((&put["candidate"], &put["sample_percent"], counts(&put)), (&json!(candidate), &json!(100), [0; 5]));
    for n in 0..5 {
        assert_eq!(server.execute(&uri, &json!(n)).data()["a"], 1);
    }
    let found = counted(&server, &uri, [5, 5, 0, 0, 0]);
    assert_eq!(found["disagreements"], json!([]));
    // The same candidate again keeps what was counted, also with another share of the calls.
    let again = set(&server, &uri, &json!({"candidate": candidate, "sample_percent": 99})).data();
    assert_eq!((&again["since"], counts(&again)), (&found["since"], [5, 5, 0, 0, 0]));
    assert_eq!(again["sample_percent"], 99);

    let put = set(&server, &uri, &json!({"candidate": other})).data();
    assert!(counts(&put) == [0; 5] && put["since"].as_str() > found["since"].as_str(), "{put}");
    for n in 0..25 {
        let input = if n == 24 { json!("x".repeat(5000)) } else { json!({ "n": n }) };
        assert_eq!(server.execute(&uri, &input).data()["b"][1]["c"], 2);
        // One after the other, so that they are shown in this order.
        counted(&server, &uri, [n + 1, 0, n + 1, 0, 0]);
    }
    let found = shadow(&server, &uri);
    let shown = found["disagreements"].as_array().unwrap();
    assert_eq!(shown.len(), 20);
    let first = &shown[0];
    assert_eq!(first["input"], json!({"n": 5}));
    assert_eq!(first["current"], json!({"outcome": "ok", "answer": {"a": 1, "b": [1, {"c": 2}]}}));
    assert_eq!(first["candidate"], json!({"outcome": "ok", "answer": {"a": 1, "b": [2]}}));
    assert_eq!(first["paths"], json!(["$.b[0]", "$.b[1]"]));
    assert!(first["at"].as_str().unwrap() < shown[19]["at"].as_str().unwrap());
    let cut = shown[19]["input"].as_str().unwrap();
    assert!(cut.starts_with("\"xxx") && cut.ends_with("x…") && cut.len() < 4200, "{cut}");

    // What is nested as deep as may be can be stored and read again.
    let deep = format!("{}{}", "[".repeat(125), "]".repeat(125));
    assert_eq!(server.execute(&uri, &serde_json::from_str(&deep).unwrap()).status, 200);
    let found = counted(&server, &uri, [26, 0, 26, 0, 0]);
    assert_eq!(found["disagreements"][19]["input"], deep);

    // Gone with what was counted, and the policy answers as ever.
    assert_eq!(server.delete(&format!("/policy/{uri}/shadow")).data(), "Shadow deleted successfully.");
    assert_eq!(server.execute(&uri, &json!(1)).data()["a"], 1);
    assert_eq!(server.get(&format!("/policy/{uri}/shadow")).refusal(), (200, "not_found".into()));
    assert_eq!(counts(&set(&server, &uri, &json!({"candidate": other})).data()), [0; 5]);
}

// attack 81
#[test]
fn what_goes_wrong_in_a_candidate_is_told_and_changes_no_answer() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, "7", "8");
    let traps = Guest { eval: "(unreachable)", ..Guest::default() }.build();
    let fails = Guest { eval: "(call $err (i32.const 1000) (i32.const 4))", ..Guest::default() }.build();
    let spins = Guest { eval: "(loop $ever (br $ever)) (unreachable)", ..Guest::default() }.build();
    for (name, component, outcome) in
        [("traps", traps, "trap"), ("fails", fails, "policy_error"), ("spins", spins, "timeout")]
    {
        let mut record = record(name, &server.put_file(&format!("{name}.wasm"), &component));
        record["limits"] = json!({"timeout_ms": 50});
        let wrong = server.load(&record);
        set(&server, &uri, &json!({"candidate": wrong})).data();
        assert_eq!(server.execute(&uri, &json!({})).data(), 7);
        let found = counted(&server, &uri, [1, 0, 1, 0, 0]);
        let shown = &found["disagreements"][0];
        assert_eq!((&shown["candidate"]["outcome"], &shown["paths"]), (&json!(outcome), &json!([])), "{shown}");
    }
    // Code that cannot be had, and a candidate that went.
    let gone = server.create_policy(&record("gone", &format!("{}.no", server.put_file("a.wasm", b""))));
    set(&server, &uri, &json!({"candidate": gone})).data();
    assert_eq!(server.execute(&uri, &json!({})).data(), 7);
    let found = counted(&server, &uri, [0, 0, 0, 1, 0]);
    assert_eq!(found["disagreements"][0]["candidate"]["outcome"], "code_unreachable", "{found}");
    set(&server, &uri, &json!({"candidate": candidate})).data();
    server.delete(&format!("/policy/{candidate}")).data();
    assert_eq!(server.execute(&uri, &json!({})).data(), 7);
    let found = counted(&server, &uri, [0, 0, 0, 1, 0]);
    assert_eq!(found["disagreements"][0]["candidate"]["outcome"], "not_found", "{found}");
}

#[test]
fn two_that_fail_alike_agree() {
    let server = TestServer::start();
    let traps = Guest { eval: "(unreachable)", ..Guest::default() }.build();
    let fails = Guest { eval: "(call $err (i32.const 1000) (i32.const 4))", ..Guest::default() }.build();
    for (name, component, code) in [("traps", traps, "trap"), ("fails", fails, "policy_error")] {
        let load = |part: &str| server.load(&record(&format!("{name}-{part}"), &server.put_file(name, &component)));
        let (uri, candidate) = (load("current"), load("candidate"));
        set(&server, &uri, &json!({"candidate": candidate})).data();
        assert_eq!(server.execute(&uri, &json!({})).json()["code"], code);
        counted(&server, &uri, [1, 1, 0, 0, 0]);
    }
}

// attack 81
#[test]
fn a_candidate_sees_the_context_that_the_call_began_with_and_leaves_no_trace() {
    let server = TestServer::start();
    // `e` answers whether the key is there, and then sets it.
    let asks = "(return (call $number (i64.load8_u (i32.const 20))))";
    let sets = "(local.set $op (i32.load8_u (i32.const 20)))
        (call $set (local.get $bucket) (local.get $key) (local.get $key_n)
            (local.get $key) (local.get $key_n) (i32.const 16))
        (return (call $number (i64.extend_i32_u (local.get $op))))";
    let fields = sandbox::Guest::named("context").fields().replace(asks, sets);
    assert!(fields.contains(sets), "{fields}");
    let code = server.put_file("context.wasm", &sandbox::Guest::new(fields).component());
    let (uri, candidate) = (server.load(&record("current", &code)), server.load(&record("candidate", &code)));
    set(&server, &uri, &json!({"candidate": candidate})).data();
    let mut n = 0;
    for (what, answer) in
        [("l", json!(0)), ("e key", json!(0)), ("e key", json!(1)), ("g key", json!("key")), ("l", json!(1))]
    {
        assert_eq!(server.execute(&uri, &json!(what)).data(), answer, "{what}");
        n += 1;
        counted(&server, &uri, [n, n, 0, 0, 0]);
    }
    // Its own context is another one.
    assert_eq!(server.execute(&candidate, &json!("l")).data(), 0);
}

#[test]
fn a_candidate_only_reads_from_the_world() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": ["10.1.2.3"]})));
    let server = TestServer::builder().allow_loopback().start();
    let load = |version: &str| {
        let mut record = guest_record("ip_allowlist");
        record["version"] = json!(version);
        record["policy_settings"] = json!({"allowlist_api": web.url("/list")});
        record["capabilities"] = json!({"http": [web.origin()]});
        record["limits"] = json!({"timeout_ms": 60_000});
        server.load(&record)
    };
    let (uri, candidate) = (load("1.0"), load("2.0"));
    set(&server, &uri, &json!({"candidate": candidate})).data();
    assert_eq!(server.execute(&uri, &json!({"ip": "10.1.2.3"})).data()["allowed"], true);
    counted(&server, &uri, [1, 1, 0, 0, 0]);
    assert_eq!(web.hits("/list"), 2);
}

// attack 81
/// The candidate waits for its answer; the caller has had its own long before.
#[test]
fn nobody_waits_for_a_candidate() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": []})).held());
    let server = TestServer::builder().allow_loopback().start();
    let mut slow = guest_record("ip_allowlist");
    slow["policy_settings"] = json!({"allowlist_api": web.url("/list")});
    slow["capabilities"] = json!({"http": [web.origin()]});
    slow["limits"] = json!({"timeout_ms": 60_000});
    let slow = server.load(&slow);
    let uri = server.load(&record("quick", &server.put_file("quick.wasm", &policy("7"))));
    set(&server, &uri, &json!({"candidate": slow})).data();
    // Those that run, those that wait, and those that there is no room for.
    let cores = thread::available_parallelism().unwrap().get() as u64;
    let n = cores + 64 + 20;
    for _ in 0..n {
        assert_eq!(server.execute(&uri, &json!({"ip": "10.1.2.3"})).data(), 7);
    }
    let dropped = eventually("some to be dropped", || {
        let shadow = shadow(&server, &uri);
        let [compared, .., dropped] = counts(&shadow);
        if compared == 0 && 0 < dropped { Ok(dropped) } else { Err(shadow) }
    });
    assert!(dropped <= n - 64, "{dropped} of {n}");
    assert!(web.hits("/list") as u64 <= cores, "{}", web.hits("/list"));
    web.release();
    let compared = n - dropped;
    counted(&server, &uri, [compared, 0, compared, 0, dropped]);
}

// attack 81
#[test]
fn a_candidate_that_never_answers_holds_up_no_other_and_is_let_go_with_what_it_was_asked() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, "1", "1");
    let other = server.load(&record("other", &server.put_file("other.wasm", &policy("1"))));
    let code = server.put_file("sleeps.wasm", &sandbox::Guest::named("sleeps").component());
    let mut sleeps = record("sleeps", &code);
    sleeps["limits"] = json!({"timeout_ms": 60_000});
    let sleeps = server.load(&sleeps);
    set(&server, &uri, &json!({"candidate": sleeps})).data();
    set(&server, &other, &json!({"candidate": candidate})).data();
    let ask = |uri: &str, n| (0..n).for_each(|_| assert_eq!(server.execute(uri, &json!(0)).data(), 1));
    // More than there may be.
    ask(&uri, 300);
    ask(&other, 1);
    counted(&server, &other, [1, 1, 0, 0, 0]);
    let found = shadow(&server, &uri);
    assert!(found["compared"] == 0 && 200 < found["dropped"].as_u64().unwrap(), "{found}");

    // Another one, and none.
    set(&server, &other, &json!({"candidate": sleeps})).data();
    ask(&other, 1);
    for uri in [&uri, &other] {
        set(&server, uri, &json!({"candidate": candidate})).data();
        ask(uri, 1);
        counted(&server, uri, [1, 1, 0, 0, 0]);
    }
}

#[test]
fn a_share_of_the_calls_can_be_compared_and_dry_runs_and_candidates_are_not_followed() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, "7", "7");
    set(&server, &uri, &json!({"candidate": candidate, "sample_percent": 50})).data();
    // Each beside the other: neither is asked because the other one was.
    set(&server, &candidate, &json!({"candidate": uri})).data();
    let n = 400;
    for _ in 0..n {
        server.execute(&uri, &json!(1)).data();
    }
    let seen = eventually("a share of the calls to be compared", || {
        let [compared, ..] = counts(&shadow(&server, &uri));
        if 100 < compared { Ok(compared) } else { Err(compared) }
    });
    assert!(seen < 300, "{seen} of {n}");
    let other = server.load(&record("other", &server.put_file("other.wasm", &policy("7"))));
    set(&server, &uri, &json!({"candidate": other})).data();
    let body = json!({"policy_rule_uri": uri, "input_data": 1});
    let dry = server.post("/executor/executor-001/execute_policy?dry_run=1", &body);
    assert_eq!(dry.data(), 7);
    server.execute(&uri, &json!(1)).data();
    counted(&server, &uri, [1, 1, 0, 0, 0]);
    assert_eq!(counts(&shadow(&server, &candidate)), [0; 5]);
}

#[test]
fn what_was_counted_survives_a_stop_and_the_candidate_survives_kill_9() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, "7", "8");
    set(&server, &uri, &json!({"candidate": candidate})).data();
    for _ in 0..10 {
        server.execute(&uri, &json!(1)).data();
    }
    let server = server.stop().start();
    let found = counted(&server, &uri, [10, 0, 10, 0, 0]);
    assert_eq!(found["disagreements"].as_array().unwrap().len(), 10);
    server.execute(&uri, &json!(1)).data();
    // What was read is stored.
    counted(&server, &uri, [11, 0, 11, 0, 0]);
    let server = server.kill().start();
    counted(&server, &uri, [11, 0, 11, 0, 0]);
    server.execute(&uri, &json!(1)).data();
    counted(&server, &uri, [12, 0, 12, 0, 0]);
}

#[test]
fn a_candidate_moves_with_its_policy_and_goes_with_it() {
    let server = TestServer::start();
    let (uri, candidate) = pair(&server, "7", "8");
    set(&server, &uri, &json!({"candidate": candidate})).data();
    server.execute(&uri, &json!(1)).data();
    server.put(&format!("/policy/{uri}"), &json!({"$set": {"version": "9.0"}})).data();
    let moved = "current:9.0-test";
    counted(&server, moved, [1, 0, 1, 0, 0]);
    assert_eq!(server.get(&format!("/policy/{uri}/shadow")).refusal(), (200, "not_found".into()));
    server.wait_loaded(moved);
    server.execute(moved, &json!(1)).data();
    let found = counted(&server, moved, [2, 0, 2, 0, 0]);
    assert_eq!(found["policy_rule_uri"], moved);
    // A change of the record that is no move keeps it too.
    server.put(&format!("/policy/{moved}"), &json!({"$set": {"description": "other"}})).data();
    server.execute(moved, &json!(1)).data();
    counted(&server, moved, [3, 0, 3, 0, 0]);
    let record = record("again", &server.put_file("again.wasm", &policy("7")));
    server.delete(&format!("/policy/{moved}")).data();
    let mut again = record.clone();
    again["name"] = json!("current");
    again["version"] = json!("9.0");
    assert_eq!(server.load(&again), moved);
    assert_eq!(server.get(&format!("/policy/{moved}/shadow")).refusal(), (200, "not_found".into()));
    server.execute(moved, &json!(1)).data();
}

/// Runs only where there is a PostgreSQL.
#[test]
fn what_two_servers_count_on_one_postgresql_is_one_sum() {
    let server = TestServer::start();
    if !server.is_on_postgres() {
        return;
    }
    let other = Builder::beside(&server).flag("--executor-id", "executor-002").start();
    let (uri, candidate) = pair(&server, "7", "8");
    let call = |server: &TestServer, id: &str| {
        let body = json!({"policy_rule_uri": uri, "input_data": 1});
        assert_eq!(server.post(&format!("/executor/{id}/execute_policy"), &body).data(), 7);
    };
    // Both have it in memory when the candidate comes.
    call(&server, "executor-001");
    call(&other, "executor-002");
    set(&server, &uri, &json!({"candidate": candidate})).data();
    for _ in 0..10 {
        call(&server, "executor-001");
    }
    counted(&server, &uri, [10, 0, 10, 0, 0]);
    eventually("the other server to know of the candidate", || {
        call(&other, "executor-002");
        let [compared, ..] = counts(&shadow(&other, &uri));
        if 10 < compared { Ok(()) } else { Err(compared) }
    });
}
