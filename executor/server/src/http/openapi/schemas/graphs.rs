//! Runs of graphs.

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    always_false, always_true,
    run::{OwnFailure, RunFailureCopy, Usage, Violation, outcome_codes},
};

/// An execution of a graph.
#[derive(ToSchema)]
pub(in crate::http) struct GraphRunBody {
    /// Which graph.
    #[schema(example = "ip_risk_analysis:1.0-stable")]
    graph_uri: String,
    /// What it is asked: any JSON value.
    #[schema(example = json!({"ip": "10.0.0.1"}))]
    input_data: Value,
}

/// What an execution of a graph can be asked beside what every run can.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct GraphRunOptions {
    /// Adds what each node did.
    #[param(nullable = false)]
    trace: Option<bool>,
}

/// What came of a graph.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum GraphRunAnswer {
    Success(GraphRunSuccess),
    Failure(GraphRunFailure),
}

/// The last node answered.
#[derive(ToSchema)]
pub(in crate::http) struct GraphRunSuccess {
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
    #[schema(nullable = false)]
    nodes: Option<Vec<GraphNode>>,
}

/// A node failed or was stopped, or the graph was.
#[derive(ToSchema)]
pub(in crate::http) struct GraphRunFailure {
    #[schema(schema_with = always_false)]
    success: bool,
    /// What kind of failure, for programs.
    #[schema(schema_with = outcome_codes)]
    code: String,
    /// What went wrong and where, for people.
    message: String,
    /// The function of the node that is to blame, if one is.
    #[schema(nullable = false)]
    node: Option<String>,
    /// Everything that did not match, if a schema refused it.
    #[schema(nullable = false)]
    violations: Option<Vec<Violation>>,
    data: RunFailureCopy,
    #[schema(nullable = false)]
    failure: Option<OwnFailure>,
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
    #[schema(nullable = false)]
    usage: Option<Usage>,
    #[schema(nullable = false)]
    nodes: Option<Vec<GraphNode>>,
}

/// What one node did.
#[derive(ToSchema)]
struct GraphNode {
    function_id: String,
    /// `ok`, a code, `cancelled` where it was stopped because of another node, `skipped` where it was never begun.
    #[schema(example = "ok")]
    outcome: String,
    /// What is said of that.
    #[schema(nullable = false)]
    message: Option<String>,
    /// What it answered.
    output: Option<Value>,
    /// When it began, in microseconds from the beginning of the execution.
    #[schema(nullable = false)]
    started_us: Option<u64>,
    /// How long it took, in microseconds.
    #[schema(nullable = false)]
    wall_us: Option<u64>,
}
