//! The order of a course, what its nodes are given, and what stops it, with calls that the test answers.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use lictor_model::{Failure, Violation};
use lictor_sandbox::Run;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;
use crate::error::ErrorKind;

const LONG: Duration = Duration::from_secs(60);

/// The plan of these edges, such as `a>b a>c`.
fn plan(edges: &str) -> Plan {
    let mut document = json!({"graph_function_ids": [], "graph_connection_data": {}});
    for edge in edges.split(' ') {
        let (from, to) = edge.split_once('>').unwrap();
        let children = &mut document["graph_connection_data"][from];
        if children.is_null() {
            *children = json!([]);
        }
        children.as_array_mut().unwrap().push(json!(to));
    }
    Plan::parse(document.as_object().unwrap()).unwrap().0
}

const DIAMOND: &str = "a>b a>c b>d c>d";

fn answers(output: impl Into<String>) -> Result<Checked, Error> {
    came_to(Outcome::Finished(output.into()))
}

fn came_to(outcome: Outcome) -> Result<Checked, Error> {
    Ok(Checked { run: Run::new(outcome, Usage { fuel: Some(1), ..Usage::default() }), warnings: Vec::new() })
}

async fn run<F>(plan: &Plan, timeout: Duration, call: impl Fn(Turn) -> F) -> Executed
where
    F: Future<Output = Result<Checked, Error>> + Send + 'static,
{
    Course::new(plan, "1".into(), (Instant::now(), timeout), true, call).run().await
}

/// The code, the node to blame and the message.
fn told(executed: &Executed) -> (&str, &str, String) {
    match &executed.ended {
        Ended::Answered(output) => ("ok", "", output.to_string()),
        Ended::Failed { node, outcome } => (outcome.code(), node.as_deref().unwrap_or_default(), said(outcome)),
        Ended::NotRun { node, error } => {
            let message = error.message().strip_prefix(&format!("node `{node}`: ")).unwrap();
            (error.kind().code(), node, message.into())
        }
    }
}

