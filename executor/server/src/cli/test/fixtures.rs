//! The file of fixtures, as `guest-examples/README.md` specifies it.
//!
//! Read exactly as the SDK's native runner reads it: what one refuses, the other refuses.

use std::collections::{BTreeMap, BTreeSet};

use lictor_model::json;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// One instance of the policy, and what is done to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default = "empty_object")]
    pub(super) settings: Value,
    #[serde(default = "empty_object")]
    pub(super) parameters: Value,
    #[serde(default)]
    pub(super) http: Vec<Route>,
    #[serde(default)]
    pub(super) context: BTreeMap<String, Value>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default, deserialize_with = "present")]
    input: Option<Value>,
    call_parameters: Option<Value>,
    management: Option<Command>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
    expect_failure: Option<ExpectedFailure>,
    budget: Option<Budget>,
    #[serde(default)]
    pub(super) expect_context: BTreeMap<String, Value>,
}

/// One call, and the answer it must get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(default, deserialize_with = "present")]
    pub(super) input: Option<Value>,
    pub(super) call_parameters: Option<Value>,
    pub(super) management: Option<Command>,
    #[serde(default, deserialize_with = "present")]
    pub(super) expect: Option<Value>,
    pub(super) expect_failure: Option<ExpectedFailure>,
    pub(super) budget: Option<Budget>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    pub(super) action: String,
    #[serde(default = "empty_object")]
    pub(super) data: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedFailure {
    pub(super) code: String,
}

/// What a call may use at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    pub(super) fuel: Option<u64>,
    pub(super) peak_memory_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) method: Option<String>,
    pub(super) url: String,
    #[serde(default = "ok_status")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) body: Value,
    pub(super) error: Option<String>,
}

/// The cases in a file, each of them whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Case>, String> {
    json::check_depth(bytes).map_err(|error| error.to_string())?;
    let cases: Vec<Case> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for case in &cases {
        case.check().map_err(|why| format!("the case `{}` {why}", case.name))?;
        if !names.insert(&case.name) {
            return Err(format!("the case `{}` stands twice", case.name));
        }
    }
    Ok(cases)
}

impl Case {
    /// Whether every step asks one thing and says what must come of it.
    fn check(&self) -> Result<(), String> {
        for (idx, step) in self.steps()?.iter().enumerate() {
            if step.input.is_some() == step.management.is_some() {
                return Err(format!("needs either `input` or `management` in step {idx}"));
            }
            if step.expect.is_some() == step.expect_failure.is_some() {
                return Err(format!("needs either `expect` or `expect_failure` in step {idx}"));
            }
        }
        Ok(())
    }

    /// The steps. A case that has no list of them is itself the one step.
    pub(super) fn steps(&self) -> Result<Vec<Step>, String> {
        let Self { input, call_parameters, management, expect, expect_failure, budget, .. } = self;
        let nothing_else = input.is_none()
            && call_parameters.is_none()
            && management.is_none()
            && expect.is_none()
            && expect_failure.is_none()
            && budget.is_none();
        match (self.steps.is_empty(), nothing_else) {
            (true, _) => Ok(vec![Step {
                input: input.clone(),
                call_parameters: call_parameters.clone(),
                management: management.clone(),
                expect: expect.clone(),
                expect_failure: expect_failure.clone(),
                budget: *budget,
            }]),
            (false, true) => Ok(self.steps.clone()),
            (false, false) => Err("has `steps`, and a step of its own beside them".to_owned()),
        }
    }

    /// Whether a call of it must be metered.
    pub(super) fn counts_fuel(&self) -> bool {
        let steps = self.steps.iter().map(|step| step.budget);
        steps.chain([self.budget]).flatten().any(|budget| budget.fuel.is_some())
    }
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn empty_object() -> Value {
    json!({})
}

const fn ok_status() -> u16 {
    200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(case: &Value) -> Result<Case, String> {
        parse(json!([case]).to_string().as_bytes()).map(|mut cases| cases.remove(0))
    }

    #[test]
    fn a_case_without_steps_is_its_own_step() {
        let case = one(&json!({"name": "a", "input": null, "expect": null, "budget": {"fuel": 5}})).unwrap();
        let steps = case.steps().unwrap();
        assert_eq!(
            (steps.len(), steps[0].input.as_ref(), steps[0].expect.as_ref()),
            (1, Some(&json!(null)), Some(&json!(null)))
        );
        assert!(case.counts_fuel());
        let case = one(&json!({"name": "a", "steps": [{"input": 1, "expect": 2}, {"input": 1, "expect": 3}]})).unwrap();
        assert_eq!(case.steps().unwrap().len(), 2);
        assert!(!case.counts_fuel());
    }

    #[test]
    fn steps_stand_alone() {
        for (member, value) in [
            ("input", json!(null)),
            ("call_parameters", json!({})),
            ("expect_failure", json!({"code": "x"})),
            ("budget", json!({})),
        ] {
            let mut case = json!({"name": "a", "steps": [{"input": 1, "expect": 2}]});
            case[member] = value;
            assert!(one(&case).is_err(), "{member}");
        }
    }

    #[test]
    fn a_case_that_asks_or_expects_nothing_makes_a_file_invalid() {
        for (case, why) in [
            (json!({"name": "a", "expect": 1}), "`management`"),
            (json!({"name": "a", "input": 1, "management": {"action": "b"}, "expect": 1}), "`management`"),
            (json!({"name": "a", "input": 1}), "`expect_failure`"),
            (json!({"name": "a", "input": 1, "expect": 1, "expect_failure": {"code": "c"}}), "`expect_failure`"),
        ] {
            assert!(one(&case).unwrap_err().contains(why), "{case}");
        }
        let case = json!({"name": "a", "input": 1, "expect": 2});
        assert!(parse(json!([case, case]).to_string().as_bytes()).unwrap_err().contains("twice"));
    }

    #[test]
    fn unknown_members_make_a_file_invalid() {
        for case in [
            json!({"name": "a", "colour": 1}),
            json!({"name": "a", "http": [{"url": "x", "colour": 1}]}),
            json!({"name": "a", "budget": {"wall_us": 1}}),
            json!({"input": 1}),
        ] {
            assert!(one(&case).is_err(), "{case}");
        }
        assert!(parse(b"{}").is_err());
        assert!(parse("[".repeat(1000).as_bytes()).unwrap_err().contains("128"));
    }
}
