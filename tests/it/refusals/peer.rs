//! Bad input for the executor's own API, and for what is done only if it fits.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{RUNNING, Row, but, missing, row};

pub(super) const TAKES_JSON: &[(&str, u16)] = &[
    ("POST /deployments", RUNNING),
    ("POST /deployments/deploy-with-estimate", RUNNING),
    ("POST /create_job", RUNNING),
    ("POST /create_job_with_estimate", RUNNING),
    ("POST /estimator/estimate", RUNNING),
    ("POST /function/deployments/create-with-estimate/executor-001", RUNNING),
    ("POST /jobs/submit-with-estimate/executor-001", RUNNING),
];

/// What the rows stand on.
pub(super) fn set_up(_server: &TestServer) {}

fn deployment() -> Value {
    json!({"name": "fn", "policy_rule_uri": "there:1.0-test"})
}

fn job() -> Value {
    json!({"name": "a job", "job_id": "j", "policy_rule_uri": "there:1.0-test"})
}

fn estimate() -> Value {
    json!({"mode": "stored", "policy_rule_uri": "there:1.0-test"})
}

pub(super) fn rows() -> Vec<Row> {
    [deployments(), jobs(), estimates()].into_iter().flatten().collect()
}

fn deployments() -> Vec<Row> {
    let mut rows = Vec::new();
    for request in [
        "POST /deployments",
        "POST /deployments/deploy-with-estimate",
        "POST /function/deployments/create-with-estimate/executor-001",
    ] {
        rows.extend([
            row(request, but(&deployment(), "name", None), 400, "name", "required"),
            row(request, but(&deployment(), "name", Some(json!("a/b"))), 400, "name", ""),
            row(request, but(&deployment(), "policy_rule_uri", None), 400, "policy_rule_uri", "required"),
            row(request, but(&deployment(), "policy_rule_uri", Some(json!(5))), 400, "policy_rule_uri", "string"),
            row(
                request,
                but(&deployment(), "policy_rule_parameters", Some(json!([]))),
                400,
                "policy_rule_parameters",
                "",
            ),
            row(request, but(&deployment(), "replicas", Some(json!(0))), 400, "replicas", ""),
            row(request, but(&deployment(), "autoscaling", Some(json!(true))), 400, "autoscaling", "object"),
            row(request, but(&deployment(), "node_selector", Some(json!("n"))), 400, "node_selector", "object"),
            missing(request, Some(but(&deployment(), "policy_rule_uri", Some(json!("no-such:1.0-x")))), 404, "olicy"),
            row(&format!("{request}?colour=red"), deployment(), 400, "colour", "option"),
        ]);
    }
    rows.extend([
        missing("DELETE /deployments/none", None, 404, ""),
        missing("POST /call_function/none", Some(json!([1])), 404, ""),
        row("POST /call_function/none?timeout_ms=0", json!(1), 400, "timeout_ms", "milliseconds"),
        missing("GET /get_function_logs/none", None, 404, ""),
        Row { body: super::Body::Nothing, ..row("GET /get_function_logs/none?tail=x", json!(1), 400, "tail", "whole") },
        missing("POST /function/deployments/create-with-estimate/none", Some(deployment()), 404, "Executor not found"),
    ]);
    rows
}

fn jobs() -> Vec<Row> {
    let mut rows = Vec::new();
    for request in
        ["POST /create_job", "POST /create_job_with_estimate", "POST /jobs/submit-with-estimate/executor-001"]
    {
        rows.extend([
            row(request, but(&job(), "name", None), 400, "name", "required"),
            row(request, but(&job(), "policy_rule_uri", None), 400, "policy_rule_uri", "required"),
            row(request, but(&job(), "job_id", Some(json!(5))), 400, "job_id", "string"),
            row(request, but(&job(), "job_id", Some(json!("a/b"))), 400, "job_id", "slash"),
            row(
                request,
                but(&job(), "policy_rule_parameters", Some(json!(5))),
                400,
                "policy_rule_parameters",
                "object",
            ),
            row(request, but(&job(), "node_selector", Some(json!([]))), 400, "node_selector", "object"),
            missing(request, Some(but(&job(), "policy_rule_uri", Some(json!("no-such:1.0-x")))), 404, "olicy"),
        ]);
    }
    rows.push(missing("POST /jobs/submit-with-estimate/none", Some(job()), 404, "Executor not found"));
    rows
}

fn estimates() -> Vec<Row> {
    let request = "POST /estimator/estimate";
    vec![
        row(request, but(&estimate(), "mode", None), 400, "mode", "required"),
        row(request, but(&estimate(), "mode", Some(json!(1))), 400, "mode", "string"),
        row(request, json!({"mode": "adhoc"}), 400, "policy", "required"),
        row(request, json!({"mode": "adhoc", "policy": "there:1.0-test"}), 400, "policy", "object"),
        row(request, json!({"mode": "stored"}), 400, "policy_rule_uri", "required"),
        row(request, but(&estimate(), "policy_rule_uri", Some(json!([]))), 400, "policy_rule_uri", "string"),
        row(request, but(&estimate(), "estimate_type", Some(json!("dream"))), 400, "estimate_type", "deployment"),
        missing(request, Some(but(&estimate(), "policy_rule_uri", Some(json!("no-such:1.0-x")))), 404, "olicy"),
    ]
}
