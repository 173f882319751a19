//! Where the metrics of a block are found.

use lictor_policy::{Schema, host, log};
use serde::Deserialize;
use serde_json::{Value, json};

/// How busy the instances of a block are, on average.
#[derive(Clone, Debug, Deserialize, Schema)]
pub(crate) struct Metrics {
    /// The part of their capacity that is in use, from 0 to 1.
    #[serde(alias = "utilisation")]
    #[schema(min = 0)]
    pub(crate) utilization: Option<f64>,
    /// How many requests wait, for all instances together.
    pub(crate) queue_length: Option<u64>,
}

impl Metrics {
    /// The `metrics` of the first that has some. What cannot be read as metrics counts as having none.
    pub(crate) fn find(block_data: &Value, cluster_data: &Value) -> Option<Self> {
        Self::of(block_data).or_else(|| Self::of(cluster_data))
    }

    /// What the function `get_metrics` of the host application says now. One that cannot be asked has none.
    pub(crate) fn of_host() -> Option<Self> {
        host::call("get_metrics", &json!({})).inspect_err(|failure| log::warn!("get_metrics: {}", failure.message)).ok()
    }

    fn of(document: &Value) -> Option<Self> {
        let metrics = Self::deserialize(document.get("metrics")?).ok()?;
        (metrics.utilization.is_some() || metrics.queue_length.is_some()).then_some(metrics)
    }
}
