//! Functions: as they are deployed, read, managed and upgraded.

use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema, openapi::schema::Object};

use super::{
    always_true, one_of,
    run::{RunAnswer, RunFailure},
};

fn phases() -> Object {
    one_of(&["starting", "ready", "failed", "elsewhere"])
}

fn replica_states() -> Object {
    one_of(&["ready", "busy", "starting"])
}

/// A policy that is to stay.
#[derive(ToSchema)]
pub(in crate::http) struct DeployBody {
    /// The name that it is called by: one segment of a path.
    #[schema(min_length = 1, max_length = 200, example = "check-ip-fn")]
    name: String,
    /// Which policy.
    #[schema(min_length = 1, example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
    /// Instead of the stored parameters.
    policy_rule_parameters: Option<Map<String, Value>>,
    /// How many replicas there are at first; 1 where it is left out.
    #[schema(minimum = 1, maximum = 100)]
    replicas: Option<u32>,
    /// How that number changes by itself.
    autoscaling: Option<AutoscalingBody>,
    function_metadata: Option<Map<String, Value>>,
    /// What it is found by.
    function_tags: Option<Vec<String>>,
    /// Which nodes it may run on. Kept, and told to executors that have nodes.
    node_selector: Option<Map<String, Value>>,
    /// How an executor is picked where none is named.
    alloc: Option<Value>,
}

/// The bounds of the number of replicas, and how busy they are meant to be. All but the last are needed, unless it is off.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct AutoscalingBody {
    /// On where it is left out.
    #[schema(nullable = false)]
    enabled: Option<bool>,
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    min_replicas: Option<u32>,
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    max_replicas: Option<u32>,
    /// The part of their time that replicas are to be busy.
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    target_cpu_utilization_percentage: Option<u32>,
    /// How long fewer replicas must have been enough before there are fewer; 30 where it is left out.
    #[schema(nullable = false, minimum = 0, maximum = 3600)]
    scale_down_stabilization_seconds: Option<u32>,
}

/// What a deployment answers: the policy's record as it was taken, or what came of initialising it.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum DeployAnswer {
    Done(DeployDone),
    Refused(Box<RunFailure>),
}

/// The function is there.
#[derive(ToSchema)]
pub(in crate::http) struct DeployDone {
    #[schema(schema_with = always_true)]
    success: bool,
    /// The policy's record.
    data: Map<String, Value>,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// A policy that is deployed to stay.
#[derive(ToSchema)]
pub(in crate::http) struct FunctionRecord {
    /// The name that it is deployed under.
    function_id: String,
    function_executor_id: String,
    function_executor_uri: String,
    function_metadata: Map<String, Value>,
    function_tags: Vec<String>,
    function_policy_rule_uri: String,
    /// The policy as it was when it was deployed.
    function_policy_data: Map<String, Value>,
    /// Instead of the policy's own parameters; null stands for those.
    #[schema(nullable = false)]
    function_policy_rule_parameters: Option<Value>,
    /// How many replicas there are to be now.
    #[schema(nullable = false)]
    replicas: Option<u32>,
    /// How that number changes by itself; null if it does not.
    #[schema(nullable = false)]
    autoscaling: Option<Value>,
    #[schema(nullable = false)]
    node_selector: Option<Map<String, Value>>,
    function_status: FunctionStatus,
}

/// How a function stands. Computed when it is read.
#[derive(ToSchema)]
struct FunctionStatus {
    #[schema(schema_with = phases)]
    phase: String,
    replicas: Vec<ReplicaStatus>,
    /// Replicas that are up.
    ready_replicas: u64,
    /// How busy they were in the last half second; calls that wait for one count too.
    utilization_percent: u64,
    /// What a replica that comes later begins with: `saved_state` or `management_commands`; null if that is not known.
    state_from: Option<String>,
    /// What is wrong.
    #[schema(nullable = false)]
    message: Option<String>,
}

/// How one replica stands.
#[derive(ToSchema)]
struct ReplicaStatus {
    /// Its number.
    replica: u32,
    #[schema(schema_with = replica_states)]
    state: String,
    /// Calls that it was given.
    calls: u64,
    /// How often another one took its place.
    restarts: u64,
}

/// A management command.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ManageBody {
    /// Which.
    #[schema(min_length = 1, max_length = 1024, example = "revoke")]
    mgmt_action: String,
    /// What it brings: any JSON value, `{}` where it is left out.
    mgmt_data: Option<Value>,
    /// The one replica that it is for, if not for all.
    #[schema(minimum = 1)]
    replica: Option<u32>,
}

/// What came of a command: of the first replica, and of each.
#[derive(ToSchema)]
pub(in crate::http) struct ManageAnswer {
    #[serde(flatten)]
    first: RunAnswer,
    /// What came of it at each; empty in a dry run.
    replicas: Vec<ReplicaResult>,
}

/// What came of a command at one replica.
#[derive(ToSchema)]
struct ReplicaResult {
    replica: u32,
    success: bool,
    /// What it answered.
    #[schema(nullable = false)]
    data: Option<Value>,
    /// What kind of failure, for programs.
    #[schema(nullable = false)]
    code: Option<String>,
    /// What went wrong, for people.
    #[schema(nullable = false)]
    message: Option<String>,
    /// Whether another replica, which has the command, took its place; only if that was needed.
    #[schema(nullable = false)]
    rebuilt: Option<bool>,
}

/// The version of its policy that a function is to run.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UpgradeBody {
    #[schema(min_length = 1, example = "ip_allowlist:1.1-beta")]
    policy_rule_uri: String,
}

/// What it runs now.
#[derive(ToSchema)]
pub(in crate::http) struct Upgraded {
    policy_rule_uri: String,
    replicas: u32,
    /// What the new replicas began with: `saved_state` or `management_commands`.
    state_from: String,
}

/// What a function said lately.
#[derive(ToSchema)]
pub(in crate::http) struct FunctionLogs {
    #[schema(schema_with = always_true)]
    success: bool,
    /// Lines with time, level and replica. The first says so if earlier ones were dropped.
    logs: String,
}

/// `…/{name}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct FunctionName {
    /// The name that it is deployed under.
    #[param(example = "check-ip-fn")]
    name: String,
}

/// How much of a log is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LogOptions {
    /// Only so many of the last lines.
    #[param(nullable = false, minimum = 0)]
    tail: Option<u64>,
}
