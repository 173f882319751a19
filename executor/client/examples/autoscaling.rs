//! An application that lets a policy decide how many instances it runs, and hands it its live metrics.
//!
//! ```text
//! make guests
//! cargo run --profile checked -p lictor-client --example autoscaling
//! cargo run --profile checked -p lictor-client --example autoscaling autoscaler:1.0-stable
//! ```
//!
//! The first runs the package that `make guests` built; the second what the policies system at `POLICY_DB_URL` has
//! under that name. Either way the policy runs in this process: it gets the function `get_metrics`, and asks it each
//! time it decides. The decisions change what the metrics are, as they would in a cluster.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use lictor_client::{Failure, LocalPolicyEvaluator};
use serde_json::{Value, json};

/// Requests that arrive in each round.
const LOAD: [u32; 8] = [40, 90, 260, 260, 120, 60, 30, 10];
/// Requests that one instance serves in a round.
const SERVED_BY_ONE: u32 = 50;

/// What the application knows of itself.
#[derive(Default)]
struct Block {
    instances: Vec<String>,
    n_started: usize,
    load: u32,
}

impl Block {
    fn metrics(&self) -> Value {
        let capacity = f64::from(SERVED_BY_ONE) * self.instances.len() as f64;
        json!({"utilization": f64::from(self.load) / capacity, "queue_length": 0})
    }

    fn start(&mut self, n: u64) {
        for _ in 0..n {
            self.n_started += 1;
            self.instances.push(format!("instance-{}", self.n_started));
        }
    }

    /// Does what the policy decided.
    fn obey(&mut self, decision: &Value) {
        match decision["operation"].as_str() {
            Some("upscale") => self.start(decision["instances_count"].as_u64().unwrap_or(0)),
            Some("downscale") => {
                let gone = decision["instances_list"].as_array().cloned().unwrap_or_default();
                self.instances.retain(|id| !gone.contains(&json!(id)));
            }
            _ => {}
        }
    }
}

fn locked(block: &Mutex<Block>) -> std::sync::MutexGuard<'_, Block> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "what it prints is what the example is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let block = Arc::new(Mutex::new(Block::default()));
    locked(&block).start(1);

    let seen = Arc::clone(&block);
    let builder = LocalPolicyEvaluator::builder()
        .settings(json!({"get_metrics": true, "cooldown_seconds": 0}))
        .parameters(json!({"max_instances": 6}))
        .host_function("get_metrics", move |_| {
            let metrics = locked(&seen).metrics();
            async { Ok::<_, Failure>(metrics) }
        });
    let builder = match std::env::args().nth(1) {
        // A system on this machine may have code that is in a folder: `make run` serves the examples so.
        Some(uri) => builder.policy_rule_uri(uri).allow_file("target/guests"),
        None => builder.custom_component_file("target/guests/autoscaler.zip"),
    };
    let evaluator = builder.build().await?;

    println!("load  instances  utilization  decision");
    for load in LOAD {
        let (instances, metrics) = {
            let mut block = locked(&block);
            block.load = load;
            (block.instances.clone(), block.metrics())
        };
        let decision = evaluator.execute_policy_rule(&json!({"current_instances": instances})).await?;
        let (n, busy) = (instances.len(), metrics.get("utilization").and_then(Value::as_f64).unwrap_or_default());
        println!("{load:4}  {n:9}  {busy:11.2}  {decision}");
        locked(&block).obey(&decision);
    }
    Ok(())
}
