use serde::Deserialize;
use serde_json::{Value, json};

use super::{Harness, World, check_fixtures};
use crate::{Context, Empty, Failure, Policy, clock, host, http, log};

/// Does to its context, its host and its log what its input says.
struct Puppet {
    step: u64,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    step: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Count,
    Keys,
    Forget,
    Fetch(String),
    Post(Value),
    Ask(Value),
    Say(String),
    Now,
    Origin,
}

impl Policy for Puppet {
    type Settings = Empty;
    type Parameters = Parameters;
    type Input = Order;
    type Output = Value;

    fn new(_: &str, _: Empty, parameters: Parameters) -> Result<Self, Failure> {
        Ok(Self { step: parameters.step })
    }

    fn eval(&mut self, parameters: Option<Parameters>, order: Order, context: &mut Context) -> Result<Value, Failure> {
        let step = parameters.map_or(self.step, |parameters| parameters.step);
        Ok(match order {
            Order::Count => {
                let n = context.get::<u64>("n")?.unwrap_or_default() + step;
                context.set("n", &n)?;
                json!(n)
            }
            Order::Keys => json!(context.keys()?),
            Order::Forget => {
                let was_there = context.contains("n")?;
                context.delete("n")?;
                json!(was_there)
            }
            Order::Fetch(url) => http::get(&url)?.error_for_status()?.json()?,
            Order::Post(body) => {
                let request = http::Request::post("https://example.com/audit").json(&body).max_body(10).timeout(5);
                json!(request.send()?.status)
            }
            Order::Ask(args) => host::call("double", &args)?,
            Order::Say(text) => {
                log::warn!("said {text}");
                Value::Null
            }
            Order::Now => json!(clock::now_ms()),
            Order::Origin => json!(context.call().origin),
        })
    }
}

// Its types have no schemas.
crate::export!(Puppet, no_schemas);

fn puppet(step: u64) -> Harness<Puppet> {
    Harness::new(&json!({}), &json!({ "step": step })).unwrap()
}

#[track_caller]
fn fails_with(code: &str, answer: Result<Value, Failure>) -> Failure {
    let failure = answer.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    failure
}

#[test]
fn context_outlives_the_instance() {
    let world = World::new().context("n", &json!(40));
    assert_eq!(puppet(1).eval(&json!("count")).unwrap(), 41);
    assert_eq!(puppet(1).eval_with(&json!({ "step": 2 }), &json!("count")).unwrap(), 43);
    assert_eq!(world.context_value("n"), Some(json!(43)));
    assert_eq!(puppet(0).eval(&json!("keys")).unwrap(), json!(["n"]));
    assert_eq!(puppet(0).eval(&json!("forget")).unwrap(), true);
    assert_eq!(puppet(0).eval(&json!("forget")).unwrap(), false);
}

#[test]
fn context_of_another_shape_names_the_key() {
    let _world = World::new().context("n", &json!("forty"));
    let failure = fails_with("invalid_data", puppet(1).eval(&json!("count")));
    assert!(failure.message.starts_with("context key `n`: "), "{failure}");
}

#[test]
fn untouched_context_costs_no_host_call() {
    let world = World::new();
    assert_eq!(puppet(0).eval(&json!("origin")).unwrap(), "test");
    assert_eq!(world.n_host_calls(), 0);
}

