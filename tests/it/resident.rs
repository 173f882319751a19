//! Instances that stay: what they remember, hand over and take over, and what a dry run leaves alone.

use lictor_model::{Outcome, StopKind, address::AllowPrivate};
use lictor_sandbox::{Instance, Op, Run, Sandbox, SandboxConfig};
use lictor_tests::{
    Answer, CodeServer, counter, counter_version, guest_bytes,
    sandbox::{Cell, finished, sandbox, stopped},
};
use serde_json::json;

fn failed(run: &Run) -> &str {
    match &run.outcome {
        Outcome::Failed(failure) => &failure.code,
        other => panic!("not a failure: {other:?}"),
    }
}

async fn save(cell: &Cell, instance: &mut Instance) -> Vec<u8> {
    let run = cell.ask(instance, Op::Save).await.unwrap();
    assert_eq!(finished(&run), "null");
    run.state.expect("a state")
}

async fn restore(cell: &Cell, instance: &mut Instance, state: &[u8]) -> Run {
    cell.ask(instance, Op::Restore { from_policy_uri: "counter:1.0-test", state }).await.unwrap()
}

#[tokio::test]
async fn what_one_saves_another_continues_from() {
    let cell = Cell::of_component(&sandbox(4), &counter(true));
    assert!(cell.policy.module.is_stateful());
    let (mut old, mut new) = (cell.instance(), cell.instance());
    cell.eval_in(&mut old, "1").await;
    cell.manage_in(&mut old, "set", "7").await;
    let state = save(&cell, &mut old).await;
    assert_eq!(finished(&restore(&cell, &mut new, &state).await), "null");
    assert_eq!(finished(&cell.eval_in(&mut new, "1").await), r#"{"count":2,"value":7}"#);
    // The one that saved goes on as before.
    assert_eq!(finished(&cell.eval_in(&mut old, "1").await), r#"{"count":2,"value":7}"#);
}

#[tokio::test]
async fn a_state_that_is_not_taken_leaves_an_instance_as_it_was() {
    let sandbox = sandbox(4);
    let (cell, other) =
        (Cell::of_component(&sandbox, &counter(true)), Cell::of_component(&sandbox, &counter_version(true, 2)));
    let (mut old, mut new) = (cell.instance(), other.instance());
    cell.eval_in(&mut old, "1").await;
    let state = save(&cell, &mut old).await;
    other.eval_in(&mut new, "1").await;
    for wrong in [&state[..], &[], &[0; 1000]] {
        let run = restore(&other, &mut new, wrong).await;
        assert!(!failed(&run).is_empty());
        assert!(new.is_live());
    }
    assert_eq!(finished(&other.eval_in(&mut new, "1").await), r#"{"count":2,"value":0}"#);
}

#[tokio::test]
async fn a_policy_without_state_says_so() {
    let cell = Cell::of_component(&sandbox(4), &counter(false));
    assert!(!cell.policy.module.is_stateful());
    let mut instance = cell.instance();
    assert_eq!(failed(&cell.ask(&mut instance, Op::Save).await.unwrap()), "not_available");
    assert_eq!(failed(&restore(&cell, &mut instance, b"x").await), "not_available");
    assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), r#"{"count":1,"value":0}"#);
}

#[tokio::test]
async fn an_instance_that_trapped_remembers_nothing() {
    let cell = Cell::of_component(&sandbox(4), &counter(true));
    let mut instance = cell.instance();
    cell.eval_in(&mut instance, "1").await;
    stopped(&cell.eval_in(&mut instance, "\"trap\"").await, StopKind::Trap);
    assert!(!instance.is_live());
    assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), r#"{"count":1,"value":0}"#);
}

/// An example in Rust, whose state is made by the SDK.
#[tokio::test]
async fn the_sdk_saves_and_restores() {
    let cell = Cell::of_component(&sandbox(4), &guest_bytes("load_balancer"));
    let (mut old, mut new) = (cell.instance(), cell.instance());
    let assign = r#"{"session_id":"s","instances":["a","b"]}"#;
    let first = cell.manage_in(&mut old, "assign_streaming", assign).await;
    let state = save(&cell, &mut old).await;
    restore(&cell, &mut new, &state).await;
    let again = cell.manage_in(&mut new, "assign_streaming", assign).await;
    assert_eq!(finished(&again), finished(&first));
}

/// Far more calls than an instance may hold resources of the host.
#[tokio::test]
async fn requests_leave_nothing_behind_whether_they_are_sent_or_not() {
    let web = CodeServer::start();
    web.answer("/list", Answer::ok(r#"{"allowlist": ["10.0.0.1"]}"#));
    let config = SandboxConfig {
        max_instances: 2,
        allow_private: AllowPrivate::parse(&["127.0.0.1".to_owned()]).unwrap(),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config).unwrap();
    for (grant, reason) in [(json!({}), "denied"), (json!({"http": [web.origin()]}), "allowed")] {
        let mut cell = Cell::of_component(&sandbox, &guest_bytes("ip_allowlist")).grant(&grant);
        cell.policy.settings = json!({"allowlist_api": web.url("/list")}).to_string().into();
        let mut instance = cell.instance();
        for n in 0..600 {
            let run = cell.eval_in(&mut instance, r#"{"ip":"10.0.0.1"}"#).await;
            assert!(finished(&run).contains(reason), "call {n}: {run:?}");
        }
    }
}
