use lictor_policy::testing::{Harness, World, run_fixtures};
use serde_json::json;

use super::IpAllowlist;

#[test]
fn answers_as_its_fixtures_say() {
    run_fixtures::<IpAllowlist>(include_str!("../expected.json"));
}

#[test]
fn echoes_the_input_to_the_byte() {
    let policy = Harness::<IpAllowlist>::new(&json!({}), &json!({"local_allowlist": ["127.0.0.1"]})).unwrap();
    let output = policy.eval_text(None, r#" {"z" : 1.00,"ip":"127.0.0.1", "a":"\u00e9"} "#).unwrap();
    let echoed = r#"{"z" : 1.00,"ip":"127.0.0.1", "a":"\u00e9"}"#;
    assert_eq!(output, format!(r#"{{"allowed":true,"input_data":{echoed},"reason":"allowed"}}"#));
}

#[test]
fn never_calls_the_host_without_an_api() {
    let world = World::new();
    let policy = Harness::<IpAllowlist>::new(&json!({}), &json!({"local_allowlist": []})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.1"})).unwrap();
    policy.manage("fetch_remote_allowlist", &json!({})).unwrap();
    policy.manage("get_state", &json!({})).unwrap();
    assert_eq!(world.n_host_calls(), 0);
}

#[test]
fn fetches_again_only_while_it_remembers_nothing() {
    let api = "https://example.com/api/allowlist";
    let settings = json!({ "allowlist_api": api });
    let world = World::new().route(api, 200, &json!({"allowlist": ["10.0.0.1"]}));
    let policy = Harness::<IpAllowlist>::new(&settings, &json!({})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.1"})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.2"})).unwrap();
    assert_eq!(world.requests().len(), 1);

    let world = World::new().route(api, 200, &json!({"allowlist": []}));
    let policy = Harness::<IpAllowlist>::new(&settings, &json!({})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.1"})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.1"})).unwrap();
    assert_eq!(world.requests().len(), 2);
}

#[test]
fn logs_why_it_could_not_fetch() {
    let world = World::new();
    let settings = json!({ "allowlist_api": "https://example.com/api/allowlist" });
    let policy = Harness::<IpAllowlist>::new(&settings, &json!({})).unwrap();
    policy.eval(&json!({"ip": "10.0.0.1"})).unwrap();
    assert_eq!(
        world.logs()[0].message,
        "Failed to fetch remote allowlist: HTTP-request-denied: https://example.com/api/allowlist"
    );
}
