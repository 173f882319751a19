//! From JSON text to typed calls and back. The component's exports and the native test runner go through the same
//! functions, so that what holds in a test holds in the sandbox.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Failure, Policy, Stateful};

/// The one instance of a component, filled by `init`.
pub struct Slot<P>(RefCell<Option<P>>);

impl<P: Policy> Slot<P> {
    /// A slot before `init`.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Constructs the policy from JSON text.
    pub fn init(&self, rule_id: &str, settings: &str, parameters: &str) -> Result<(), Failure> {
        let settings = from_text(settings, "invalid_settings")?;
        let parameters = from_text(parameters, "invalid_parameters")?;
        let policy = P::new(rule_id, settings, parameters)?;
        self.0.replace(Some(policy));
        Ok(())
    }

    /// Decides about JSON text, in JSON text.
    pub fn eval(&self, parameters: Option<&str>, input: &str, call: String) -> Result<String, Failure> {
        let parameters = parameters.map(|text| from_text(text, "invalid_parameters")).transpose()?;
        let input = from_text(input, "invalid_input")?;
        let mut context = Context::of_call(call);
        self.with(|policy| {
            let output = policy.eval(parameters, input, &mut context)?;
            to_text(&output)
        })
    }

    /// Carries out a management command.
    pub fn management(&self, action: &str, data: &str) -> Result<String, Failure> {
        let data = from_text(data, "invalid_data")?;
        let mut context = Context::default();
        self.with(|policy| {
            let answer = policy.management(action, data, &mut context)?;
            to_text(&answer)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut P) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.0.borrow_mut().as_mut() {
            Some(policy) => act(policy),
            None => Err(Failure::new("not_initialized", "`init` has not succeeded")),
        }
    }
}

impl<P: Stateful> Slot<P> {
    /// What [`Slot::restore`] needs to continue from here.
    pub fn save(&self) -> Result<Vec<u8>, Failure> {
        self.with(P::save)
    }

    /// Continues from what another instance saved.
    pub fn restore(&self, from_policy_uri: &str, data: &[u8]) -> Result<(), Failure> {
        self.with(|policy| policy.restore(from_policy_uri, data))
    }
}

fn from_text<T: DeserializeOwned>(text: &str, code: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|err| Failure::new(code, err.to_string()))
}

pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|err| Failure::new("invalid_output", err.to_string()))
}
