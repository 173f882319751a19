//! Graphs: what is refused when one is made, joins, deadlines, and which node is to blame.

use lictor_tests::{
    Answer, Builder, CodeServer, Guest, Reply, TestServer, counter, eventually, policy, record,
    sandbox::Guest as Scripted,
};
use serde_json::{Value, json};

const SEED: &str = include_str!("../data/seed/graph.json");
const SEED_EXECUTE: &str = include_str!("../data/seed/execute_graph.json");
const EXECUTE: &str = "/graph/execute_graph";

/// A policy that answers `["name", <its input>]`.
fn wraps(name: &str) -> Vec<u8> {
    let head = format!(r#"["{name}","#);
    let n = head.len();
    let escaped: String = head.bytes().map(|b| format!("\\{b:02x}")).collect();
    Guest {
        data: &format!("(data (i32.const 1024) \"{escaped}\")"),
        eval: &format!(
            "(local $at i32)
            (local.set $at (call $alloc (i32.add (local.get $inputn) (i32.const {}))))
            (memory.copy (local.get $at) (i32.const 1024) (i32.const {n}))
            (memory.copy (i32.add (local.get $at) (i32.const {n})) (local.get $input) (local.get $inputn))
            (i32.store8 (i32.add (i32.add (local.get $at) (i32.const {n})) (local.get $inputn)) (i32.const 93))
            (call $ok (local.get $at) (i32.add (local.get $inputn) (i32.const {})))",
            n + 1,
            n + 1
        ),
        ..Guest::default()
    }
    .build()
}

/// A policy that fails with the code `no`.
fn fails() -> Vec<u8> {
    let data = "(data (i32.const 1024) \"no\")";
    Guest { data, eval: "(call $err (i32.const 1024) (i32.const 2))", ..Guest::default() }.build()
}

fn spins() -> Vec<u8> {
    Guest { eval: "(loop $for_ever (br $for_ever)) (unreachable)", ..Guest::default() }.build()
}

/// Deploys this code as a function, with more in its record.
#[track_caller]
fn deploy_as(server: &TestServer, name: &str, code: &[u8], more: &Value) {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), code));
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let uri = server.load(&record);
    let body = json!({"name": name, "policy_rule_uri": uri});
    server.post("/function/deployments/create/executor-001", &body).data();
}

#[track_caller]
fn deploy(server: &TestServer, name: &str, code: &[u8]) {
    deploy_as(server, name, code, &json!({}));
}

fn graph(name: &str, ids: &Value, connections: &Value) -> Value {
    json!({
        "graph_name": name, "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": {},
        "graph_function_ids": ids, "graph_connection_data": connections, "graph_search_tags": [],
        "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
    })
}

fn diamond() -> Value {
    graph("diamond", &json!(["a", "b", "c", "d"]), &json!({"a": ["b", "c"], "b": ["d"], "c": ["d"]}))
}

/// A server with the functions `a`, `b`, `c` and `d`, and the graph of them.
fn with_diamond() -> TestServer {
    let server = TestServer::builder().allow_loopback().start();
    for name in ["a", "b", "c", "d"] {
        deploy(&server, name, &wraps(name));
    }
    server.post("/graphs", &diamond()).data();
    server
}

fn execute(server: &TestServer, query: &str, graph: &str, input: &Value) -> Reply {
    server.post(&format!("{EXECUTE}{query}"), &json!({"graph_uri": format!("{graph}:1.0-test"), "input_data": input}))
}