/// Each node with its outcome.
fn outcomes(executed: &Executed) -> String {
    executed.nodes.iter().map(|run| format!("{}:{}", run.function_id, run.outcome)).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_node_is_given_what_its_parents_answered_in_the_order_of_the_connections() {
    for (edges, expected) in [
        (DIAMOND, json!(["d", [["b", ["a", 1]], ["c", ["a", 1]]]])),
        ("c>d b>d a>b a>c", json!(["d", [["c", ["a", 1]], ["b", ["a", 1]]]])),
        ("a>b b>c", json!(["c", ["b", ["a", 1]]])),
        ("x>z y>z", json!(["z", [["x", 1], ["y", 1]]])),
        ("a>c b>c a>b", json!(["c", [["a", 1], ["b", ["a", 1]]]])),
    ] {
        let call = |turn: Turn| async move { answers(format!(r#"["{}",{}]"#, turn.function_id, turn.input)) };
        let executed = run(&plan(edges), LONG, call).await;
        let Ended::Answered(output) = &executed.ended else { panic!("{executed:?}") };
        assert_eq!(serde_json::from_str::<Value>(output).unwrap(), expected, "{edges}");
        assert_eq!(executed.usage.fuel, Some(executed.nodes.len() as u64));
        for node in &executed.nodes {
            assert!(node.outcome == "ok" && node.output.is_some() && node.wall_us.is_some(), "{node:?}");
        }
    }
}

#[tokio::test]
async fn empty_answers_are_passed_on() {
    for answer in ["null", "0", "{}", "\"\"", " [ 1.50 ] "] {
        let call = |turn: Turn| async move {
            answers(if &*turn.function_id == "b" { turn.input.to_string() } else { answer.into() })
        };
        assert_eq!(told(&run(&plan("a>b"), LONG, call).await), ("ok", "", answer.into()));
    }
}

#[tokio::test]
async fn branches_run_at_the_same_time_and_the_first_to_end_is_not_the_first_of_the_list() {
    let (meeting, order) = (Arc::new(Barrier::new(2)), Arc::new(Mutex::new(Vec::new())));
    let (first, turn_of_b) = (Arc::clone(&order), Arc::new(tokio::sync::Notify::new()));
    let call = move |turn: Turn| {
        let (meeting, order, turn_of_b) = (Arc::clone(&meeting), Arc::clone(&order), Arc::clone(&turn_of_b));
        async move {
            let name = turn.function_id.to_string();
            if name == "b" || name == "c" {
                // Neither goes on before both are there.
                meeting.wait().await;
            }
            match name.as_str() {
                "b" => turn_of_b.notified().await,
                "c" => turn_of_b.notify_one(),
                _ => {}
            }
            order.lock().unwrap().push(name.clone());
            answers(if name == "d" { turn.input.to_string() } else { format!("\"{name}\"") })
        }
    };
    assert_eq!(told(&run(&plan(DIAMOND), LONG, call).await), ("ok", "", r#"["b","c"]"#.into()));
    assert_eq!(*first.lock().unwrap(), ["a", "c", "b", "d"]);
}

/// Counts when it is dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_first_node_that_fails_stops_the_others_and_is_named() {
    type Answer = fn() -> Result<Checked, Error>;
    let rows: [(Answer, &str, &str); 3] = [
        (
            || came_to(Outcome::Failed(Failure { code: "own".into(), message: "no".into(), details: None })),
            "policy_error",
            "no",
        ),
        (
            || came_to(Outcome::Stopped(Stop::new(StopKind::Timeout, "its own time is over"))),
            "timeout",
            "its own time is over",
        ),
        (|| Err(Error::new(ErrorKind::Busy, "no replica is free")), "busy", "no replica is free"),
    ];
    for (answer, code, message) in rows {
        let (dropped, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let seen = Arc::clone(&dropped);
        let call = move |turn: Turn| {
            let (guard, begun) = (Guard(Arc::clone(&dropped)), Arc::clone(&begun));
            async move {
                let _guard = guard;
                match &*turn.function_id {
                    "a" => answers("1"),
                    "b" => {
                        begun.notified().await;
                        answer()
                    }
                    _ => {
                        begun.notify_one();
                        std::future::pending().await
                    }
                }
            }
        };
        let executed = run(&plan(DIAMOND), LONG, call).await;
        assert_eq!(told(&executed), (code, "b", message.into()));
        assert_eq!(outcomes(&executed), format!("a:ok b:{code} c:cancelled d:skipped"));
        let [_, b, c, d] = executed.nodes.as_slice() else { panic!("{executed:?}") };
        assert_eq!((b.message.as_deref(), &b.output), (Some(message), &None));
        assert!(c.started_us.is_some() && c.wall_us.is_some() && d.started_us.is_none() && d.wall_us.is_none());
        while seen.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    }
}

// attack 71
#[tokio::test]
async fn the_deadline_is_the_graphs_and_names_who_was_running() {
    let brief = Duration::from_millis(30);
    let call = |turn: Turn| async move {
        assert!((1..=30).contains(&turn.left_ms), "{}", turn.left_ms);
        std::future::pending().await
    };
    let executed = run(&plan("a>c b>c"), brief, call).await;
    let message = "the graph did not finish within 30 ms; running then: `a`, `b`";
    assert_eq!(told(&executed), ("timeout", "", message.into()));
    assert_eq!(outcomes(&executed), "a:cancelled b:cancelled c:skipped");
    // A node that its function stops at that moment is not to blame either.
    let call = |turn: Turn| async move {
        tokio::time::sleep(Duration::from_millis(turn.left_ms)).await;
        came_to(Outcome::Stopped(Stop::new(StopKind::Timeout, "the policy did not finish within 30 ms")))
    };
    let message = "the graph did not finish within 30 ms; running then: `a`";
    assert_eq!(told(&run(&plan("a>b"), brief, call).await), ("timeout", "a", message.into()));
}

#[tokio::test]
async fn dropping_a_course_ends_its_calls() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&dropped);
    let call = move |_: Turn| {
        let guard = Guard(Arc::clone(&dropped));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    };
    let plan = plan("a>c b>c");
    tokio::select! {
        biased;
        executed = run(&plan, LONG, call) => panic!("{executed:?}"),
        () = tokio::task::yield_now() => {}
    }
    while seen.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
}

// attack 70
#[tokio::test]
async fn every_node_runs_once_however_many_ways_lead_to_it() {
    let mut edges = Vec::new();
    for i in 0..100 {
        edges.extend([format!("j{i}>l{i}"), format!("j{i}>r{i}")]);
        edges.extend([format!("l{i}>j{}", i + 1), format!("r{i}>j{}", i + 1)]);
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let call = move |_: Turn| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { answers("1") }
    };
    let executed = run(&plan(&edges.join(" ")), LONG, call).await;
    assert_eq!(told(&executed), ("ok", "", "1".into()));
    assert_eq!((calls.load(Ordering::SeqCst), executed.nodes.len()), (301, 301));
}

// attack 95
#[tokio::test]
async fn what_would_be_too_much_or_too_deep_is_refused_by_the_node_that_makes_it_so() {
    let large = |turn: Turn| async move {
        let n = if &*turn.function_id == "a" { 2 } else { 33 << 20 };
        answers(format!("\"{}\"", "x".repeat(n)))
    };
    let executed = run(&plan(DIAMOND), LONG, large).await;
    let (code, node, message) = told(&executed);
    assert!(code == "output_too_large" && (node == "b" || node == "c"), "{code} {node}");
    assert!(message.contains("64 MiB"), "{message}");

    let doubled = |turn: Turn| async move { answers(turn.input.to_string()) };
    let mut edges = vec!["s>j0".to_owned()];
    for i in 0..130 {
        edges.extend([format!("j{i}>l{i}"), format!("j{i}>r{i}")]);
        edges.extend([format!("l{i}>j{}", i + 1), format!("r{i}>j{}", i + 1)]);
    }
    assert_eq!(told(&run(&plan(&edges.join(" ")), LONG, doubled).await).0, "output_too_large");

    let deep = |turn: Turn| async move {
        match &*turn.function_id {
            "d" => answers("1"),
            _ => answers(format!("{}{}", "[".repeat(128), "]".repeat(128))),
        }
    };
    let executed = run(&plan(DIAMOND), LONG, deep).await;
    assert_eq!(
        told(&executed),
        ("bad_output", "d", "the list of its parents' outputs is nested deeper than 128".into())
    );
    assert_eq!(outcomes(&executed), "a:ok b:ok c:ok d:bad_output");
}

#[tokio::test]
async fn what_was_held_for_nodes_that_ended_is_let_go() {
    let call = |turn: Turn| async move {
        let n = if &*turn.function_id == "z" { 2 } else { 20 << 20 };
        answers(format!("\"{}\"", "x".repeat(n)))
    };
    let plan = plan("a>b b>c c>d d>e e>z");
    let course = |keep| Course::new(&plan, "1".into(), (Instant::now(), LONG), keep, call).run();
    assert_eq!(told(&course(false).await).0, "ok");
    // To be told, all of them are kept.
    assert_eq!(told(&course(true).await).0, "output_too_large");
}

#[tokio::test]
async fn a_call_that_is_lost_is_our_failure_and_names_its_node() {
    let call = |turn: Turn| async move {
        assert!(&*turn.function_id != "b", "a bug");
        answers("1")
    };
    let executed = run(&plan("a>b b>c"), LONG, call).await;
    assert_eq!(told(&executed), ("internal", "b", "a call came to no end".into()));
    assert_eq!(outcomes(&executed), "a:ok b:internal c:skipped");
}

#[tokio::test]
async fn warnings_of_nodes_are_told_with_their_names_and_counted() {
    let call = |turn: Turn| async move {
        let violation = Violation { path: "input_data.ip".into(), message: "is required".into() };
        let n = if &*turn.function_id == "a" { 1 } else { 200 };
        answers("1").map(|checked| Checked { warnings: vec![violation; n], ..checked })
    };
    let executed = run(&plan("a>b"), LONG, call).await;
    assert_eq!(
        executed.warnings[..2],
        ["node `a`: `input_data.ip` is required", "node `b`: `input_data.ip` is required"]
    );
    assert_eq!((executed.warnings.len(), executed.warnings[100].as_str()), (101, "and more, which are left out"));
}
