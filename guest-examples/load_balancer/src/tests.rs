use lictor_policy::testing::{Harness, run_fixtures};
use serde_json::{Value, json};

use super::LoadBalancer;

#[test]
fn answers_as_its_fixtures_say() {
    run_fixtures::<LoadBalancer>(include_str!("../expected.json"));
}

fn next(policy: &Harness<LoadBalancer>) -> Value {
    let answer = policy.eval(&json!({ "mode": "load_balance", "packet": {}, "instances": ["a", "b", "c"] })).unwrap();
    answer["instance_id"].clone()
}

#[test]
fn successor_continues_the_round() {
    let old = Harness::<LoadBalancer>::new(&json!({}), &json!({})).unwrap();
    assert_eq!(next(&old), "a");
    let new = Harness::<LoadBalancer>::new(&json!({}), &json!({})).unwrap();
    new.restore("load_balancer:0.9-old", &old.save().unwrap()).unwrap();
    assert_eq!(next(&new), "b");
}

#[test]
fn refuses_a_state_that_it_cannot_read() {
    let policy = Harness::<LoadBalancer>::new(&json!({}), &json!({})).unwrap();
    assert_eq!(policy.restore("load_balancer:0.9-old", b"[]").unwrap_err().code, "invalid_data");
    assert_eq!(next(&policy), "a");
}

#[test]
fn forgets_the_oldest_of_too_many_streams() {
    let policy = Harness::<LoadBalancer>::new(&json!({}), &json!({})).unwrap();
    for idx in 0..2000 {
        let wanted = json!({ "session_id": format!("s{idx}"), "instances": ["a", "b"] });
        policy.manage("assign_streaming", &wanted).unwrap();
    }
    let state = policy.manage("get_state", &json!({})).unwrap();
    assert_eq!(state["state"]["streams"].as_array().unwrap().len(), 1024);
}
