//! Bad input for the routes of jobs.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{RUNNING, Row, missing, row};

pub(super) const TAKES_JSON: &[(&str, u16)] =
    &[("POST /jobs/submit/executor-001", RUNNING), ("POST /jobs/submit/far", RUNNING), ("POST /jobs/submit/", RUNNING)];

/// What the rows stand on.
pub(super) fn set_up(_server: &TestServer) {}

pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = TAKES_JSON.iter().flat_map(|(path, _)| submissions(path)).collect();
    let good = json!({"name": "n", "policy_rule_uri": "there:1.0-test"});
    let unknown = json!({"name": "n", "policy_rule_uri": "no:1.0-such"});
    rows.push(missing("POST /jobs/submit/none", Some(good), 404, "Executor not found"));
    for path in ["executor-001", "far"] {
        for query in ["", "?dry_run=1"] {
            let request = format!("POST /jobs/submit/{path}{query}");
            rows.push(missing(&request, Some(unknown.clone()), 404, "Policy not found"));
        }
    }
    rows.push(missing("POST /jobs/none/cancel", None, 404, "Job with ID 'none' not found."));
    rows.push(missing("GET /jobs/none/events", None, 404, "Job with ID 'none' not found."));
    rows
}

fn submissions(request: &str) -> Vec<Row> {
    let with = |field: &str, value: Value| {
        let mut body = json!({"name": "n", "policy_rule_uri": "there:1.0-test"});
        body[field] = value;
        body
    };
    let wrong =
        |field: &'static str, value: Value, says: &'static str| row(request, with(field, value), RUNNING, field, says);
    let asked = |query: &str, field: &'static str, says: &'static str| {
        row(&format!("{request}{query}"), with("name", json!("n")), RUNNING, field, says)
    };
    vec![
        row(request, json!({}), RUNNING, "name", "Missing required parameters: 'name' or 'policy_rule_uri'"),
        row(request, json!({"name": "n"}), RUNNING, "policy_rule_uri", "Missing required parameters"),
        wrong("name", json!(null), "Missing required parameters"),
        wrong("name", json!(5), "string"),
        wrong("name", json!(""), "empty"),
        wrong("name", json!("x".repeat(201)), "200 bytes"),
        wrong("policy_rule_uri", json!({}), "string"),
        wrong("policy_rule_parameters", json!([]), "object or null"),
        wrong("node_selector", json!("zone"), "object or null"),
        wrong("backoff_limit", json!(11), "from 0 to 10"),
        wrong("backoff_limit", json!("1"), "from 0 to 10"),
        wrong("timeout_ms", json!(0), "at least 1"),
        wrong("ttl_seconds_after_finished", json!(-1), "from 0 to 31536000"),
        asked("?timeout_ms=0", "timeout_ms", "at least 1"),
        asked("?dry_run=perhaps", "dry_run", "1 or 0"),
        asked("?usage=perhaps", "usage", "1 or 0"),
        asked("?trace=1", "trace", "not an option"),
    ]
}
