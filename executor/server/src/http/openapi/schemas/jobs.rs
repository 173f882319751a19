//! Jobs and what came of them.

use serde_json::{Map, Value};
use utoipa::{ToSchema, openapi::schema::Object};

use super::{always_true, one_of, run::Usage};

fn statuses() -> Object {
    one_of(&lictor_model::job::Status::ALL.map(lictor_model::job::Status::name))
}

/// A job as it is submitted.
#[derive(ToSchema)]
pub(in crate::http) struct JobBody {
    /// What its author calls it: at most 200 bytes.
    #[schema(min_length = 1, max_length = 200, example = "run-ip-check-job")]
    name: String,
    /// Which policy.
    #[schema(min_length = 1, example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
    /// Instead of the stored parameters.
    policy_rule_parameters: Option<Map<String, Value>>,
    /// Which nodes it may run on. Kept, and told to executors that have nodes.
    node_selector: Option<Map<String, Value>>,
    /// What the policy is asked: any JSON value, `{}` where it is left out.
    #[schema(example = json!({"ip": "192.168.1.1"}))]
    inputs: Option<Value>,
    /// How often it is tried again when the policy fails; 0 where it is left out. What is not the policy's fault is tried
    /// again four times at least.
    #[schema(minimum = 0, maximum = 10)]
    backoff_limit: Option<u64>,
    /// A lower time-out of each attempt than the policy's.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
    /// How long its record is kept after its end.
    #[schema(minimum = 0, maximum = 31_536_000)]
    ttl_seconds_after_finished: Option<u64>,
    /// How an executor is picked where none is named.
    alloc: Option<Value>,
}

/// One job, and what came of it.
#[derive(ToSchema)]
pub(in crate::http) struct JobRecord {
    job_id: String,
    /// The policy's answer, or `message` and `code` of what went wrong.
    #[schema(required = true)]
    job_output_data: Value,
    #[schema(schema_with = statuses)]
    job_status: String,
    node_id: String,
    job_policy_rule_uri: String,
    name: String,
    /// The same as `job_policy_rule_uri`.
    policy_rule_uri: String,
    #[schema(required = true)]
    inputs: Value,
    executor_id: String,
    /// Instead of the stored parameters; null stands for those.
    #[schema(required = true)]
    policy_rule_parameters: Option<Map<String, Value>>,
    node_selector: Map<String, Value>,
    backoff_limit: u64,
    #[schema(required = true)]
    timeout_ms: Option<u64>,
    ttl_seconds_after_finished: u64,
    /// How often it was begun.
    attempts: u64,
    /// The id of the token that it was submitted with; absent where none was needed.
    #[schema(required = false, nullable = false)]
    submitted_by: Option<String>,
    #[schema(required = true)]
    submitted_at: Option<String>,
    /// When its last attempt began.
    #[schema(required = true)]
    started_at: Option<String>,
    #[schema(required = true)]
    finished_at: Option<String>,
    /// When it is tried again.
    #[schema(required = true)]
    next_attempt_at: Option<String>,
    /// Why its last attempt failed.
    #[schema(required = true)]
    code: Option<String>,
    /// The same, for people.
    #[schema(required = true)]
    message: Option<String>,
    /// What its last attempt used.
    #[schema(required = true)]
    usage: Option<Usage>,
}

fn status() -> Object {
    one_of(&["status"])
}

/// One of the events of a job, as its lines say.
#[derive(ToSchema)]
pub(in crate::http) struct JobEvent {
    #[schema(schema_with = status)]
    event: String,
    /// The how manieth event of this answer it is.
    id: String,
    /// The record, as JSON text.
    data: String,
}

/// The job is stored and will run.
#[derive(ToSchema)]
pub(in crate::http) struct JobSubmitted {
    #[schema(schema_with = always_true)]
    success: bool,
    /// Under which its record is read.
    #[schema(example = "1a2b3c4d-5678-4012-8fab-1234567890ab")]
    job_id: String,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// What a dry run of a submission says: it would be stored.
#[derive(ToSchema)]
pub(in crate::http) struct JobTriedOut {
    #[schema(schema_with = always_true)]
    dry_run: bool,
    /// The executor that it is for.
    executor_id: String,
}

/// A dry run: it would be stored, or a schema does not let the inputs in.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum JobDryRun {
    Fits(#[schema(inline)] super::Success<JobTriedOut>),
    Refused(Box<super::run::RunFailure>),
}
