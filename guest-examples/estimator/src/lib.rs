//! Says whether a policy fits where it is to run: whether what its record expects to need is free there.
//!
//! The host application says what is free, by its function `get_metrics`. What a record does not estimate, and what
//! nobody measures, stands in nobody's way.

mod quantity;

use std::collections::BTreeMap;

use lictor_policy::{Context, Empty, Failure, Policy, Schema, export, host};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use quantity::{Quantity, Resource};

/// An instance.
pub struct Estimator {
    parameters: Parameters,
}

/// The parameters of the policy, stored or brought by a call.
#[derive(Default, Deserialize, Schema)]
#[serde(default)]
pub struct Parameters {
    /// What is free, instead of what the host application says.
    metrics: Option<Metrics>,
}

/// What the place has.
#[derive(Clone, Debug, Deserialize, Schema)]
pub struct Metrics {
    /// Which place it is.
    #[serde(default)]
    node_id: Option<String>,
    /// What is free there, by the resource.
    #[serde(default)]
    free: BTreeMap<String, f64>,
}

/// What is to be estimated.
#[derive(Deserialize, Schema)]
pub struct Input {
    /// The policy's record.
    policy: Value,
    /// As what it is to run: `deployment` or `job`.
    #[serde(default, rename = "type_")]
    kind: Kind,
}

/// As what a policy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Stays.
    #[default]
    Deployment,
    /// Ends.
    Job,
}

/// The estimate.
#[derive(Debug, Serialize, Schema)]
pub struct Estimate {
    /// Whether it fits.
    allowed: bool,
    /// Where.
    node_id: Option<String>,
    /// Why.
    reason: String,
}

impl Policy for Estimator {
    type Settings = Empty;
    type Parameters = Parameters;
    type Input = Input;
    type Output = Estimate;

    fn new(_rule_id: &str, _: Empty, parameters: Parameters) -> Result<Self, Failure> {
        Ok(Self { parameters })
    }

    fn eval(&mut self, parameters: Option<Parameters>, input: Input, _: &mut Context) -> Result<Estimate, Failure> {
        let given = parameters.as_ref().unwrap_or(&self.parameters).metrics.clone();
        let metrics = match given {
            Some(metrics) => metrics,
            None => host::call("get_metrics", &json!({})).map_err(|failure| no_metrics(&failure))?,
        };
        let estimates = input.policy.get("resource_estimates").unwrap_or(&Value::Null);
        Ok(judge(estimates, input.kind, metrics))
    }
}

/// Compares what is needed with what is free.
fn judge(estimates: &Value, kind: Kind, metrics: Metrics) -> Estimate {
    let (mut lacking, mut unmeasured) = (Vec::new(), Vec::new());
    for (name, need) in quantity::needs(estimates, kind) {
        let Some(Quantity(need)) = need else {
            unmeasured.push(name);
            continue;
        };
        let resource = Resource::named(&name);
        match metrics.free.get(resource.metric()) {
            Some(free) if need <= *free => {}
            Some(free) => lacking.push(format!("{name}: {need} needed, {free} free")),
            None => unmeasured.push(name),
        }
    }
    let reason = match (lacking.as_slice(), unmeasured.as_slice()) {
        ([], []) => "fits".to_owned(),
        ([], unmeasured) => format!("fits, as far as is measured: nothing is known of {}", unmeasured.join(", ")),
        (lacking, _) => lacking.join("; "),
    };
    Estimate { allowed: lacking.is_empty(), node_id: metrics.node_id, reason }
}

fn no_metrics(failure: &Failure) -> Failure {
    Failure::new("no_metrics", format!("it is not known what is free: {}", failure.message))
}

export!(Estimator);

#[cfg(test)]
mod tests {
    use lictor_policy::testing::{Harness, World, run_fixtures};
    use serde_json::json;

    use super::Estimator;

    #[test]
    fn answers_as_its_fixtures_say() {
        run_fixtures::<Estimator>(include_str!("../expected.json"));
    }

    #[test]
    fn the_host_says_what_is_free() {
        let _world = World::new().function("get_metrics", |_| Ok(json!({"node_id": "n", "free": {"memory_mb": 100}})));
        let policy = Harness::<Estimator>::new(&json!({}), &json!({})).unwrap();
        for (memory_mb, allowed) in [(100, true), (101, false)] {
            let estimate = policy.eval(&json!({"policy": {"resource_estimates": {"memory_mb": memory_mb}}})).unwrap();
            assert_eq!((&estimate["allowed"], &estimate["node_id"]), (&json!(allowed), &json!("n")));
        }
    }
}
