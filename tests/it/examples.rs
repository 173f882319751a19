//! The examples in the sandbox: their fixtures, and what their records promise.

use std::{collections::BTreeMap, fs};

use lictor_tests::{Command, TestServer, guest_record, guest_zip, repository};
use serde_json::{Value, json};

use crate::tidy::example_folders;

fn fixtures_of(name: &str) -> std::path::PathBuf {
    repository().join("guest-examples").join(name).join("expected.json")
}

#[test]
fn the_fixtures_of_every_example_hold_in_the_sandbox() {
    for name in example_folders() {
        let cases: Value = serde_json::from_str(&fs::read_to_string(fixtures_of(&name)).unwrap()).unwrap();
        let cases = cases.as_array().map_or(0, Vec::len);
        let output = Command::new(["test"]).arg(guest_zip(&name)).arg("--fixtures").arg(fixtures_of(&name)).run();
        let output = output.exits(0);
        assert!(0 < cases && output.stdout.contains(&format!("{cases} passed, 0 failed")), "{name}: {}", output.stdout);
    }
}

#[test]
fn a_fixture_that_does_not_hold_is_shown_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = folder.path().join("expected.json");
    let cases = json!([
        {"name": "holds", "input": {}, "expect": {"allowed": false, "input_data": {}, "reason": "IP missing in input_data"}},
        {"name": "does not hold", "input": {}, "expect": {"allowed": true}},
        {"name": "fails", "input": 5, "expect_failure": {"code": "invalid_input"}},
        {"name": "fails in another way", "input": 5, "expect_failure": {"code": "other"}},
    ]);
    fs::write(&fixtures, cases.to_string()).unwrap();
    let output = Command::new(["test"]).arg(guest_zip("ip_allowlist")).arg("--fixtures").arg(&fixtures).run().exits(1);
    assert!(output.stdout.contains("2 passed, 2 failed"), "{}", output.stdout);
    for shown in ["FAIL  does not hold", "FAIL  fails in another way", "ok    holds"] {
        assert!(output.stdout.contains(shown), "{shown}: {}", output.stdout);
    }
    let one = Command::new(["test"]).arg(guest_zip("ip_allowlist")).arg("--fixtures").arg(&fixtures);
    assert!(one.arg("--filter").arg("holds").run().exits(0).stdout.contains("1 passed, 0 failed"));
}

/// Steps of fixtures that need nothing but one call give the same answer over HTTP.
#[test]
fn what_the_fixtures_say_is_what_a_server_answers() {
    let server = TestServer::start();
    let mut asked = BTreeMap::new();
    for name in example_folders() {
        let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(fixtures_of(&name)).unwrap()).unwrap();
        let alone = |case: &&Value| {
            case["input"] != Value::Null && ["http", "context", "steps"].iter().all(|key| case.get(*key).is_none())
        };
        for (n, case) in cases.iter().filter(alone).enumerate() {
            let mut record = guest_record(&name);
            record["name"] = json!(format!("{name}{n}"));
            record["policy_settings"] = case.get("settings").cloned().unwrap_or(json!({}));
            record["policy_parameters"] = case.get("parameters").cloned().unwrap_or(json!({}));
            let uri = server.load(&record);
            let mut body = json!({"policy_rule_uri": uri, "input_data": case["input"]});
            if let Some(parameters) = case.get("call_parameters") {
                body["parameters"] = parameters.clone();
            }
            let reply = server.execute_as("", &body).json();
            match case.get("expect") {
                Some(expected) => assert_eq!(&reply["data"], expected, "{name}: {}", case["name"]),
                None => {
                    assert_eq!(reply["failure"]["code"], case["expect_failure"]["code"], "{name}: {}", case["name"])
                }
            }
            *asked.entry(name.clone()).or_insert(0) += 1;
        }
    }
    assert!(5 < asked.values().sum::<i32>(), "{asked:?}");
}
