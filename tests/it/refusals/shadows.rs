//! Bad input for the routes of shadows.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{Body, REGISTRY, Row, row};

pub(super) const TAKES_JSON: &[(&str, u16)] = &[("PUT /policy/there:1.0-test/shadow", REGISTRY)];

/// What the rows stand on.
pub(super) fn set_up(_server: &TestServer) {}

pub(super) fn rows() -> Vec<Row> {
    let put = "PUT /policy/there:1.0-test/shadow";
    let wrong = |body: Value, field: &'static str, says: &'static str| row(put, body, REGISTRY, field, says);
    let not_there = |request: &str, body: Option<Value>, field: &'static str, says: &'static str| Row {
        request: request.into(),
        body: body.map_or(Body::Nothing, Body::Json),
        status: REGISTRY,
        code: "not_found",
        field,
        says,
    };
    vec![
        wrong(json!({}), "candidate", "is required"),
        wrong(json!({"candidate": 5}), "candidate", "string"),
        wrong(json!({"candidate": "no uri"}), "candidate", "name:version-tag"),
        wrong(json!({"candidate": "there:1.0-test"}), "candidate", "another policy"),
        wrong(json!({"policy_rule_uri": "other:1.0-test"}), "policy_rule_uri", "`candidate`"),
        wrong(json!({"candidate": "other:1.0-test", "sample_percent": 0}), "sample_percent", "1 to 100"),
        wrong(json!({"candidate": "other:1.0-test", "sample_percent": 101}), "sample_percent", "1 to 100"),
        wrong(json!({"candidate": "other:1.0-test", "sample_percent": "50"}), "sample_percent", "whole number"),
        not_there(put, Some(json!({"candidate": "other:1.0-test"})), "candidate", "other:1.0-test"),
        not_there(
            "PUT /policy/none:1.0-test/shadow",
            Some(json!({"candidate": "there:1.0-test"})),
            "policy_rule_uri",
            "Policy not found.",
        ),
        not_there("GET /policy/none:1.0-test/shadow", None, "policy_rule_uri", "Policy not found."),
        not_there("GET /policy/there:1.0-test/shadow", None, "", "no candidate"),
        not_there("DELETE /policy/none:1.0-test/shadow", None, "policy_rule_uri", "Policy not found."),
        not_there("DELETE /policy/there:1.0-test/shadow", None, "", "no candidate"),
    ]
}