#[test]
fn requests_meet_their_routes() {
    let world = World::new()
        .route("https://example.com/a", 200, &json!({ "a": 1 }))
        .route("https://example.com/b", 503, &json!(null))
        .route("https://example.com/audit", 204, &json!({}))
        .route_error("https://example.com/c", "connection-refused");
    assert_eq!(puppet(0).eval(&json!({ "fetch": "https://example.com/a" })).unwrap(), json!({ "a": 1 }));
    let failure = fails_with("http_error", puppet(0).eval(&json!({ "fetch": "https://example.com/b" })));
    assert_eq!(failure.message, "status: status 503");
    let failure = fails_with("http_error", puppet(0).eval(&json!({ "fetch": "https://example.com/c" })));
    assert_eq!(failure.message, "connection-refused: https://example.com/c");
    let failure = fails_with("http_error", puppet(0).eval(&json!({ "fetch": "https://example.com/d" })));
    assert_eq!(failure.details, Some(json!({ "error": "HTTP-request-denied" })));
    assert_eq!(puppet(0).eval(&json!({ "post": { "x": 1 } })).unwrap(), 204);
    assert_eq!(world.requests().last().unwrap(), &("POST".to_owned(), "https://example.com/audit".to_owned()));
    assert_eq!(world.request_bodies().last().unwrap(), br#"{"x":1}"#);
}

#[test]
fn answer_above_its_bound_is_an_error() {
    let _world = World::new().route("https://example.com/audit", 200, &json!("more than ten bytes"));
    let failure = fails_with("http_error", puppet(0).eval(&json!({ "post": null })));
    assert_eq!(failure.details, Some(json!({ "error": "HTTP-response-body-size" })));
}

#[test]
fn host_functions_are_called_by_name() {
    let _world = World::new().function("double", |args| match args.as_u64() {
        Some(n) => Ok(json!(2 * n)),
        None => Err(Failure::invalid_data("not a number")),
    });
    assert_eq!(puppet(0).eval(&json!({ "ask": 21 })).unwrap(), 42);
    fails_with("invalid_data", puppet(0).eval(&json!({ "ask": "x" })));
    let _world = World::new();
    fails_with("not_available", puppet(0).eval(&json!({ "ask": 21 })));
}

#[test]
fn log_lines_are_kept() {
    let world = World::new();
    puppet(0).eval(&json!({ "say": "hello" })).unwrap();
    let lines = world.logs();
    assert_eq!(lines[0].message, "said hello");
    assert_eq!(lines[0].level, log::Level::Warn);
    assert_eq!(lines[0].target, "lictor_policy::testing::tests");
}

#[test]
fn clock_stands_where_it_was_set() {
    let _world = World::new().at(1234);
    assert_eq!(puppet(0).eval(&json!("now")).unwrap(), 1234);
}

#[test]
fn json_of_another_shape_says_whose_it_was() {
    let failure = Harness::<Puppet>::new(&json!(null), &json!({})).unwrap_err();
    assert_eq!(failure.code, "invalid_settings");
    let failure = Harness::<Puppet>::new(&json!({}), &json!({ "step": "x" })).unwrap_err();
    assert_eq!(failure.code, "invalid_parameters");
    assert!(failure.message.contains("expected u64 at line 1 column"), "{failure}");
    fails_with("invalid_input", puppet(0).eval(&json!("jump")));
    fails_with("unknown_action", puppet(0).manage("jump", &json!({})));
}

#[test]
fn calls_before_a_constructor_fail() {
    let slot = crate::glue::Slot::<Puppet>::empty();
    assert_eq!(slot.eval(None, "\"now\"", String::new()).unwrap_err().code, "not_initialized");
}

#[test]
fn fixtures_say_what_differs() {
    let cases = json!([
        { "name": "right", "parameters": { "step": 1 }, "input": "count", "expect": 1.0, "expect_context": { "n": 1 } },
        { "name": "wrong", "steps": [{ "input": "count", "expect": 0 }, { "input": "count", "expect": 7 }] },
        { "name": "other failure", "input": "jump", "expect_failure": { "code": "x" } },
        { "name": "forgotten", "input": "count" },
        { "name": "frugal", "input": "count", "expect": 0, "budget": { "fuel": 1, "peak_memory_bytes": 1 } },
        { "name": "twice", "expect_failure": { "code": "x" }, "steps": [{ "input": "count", "expect": 0 }] },
        { "name": "both", "input": "count", "expect": 0, "steps": [{ "input": "count", "expect": 0 }] },
    ]);
    let differences = check_fixtures::<Puppet>(&cases.to_string()).unwrap_err();
    let lines: Vec<_> = differences.lines().collect();
    assert_eq!(lines[0], "case `wrong`: step 1: expected 7, found 0");
    assert!(
        lines[1].starts_with("case `other failure`: step 0: expected failure `x`, got invalid_input"),
        "{differences}"
    );
    assert_eq!(lines[2], "case `forgotten`: step 0: needs either `expect` or `expect_failure`");
    assert_eq!(lines[3], "case `twice`: has `steps`, and a step of its own beside them");
    assert_eq!(lines[4], "case `both`: has `steps`, and a step of its own beside them");
    assert!(check_fixtures::<Puppet>(r#"[{"name": "x", "unknown": 1}]"#).is_err());
}

#[test]
fn fixtures_answer_for_host_functions() {
    let host = json!([
        { "name": "double", "args": 21, "answer": 42 },
        { "name": "double", "args": "x", "failure": { "code": "no_number" } },
    ]);
    let steps = json!([
        { "input": { "ask": 21.0 }, "expect": 42 },
        { "input": { "ask": "x" }, "expect_failure": { "code": "no_number" } },
        { "input": { "ask": 5 }, "expect_failure": { "code": "not_available" } },
    ]);
    let cases = json!([{ "name": "asked", "host": host, "steps": steps }]);
    check_fixtures::<Puppet>(&cases.to_string()).unwrap();
    assert!(check_fixtures::<Puppet>(r#"[{"name": "x", "host": [{"name": "f", "body": 1}]}]"#).is_err());
}
