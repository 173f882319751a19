//! The policy that the tests of functions stand on does what its text says.

use lictor_model::{Outcome, StopKind};
use lictor_sandbox::Op;
use lictor_tests::{
    counter, counter_version,
    sandbox::{Cell, finished, limits, sandbox, stopped},
};
use serde_json::json;

#[tokio::test]
async fn counts_and_is_managed() {
    let cell = Cell::of_component(&sandbox(2), &counter(false));
    let mut instance = cell.instance();
    for n in 1..=3 {
        let run = cell.eval_in(&mut instance, "{\"ip\":\"10.0.0.1\"}").await;
        assert_eq!(finished(&run), format!(r#"{{"count":{n},"value":0}}"#));
    }
    for (action, data, answer) in
        [("set", "-42", r#"{"value":-42}"#), ("add", "50", r#"{"value":8}"#), ("get", "{}", r#"{"count":3,"value":8}"#)]
    {
        assert_eq!(finished(&cell.manage_in(&mut instance, action, data).await), answer, "{action}");
    }
    assert_eq!(finished(&cell.eval_in(&mut instance, "\"work\"").await), r#"{"count":4,"value":8}"#);
    for (action, data, code) in [("set", "{}", "bad_data"), ("add", "1x", "bad_data"), ("reset", "1", "unknown_action")]
    {
        let outcome = cell.manage_in(&mut instance, action, data).await.outcome;
        assert!(matches!(&outcome, Outcome::Failed(failure) if failure.code == code), "{action}: {outcome:?}");
    }
    assert!(matches!(cell.eval_in(&mut instance, "\"fail\"").await.outcome, Outcome::Failed(_)));
    assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), r#"{"count":5,"value":8}"#);
    stopped(&cell.eval_in(&mut instance, "\"trap\"").await, StopKind::Trap);
    assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), r#"{"count":1,"value":0}"#);
    stopped(&cell.manage_in(&mut instance, "trap", "1").await, StopKind::Trap);
    let cell = Cell { limits: limits(&json!({"timeout_ms": 20})), ..cell };
    stopped(&cell.eval_in(&mut instance, "\"spin\"").await, StopKind::Timeout);
    stopped(&cell.manage_in(&mut instance, "spin", "1").await, StopKind::Timeout);
}

#[tokio::test]
async fn hands_its_state_to_its_own_version_only() {
    let sandbox = sandbox(3);
    let cell = Cell::of_component(&sandbox, &counter(true));
    assert!(cell.policy.module.is_stateful());
    assert!(!Cell::of_component(&sandbox, &counter(false)).policy.module.is_stateful());
    let mut instance = cell.instance();
    cell.eval_in(&mut instance, "1").await;
    cell.manage_in(&mut instance, "set", "7").await;
    let state = cell.ask(&mut instance, Op::Save).await.unwrap().state.unwrap();
    let restore = Op::Restore { from_policy_uri: "guest:1.0-test", state: &state };
    let mut next = cell.instance();
    finished(&cell.ask(&mut next, restore).await.unwrap());
    assert_eq!(finished(&cell.eval_in(&mut next, "1").await), r#"{"count":2,"value":7}"#);
    let other = Cell::of_component(&sandbox, &counter_version(true, 2));
    let outcome = other.ask(&mut other.instance(), restore).await.unwrap().outcome;
    assert!(matches!(&outcome, Outcome::Failed(failure) if failure.code == "other_version"), "{outcome:?}");
    // It lasts: what the host hands in does not pile up.
    for _ in 0..20_000 {
        finished(&cell.eval_in(&mut next, "\"0123456789012345678901234567890123456789\"").await);
    }
}
