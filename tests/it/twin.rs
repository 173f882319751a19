//! The twin of a component: it answers as the component does, and has no effect when it does not.

use lictor_model::{Outcome, StopKind};
use lictor_sandbox::Instance;
use lictor_tests::{
    guest_bytes,
    sandbox::{Cell, finished, open, sandbox, stopped},
};
use serde_json::Value;

/// The input of an example's first fixtures, with the settings and parameters it stands under.
fn inputs(name: &str) -> Vec<(String, String, String)> {
    let path = lictor_tests::repository().join("guest-examples").join(name).join("expected.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = |value: Option<&Value>| value.map_or("{}".to_owned(), Value::to_string);
    let of_case =
        |case: &Value| Some((text(case.get("settings")), text(case.get("parameters")), case.get("input")?.to_string()));
    cases.iter().filter_map(of_case).collect()
}

#[tokio::test]
async fn answers_as_the_component_does_for_every_example() {
    let sandbox = sandbox(2);
    for name in ["ip_allowlist", "load_balancer", "template_parser"] {
        let module = open(&sandbox, &guest_bytes(name), false).unwrap();
        assert!(module.has_twin(), "{name}");
        let mut cell = Cell::of_component(&sandbox, &guest_bytes(name));
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name}");
        for (settings, parameters, input) in inputs {
            cell.policy.settings = settings.as_str().into();
            cell.policy.parameters = parameters.as_str().into();
            let in_component = cell.eval_in(&mut Instance::new(cell.policy.clone()), &input).await;
            let in_twin = cell.eval(&input).await;
            assert_eq!(in_twin.outcome, in_component.outcome, "{name} {input}");
        }
    }
}

#[tokio::test]
async fn a_call_that_reaches_for_the_host_is_made_once_and_in_full() {
    let sandbox = sandbox(2);
    let mut cell = Cell::of_component(&sandbox, &guest_bytes("ip_allowlist"));
    cell.policy.settings = r#"{"allowlist_api":"https://example.com/"}"#.into();
    for _ in 0..3 {
        let n_before = cell.heard.lines().len();
        let run = cell.eval(r#"{"ip":"10.0.0.1"}"#).await;
        assert!(finished(&run).contains(r#""reason":"denied""#));
        assert!(0 < run.usage.host_calls);
        let said = cell.heard.messages().split_off(n_before);
        assert_eq!(said.iter().filter(|line| line.contains("Failed to fetch")).count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|line| line.contains("capabilities.http")).count(), 1, "{said:?}");
    }
}

#[tokio::test]
async fn usage_is_that_of_the_call_wherever_it_was_made() {
    let sandbox = sandbox(2);
    let cell = Cell::of_component(&sandbox, &guest_bytes("load_balancer"));
    let input = r#"{"mode":"estimate"}"#;
    let in_component = cell.eval_in(&mut Instance::new(cell.policy.clone()), input).await;
    let in_twin = cell.eval(input).await;
    assert_eq!(in_twin.usage.peak_memory_bytes, in_component.usage.peak_memory_bytes);
    assert_eq!(in_twin.usage.host_calls, 0);
}

#[tokio::test]
async fn limits_hold_in_the_twin_too() {
    let sandbox = sandbox(2);
    let cell = Cell::of_component(&sandbox, &guest_bytes("template_parser"));
    let long = format!(r#"{{"template_data":"{{}}","spec":{{"a":"{}"}}}}"#, "x".repeat(4096));
    let free = cell.eval(&long).await;
    let tight = cell.clone().limits(&serde_json::json!({"output_kb": 1}));
    match free.outcome {
        Outcome::Finished(answer) if 1024 < answer.len() => {
            stopped(&tight.eval(&long).await, StopKind::OutputTooLarge);
        }
        other => assert_eq!(tight.eval(&long).await.outcome, other),
    }
}

#[test]
fn a_component_that_is_made_in_an_unusual_way_has_none() {
    let sandbox = sandbox(1);
    // Its functions do not have the names from which the encoder of a twin knows them.
    let text = std::fs::read_to_string(lictor_tests::repository().join("tests/bench/spin.wat")).unwrap();
    let module = open(&sandbox, &lictor_tests::component(&text), false).unwrap();
    assert!(!module.has_twin());
}