/// Each node of a trace with its outcome.
fn outcomes(body: &Value) -> String {
    let node =
        |node: &Value| format!("{}:{}", node["function_id"].as_str().unwrap(), node["outcome"].as_str().unwrap());
    body["nodes"].as_array().unwrap().iter().map(node).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_graph_of_the_document_is_executed_once_its_functions_are_there() {
    let server = TestServer::start();
    let created = server.post_text("/graphs", SEED).json();
    let warning = created["warnings"][0].as_str().unwrap();
    assert!(["`funcA`", "`funcB`", "`funcC`", "`funcD`"].iter().all(|name| warning.contains(name)), "{created}");
    let reply = server.post_text(EXECUTE, SEED_EXECUTE);
    assert_eq!(reply.refusal(), (404, "not_found".into()));
    let message = "No functions with these IDs found: `funcA`, `funcB`, `funcC`, `funcD`.";
    assert_eq!((&reply.json()["message"], &reply.json()["node"]), (&json!(message), &json!("funcA")));

    for name in ["funcA", "funcB", "funcC"] {
        deploy(&server, name, &wraps(name));
    }
    let reply = server.post_text(EXECUTE, SEED_EXECUTE);
    assert_eq!(reply.json()["message"], "No function with ID 'funcD' found.");
    deploy(&server, "funcD", &wraps("funcD"));
    let sent: Value = serde_json::from_str(SEED_EXECUTE).unwrap();
    let before = json!(["funcA", sent["input_data"]]);
    let reply = server.post_text(EXECUTE, SEED_EXECUTE);
    assert_eq!(reply.data(), json!(["funcD", [["funcB", before], ["funcC", before]]]));
    assert_eq!(reply.json()["warnings"], json!(["`output` must be an object, not a list"]), "{}", reply.text());
    assert_eq!(server.post_text("/graphs", SEED).json().get("warnings"), None);
}

#[test]
fn nodes_are_given_their_parents_outputs_as_they_are_written() {
    let server = with_diamond();
    let flipped = graph("flipped", &json!(["a", "b", "c", "d"]), &json!({"c": ["d"], "a": ["b", "c"], "b": ["d"]}));
    let chain = graph("chain", &json!(["a", "b"]), &json!({"a": ["b"]}));
    let one = graph("one", &json!(["a"]), &json!({}));
    let roots = graph("roots", &json!(["a", "b", "c"]), &json!({"b": ["c"], "a": ["c"]}));
    for graph in [flipped, chain, one, roots] {
        assert_eq!(server.post("/graphs", &graph).json().get("warnings"), None);
    }
    for (graph, expected) in [
        ("diamond", r#"["d",[["b",["a",1.50]],["c",["a",1.50]]]]"#),
        ("flipped", r#"["d",[["c",["a",1.50]],["b",["a",1.50]]]]"#),
        ("chain", r#"["b",["a",1.50]]"#),
        ("one", r#"["a",1.50]"#),
        ("roots", r#"["c",[["b",1.50],["a",1.50]]]"#),
    ] {
        let body = format!(r#"{{"graph_uri": "{graph}:1.0-test", "input_data": 1.50}}"#);
        assert_eq!(server.post_text(EXECUTE, &body).text(), format!(r#"{{"success":true,"data":{expected}}}"#));
    }
    for empty in [json!(null), json!(0), json!({}), json!(""), json!([]), json!(false)] {
        assert_eq!(execute(&server, "", "chain", &empty).data(), json!(["b", ["a", empty]]));
    }
}

#[test]
fn empty_answers_between_nodes_are_passed_on() {
    let server = with_diamond();
    for (name, answer) in [("nothing", "null"), ("zero", "0"), ("empty", "{}")] {
        deploy(&server, name, &policy(answer));
        server.post("/graphs", &graph(name, &json!([name, "b"]), &json!({name: ["b"]}))).data();
        let text = execute(&server, "", name, &json!(1)).text();
        assert_eq!(text, format!(r#"{{"success":true,"data":["b",{answer}]}}"#));
    }
}

#[test]
fn a_trace_tells_what_each_node_did() {
    let server = with_diamond();
    let body = execute(&server, "?trace=1&usage=1", "diamond", &json!(1)).json();
    assert_eq!(outcomes(&body), "a:ok b:ok c:ok d:ok");
    assert!(body["usage"]["wall_us"].as_u64().is_some(), "{body}");
    let nodes = body["nodes"].as_array().unwrap();
    assert_eq!((&nodes[1]["output"], &nodes[3]["output"]), (&json!(["b", ["a", 1]]), &body["data"]));
    let end = |node: &Value| node["started_us"].as_u64().unwrap() + node["wall_us"].as_u64().unwrap();
    assert!(nodes[0]["wall_us"].as_u64().unwrap() <= nodes[1]["started_us"].as_u64().unwrap(), "{body}");
    assert!(end(&nodes[0]) <= end(&nodes[3]) && end(&nodes[3]) <= body["usage"]["wall_us"].as_u64().unwrap(), "{body}");
    assert_eq!(execute(&server, "", "diamond", &json!(1)).json().get("nodes"), None);
}

#[test]
fn the_node_that_fails_stops_the_graph_and_is_named() {
    let server = with_diamond();
    deploy(&server, "fails", &fails());
    deploy(&server, "traps", &Guest { eval: "(unreachable)", ..Guest::default() }.build());
    deploy_as(&server, "late", &spins(), &json!({"limits": {"timeout_ms": 30}}));
    for (bad, code) in [("fails", "policy_error"), ("traps", "trap"), ("late", "timeout")] {
        let connections = json!({"a": ["b", bad], "b": ["d"], bad: ["d"]});
        server.post("/graphs", &graph(bad, &json!(["a", "b", bad, "d"]), &connections)).data();
        let reply = execute(&server, "?trace=1", bad, &json!(1));
        let body = reply.json();
        assert_eq!((reply.status, &body["success"], &body["code"]), (200, &json!(false), &json!(code)), "{body}");
        assert_eq!(
            (&body["node"], &body["data"]["node"], &body["data"]["code"]),
            (&json!(bad), &json!(bad), &json!(code))
        );
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("node `{bad}`: ")), "{message}");
        assert_eq!(body["data"]["message"], message);
        // The other branch may have been quicker, or not.
        let told = outcomes(&body);
        let expected = |b: &str| format!("a:ok b:{b} {bad}:{code} d:skipped");
        assert!(told == expected("ok") || told == expected("cancelled"), "{told}");
        // What was stopped is there again.
        assert!(execute(&server, "", "diamond", &json!(1)).data().is_array());
    }
    let body = execute(&server, "", "fails", &json!(1)).json();
    assert_eq!(body["failure"], json!({"code": "no", "details": null}));
}

#[test]
fn a_node_that_cannot_be_run_is_a_refusal_that_names_it() {
    let server = with_diamond();
    deploy(&server, "goes", &wraps("goes"));
    server.post("/graphs", &graph("goes", &json!(["a", "goes"]), &json!({"a": ["goes"]}))).data();
    execute(&server, "", "goes", &json!(1)).data();
    assert_eq!(server.delete("/function/deployments/remove/goes").json()["success"], true);
    let reply = execute(&server, "?trace=1", "goes", &json!(1));
    assert_eq!(reply.refusal(), (404, "not_found".into()));
    let body = reply.json();
    assert_eq!((&body["node"], &body["message"]), (&json!("goes"), &json!("No function with ID 'goes' found.")));
    assert_eq!(outcomes(&body), "a:skipped goes:skipped", "nothing runs where one of them is missing");
}

// attack 71
#[test]
fn the_time_of_a_graph_is_over_for_all_its_nodes() {
    let server = with_diamond();
    for name in ["slow", "slower"] {
        deploy_as(&server, name, &spins(), &json!({"limits": {"timeout_ms": 60_000}}));
    }
    let connections = json!({"a": ["slow", "slower"], "slow": ["d"], "slower": ["d"]});
    server.post("/graphs", &graph("slow", &json!(["a", "slow", "slower", "d"]), &connections)).data();
    let body = execute(&server, "?timeout_ms=300&trace=1", "slow", &json!(1)).json();
    assert_eq!((&body["success"], &body["code"]), (&json!(false), &json!("timeout")));
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("the graph did not finish within 300 ms; running then: "), "{message}");
    assert!(message.contains("`slow`") && message.contains("`slower`"), "{message}");
    assert!(execute(&server, "", "diamond", &json!(1)).data().is_array());

    // Without one of its own, it has the server's.
    let server = TestServer::builder().config("[ceiling]\ntimeout_ms = 200").start();
    deploy_as(&server, "slow", &spins(), &json!({"limits": {"timeout_ms": 60_000}}));
    server.post("/graphs", &graph("slow", &json!(["slow"]), &json!({}))).data();
    for query in ["", "?timeout_ms=100000"] {
        let body = execute(&server, query, "slow", &json!(1)).json();
        assert_eq!(body["code"], "timeout", "{body}");
        assert!(body["message"].as_str().unwrap().contains("200 ms"), "{body}");
    }
}

#[test]
fn branches_run_at_the_same_time() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("x").held());
    let server = with_diamond();
    let fetches = Scripted::named("fetches").component();
    let authority = format!("127.0.0.1:{}", web.port());
    deploy(&server, "where", &policy(&json!(authority).to_string()));
    let more = json!({"capabilities": {"http": [web.origin()]}, "limits": {"timeout_ms": 60_000}});
    for name in ["left", "right"] {
        deploy_as(&server, name, &fetches, &more);
    }
    let connections = json!({"where": ["left", "right"], "left": ["d"], "right": ["d"]});
    server.post("/graphs", &graph("both", &json!(["where", "left", "right", "d"]), &connections)).data();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| execute(&server, "", "both", &json!(1)).data());
        eventually("both branches to run", || if web.hits("/") == 2 { Ok(()) } else { Err(web.hits("/")) });
        web.release();
        assert_eq!(answer.join().unwrap(), json!(["d", [200, 200]]));
    });
}

#[test]
fn schemas_of_the_graph_and_of_its_roots_are_kept_as_their_modes_say() {
    let server = with_diamond();
    let input = json!({"ip": {"type": "string", "required": true}});
    for (mode, code, paths) in [
        ("off", "ok", json!(null)),
        (
            "warn",
            "ok",
            json!(["`input_data.ip` must be a string, not a number", "`output` must be an object, not a list"]),
        ),
        ("enforce", "input_schema", json!(null)),
    ] {
        let mut graph = graph(mode, &json!(["a"]), &json!({}));
        graph["schema_mode"] = json!(mode);
        graph["graph_input_schema"] = input.clone();
        graph["graph_output_schema"] = json!({"decision": {"type": "string"}});
        server.post("/graphs", &graph).data();
        let body = execute(&server, "?trace=1", mode, &json!({"ip": 5})).json();
        assert_eq!((body["code"].as_str().unwrap_or("ok"), &body["warnings"]), (code, &paths), "{body}");
        if mode == "enforce" {
            assert_eq!(body["violations"][0]["path"], "input_data.ip");
            assert_eq!(outcomes(&body), "a:skipped", "nothing runs");
            assert!(body["message"].as_str().unwrap().contains("the graph's schema"), "{body}");
            let body = execute(&server, "?trace=1", mode, &json!({"ip": "10.0.0.1"})).json();
            assert_eq!((&body["code"], &body["violations"][0]["path"]), (&json!("output_schema"), &json!("output")));
            assert_eq!((outcomes(&body), body.get("node")), ("a:ok".into(), None));
        }
    }
    deploy_as(&server, "strict", &wraps("strict"), &json!({"schema_mode": "enforce", "policy_input_schema": input}));
    deploy_as(&server, "mild", &wraps("mild"), &json!({"policy_input_schema": input}));
    for (root, code, warnings) in [
        ("strict", json!("input_schema"), json!(null)),
        ("mild", json!(null), json!(["node `mild`: `input_data.ip` is required"])),
    ] {
        server.post("/graphs", &graph(root, &json!([root, "b"]), &json!({root: ["b"]}))).data();
        let body = execute(&server, "", root, &json!({})).json();
        assert_eq!((&body["code"], &body["warnings"]), (&code, &warnings), "{body}");
        if root == "strict" {
            assert_eq!((&body["node"], &body["violations"][0]["path"]), (&json!("strict"), &json!("input_data.ip")));
        }
    }
}

#[test]
fn a_dry_run_reaches_every_node() {
    let server = TestServer::start();
    deploy(&server, "counts", &counter(true));
    server.post("/graphs", &graph("counts", &json!(["counts"]), &json!({}))).data();
    let first = execute(&server, "", "counts", &json!(1)).data();
    for _ in 0..3 {
        execute(&server, "?dry_run=1", "counts", &json!(1)).data();
    }
    let second = execute(&server, "", "counts", &json!(1)).data();
    let calls = |answer: &Value| answer["count"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(calls(&second), calls(&first) + 1);
}

#[test]
fn a_graph_that_was_changed_is_executed_as_it_is_now() {
    let server = with_diamond();
    let uri = "/graphs/diamond:1.0-test";
    for _ in 0..2 {
        assert_eq!(execute(&server, "", "diamond", &json!(1)).data()[0], "d");
        let short = json!({"$set": {"graph_function_ids": ["a", "b"], "graph_connection_data": {"a": ["b"]}}});
        server.put(uri, &short).data();
        assert_eq!(execute(&server, "", "diamond", &json!(1)).data(), json!(["b", ["a", 1]]));
        server.put(uri, &diamond()).data();
    }
    server.delete(uri).data();
    let gone = execute(&server, "", "diamond", &json!(1));
    assert_eq!(gone.refusal(), (404, "not_found".into()));
    assert_eq!(gone.json()["message"], "Graph with URI 'diamond:1.0-test' not found.");
    server.post("/graphs", &diamond()).data();
    execute(&server, "", "diamond", &json!(1)).data();
    server.put(uri, &json!({"$set": {"graph_name": "moved"}})).data();
    assert_eq!(execute(&server, "", "diamond", &json!(1)).refusal(), (404, "not_found".into()));
    execute(&server, "", "moved", &json!(1)).data();
}

#[test]
fn a_graph_that_an_older_version_took_is_refused_when_it_is_executed() {
    let builder = TestServer::start().stop();
    let mut cycle = graph("cycle", &json!(["a", "b"]), &json!({"a": ["b"], "b": ["a"]}));
    cycle["graph_uri"] = json!("cycle:1.0-test");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = builder.store().await;
        let Value::Object(document) = cycle else { unreachable!() };
        store.insert(lictor::store::Kind::Graph, "cycle:1.0-test", &document).await.unwrap();
        store.close().await;
    });
    let server = builder.start();
    let reply = execute(&server, "", "cycle", &json!(1));
    assert_eq!(reply.refusal(), (409, "conflict".into()));
    let message = "Graph is not a Directed Acyclic Graph (DAG). Execution stopped. It has the cycle `a -> b -> a`";
    assert_eq!(reply.json()["message"], message);
    assert_eq!(server.get("/graphs/cycle:1.0-test").data()["graph_name"], "cycle");
}

#[test]
fn a_node_that_is_only_connected_is_warned_about_and_runs() {
    let server = with_diamond();
    let created = server.post("/graphs", &graph("half", &json!(["a"]), &json!({"a": ["b"]}))).json();
    assert_eq!(
        created["warnings"],
        json!(["`graph_connection_data` has nodes that `graph_function_ids` has not: `b`"])
    );
    assert_eq!(execute(&server, "", "half", &json!(1)).data(), json!(["b", ["a", 1]]));
}

#[test]
fn on_one_postgresql_a_graph_that_another_server_changed_is_executed_as_it_is_now() {
    let one = TestServer::on_postgres().start();
    let two = Builder::beside(&one).flag("--executor-id", "executor-002").start();
    for name in ["first", "second"] {
        let body = graph("g", &json!([name]), &json!({}));
        let reply = one.post("/graphs", &body).json();
        if reply["success"] == false {
            one.put("/graphs/g:1.0-test", &body).data();
        }
        eventually("the other server to know the graph as it is", || {
            let body = execute(&two, "", "g", &json!(1)).json();
            if body["message"] == format!("No function with ID '{name}' found.") { Ok(()) } else { Err(body) }
        });
    }
}
