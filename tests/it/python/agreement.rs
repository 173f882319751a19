//! Fifteen policies as companies have them: each step is decided as plain CPython decides it.

use std::{fs, path::PathBuf, process::Command};

use lictor_model::Outcome;
use lictor_sandbox::{Instance, Op};
use lictor_tests::{
    python_module, repository,
    sandbox::{Cell, sandbox},
};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    repository().join("tests/python")
}

/// The files below a folder, by their names in it.
fn files(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut res = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() && name != "__pycache__" {
            res.extend(files(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else if path.is_file() {
            res.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    res
}

/// What plain CPython decides.
fn reference(policy: &str, fresh: bool) -> Vec<Value> {
    let mut command = Command::new("python3");
    command.arg("-B").arg(folder().join("reference.py")).arg(folder().join("policies").join(policy));
    let output = command.args(fresh.then_some("--fresh")).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn same(outcome: &Outcome, expected: &Value) -> bool {
    match outcome {
        Outcome::Finished(output) => json!({"ok": serde_json::from_str::<Value>(output).unwrap()}) == *expected,
        Outcome::Failed(failure) => {
            let details: Value = serde_json::from_str(failure.details.as_deref().unwrap_or("null")).unwrap();
            let cut: String = expected["error"]["message"].as_str().unwrap_or_default().chars().take(500).collect();
            expected["error"]["type"] == failure.code.as_str() && details["message"] == cut.as_str()
        }
        Outcome::Stopped(_) => false,
    }
}

async fn step(cell: &Cell, instance: &mut Instance, step: &Value) -> Outcome {
    let text = |value: &Value| value.to_string();
    let (parameters, input, data) =
        (step.get("parameters").map(text), step.get("eval").map(text), text(&step["management"]["data"]));
    let op = match &input {
        Some(input) => Op::Eval { parameters: parameters.as_deref(), input },
        None => Op::Management { action: step["management"]["action"].as_str().unwrap(), data: &data },
    };
    cell.ask(instance, op).await.unwrap().outcome
}

fn agrees(policy: &str) {
    let place = folder().join("policies").join(policy);
    let code = files(&place.join("code"));
    let code: Vec<_> = code.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(place.join(name)).unwrap()).unwrap();
    let (record, calls) = (read("policy.json"), read("calls.json"));
    let steps = calls["steps"].as_array().unwrap();
    let sandbox = sandbox(4);
    let module = python_module(&sandbox, &code).unwrap_or_else(|error| panic!("no module: {error}"));
    let mut cell = Cell::of_module(&sandbox, module);
    cell.policy.uri = "".into();
    cell.policy.settings = record["policy_settings"].to_string().into();
    cell.policy.parameters = record["policy_parameters"].to_string().into();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (mut kept, fresh_cell) = (cell.instance(), Cell { context: std::sync::Arc::default(), ..cell.clone() });
        let expected = reference(policy, false);
        assert_eq!(expected.len(), steps.len());
        for (n, (asked, expected)) in steps.iter().zip(&expected).enumerate() {
            let outcome = step(&cell, &mut kept, asked).await;
            assert!(same(&outcome, expected), "{policy}, step {n}: {asked}\nCPython: {expected}\nhere: {outcome:?}");
        }
        let evals: Vec<_> = steps.iter().filter(|step| step.get("eval").is_some()).collect();
        let expected = reference(policy, true);
        assert_eq!(expected.len(), evals.len());
        for (n, (asked, expected)) in evals.iter().zip(&expected).enumerate() {
            let outcome = step(&fresh_cell, &mut Instance::once(cell.policy.clone()), asked).await;
            assert!(same(&outcome, expected), "{policy}, fresh {n}: {asked}\nCPython: {expected}\nhere: {outcome:?}");
        }
    });
}

macro_rules! agree {
    ($($policy:ident)*) => {
        $(#[test]
        fn $policy() {
            agrees(stringify!($policy));
        })*

        #[test]
        fn all_are_here() {
            let mut found: Vec<_> = fs::read_dir(folder().join("policies"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, [$(stringify!($policy)),*]);
        }
    };
}

agree!(add_node autoscaler block_events block_health_checker cluster_allocator load_balancer post_processing pre_processing
    quota_checker remove_node resource_allocator search_ranking template_parser vdag_health_checker vdag_quality_checker);
