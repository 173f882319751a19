//! Upgrades: state is carried over while calls go on, and what will not take it is refused.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use lictor_tests::{Guest, Reply, TestServer, counter, counter_version, sandbox};
use serde_json::json;

use super::{ask, call, create, deploy, load, manage, read, set, values};

fn upgrade(server: &TestServer, uri: &str, query: &str) -> Reply {
    server.post(&format!("/function/f/upgrade{query}"), &json!({"policy_rule_uri": uri}))
}

#[test]
fn state_is_carried_over_and_survives() {
    let server = TestServer::start();
    let (one, two) = (load(&server, "one", &counter(true)), load(&server, "two", &counter(true)));
    deploy(&server, &one, 2);
    set(&server, "set", 7);
    manage(&server, &json!({"mgmt_action": "add", "mgmt_data": 1, "replica": 2})).data();
    call(&server, &json!(1));
    assert_eq!(upgrade(&server, &two, "?dry_run=1").status, 200);
    assert_eq!(read(&server)["function_policy_rule_uri"], json!(one));
    let expected = json!({"policy_rule_uri": two, "replicas": 2, "state_from": "saved_state"});
    assert_eq!(upgrade(&server, &two, "").data(), expected);
    let function = read(&server);
    assert_eq!(
        (&function["function_policy_rule_uri"], &function["function_policy_data"]["name"]),
        (&json!(two), &json!("two"))
    );
    assert_eq!(values(&server), [7, 8]);
    assert_eq!(call(&server, &json!(1))["count"], 2);
    let server = server.kill().start();
    assert_eq!(values(&server), [7, 8]);
    assert!(2 <= call(&server, &json!(1))["count"].as_i64().unwrap());
    assert_eq!(read(&server)["function_policy_rule_uri"], json!(two));
}

#[test]
fn commands_are_carried_over_where_there_is_no_state() {
    let server = TestServer::start();
    let plain = load(&server, "plain", &counter(false));
    let other = load(&server, "other", &counter_version(false, 2));
    let stateful = load(&server, "stateful", &counter(true));
    deploy(&server, &plain, 2);
    set(&server, "set", 7);
    assert_eq!(upgrade(&server, &other, "").data()["state_from"], "management_commands");
    assert_eq!(values(&server), [7, 7]);
    set(&server, "add", 1);
    assert_eq!(upgrade(&server, &stateful, "").data()["state_from"], "management_commands");
    assert_eq!(values(&server), [8, 8]);
    let server = server.kill().start();
    assert_eq!(values(&server), [8, 8]);
    assert_eq!(read(&server)["function_status"]["state_from"], "saved_state");
}

#[test]
fn a_version_that_does_not_take_the_state_is_refused_with_its_reason() {
    let server = TestServer::start();
    let one = load(&server, "one", &counter(true));
    deploy(&server, &one, 2);
    set(&server, "set", 7);
    let init = "(call $err (i32.const 1000) (i32.const 4))";
    let does_not_start = Guest { init, ..Guest::default() }.build();
    for (name, component, says) in [
        ("other", counter_version(true, 2), "the state is of another version"),
        ("plain", counter(false), "does not export `state`"),
        ("dead", does_not_start, "does not export `state`"),
    ] {
        let uri = load(&server, name, &component);
        for query in ["?dry_run=1", ""] {
            let refused = upgrade(&server, &uri, query);
            assert_eq!(refused.refusal(), (409, "conflict".into()), "{name}");
            assert!(refused.text().contains(says), "{}", refused.text());
        }
    }
    let missing = upgrade(&server, "none:1.0-x", "");
    assert_eq!(missing.refusal(), (404, "not_found".into()));
    assert_eq!(read(&server)["function_policy_rule_uri"], json!(one));
    assert_eq!(values(&server), [7, 7]);
    set(&server, "add", 1);
    let server = server.kill().start();
    assert_eq!(values(&server), [8, 8]);
}

