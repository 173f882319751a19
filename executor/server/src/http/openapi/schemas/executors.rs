//! Executors, as they are posted and as they are read.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An executor as it is posted. Fields that are not known are kept.
#[derive(ToSchema)]
pub(in crate::http) struct ExecutorBody {
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "executor-001")]
    executor_id: String,
    /// Where its own API is; without it, `cluster_public_ip` is needed, unless it is the executor of this server.
    #[schema(nullable = false, example = "http://203.0.113.7:10000")]
    executor_host_uri: Option<String>,
    /// The address of its cluster, in place of `executor_host_uri`: `http://<cluster_public_ip>:30900`.
    #[schema(nullable = false, example = "203.0.113.7")]
    cluster_public_ip: Option<String>,
    #[schema(nullable = false)]
    executor_metadata: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    executor_hardware_info: Option<Map<String, Value>>,
    /// Its health, as long as nothing better is known.
    #[schema(nullable = false, example = "healthy")]
    executor_status: Option<String>,
    /// Calls at the same time; past it callers wait, and then get 429. 0: no bound.
    #[schema(nullable = false)]
    max_processes: Option<u64>,
}

/// An executor as it is read.
#[derive(ToSchema)]
pub(in crate::http) struct ExecutorRecord {
    executor_id: String,
    executor_host_uri: String,
    executor_metadata: Map<String, Value>,
    executor_hardware_info: Map<String, Value>,
    /// `healthy`, `busy` or `unreachable`: the executor of this server is seen; one that sends heartbeats is believed while
    /// they come; one that never sent any is judged by the last call that was passed on to it; of any other this is what
    /// it was registered with.
    executor_status: String,
    #[schema(nullable = false)]
    max_processes: Option<u64>,
}

/// What an executor says of itself.
#[derive(ToSchema)]
pub(in crate::http) struct HeartbeatBody {
    executor_status: ExecutorHealth,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExecutorHealth {
    Healthy,
    Busy,
}

/// Where an executor's infrastructure is to be.
#[derive(ToSchema)]
pub(in crate::http) struct InfraBody {
    /// The cluster's kubeconfig as JSON. `exec` and `auth-provider` are refused.
    cluster_config: Map<String, Value>,
    #[schema(nullable = false)]
    max_processes: Option<u64>,
}
