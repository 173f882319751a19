//! One instance of a policy, driven with JSON.

use serde_json::{Value, json};

use crate::glue::Slot;
use crate::{Failure, Policy, Stateful};

/// What a policy under test is called.
const URI: &str = "test:0.0-test";

/// One instance of a policy, driven through the same JSON text as the component's exports.
pub struct Harness<P>(Slot<P>);

impl<P: Policy> Harness<P> {
    /// Constructs the policy, as `init` does.
    pub fn new(settings: &Value, parameters: &Value) -> Result<Self, Failure> {
        let slot = Slot::empty();
        slot.init(URI, &settings.to_string(), &parameters.to_string())?;
        Ok(Self(slot))
    }

    /// Decides, in a call that brings no parameters.
    pub fn eval(&self, input: &Value) -> Result<Value, Failure> {
        self.eval_text(None, &input.to_string()).and_then(|text| read(&text))
    }

    /// Decides, in a call that brings parameters.
    pub fn eval_with(&self, parameters: &Value, input: &Value) -> Result<Value, Failure> {
        self.eval_text(Some(&parameters.to_string()), &input.to_string()).and_then(|text| read(&text))
    }

    /// Decides about JSON text, in JSON text: for what depends on every byte.
    pub fn eval_text(&self, parameters: Option<&str>, input: &str) -> Result<String, Failure> {
        let call = json!({
            "id": "test",
            "policy_rule_uri": URI,
            "origin": "test",
            "deadline_ms": super::fakes::with_fakes(|fakes| fakes.now_ms) + 1000,
        });
        self.0.eval(parameters, input, call.to_string())
    }

    /// Carries out a management command.
    pub fn manage(&self, action: &str, data: &Value) -> Result<Value, Failure> {
        self.0.management(action, &data.to_string()).and_then(|text| read(&text))
    }
}

impl<P: Stateful> Harness<P> {
    /// What [`Harness::restore`] needs to continue from here.
    pub fn save(&self) -> Result<Vec<u8>, Failure> {
        self.0.save()
    }

    /// Continues from what another instance saved.
    pub fn restore(&self, from_policy_uri: &str, data: &[u8]) -> Result<(), Failure> {
        self.0.restore(from_policy_uri, data)
    }
}

impl<P> std::fmt::Debug for Harness<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<Self>())
    }
}

fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|err| Failure::new("bad_output", err.to_string()))
}
