//! Bad input for the routes of graphs.

use lictor_tests::TestServer;
use serde_json::{Value, json};

use super::{REGISTRY, RUNNING, Row, but, missing, registries, row};

pub(super) const TAKES_JSON: &[(&str, u16)] = &[("POST /graph/execute_graph", RUNNING)];

/// What the rows stand on: the graph that is there for all, whose functions are not.
pub(super) fn set_up(_server: &TestServer) {}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = edges();
    let good = json!({"graph_uri": "there:1.0-test", "input_data": 1});
    let post = |query: &str, body: Value, field: &'static str, says: &'static str| {
        row(&format!("POST /graph/execute_graph{query}"), body, RUNNING, field, says)
    };
    rows.extend([
        post("", json!({}), "graph_uri", "is required"),
        post("", but(&good, "graph_uri", None), "graph_uri", "is required"),
        post("", but(&good, "graph_uri", Some(json!(null))), "graph_uri", "string"),
        post("", but(&good, "input_data", None), "input_data", "is required"),
        post("?trace=perhaps", good.clone(), "trace", "1 or 0"),
        post("?usage=perhaps", good.clone(), "usage", "1 or 0"),
        post("?timeout_ms=soon", good.clone(), "timeout_ms", "whole number of milliseconds"),
        post("?tarce=1", good.clone(), "tarce", "`trace`"),
        missing("POST /graph/execute_graph", Some(good.clone()), 404, "No function with ID 'a' found."),
        missing(
            "POST /graph/execute_graph",
            Some(but(&good, "graph_uri", Some(json!("no:1.0-such")))),
            404,
            "Graph with URI 'no:1.0-such' not found",
        ),
    ]);
    rows
}

/// Graphs that could not run.
fn edges() -> Vec<Row> {
    let good = but(&registries::graph(), "graph_name", Some(json!("new")));
    let (ids, connections) = ("graph_function_ids", "graph_connection_data");
    let post = |nodes: Value, edges: Value, field: &'static str, says: &'static str| {
        let body = but(&but(&good, ids, Some(nodes)), connections, Some(edges));
        row("POST /graphs", body, REGISTRY, field, says)
    };
    let chain: Vec<String> = (0..1001).map(|i| format!("n{i}")).collect();
    vec![
        post(json!([]), json!({}), ids, "It has no nodes"),
        post(json!(["a"]), json!({"a": ["a"]}), connections, "It has the cycle `a -> a`"),
        post(
            json!(["a", "b", "c"]),
            json!({"a": ["b"], "b": ["a", "c"]}),
            connections,
            "Graph is not a Directed Acyclic Graph (DAG). Execution stopped. It has the cycle `a -> b -> a`",
        ),
        post(
            json!(["a", "b", "c"]),
            json!({"a": ["b", "c"]}),
            connections,
            "Graph must have exactly one leaf node to produce a single final output. It has 2: `b`, `c`",
        ),
        post(json!(["a", "b", "a"]), json!({"a": ["b"]}), ids, "`a` twice"),
        post(json!(["a", "b"]), json!({"a": ["b", "b"]}), connections, "`a -> b` twice"),
        post(json!(chain), json!({}), ids, "at most 1000 nodes"),
        row("POST /graphs", but(&good, "schema_mode", Some(json!("strict"))), REGISTRY, "schema_mode", "`enforce`"),
        row(
            "PUT /graphs/there:1.0-test",
            json!({"$set": {"graph_connection_data.a": ["a"]}}),
            REGISTRY,
            connections,
            "a -> a",
        ),
    ]
}
