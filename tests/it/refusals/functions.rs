//! Bad input for the routes of functions.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{Body, RUNNING, Row, but, missing, row};

const CREATE: &str = "POST /function/deployments/create/executor-001";

pub(super) const TAKES_JSON: &[(&str, u16)] = &[
    (CREATE, RUNNING),
    ("POST /function/deployments/create/", RUNNING),
    ("POST /function/management/there", RUNNING),
    ("POST /function/there/upgrade", RUNNING),
];

/// What the rows stand on: a function of the policy that all rows stand on.
pub(super) fn set_up(server: &TestServer) {
    server.post(CREATE.trim_start_matches("POST "), &function("there")).data();
}

fn function(name: &str) -> Value {
    json!({"name": name, "policy_rule_uri": "there:1.0-test"})
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = deployments();
    rows.extend(autoscaling());
    rows.extend(calls());
    rows.extend(management());
    rows.extend(upgrades());
    rows.extend([
        missing("DELETE /function/deployments/remove/none", None, 404, "Function not found"),
        missing("GET /function/get_logs/none", None, 404, "Function not found"),
        logs("?tail=-1", "tail", "whole number"),
        logs("?tail=all", "tail", "whole number"),
        logs("?head=1", "head", "there is `tail`"),
    ]);
    rows
}

fn deployments() -> Vec<Row> {
    let create = |field: &'static str, value: Option<Value>, says: &'static str| {
        row(CREATE, but(&function("f"), field, value), RUNNING, field, says)
    };
    let other = json!({"name": "there", "policy_rule_uri": "there:1.0-test", "replicas": 2});
    let taken = Row {
        request: CREATE.into(),
        body: Body::Json(other),
        status: 409,
        code: "conflict",
        field: "",
        says: "another function `there`",
    };
    let mut unknown = function("f");
    unknown["policy_rule_uri"] = json!("no:1.0-such");
    let mut rows = vec![
        create("name", None, "name and policy_rule_uri are required: `name` is required"),
        create("policy_rule_uri", None, "name and policy_rule_uri are required: `policy_rule_uri` is required"),
        create("name", Some(json!("")), "empty"),
        create("name", Some(json!(5)), "string"),
        create("name", Some(json!("a/b")), "one segment of a path"),
        create("name", Some(json!("x".repeat(201))), "200 bytes"),
        create("policy_rule_uri", Some(json!(5)), "string"),
        create("policy_rule_parameters", Some(json!([])), "object or null"),
        create("replicas", Some(json!(0)), "1 to 100"),
        create("replicas", Some(json!(101)), "1 to 100"),
        create("replicas", Some(json!("two")), "1 to 100"),
        create("function_metadata", Some(json!("x")), "object"),
        create("function_tags", Some(json!("a,b")), "list of strings"),
        create("node_selector", Some(json!([])), "object"),
        missing(CREATE, Some(unknown), 404, "Policy not found"),
        missing("POST /function/deployments/create/none", Some(function("f")), 404, "Executor not found"),
        row("POST /function/deployments/create/", json!({}), RUNNING, "name", "name and policy_rule_uri are required"),
        row("POST /function/deployments/create/auto", json!({}), RUNNING, "name", "are required"),
        taken,
    ];
    rows.extend(options(CREATE, &function("f")));
    rows
}

fn autoscaling() -> Vec<Row> {
    let good = json!({"min_replicas": 1, "max_replicas": 5, "target_cpu_utilization_percentage": 50});
    let scale = |field: &str, value: Option<Value>, named: &'static str, says: &'static str| {
        row(CREATE, but(&function("f"), "autoscaling", Some(but(&good, field, value))), RUNNING, named, says)
    };
    let whole = but(&function("f"), "autoscaling", Some(json!("on")));
    vec![
        row(CREATE, whole, RUNNING, "autoscaling", "object"),
        scale("enabled", Some(json!(1)), "autoscaling.enabled", "true or false"),
        scale("min_replicas", None, "autoscaling.min_replicas", "is required"),
        scale("max_replicas", None, "autoscaling.max_replicas", "is required"),
        scale(
            "target_cpu_utilization_percentage",
            None,
            "autoscaling.target_cpu_utilization_percentage",
            "is required",
        ),
        scale("min_replicas", Some(json!(6)), "autoscaling.min_replicas", "from 1 to 5"),
        scale("max_replicas", Some(json!(101)), "autoscaling.max_replicas", "from 1 to 100"),
        scale(
            "target_cpu_utilization_percentage",
            Some(json!(0)),
            "autoscaling.target_cpu_utilization_percentage",
            "from 1 to 100",
        ),
        scale(
            "scale_down_stabilization_seconds",
            Some(json!(3601)),
            "autoscaling.scale_down_stabilization_seconds",
            "from 0 to 3600",
        ),
        scale("minimum", Some(json!(1)), "autoscaling.minimum", "is no field"),
    ]
}

fn calls() -> Vec<Row> {
    let mut rows = options("POST /function/call_function/there", &json!(1));
    rows.push(missing("POST /function/call_function/none", Some(json!(1)), 404, "Function not found"));
    rows
}

fn management() -> Vec<Row> {
    let request = "POST /function/management/there";
    let good = json!({"mgmt_action": "get"});
    let manage = |field: &'static str, value: Option<Value>, says: &'static str| {
        row(request, but(&good, field, value), RUNNING, field, says)
    };
    let mut rows = vec![
        manage("mgmt_action", None, "is required"),
        manage("mgmt_action", Some(json!("")), "empty"),
        manage("mgmt_action", Some(json!(5)), "string"),
        manage("action", Some(json!("get")), "is no field"),
        manage("replica", Some(json!(0)), "from 1 on"),
        manage("replica", Some(json!("one")), "from 1 on"),
        manage("replica", Some(json!(2)), "there are 1 to 1"),
        missing("POST /function/management/none", Some(good.clone()), 404, "Function not found"),
    ];
    rows.extend(options(request, &good));
    rows
}

fn upgrades() -> Vec<Row> {
    let request = "POST /function/there/upgrade";
    let mut rows = vec![
        row(request, json!({}), RUNNING, "policy_rule_uri", "is required"),
        row(request, json!({"policy_rule_uri": 5}), RUNNING, "policy_rule_uri", "string"),
        row(request, json!({"policy_rule_uri": "a:1-b", "force": true}), RUNNING, "force", "is no field"),
        missing(request, Some(json!({"policy_rule_uri": "no:1.0-such"})), 404, "Policy not found"),
        missing(
            "POST /function/none/upgrade",
            Some(json!({"policy_rule_uri": "there:1.0-test"})),
            404,
            "Function not found",
        ),
    ];
    rows.extend(options(request, &json!({"policy_rule_uri": "there:1.0-test"})));
    rows
}

fn options(request: &str, body: &Value) -> Vec<Row> {
    [
        ("timeout_ms=soon", "timeout_ms", "whole number of milliseconds"),
        ("usage=perhaps", "usage", "1 or 0"),
        ("dry_run=perhaps", "dry_run", "1 or 0"),
        ("trace=1", "trace", "is not an option of this route"),
    ]
    .into_iter()
    .map(|(query, field, says)| row(&format!("{request}?{query}"), body.clone(), RUNNING, field, says))
    .collect()
}

fn logs(query: &str, field: &'static str, says: &'static str) -> Row {
    let request = format!("GET /function/get_logs/there{query}");
    Row { request, body: Body::Nothing, status: 400, code: "invalid_input", field, says }
}
