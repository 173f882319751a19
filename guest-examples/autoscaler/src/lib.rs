//! Decides how many instances of a block should run, from how busy they are.
//!
//! The metrics are looked for in the parameters, then in `block_data`, then in `cluster_data`, and then, if the settings
//! say so, asked of the host application. After a change the policy holds still for a while, which it remembers in its
//! context: the next call may meet another instance of it.

mod metrics;

use lictor_policy::{Context, Failure, Policy, Schema, clock, export, log};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use metrics::Metrics;

/// Until when nothing is changed, in milliseconds since the Unix epoch.
const COOLDOWN_KEY: &str = "cooldown_until_ms";

/// An instance.
pub struct Autoscaler {
    settings: Settings,
    parameters: Parameters,
}

/// The settings of the policy.
#[derive(Deserialize, Schema)]
#[serde(default)]
pub struct Settings {
    /// How long to hold still after a change, in seconds.
    cooldown_seconds: u64,
    /// Whether to ask the host application, by its function `get_metrics`, where nothing else has metrics.
    get_metrics: bool,
}

/// The parameters of the policy, stored or brought by a call.
#[derive(Deserialize, Schema)]
#[serde(default)]
pub struct Parameters {
    /// The fewest instances that run.
    min_instances: usize,
    /// The most instances that run.
    max_instances: usize,
    /// Utilisation above which instances are added.
    #[schema(min = 0, max = 1)]
    upscale_above: f64,
    /// Utilisation below which instances are removed.
    #[schema(min = 0, max = 1)]
    downscale_below: f64,
    /// How many requests may wait for each instance.
    #[schema(min = 1)]
    max_queue_per_instance: u64,
    /// The most instances added at once.
    #[schema(min = 1)]
    max_step: usize,
    /// Metrics to use instead of those of the block or the cluster.
    metrics: Option<Metrics>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cooldown_seconds: 60, get_metrics: false }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            min_instances: 1,
            max_instances: 10,
            upscale_above: 0.8,
            downscale_below: 0.3,
            max_queue_per_instance: 10,
            max_step: 4,
            metrics: None,
        }
    }
}

/// What is decided about.
#[derive(Deserialize, Schema)]
pub struct Input {
    /// The block, whose `metrics` are used if it has some.
    #[serde(default)]
    block_data: Value,
    /// The cluster, whose `metrics` are used if the block has none.
    #[serde(default)]
    cluster_data: Value,
    /// The ids of the instances that run, oldest first.
    current_instances: Vec<String>,
}

/// The decision.
#[derive(Debug, Default, Serialize, Schema)]
pub struct Decision {
    /// Whether to leave everything as it is.
    skip: bool,
    /// What to do otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Operation>,
    /// How many instances to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances_count: Option<usize>,
    /// Which instances to remove.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances_list: Option<Vec<String>>,
    /// Why.
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize, Schema)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Upscale,
    Downscale,
}

impl Policy for Autoscaler {
    type Settings = Settings;
    type Parameters = Parameters;
    type Input = Input;
    type Output = Decision;

    fn new(_rule_id: &str, settings: Settings, parameters: Parameters) -> Result<Self, Failure> {
        parameters.check()?;
        Ok(Self { settings, parameters })
    }

    fn eval(
        &mut self,
        parameters: Option<Parameters>,
        input: Input,
        context: &mut Context,
    ) -> Result<Decision, Failure> {
        let parameters = parameters.as_ref().unwrap_or(&self.parameters);
        parameters.check()?;
        let n_now = input.current_instances.len();
        let (n_wanted, reason) = parameters.wanted(n_now, || self.metrics(parameters, &input));
        if n_wanted == n_now {
            return Ok(Decision { skip: true, reason, ..Decision::default() });
        }
        let is_within_bounds = (parameters.min_instances..=parameters.max_instances).contains(&n_now);
        if is_within_bounds && self.is_cooling_down(context)? {
            return Ok(Decision { skip: true, reason: "cooling down", ..Decision::default() });
        }
        self.cool_down(context)?;
        log::info!("from {n_now} to {n_wanted} instances: {reason}");
        Ok(change(input.current_instances, n_wanted, reason))
    }

    fn management(&mut self, action: &str, _data: Value, context: &mut Context) -> Result<Value, Failure> {
        match action {
            "get_state" => {
                let until_ms: Option<u64> = context.get(COOLDOWN_KEY)?;
                Ok(json!({ "status": "success", "cooldown_until_ms": until_ms }))
            }
            "reset_cooldown" => {
                context.delete(COOLDOWN_KEY)?;
                Ok(json!({ "status": "success" }))
            }
            other => Err(Failure::unknown_action(other)),
        }
    }
}

