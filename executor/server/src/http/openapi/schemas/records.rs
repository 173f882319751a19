//! Graphs and functions, as they are posted and as they are read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policy::{SchemaMode, Tags};

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
    /// What becomes of an input or an answer that does not match its schema.
    #[schema(nullable = false)]
    schema_mode: Option<SchemaMode>,
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
