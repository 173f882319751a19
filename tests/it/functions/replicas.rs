//! Replicas: one that does not survive is replaced, and only its call fails; what they remember is saved.

use std::thread;

use lictor_tests::{Guest, TestServer, counter, eventually};
use serde_json::{Value, json};

use super::{ask, call, create, deploy, load, load_with, read, set, standing, values};

#[test]
fn a_call_that_traps_or_takes_too_long_fails_alone() {
    let server = TestServer::start();
    let uri = load_with(&server, "counter", &counter(true), &json!({"limits": {"timeout_ms": 3000}}));
    deploy(&server, &uri, 2);
    set(&server, "set", 9);
    thread::scope(|scope| {
        for input in ["trap", "spin", "fail"] {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..5 {
                    let reply = server.post("/function/call_function/f?timeout_ms=300", &json!(input));
                    let code = &reply.json()["code"];
                    let expected = match input {
                        "trap" => "trap",
                        "spin" => "timeout",
                        _ => "policy_error",
                    };
                    // A caller that may wait only so long may also be told that there was no replica for it.
                    assert!(code == expected || code == "busy", "{}", reply.text());
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(call(&server, &json!(1))["value"], 9);
        }
    });
    let status = standing(&server, "both to be there", |status| status["ready_replicas"] == 2);
    assert_eq!(values(&server), [9, 9]);
    let restarts: u64 = [0, 1].map(|idx: usize| status["replicas"][idx]["restarts"].as_u64().unwrap()).iter().sum();
    assert!(0 < restarts, "{status}");
}

#[test]
fn replicas_work_at_the_same_time() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 3);
    thread::scope(|scope| {
        let spinning: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| server.post("/function/call_function/f?timeout_ms=2000", &json!("spin")).json()))
            .collect();
        standing(&server, "two to be busy", |status| {
            (0..3).filter(|idx| status["replicas"][idx]["state"] == "busy").count() == 2
        });
        for n in 1..=5 {
            assert_eq!(call(&server, &json!(1))["count"], n);
        }
        spinning.into_iter().for_each(|call| assert_eq!(call.join().unwrap()["code"], "timeout"));
    });
}

#[test]
fn what_calls_changed_is_saved_within_a_second_and_at_stop() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 1);
    for _ in 0..10 {
        call(&server, &json!(1));
    }
    // A dry run begins with what is saved.
    eventually("the count to be saved", || {
        let seen = server.post("/function/call_function/f?dry_run=1", &json!(1)).data();
        if seen["count"] == 11 { Ok(()) } else { Err(seen) }
    });
    let server = server.kill().start();
    assert_eq!(call(&server, &json!(1))["count"], 11);
    for _ in 0..10 {
        call(&server, &json!(1));
    }
    let server = server.stop().start();
    assert_eq!(call(&server, &json!(1))["count"], 22);
}

#[test]
fn a_state_that_is_too_large_is_not_saved_and_the_record_says_so() {
    let server = TestServer::start();
    let state = "
        (func (export \"lictor:policy/state@1.0.0#save\") (result i32) (call $ok (i32.const 0) (i32.const 100000)))
        (func (export \"lictor:policy/state@1.0.0#restore\") (param i32 i32 i32 i32) (result i32) (i32.const 960))";
    let guest = Guest { data: state, ..Guest::default() };
    let uri = load_with(
        &server,
        "large",
        &guest.build_stateful(),
        &json!({"limits": {"output_kb": 10, "timeout_ms": 20_000}}),
    );
    deploy(&server, &uri, 1);
    call(&server, &json!(1));
    let status = standing(&server, "the record to say so", |status| status["message"].is_string());
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("100000 bytes") && message.contains("10240") && message.contains("output_kb"),
        "{message}"
    );
    assert_eq!((&status["phase"], &status["replicas"][0]["restarts"]), (&json!("ready"), &json!(0)));
    // Its commands are kept instead.
    set(&server, "x", 1);
    assert_eq!(call(&server, &json!(1)), Value::Null);
}

#[test]
fn one_that_cannot_be_saved_is_named_whatever_the_others_do_and_keeps_the_function_from_an_upgrade() {
    let server = TestServer::start();
    // A command with more than four bytes of data makes the state large.
    let state = "
        (global $size (mut i32) (i32.const 1))
        (func (export \"lictor:policy/state@1.0.0#save\") (result i32) (call $ok (i32.const 0) (global.get $size)))
        (func (export \"lictor:policy/state@1.0.0#restore\") (param i32 i32 i32 i32) (result i32) (i32.const 960))";
    let management = "(block (result i32)
        (if (i32.lt_u (i32.const 4) (local.get $datan)) (then (global.set $size (i32.const 100000))))
        (call $ok (i32.const 1000) (i32.const 4)))";
    let guest = Guest { data: state, management, ..Guest::default() };
    let limits = json!({"limits": {"output_kb": 10, "timeout_ms": 20_000}});
    let uri = load_with(&server, "grows", &guest.build_stateful(), &limits);
    deploy(&server, &uri, 2);
    for (replica, data) in [(1, 123_456), (2, 1)] {
        let command = json!({"mgmt_action": "x", "mgmt_data": data, "replica": replica});
        super::manage(&server, &command).data();
    }
    let message = read(&server)["function_status"]["message"].clone();
    assert!(message.as_str().is_some_and(|message| message.contains("replica 1 is not saved")), "{message}");
    for query in ["?dry_run=1", ""] {
        let refused = server.post(&format!("/function/f/upgrade{query}"), &json!({"policy_rule_uri": uri}));
        assert_eq!(refused.refusal(), (409, "conflict".into()), "{query}");
        assert!(refused.text().contains("What replica 1 remembers cannot be saved"), "{}", refused.text());
    }
}

#[test]
fn one_that_cannot_be_brought_up_again_is_tried_less_and_less_and_says_why() {
    let server = TestServer::start();
    // Whoever is brought up a second time finds its context used.
    let guest = lictor_tests::sandbox::Guest::named("starts_once");
    let uri = load(&server, "once", &guest.component());
    deploy(&server, &uri, 1);
    assert_eq!(ask(&server, &json!(1)).json()["code"], "trap");
    let status = standing(&server, "the failure to show", |status| status["phase"] == "failed");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("could not be initialised"), "{message}");
    let refused = ask(&server, &json!(1));
    assert_eq!(refused.refusal(), (429, "busy".into()));
    assert!(refused.text().contains("could not be initialised"), "{}", refused.text());
    let managed = super::manage(&server, &json!({"mgmt_action": "x"}));
    assert_eq!(managed.refusal(), (429, "busy".into()));
    // It does not keep a new version from taking its place.
    let uri = load(&server, "counter", &counter(false));
    server.post("/function/f/upgrade", &json!({"policy_rule_uri": uri})).data();
    assert_eq!(call(&server, &json!(1))["count"], 1);
    assert_eq!(read(&server)["function_status"]["phase"], "ready");
    server.delete("/function/deployments/remove/f").data();
    create(&server, &json!({"name": "f", "policy_rule_uri": uri})).data();
}
