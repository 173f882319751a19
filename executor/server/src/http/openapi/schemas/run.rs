//! Calls of policies and what comes of them.

use lictor_model::StopKind;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema, openapi::schema::Object};

use super::{always_false, always_true, one_of};

pub(super) fn outcome_codes() -> Object {
    let mut all = vec!["policy_error"];
    all.extend(StopKind::ALL.map(StopKind::code));
    one_of(&all)
}

/// A call of a policy.
#[derive(ToSchema)]
pub(in crate::http) struct RunBody {
    /// Which policy.
    #[schema(example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
    /// What it is asked: any JSON value.
    #[schema(example = json!({"ip": "10.0.0.1"}))]
    input_data: Value,
    /// Instead of the stored parameters.
    #[schema(example = json!({"local_allowlist": ["10.0.0.1"]}))]
    parameters: Option<Map<String, Value>>,
}

/// What every route that runs something can be asked.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RunOptions {
    /// Adds what the call used.
    #[param(nullable = false)]
    usage: Option<bool>,
    /// Nothing of the call lasts: its context stays as it was, and no request that may change something is sent.
    #[param(nullable = false)]
    dry_run: Option<bool>,
    /// A lower time-out than the policy's.
    #[param(nullable = false, minimum = 1)]
    timeout_ms: Option<u64>,
}

/// What came of a call.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum RunAnswer {
    Success(RunSuccess),
    Failure(RunFailure),
}

/// The policy answered.
#[derive(ToSchema)]
pub(in crate::http) struct RunSuccess {
    #[schema(schema_with = always_true)]
    success: bool,
    /// Its answer.
    #[schema(required = true)]
    data: Value,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
    #[schema(nullable = false)]
    usage: Option<Usage>,
}

/// The policy failed or was stopped.
#[derive(ToSchema)]
pub(in crate::http) struct RunFailure {
    #[schema(schema_with = always_false)]
    success: bool,
    /// What kind of failure, for programs.
    #[schema(schema_with = outcome_codes)]
    code: String,
    /// What went wrong, for people.
    message: String,
    /// Everything that did not match, if a schema refused it.
    #[schema(nullable = false)]
    violations: Option<Vec<Violation>>,
    data: RunFailureCopy,
    #[schema(nullable = false)]
    failure: Option<OwnFailure>,
    /// What the caller should know beside it.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
    #[schema(nullable = false)]
    usage: Option<Usage>,
}

/// The failure once more, for clients that read only `data`.
#[derive(ToSchema)]
pub(super) struct RunFailureCopy {
    #[schema(schema_with = always_false)]
    success: bool,
    #[schema(schema_with = outcome_codes)]
    code: String,
    message: String,
    #[schema(nullable = false)]
    violations: Option<Vec<Violation>>,
}

/// One thing that does not match a schema.
#[derive(ToSchema)]
pub(super) struct Violation {
    /// Where, as a dotted path.
    #[schema(example = "input_data.ip")]
    path: String,
    /// What is wrong there.
    #[schema(example = "must be a string, not a number")]
    message: String,
}

/// What the policy itself says of its failure.
#[derive(ToSchema)]
pub(super) struct OwnFailure {
    /// The policy's own code.
    code: String,
    details: Option<Value>,
}

/// What a call used.
#[derive(ToSchema)]
pub(super) struct Usage {
    /// From before the instance was made to the answer.
    wall_us: u64,
    /// Absent when the call was not metered.
    fuel: Option<u64>,
    /// The most linear memory at one time.
    peak_memory_bytes: u64,
    /// Calls from the policy to the host.
    host_calls: u64,
    /// Whether log lines were dropped or cut.
    log_truncated: bool,
}
