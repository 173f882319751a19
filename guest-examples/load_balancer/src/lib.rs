//! Decides which instance of a block gets the next packet.
//!
//! One input, four modes: `load_balance` chooses, `estimate` tells how much each instance got, `check_execute` says
//! whether another packet is welcome, `health_check` whether there is anyone to send it to. Streams are assigned by a
//! management command and stay where they are. All of it is kept in the instance and handed to its successor.

mod balance;
mod streams;

use std::collections::BTreeMap;

use lictor_policy::{Context, Failure, Policy, Schema, Stateful, export};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use balance::Balance;
use streams::Streams;

/// An instance.
pub struct LoadBalancer {
    parameters: Parameters,
    state: State,
}

#[derive(Default, Deserialize, Serialize)]
struct State {
    balance: Balance,
    streams: Streams,
}

/// The settings of the policy.
#[derive(Deserialize, Schema)]
pub struct Settings {}

/// The parameters of the policy, stored or brought by a call.
#[derive(Default, Deserialize, Schema)]
#[serde(default)]
pub struct Parameters {
    /// How an instance is chosen.
    strategy: Strategy,
    /// How much of the traffic each instance gets, for the strategies `weighted` and `least_used`. Those that are not
    /// named weigh 1; one that weighs 0 gets nothing.
    #[schema(min = 0)]
    weights: BTreeMap<String, u32>,
    /// How many packets are welcome in all. No limit if absent.
    max_packets: Option<u64>,
}

/// How an instance is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Schema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Each in turn, as often as it weighs, and evenly spread.
    Weighted,
    /// The one that got the fewest packets for its weight.
    LeastUsed,
}

/// What is asked.
#[derive(Deserialize, Schema)]
pub struct Input {
    /// The question.
    mode: Mode,
    /// The packet, for `load_balance`. It makes no difference.
    #[serde(default)]
    #[expect(dead_code, reason = "named for the schema only")]
    packet: Value,
    /// The ids to choose from, for `load_balance`.
    #[serde(default)]
    instances: Vec<String>,
    /// Anything, for `check_execute` and `health_check`. It makes no difference.
    #[serde(default)]
    #[expect(dead_code, reason = "named for the schema only")]
    inputs: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, Schema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    LoadBalance,
    Estimate,
    CheckExecute,
    HealthCheck,
}

#[derive(Deserialize)]
struct AssignStreaming {
    session_id: String,
    instances: Vec<String>,
}

impl Policy for LoadBalancer {
    type Settings = Settings;
    type Parameters = Parameters;
    type Input = Input;
    type Output = Value;

    fn new(_rule_id: &str, _settings: Settings, parameters: Parameters) -> Result<Self, Failure> {
        Ok(Self { parameters, state: State::default() })
    }

    fn eval(&mut self, parameters: Option<Parameters>, input: Input, _: &mut Context) -> Result<Value, Failure> {
        let parameters = parameters.as_ref().unwrap_or(&self.parameters);
        let balance = &mut self.state.balance;
        Ok(match input.mode {
            Mode::LoadBalance => {
                json!({ "instance_id": balance.choose(parameters, &input.instances)? })
            }
            Mode::Estimate => {
                json!({ "packets": balance.n_packets(), "instances": balance.counts() })
            }
            Mode::CheckExecute => {
                let allowed = parameters.max_packets.is_none_or(|max| balance.n_packets() < max);
                json!({ "allowed": allowed, "reason": if allowed { "allowed" } else { "max_packets reached" } })
            }
            Mode::HealthCheck => {
                let instances: Vec<_> = balance.counts().keys().collect();
                json!({ "healthy": !instances.is_empty(), "instances": instances })
            }
        })
    }

    fn management(&mut self, action: &str, data: Value, _: &mut Context) -> Result<Value, Failure> {
        match action {
            "assign_streaming" => {
                let wanted = AssignStreaming::deserialize(data).map_err(Failure::invalid_data)?;
                let State { balance, streams } = &mut self.state;
                let choose = || balance.choose(&self.parameters, &wanted.instances);
                Ok(json!({ "instance_id": streams.assign(&wanted.session_id, &wanted.instances, choose)? }))
            }
            "get_state" => Ok(json!({ "status": "success", "state": self.state })),
            "reset" => {
                self.state = State::default();
                Ok(json!({ "status": "success" }))
            }
            other => Err(Failure::unknown_action(other)),
        }
    }
}

impl Stateful for LoadBalancer {
    fn save(&mut self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(&self.state).map_err(Failure::invalid_data)
    }

    fn restore(&mut self, _from_policy_uri: &str, data: &[u8]) -> Result<(), Failure> {
        self.state = serde_json::from_slice(data).map_err(Failure::invalid_data)?;
        Ok(())
    }
}

export!(LoadBalancer, stateful);

#[cfg(test)]
mod tests;