impl Autoscaler {
    /// How busy the block is, from the first that knows.
    fn metrics(&self, parameters: &Parameters, input: &Input) -> Option<Metrics> {
        let given = parameters.metrics.clone().or_else(|| Metrics::find(&input.block_data, &input.cluster_data));
        given.or_else(|| self.settings.get_metrics.then(Metrics::of_host).flatten())
    }

    fn is_cooling_down(&self, context: &mut Context) -> Result<bool, Failure> {
        if self.settings.cooldown_seconds == 0 {
            return Ok(false);
        }
        let until_ms: Option<u64> = context.get(COOLDOWN_KEY)?;
        Ok(until_ms.is_some_and(|until_ms| clock::now_ms() < until_ms))
    }

    fn cool_down(&self, context: &mut Context) -> Result<(), Failure> {
        match self.settings.cooldown_seconds {
            0 => Ok(()),
            seconds => context.set(COOLDOWN_KEY, &clock::now_ms().saturating_add(seconds.saturating_mul(1000))),
        }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), Failure> {
        if self.min_instances > self.max_instances {
            return Err(Failure::invalid_parameters("`min_instances` is above `max_instances`"));
        }
        // Written so that a limit that is no number fails as well.
        if !(self.downscale_below < self.upscale_above && self.upscale_above > 0.0) {
            return Err(Failure::invalid_parameters("`downscale_below` must be below `upscale_above`"));
        }
        if self.max_queue_per_instance == 0 || self.max_step == 0 {
            return Err(Failure::invalid_parameters("`max_queue_per_instance` and `max_step` must be above 0"));
        }
        Ok(())
    }

    /// How many instances there should be, and why.
    fn wanted(&self, n_now: usize, metrics: impl FnOnce() -> Option<Metrics>) -> (usize, &'static str) {
        if n_now < self.min_instances {
            return (self.min_instances, "fewer than min_instances");
        }
        if n_now > self.max_instances {
            return (self.max_instances, "more than max_instances");
        }
        let Some(metrics) = metrics() else { return (n_now, "no metrics") };
        let n_busy = self.needed(n_now, &metrics);
        if n_busy > n_now {
            let n_wanted = n_busy.min(n_now.saturating_add(self.max_step)).min(self.max_instances);
            return (n_wanted, if n_wanted > n_now { "overloaded" } else { "overloaded, at max_instances" });
        }
        let is_idle = metrics.utilization.is_some_and(|utilization| utilization < self.downscale_below);
        if is_idle && n_now > self.min_instances.max(self.for_queue(&metrics)) {
            return (n_now - 1, "idle");
        }
        (n_now, "steady")
    }

    /// How many instances would be busy, but not overloaded.
    fn needed(&self, n_now: usize, metrics: &Metrics) -> usize {
        let utilization = metrics.utilization.unwrap_or_default();
        let for_utilization = if utilization > self.upscale_above {
            // At least one more: one instance at 81 % of 80 % is still too few.
            ((n_now as f64 * utilization / self.upscale_above).ceil() as usize).max(n_now.saturating_add(1))
        } else {
            0
        };
        for_utilization.max(self.for_queue(metrics))
    }

    fn for_queue(&self, metrics: &Metrics) -> usize {
        let n_instances = metrics.queue_length.unwrap_or_default().div_ceil(self.max_queue_per_instance);
        usize::try_from(n_instances).unwrap_or(usize::MAX)
    }
}

fn change(mut instances: Vec<String>, n_wanted: usize, reason: &'static str) -> Decision {
    if n_wanted > instances.len() {
        let n_more = n_wanted - instances.len();
        return Decision {
            operation: Some(Operation::Upscale),
            instances_count: Some(n_more),
            reason,
            ..Decision::default()
        };
    }
    // The youngest go first: they hold the least state.
    let surplus = instances.split_off(n_wanted);
    Decision { operation: Some(Operation::Downscale), instances_list: Some(surplus), reason, ..Decision::default() }
}

export!(Autoscaler);

#[cfg(test)]
mod tests {
    use lictor_policy::testing::run_fixtures;

    use super::Autoscaler;

    #[test]
    fn answers_as_its_fixtures_say() {
        run_fixtures::<Autoscaler>(include_str!("../expected.json"));
    }
}
