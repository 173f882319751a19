//! The file of fixtures, as `guest-examples/README.md` specifies it.
//!
//! Read exactly as the SDK's native runner reads it: what one refuses, the other refuses.

use std::collections::{BTreeMap, BTreeSet};

use lictor_model::json;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// One instance of the policy, and what is done to it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) settings: Value,
    pub(super) parameters: Value,
    pub(super) http: Vec<Route>,
    pub(super) host: Vec<Function>,
    pub(super) context: BTreeMap<String, Value>,
    pub(super) steps: Vec<Step>,
    pub(super) expect_context: BTreeMap<String, Value>,
}

/// One call, and what must come of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) ask: Ask,
    pub(super) expected: Expected,
    pub(super) budget: Option<Budget>,
}

/// What a step asks.
#[derive(Debug)]
pub(super) enum Ask {
    Eval { input: Value, parameters: Option<Value> },
    Manage(Command),
}

/// What must come of it.
#[derive(Debug)]
pub(super) enum Expected {
    Answer(Value),
    /// A failure with this code.
    Failure(String),
}

/// A case as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    #[serde(default = "empty_object")]
    settings: Value,
    #[serde(default = "empty_object")]
    parameters: Value,
    #[serde(default)]
    http: Vec<Route>,
    #[serde(default)]
    host: Vec<Function>,
    #[serde(default)]
    context: BTreeMap<String, Value>,
    #[serde(default)]
    steps: Vec<RawStep>,
    #[serde(default, deserialize_with = "present")]
    input: Option<Value>,
    call_parameters: Option<Value>,
    management: Option<Command>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
    expect_failure: Option<ExpectedFailure>,
    budget: Option<Budget>,
    #[serde(default)]
    expect_context: BTreeMap<String, Value>,
}

/// A step as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(default, deserialize_with = "present")]
    input: Option<Value>,
    call_parameters: Option<Value>,
    management: Option<Command>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
    expect_failure: Option<ExpectedFailure>,
    budget: Option<Budget>,
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
struct ExpectedFailure {
    code: String,
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

/// What a function of the host application answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub(super) name: String,
    #[serde(default, deserialize_with = "present")]
    pub(super) args: Option<Value>,
    #[serde(default)]
    pub(super) answer: Value,
    pub(super) failure: Option<FunctionFailure>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionFailure {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

/// The cases in a file, each of them whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Case>, String> {
    json::check_depth(bytes).map_err(|error| error.to_string())?;
    let raw: Vec<RawCase> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for RawCase { name, .. } in &raw {
        if !names.insert(name.clone()) {
            return Err(format!("the case `{name}` stands twice"));
        }
    }
    raw.into_iter().map(RawCase::read).collect()
}

impl RawCase {
    fn read(self) -> Result<Case, String> {
        let Self { name, settings, parameters, http, host, context, steps, expect_context, .. } = self;
        let Self { input, call_parameters, management, expect, expect_failure, budget, .. } = self;
        let own = RawStep { input, call_parameters, management, expect, expect_failure, budget };
        let steps = own.or(steps).and_then(|steps| {
            steps.into_iter().enumerate().map(|(idx, step)| step.read(idx)).collect::<Result<_, _>>()
        });
        let steps = steps.map_err(|why| format!("the case `{name}` {why}"))?;
        Ok(Case { name, settings, parameters, http, host, context, steps, expect_context })
    }
}

impl RawStep {
    /// The steps of a case: those of its list, or, where it has none, itself.
    fn or(self, steps: Vec<Self>) -> Result<Vec<Self>, String> {
        let Self { input, call_parameters, management, expect, expect_failure, budget } = &self;
        let nothing = input.is_none()
            && call_parameters.is_none()
            && management.is_none()
            && expect.is_none()
            && expect_failure.is_none()
            && budget.is_none();
        match (steps.is_empty(), nothing) {
            (true, _) => Ok(vec![self]),
            (false, true) => Ok(steps),
            (false, false) => Err("has `steps`, and a step of its own beside them".to_owned()),
        }
    }

    fn read(self, idx: usize) -> Result<Step, String> {
        let ask = match (self.input, self.management) {
            (Some(input), None) => Ask::Eval { input, parameters: self.call_parameters },
            (None, Some(command)) => Ask::Manage(command),
            _ => return Err(format!("needs either `input` or `management` in step {idx}")),
        };
        let expected = match (self.expect, self.expect_failure) {
            (Some(answer), None) => Expected::Answer(answer),
            (None, Some(failure)) => Expected::Failure(failure.code),
            _ => return Err(format!("needs either `expect` or `expect_failure` in step {idx}")),
        };
        Ok(Step { ask, expected, budget: self.budget })
    }
}

impl Case {
    /// Whether a call of it must be metered.
    pub(super) fn counts_fuel(&self) -> bool {
        self.steps.iter().filter_map(|step| step.budget).any(|budget| budget.fuel.is_some())
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
        assert_eq!(case.steps.len(), 1);
        assert!(matches!(&case.steps[0].ask, Ask::Eval { input: Value::Null, parameters: None }));
        assert!(matches!(&case.steps[0].expected, Expected::Answer(Value::Null)));
        assert!(case.counts_fuel());
        let case = one(&json!({"name": "a", "steps": [{"input": 1, "expect": 2}, {"input": 1, "expect": 3}]})).unwrap();
        assert_eq!(case.steps.len(), 2);
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
            json!({"name": "a", "host": [{"name": "f", "error": "x"}]}),
            json!({"name": "a", "host": [{"answer": 1}]}),
            json!({"name": "a", "budget": {"wall_us": 1}}),
            json!({"input": 1}),
        ] {
            assert!(one(&case).is_err(), "{case}");
        }
        assert!(parse(b"{}").is_err());
        assert!(parse("[".repeat(1000).as_bytes()).unwrap_err().contains("128"));
    }
}
