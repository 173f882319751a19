//! Picks the executor that a function or a job is to run on: of those that are healthy and not full, the one that has
//! least to do.

mod load;

use std::collections::BTreeMap;

use lictor_policy::{Context, Empty, Failure, Policy, Schema, export};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use load::Load;

/// An instance. It remembers nothing.
pub struct Allocator;

/// Where something may run, and what it is.
#[derive(Deserialize, Schema)]
pub struct Input {
    /// The clusters by their ids, each with its executor's record and what is measured of it.
    cluster_data: BTreeMap<String, Cluster>,
    /// What is to run.
    #[serde(default)]
    inputs: Inputs,
}

/// One place where it may run.
#[derive(Deserialize, Schema)]
pub struct Cluster {
    /// The executor's record.
    #[serde(default)]
    data: Value,
    /// What is measured of it, as far as it is known.
    #[serde(default)]
    metrics: Value,
}

/// What is to run.
#[derive(Default, Deserialize, Schema)]
pub struct Inputs {
    /// `function` or `job`.
    #[serde(default)]
    mode: Mode,
}

/// The kinds of things that are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Stays.
    #[default]
    Function,
    /// Ends.
    Job,
}

/// The decision.
#[derive(Debug, Serialize, Schema)]
pub struct Decision {
    /// The cluster that it is to run on.
    #[serde(rename = "clusterId")]
    cluster_id: String,
    /// How many replicas of it.
    replica_count: u32,
}

impl Cluster {
    /// Whether it takes calls. A record that says nothing of that is believed to be of one that does.
    fn is_healthy(&self) -> bool {
        self.data.get("executor_status").is_none_or(|status| status == "healthy")
    }
}

impl Policy for Allocator {
    type Settings = Empty;
    type Parameters = Empty;
    type Input = Input;
    type Output = Decision;

    fn new(_rule_id: &str, _: Empty, _: Empty) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn eval(&mut self, _: Option<Empty>, input: Input, _: &mut Context) -> Result<Decision, Failure> {
        let mode = input.inputs.mode;
        let healthy = input.cluster_data.iter().filter(|(_, cluster)| cluster.is_healthy());
        let loads = healthy.filter_map(|(id, cluster)| Some((Load::of(&cluster.metrics, mode)?, id)));
        // Of those that have as little to do as each other, the first by its id.
        match loads.min() {
            Some((_, id)) => Ok(Decision { cluster_id: id.clone(), replica_count: 1 }),
            None => Err(no_executor(&input.cluster_data)),
        }
    }
}

fn no_executor(clusters: &BTreeMap<String, Cluster>) -> Failure {
    let count = |healthy: bool| clusters.values().filter(|cluster| cluster.is_healthy() == healthy).count();
    let (full, unhealthy) = (count(true), count(false));
    let message = match clusters.len() {
        0 => "there is no executor at all".to_owned(),
        n => format!("none of {n} executors can take it: {full} full, {unhealthy} not healthy"),
    };
    Failure::new("no_executor", message).with_details(json!({ "full": full, "unhealthy": unhealthy }))
}

export!(Allocator);

#[cfg(test)]
mod tests {
    use lictor_policy::testing::run_fixtures;

    use super::Allocator;

    #[test]
    fn answers_as_its_fixtures_say() {
        run_fixtures::<Allocator>(include_str!("../expected.json"));
    }
}
