//! Rows for the routes that run something, or set up what runs it.

use serde_json::{Value, json};

use super::{REGISTRY, RUNNING, Row, missing, row};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["/executor/executor-001/execute_policy", "/executor/far/execute_policy", "/execute_policy"] {
        rows.extend(calls(path));
    }
    rows.push(missing(
        "POST /executor/none/execute_policy",
        Some(json!({"policy_rule_uri": "there:1.0-test", "input_data": 1})),
        404,
        "Executor not found",
    ));
    for path in ["/executor/executor-001/execute_policy", "/execute_policy"] {
        let unknown = json!({"policy_rule_uri": "no:1.0-such", "input_data": 1});
        rows.push(missing(&format!("POST {path}"), Some(unknown), 404, "Policy not found"));
    }
    rows.extend(infrastructure("POST", "create-infra"));
    rows.extend(infrastructure("DELETE", "remove-infra"));
    rows.extend(heartbeats());
    rows
}

/// A call that never reaches a policy.
fn calls(path: &str) -> Vec<Row> {
    let good = json!({"policy_rule_uri": "there:1.0-test", "input_data": 1});
    let post = |query: &str, body: Value, field: &'static str, says: &'static str| {
        row(&format!("POST {path}{query}"), body, RUNNING, field, says)
    };
    vec![
        post("", json!({}), "policy_rule_uri", "is required"),
        post("", json!({"policy_rule_uri": "there:1.0-test"}), "input_data", "is required"),
        post("", json!({"input_data": 1}), "policy_rule_uri", "is required"),
        post("", json!({"policy_rule_uri": 5, "input_data": 1}), "policy_rule_uri", "string"),
        post(
            "",
            json!({"policy_rule_uri": "there:1.0-test", "input_data": 1, "parameters": 5}),
            "parameters",
            "object",
        ),
        post("?timeout_ms=soon", good.clone(), "timeout_ms", "whole number of milliseconds"),
        post("?usage=perhaps", good.clone(), "usage", "1 or 0"),
        post("?dry_run=perhaps", good, "dry_run", "1 or 0"),
    ]
}

fn infrastructure(method: &str, path: &str) -> Vec<Row> {
    let request = format!("{method} /executor/far/{path}");
    let user = |user: Value| json!({"cluster_config": {"users": [{"name": "u", "user": user}]}});
    vec![
        row(&request, json!({}), RUNNING, "cluster_config", "is required"),
        row(&request, json!({"cluster_config": "text"}), RUNNING, "cluster_config", "object"),
        row(&request, user(json!({"exec": {"command": "sh"}})), RUNNING, "cluster_config.users.0.user.exec", "exec"),
        row(
            &request,
            user(json!({"auth-provider": {"name": "gcp"}})),
            RUNNING,
            "cluster_config.users.0.user.auth-provider",
            "auth-provider",
        ),
        missing(
            &format!("{method} /executor/none/{path}"),
            Some(json!({"cluster_config": {}})),
            404,
            "Executor not found",
        ),
    ]
}

fn heartbeats() -> Vec<Row> {
    vec![
        row("POST /executor/far/heartbeat", json!({}), REGISTRY, "executor_status", "is required"),
        row("POST /executor/far/heartbeat", json!({"executor_status": 5}), REGISTRY, "executor_status", ""),
        row("POST /executor/far/heartbeat", json!({"executor_status": "fine"}), REGISTRY, "executor_status", "healthy"),
        missing(
            "POST /executor/none/heartbeat",
            Some(json!({"executor_status": "busy"})),
            REGISTRY,
            "Executor not found",
        ),
    ]
}
