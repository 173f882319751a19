//! Fixtures: cases in JSON that hold natively and in the sandbox alike. `guest-examples/README.md` specifies the
//! format.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Harness, World};
use crate::http::{Error, Response};
use crate::{Failure, Policy};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
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
    expect_context: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default, deserialize_with = "present")]
    input: Option<Value>,
    call_parameters: Option<Value>,
    management: Option<Command>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
    expect_failure: Option<ExpectedFailure>,
    budget: Option<Budget>,
}

/// What a call may use at most, which only `lictor test` checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the sandbox can meter a call")]
struct Budget {
    fuel: Option<u64>,
    peak_memory_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    action: String,
    #[serde(default = "empty_object")]
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFailure {
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    method: Option<String>,
    url: String,
    #[serde(default = "ok_status")]
    status: u16,
    #[serde(default)]
    body: Value,
    error: Option<String>,
}

/// What a function of the host application answers.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    #[serde(default, deserialize_with = "present")]
    args: Option<Value>,
    #[serde(default)]
    answer: Value,
    failure: Option<FunctionFailure>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionFailure {
    code: String,
    #[serde(default)]
    message: String,
}

/// Runs the fixtures in `text` against `P` and panics with every difference found.
#[expect(clippy::panic, reason = "it is an assertion, called from tests")]
#[track_caller]
pub fn run_fixtures<P: Policy>(text: &str) {
    if let Err(differences) = check_fixtures::<P>(text) {
        panic!("{differences}");
    }
}

/// Runs the fixtures in `text` against `P` and says every difference found, a line each.
pub fn check_fixtures<P: Policy>(text: &str) -> Result<(), String> {
    let cases: Vec<Case> = serde_json::from_str(text).map_err(|err| format!("not a list of fixtures: {err}"))?;
    let mut differences = String::new();
    for case in cases {
        let name = case.name.clone();
        if let Err(difference) = check_case::<P>(case) {
            // Writing to a string does not fail.
            let _ = writeln!(differences, "case `{name}`: {difference}");
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

fn check_case<P: Policy>(mut case: Case) -> Result<(), String> {
    let world = prepare(&case);
    let harness = Harness::<P>::new(&case.settings, &case.parameters);
    for (idx, step) in steps(&mut case)?.into_iter().enumerate() {
        check_step(&harness, step).map_err(|difference| format!("step {idx}: {difference}"))?;
    }
    for (key, expected) in &case.expect_context {
        let found = world.context_value(key).unwrap_or(Value::Null);
        if !same(expected, &found) {
            return Err(format!("context key `{key}`: expected {expected}, found {found}"));
        }
    }
    Ok(())
}

fn prepare(case: &Case) -> World {
    let mut world = World::new();
    for (key, value) in &case.context {
        world = world.context(key, value);
    }
    for route in &case.http {
        world = world.answer(route.method.as_deref(), &route.url, answer(route));
    }
    for Function { name, .. } in &case.host {
        let all: Vec<_> = case.host.iter().filter(|function| function.name == *name).cloned().collect();
        world = world.function(name, move |args| call(&all, &args));
    }
    world
}

/// What the first function that fits answers.
fn call(functions: &[Function], args: &Value) -> Result<Value, Failure> {
    let fits = |function: &&Function| function.args.as_ref().is_none_or(|expected| same(expected, args));
    match functions.iter().find(fits) {
        None => Err(Failure::new("not_available", "no answer of the host function fits these arguments")),
        Some(Function { failure: Some(failure), .. }) => Err(Failure::new(&failure.code, &failure.message)),
        Some(function) => Ok(function.answer.clone()),
    }
}

fn answer(route: &Route) -> Result<Response, Error> {
    if let Some(code) = &route.error {
        return Err(Error::new(code.clone(), String::new()));
    }
    let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
    Ok(Response { status: route.status, headers, body: route.body.to_string().into_bytes() })
}

/// The steps of a case. One that has no list of them is itself the one step.
fn steps(case: &mut Case) -> Result<Vec<Step>, String> {
    let step = Step {
        input: case.input.take(),
        call_parameters: case.call_parameters.take(),
        management: case.management.take(),
        expect: case.expect.take(),
        expect_failure: case.expect_failure.take(),
        budget: case.budget.take(),
    };
    let is_empty = step.input.is_none()
        && step.call_parameters.is_none()
        && step.management.is_none()
        && step.expect.is_none()
        && step.expect_failure.is_none()
        && step.budget.is_none();
    match (case.steps.is_empty(), is_empty) {
        (true, _) => Ok(vec![step]),
        (false, true) => Ok(std::mem::take(&mut case.steps)),
        (false, false) => Err("has `steps`, and a step of its own beside them".to_owned()),
    }
}

fn check_step<P: Policy>(harness: &Result<Harness<P>, Failure>, step: Step) -> Result<(), String> {
    let answer = match harness {
        Ok(harness) => act(harness, &step)?,
        Err(failure) => Err(failure.clone()),
    };
    match (step.expect, step.expect_failure, answer) {
        (Some(expected), None, Ok(found)) if same(&expected, &found) => Ok(()),
        (Some(expected), None, Ok(found)) => Err(format!("expected {expected}, found {found}")),
        (Some(expected), None, Err(failure)) => Err(format!("expected {expected}, failed with {failure}")),
        (None, Some(expected), Err(failure)) if expected.code == failure.code => Ok(()),
        (None, Some(expected), Err(failure)) => Err(format!("expected failure `{}`, got {failure}", expected.code)),
        (None, Some(expected), Ok(found)) => Err(format!("expected failure `{}`, found {found}", expected.code)),
        _ => Err("needs either `expect` or `expect_failure`".to_owned()),
    }
}

fn act<P: Policy>(harness: &Harness<P>, step: &Step) -> Result<Result<Value, Failure>, String> {
    match (&step.input, &step.management) {
        (Some(input), None) => Ok(match &step.call_parameters {
            Some(parameters) => harness.eval_with(parameters, input),
            None => harness.eval(input),
        }),
        (None, Some(command)) => Ok(harness.manage(&command.action, &command.data)),
        _ => Err("needs either `input` or `management`".to_owned()),
    }
}

/// Equal as JSON: numbers by value, objects whatever the order of their members.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// Tells `null` from absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn empty_object() -> Value {
    json!({})
}

const fn ok_status() -> u16 {
    200
}
