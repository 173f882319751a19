//! The executor's own API.

use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema, openapi::schema::Object};

use super::{always_false, always_true, one_of, run::RunFailure};

fn kinds() -> Object {
    one_of(&["deployment", "job"])
}

/// A job that this executor is to run.
#[derive(ToSchema)]
pub(in crate::http) struct JobHereBody {
    /// What its author calls it.
    #[schema(min_length = 1, max_length = 200, example = "run-ip-check-job")]
    name: String,
    /// Which policy.
    #[schema(min_length = 1, example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
    /// Under which it is read; another one each time where it is left out.
    #[schema(min_length = 1, max_length = 200)]
    job_id: Option<String>,
    /// Instead of the stored parameters.
    policy_rule_parameters: Option<Map<String, Value>>,
    /// Which nodes it may run on. Kept, and not used here: one process is one node.
    node_selector: Option<Map<String, Value>>,
    /// What the policy is asked: any JSON value, `{}` where it is left out.
    #[schema(example = json!({"ip": "192.168.1.1"}))]
    inputs: Option<Value>,
}

/// What is to be estimated: with the mode `adhoc` the policy of this record, with any other mode a stored one.
#[derive(ToSchema)]
pub(in crate::http) struct EstimateBody {
    #[schema(example = "adhoc")]
    mode: String,
    /// A whole record, of which `resource_estimates` count.
    #[schema(nullable = false, example = json!({"name": "a", "resource_estimates": {"memory_mb": 64}}))]
    policy: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    policy_rule_uri: Option<String>,
    /// As what it would run; `deployment` where it is left out.
    #[schema(schema_with = kinds)]
    estimate_type: Option<String>,
}

/// Done.
#[derive(ToSchema)]
pub(in crate::http) struct Done {
    #[schema(schema_with = always_true)]
    success: bool,
    /// What was done.
    #[schema(example = "Deployment 'check-ip-fn' created successfully.")]
    message: String,
    /// Under which the record of a job is read.
    #[schema(nullable = false)]
    job_id: Option<String>,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// The same, as a system says it.
#[derive(ToSchema)]
pub(in crate::http) struct DoneThere {
    #[schema(schema_with = always_true)]
    success: bool,
    /// What was done.
    #[schema(example = "Job 'run-ip-check-job' created successfully.")]
    data: String,
    /// Under which the record of a job is read.
    #[schema(nullable = false)]
    job_id: Option<String>,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// What the estimator says.
#[derive(ToSchema)]
struct Estimated {
    allowed: bool,
    /// The node that it fits on; null where that has no name.
    #[schema(required = true, example = "executor-001")]
    node_id: Value,
    /// Why.
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// It fits.
#[derive(ToSchema)]
pub(in crate::http) struct Fits {
    #[schema(schema_with = always_true)]
    success: bool,
    data: Estimated,
}

/// It does not fit, so nothing was done.
#[derive(ToSchema)]
pub(in crate::http) struct FitsNot {
    #[schema(schema_with = always_false)]
    success: bool,
    #[schema(schema_with = busy)]
    code: String,
    /// What is lacking.
    message: String,
    /// The same, where clients of the original look for it.
    error: String,
    data: Estimated,
}

fn busy() -> Object {
    one_of(&["busy"])
}

/// Whether it fits.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum EstimateAnswer {
    Fits(Fits),
    FitsNot(FitsNot),
    /// The estimator failed or was stopped.
    Failed(Box<RunFailure>),
}

/// What came of it.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum DoneAnswer {
    Done(Done),
    /// The policy was not ready to stay: its constructor failed or was stopped.
    Failed(Box<RunFailure>),
}

/// What came of it, if it fits.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum DoneIfItFits {
    Done(Done),
    FitsNot(FitsNot),
    /// The estimator, or the policy's constructor, failed or was stopped.
    Failed(Box<RunFailure>),
}

/// What came of it, if it fits, as a system says it.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum DoneThereIfItFits {
    Done(DoneThere),
    FitsNot(FitsNot),
    /// The estimator, or the policy's constructor, failed or was stopped.
    Failed(Box<RunFailure>),
}

/// For whom a system's question is.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct ForExecutor {
    /// The executor that it is for; if that is not this one, 409.
    #[param(rename = "x-lictor-executor", nullable = false)]
    executor: Option<String>,
}
