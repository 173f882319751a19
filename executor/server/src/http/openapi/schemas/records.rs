//! Graphs, functions and jobs, as they are posted and as they are read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policy::Tags;

/// A graph as it is posted. Fields that are not known are kept.
#[derive(ToSchema)]
pub(in crate::http) struct GraphBody {
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "ip_risk_analysis")]
    graph_name: String,
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "1.0")]
    graph_version: String,
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "stable")]
    graph_release_tag: String,
    #[schema(required = true)]
    graph_metadata: Value,
    /// The functions that are its nodes.
    graph_function_ids: Vec<String>,
    /// Each function with those that its output goes to.
    #[schema(example = json!({"funcA": ["funcB", "funcC"], "funcB": ["funcD"], "funcC": ["funcD"]}))]
    graph_connection_data: BTreeMap<String, Vec<String>>,
    graph_search_tags: Tags,
    graph_description: String,
    graph_input_schema: Map<String, Value>,
    graph_output_schema: Map<String, Value>,
}

/// A graph as it is read.
#[derive(ToSchema)]
pub(in crate::http) struct GraphRecord {
    #[serde(flatten)]
    posted: GraphBody,
    #[schema(example = "ip_risk_analysis:1.0-stable")]
    graph_uri: String,
}

/// Which graph.
#[derive(ToSchema)]
pub(in crate::http) struct GraphAnswer {
    #[schema(example = "ip_risk_analysis:1.0-stable")]
    graph_uri: String,
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
}

/// One run of a policy in the background, and what came of it.
#[derive(ToSchema)]
pub(in crate::http) struct JobRecord {
    job_id: String,
    #[schema(required = true)]
    job_output_data: Value,
    job_status: String,
    node_id: String,
    job_policy_rule_uri: String,
    /// The same as `job_policy_rule_uri`.
    policy_rule_uri: String,
    #[schema(required = true)]
    inputs: Value,
    name: String,
    executor_id: String,
}
