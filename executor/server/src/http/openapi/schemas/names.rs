//! What paths name.

use utoipa::IntoParams;

/// `…/{policy_rule_uri}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct PolicyUri {
    /// `name:version-release_tag`.
    #[param(example = "ip_allowlist:1.0-beta")]
    policy_rule_uri: String,
}

/// `…/{executor_id}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct ExecutorId {
    #[param(example = "executor-001")]
    executor_id: String,
}

/// `…/{graph_uri}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct GraphUri {
    /// `graph_name:graph_version-graph_release_tag`.
    #[param(example = "ip_risk_analysis:1.0-stable")]
    graph_uri: String,
}

/// `…/{function_id}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct FunctionId {
    /// The name that it is deployed under.
    function_id: String,
}

/// `…/{job_id}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct JobId {
    job_id: String,
}

/// `…/{asset_uri}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct AssetUri {
    /// `name:version-tag`.
    #[param(example = "IP-allow-list:1.0-beta")]
    asset_uri: String,
}

/// `…/{asset_id}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct AssetId {
    asset_id: String,
}
