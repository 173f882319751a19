//! Calls of one policy with many inputs.

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Failure, RunFailure, RunSuccess, always_true};

/// Many calls of one policy.
#[derive(ToSchema)]
pub(in crate::http) struct BatchBody {
    /// Which policy.
    #[schema(example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
    /// What it is asked, each any JSON value.
    #[schema(max_items = 10_000, example = json!([{"ip": "10.0.0.1"}, {"ip": "8.8.8.8"}]))]
    inputs: Vec<Value>,
    /// Instead of the stored parameters, for all of them.
    parameters: Option<Map<String, Value>>,
}

/// What came of a batch.
#[derive(ToSchema)]
pub(in crate::http) struct BatchAnswer {
    #[schema(schema_with = always_true)]
    success: bool,
    /// What came of each input, in their order. Lines hold the same.
    data: Vec<BatchEnvelope>,
}

/// What came of one input.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum BatchEnvelope {
    Success(RunSuccess),
    Failure(RunFailure),
    Refusal(Failure),
}