#[test]
fn one_that_fails_half_way_leaves_everything_as_it_was() {
    let server = TestServer::start();
    let plain = load(&server, "plain", &counter(false));
    // Tried out it starts each time, since nothing of that lasts; then the second replica does not start.
    let once = load(&server, "once", &sandbox::Guest::named("starts_once").component());
    deploy(&server, &plain, 2);
    set(&server, "set", 7);
    call(&server, &json!(1));
    assert_eq!(upgrade(&server, &once, "?dry_run=1").status, 200);
    let refused = upgrade(&server, &once, "");
    assert_eq!(refused.refusal(), (409, "conflict".into()));
    assert!(refused.text().contains("could not be initialised"), "{}", refused.text());
    let function = read(&server);
    assert_eq!(function["function_policy_rule_uri"], json!(plain));
    assert_eq!(
        (&function["function_status"]["phase"], &function["function_status"]["ready_replicas"]),
        (&json!("ready"), &json!(2))
    );
    // They are the old ones themselves, not others in their place.
    assert_eq!(values(&server), [7, 7]);
    assert_eq!(call(&server, &json!(1))["count"], 2);
}

#[test]
fn calls_go_on_meanwhile_and_none_is_forgotten() {
    let server = TestServer::start();
    let uris = ["one", "two"].map(|name| load(&server, name, &counter(true)));
    deploy(&server, &uris[0], 1);
    let done = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut n = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let reply = ask(&server, &json!(1));
                        assert_eq!(reply.json()["success"], true, "{}", reply.text());
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for n in 0..10 {
            upgrade(&server, &uris[(n + 1) % 2], "").data();
        }
        done.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u64>()
    });
    assert_eq!(call(&server, &json!(1))["count"], counted + 1);
}

#[test]
fn the_context_survives() {
    let server = TestServer::start();
    let (one, two) = ("one", "two");
    let uris = [one, two].map(|name| load(&server, name, &sandbox::Guest::named("context").component()));
    deploy(&server, &uris[0], 1);
    call(&server, &json!("s key value"));
    upgrade(&server, &uris[1], "").data();
    assert_eq!(call(&server, &json!("g key")), "value");
}

/// Replicas that come later are given the commands again, but what these did to the context they did once.
#[test]
fn a_command_that_is_given_again_changes_no_context() {
    let server = TestServer::start();
    let uri = load(&server, "one", &sandbox::Guest::named("context").component());
    deploy(&server, &uri, 1);
    let command = json!({"mgmt_action": "any", "mgmt_data": "s key first"});
    server.post("/function/management/f", &command).data();
    call(&server, &json!("s key second"));
    upgrade(&server, &uri, "").data();
    assert_eq!(call(&server, &json!("g key")), "second");
    let server = server.kill().start();
    assert_eq!(call(&server, &json!("g key")), "second");
}

#[test]
fn many_at_once_change_one_function_and_every_call_is_answered() {
    let server = TestServer::start();
    let uris = ["one", "two"].map(|name| load(&server, name, &counter(true)));
    deploy(&server, &uris[0], 2);
    thread::scope(|scope| {
        let server = &server;
        for _ in 0..2 {
            scope.spawn(move || (0..30).for_each(|_| assert!(call(server, &json!(1))["value"].is_i64())));
        }
        scope.spawn(move || (0..15).for_each(|_| set(server, "add", 1)));
        scope.spawn(move || (0..15).for_each(|_| set(server, "add", 1)));
        let uris = &uris;
        scope.spawn(move || (0..6).for_each(|n| drop(upgrade(server, &uris[n % 2], "").data())));
        scope.spawn(move || (0..3).for_each(|_| assert_eq!(ask(server, &json!("trap")).json()["code"], "trap")));
    });
    assert_eq!(values(&server), [30, 30]);
    let server = server.kill().start();
    assert_eq!(values(&server), [30, 30]);
    let _another = create(&server, &json!({"name": "g", "policy_rule_uri": uris[0]})).data();
}
