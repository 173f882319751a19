//! Bad input for the routes of batch.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{RUNNING, Row, but, missing, row};

pub(super) const TAKES_JSON: &[(&str, u16)] = &[
    ("POST /executor/executor-001/execute_policy/batch", RUNNING),
    ("POST /executor/far/execute_policy/batch", RUNNING),
];

/// What the rows stand on: the policy that is there for all.
pub(super) fn set_up(_server: &TestServer) {}

pub(super) fn rows() -> Vec<Row> {
    let good = json!({"policy_rule_uri": "there:1.0-test", "inputs": [1]});
    let mut rows = Vec::new();
    for path in ["/executor/executor-001/execute_policy/batch", "/executor/far/execute_policy/batch"] {
        let post = |query: &str, body: Value, field: &'static str, says: &'static str| {
            row(&format!("POST {path}{query}"), body, RUNNING, field, says)
        };
        rows.extend([
            post("", but(&good, "policy_rule_uri", None), "policy_rule_uri", "is required"),
            post("", but(&good, "policy_rule_uri", Some(json!(null))), "policy_rule_uri", "string"),
            post("", but(&good, "inputs", None), "inputs", "is required"),
            post("", but(&good, "inputs", Some(json!(null))), "inputs", "list"),
            post("", but(&good, "inputs", Some(json!({"a": 1}))), "inputs", "list"),
            post("", but(&good, "inputs", Some(json!(vec![0; 10_001]))), "inputs", "at most 10000"),
            post("", but(&good, "parameters", Some(json!([]))), "parameters", "object"),
            post("?usage=perhaps", good.clone(), "usage", "1 or 0"),
            post("?dry_run=perhaps", good.clone(), "dry_run", "1 or 0"),
            post("?timeout_ms=0", good.clone(), "timeout_ms", "whole number of milliseconds"),
            post("?trace=1", good.clone(), "trace", "not an option"),
        ]);
    }
    let unknown = but(&good, "policy_rule_uri", Some(json!("no:1.0-such")));
    rows.push(missing("POST /executor/executor-001/execute_policy/batch", Some(unknown), 404, "Policy not found"));
    rows.push(missing("POST /executor/none/execute_policy/batch", Some(good), 404, "Executor not found"));
    rows
}
