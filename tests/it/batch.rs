//! Many inputs for one policy, and runs that leave nothing behind.

use std::{
    io::{Read as _, Write as _},
    thread::{self, available_parallelism},
};

use lictor_tests::{Answer, CodeServer, Guest, Reply, TestServer, eventually, record, sandbox::Guest as Scripted};
use serde_json::{Value, json};

const BATCH: &str = "/executor/executor-001/execute_policy/batch";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const LINES: (&str, &str) = ("Accept", "application/x-ndjson");

/// Answers its input; a string is a failure with the code `no`, `true` a trap.
fn picky() -> Vec<u8> {
    Guest {
        data: "(data (i32.const 1024) \"no\")",
        eval: "(if (i32.eq (i32.load8_u (local.get $input)) (i32.const 34))
                 (then (return (call $err (i32.const 1024) (i32.const 2)))))
               (if (i32.eq (i32.load8_u (local.get $input)) (i32.const 116)) (then (unreachable)))
               (call $ok (local.get $input) (local.get $inputn))",
        ..Guest::default()
    }
    .build()
}

fn picky_on(server: &TestServer) -> String {
    server.load(&record("picky", &server.put_file("picky.wasm", &picky())))
}

/// Sends `GET /` to the web server that its input names, and answers the status.
fn fetching(server: &TestServer, web: &CodeServer) -> String {
    let mut record = record("fetches", &server.put_file("f.wasm", &Scripted::named("fetches").component()));
    record["capabilities"] = json!({"http": [web.origin()]});
    record["limits"] = json!({"timeout_ms": 60_000});
    server.load(&record)
}

fn authority(web: &CodeServer) -> Value {
    json!(format!("127.0.0.1:{}", web.port()))
}

fn batch(server: &TestServer, query: &str, uri: &str, inputs: &Value) -> Reply {
    server.post(&format!("{BATCH}{query}"), &json!({"policy_rule_uri": uri, "inputs": inputs}))
}

fn lines(server: &TestServer, path: &str, uri: &str, inputs: &Value) -> Reply {
    let body = json!({"policy_rule_uri": uri, "inputs": inputs}).to_string();
    server.send("POST", path, &[JSON, LINES], body.as_bytes())
}

/// The chunks of a body without what frames them.
fn unchunked(body: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), body);
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let n = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if n == 0 {
            break;
        }
        text.push_str(str::from_utf8(&rest[end + 2..end + 2 + n]).unwrap());
        rest = &rest[end + 2 + n + 2..];
    }
    text
}

fn at_the_same_time() -> usize {
    available_parallelism().unwrap().get() * 2
}

// attack 63: odd numbers and keys that stand twice, inside of an input.
#[test]
fn each_input_is_answered_in_its_place_as_a_call_of_its_own_would_be() {
    let server = TestServer::start();
    let uri = picky_on(&server);
    let inputs = ["1.50", "\"x\"", r#"{"a":1,  "a":2}"#, "true", "null", "[\n 1.0 ]", "{}", "0"];
    let body = format!(r#"{{"policy_rule_uri": "{uri}", "inputs": [{}]}}"#, inputs.join(" , "));
    let alone: Vec<String> = inputs
        .iter()
        .map(|input| {
            let body = format!(r#"{{"policy_rule_uri": "{uri}", "input_data": {input}}}"#);
            server.post_text("/executor/executor-001/execute_policy", &body).text()
        })
        .collect();
    let reply = server.post_text(BATCH, &body);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.text(), format!(r#"{{"success":true,"data":[{}]}}"#, alone.join(",")));
    let codes: Vec<Value> = reply.data().as_array().unwrap().iter().map(|envelope| envelope["code"].clone()).collect();
    assert_eq!(json!(codes), json!([null, "policy_error", null, "trap", null, null, null, null]));

    let reply = server.send("POST", BATCH, &[JSON, LINES], body.as_bytes());
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
    let expected: String = alone.iter().map(|envelope| envelope.replace('\n', " ") + "\n").collect();
    assert_eq!(unchunked(&reply.body), expected);
}

#[test]
fn options_and_parameters_are_those_of_each_call() {
    let server = TestServer::start();
    let uri = picky_on(&server);
    let all = batch(&server, "?usage=1", &uri, &json!([1, "x", 3])).data();
    for envelope in all.as_array().unwrap() {
        assert!(envelope["usage"]["wall_us"].as_u64().is_some(), "{all}");
    }
    let spins = Guest { eval: "(loop $for_ever (br $for_ever)) (unreachable)", ..Guest::default() };
    let spins = server.load(&record("spins", &server.put_file("s.wasm", &spins.build())));
    let all = batch(&server, "?timeout_ms=20", &spins, &json!([1, 2, 3])).data();
    assert!(all.as_array().unwrap().iter().all(|envelope| envelope["code"] == "timeout"), "{all}");
    let parameters = Guest {
        eval: "(if (local.get $has) (then (return (call $ok (local.get $parameters) (local.get $parametersn)))))
               (call $ok (i32.const 1000) (i32.const 4))",
        ..Guest::default()
    };
    let asks = server.load(&record("asks", &server.put_file("a.wasm", &parameters.build())));
    for (parameters, expected) in [(json!(null), json!(null)), (json!({"p": 1}), json!({"p": 1}))] {
        let body = json!({"policy_rule_uri": asks, "inputs": [1, 2], "parameters": parameters});
        let data = server.post(BATCH, &body).data();
        assert_eq!((&data[0]["data"], &data[1]["data"]), (&expected, &expected));
    }
    assert_eq!(batch(&server, "", &uri, &json!([])).data(), json!([]));
    assert_eq!(unchunked(&lines(&server, BATCH, &uri, &json!([])).body), "");
}

#[test]
fn what_no_input_is_to_blame_for_is_said_once() {
    let server = TestServer::start();
    let uri = server.create_policy(&record("broken", &server.put_file("b.wasm", b"no component")));
    let rows = [("no:1.0-such", "executor-001", 404, "not_found"), (uri.as_str(), "executor-001", 422, "bad_archive")];
    for (uri, executor, status, code) in rows.into_iter().chain([(uri.as_str(), "none", 404, "not_found")]) {
        let path = format!("/executor/{executor}/execute_policy/batch");
        let body = json!({"policy_rule_uri": uri, "inputs": [1, 2]});
        assert_eq!(server.post(&path, &body).refusal(), (status, code.into()), "{uri} {executor}");
        assert_eq!(lines(&server, &path, uri, &json!([1])).refusal(), (status, code.into()), "{uri} {executor}");
    }
}

#[test]
fn ten_thousand_inputs_are_a_batch() {
    let server = TestServer::start();
    let uri = picky_on(&server);
    let inputs: Vec<usize> = (0..10_000).collect();
    let data = batch(&server, "", &uri, &json!(inputs)).data();
    let answers: Vec<u64> = data.as_array().unwrap().iter().filter_map(|envelope| envelope["data"].as_u64()).collect();
    assert!(answers.len() == 10_000 && answers.iter().zip(0..).all(|(answer, n)| *answer == n));
}

#[test]
fn a_bounded_number_of_calls_runs_and_they_end_with_their_client() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("x").held());
    let server = TestServer::builder().allow_loopback().start();
    let uri = fetching(&server, &web);
    let bound = at_the_same_time();
    let body = json!({"policy_rule_uri": uri, "inputs": vec![authority(&web); bound * 5]}).to_string();
    for accept in ["application/json", LINES.1] {
        let before = web.hits("/");
        let mut stream = server.connect().unwrap();
        let head = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let begun = || web.hits("/") - before;
        eventually("calls to begin", || if bound <= begun() { Ok(()) } else { Err(begun()) });
        // Somebody else is served meanwhile.
        server.assert_serving();
        assert_eq!(begun(), bound, "{accept}");
        drop(stream);
        eventually("the calls to end", || {
            let metrics = server.admin().get("/metrics").text();
            if metrics.contains("lictor_instances_in_use 0") { Ok(()) } else { Err(metrics) }
        });
        assert_eq!(begun(), bound, "{accept}");
    }
    web.release();
    assert!(batch(&server, "", &uri, &json!([authority(&web)])).data()[0]["data"] == 200);
}

#[test]
fn inputs_wait_for_their_turn_where_calls_would_be_told_that_there_is_none() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("x"));
    let server = TestServer::builder().allow_loopback().config("max_processes = 1").start();
    let mut record = record("fetches", &server.put_file("f.wasm", &Scripted::named("fetches").component()));
    record["capabilities"] = json!({"http": [web.origin()]});
    record["limits"] = json!({"max_concurrency": 1, "timeout_ms": 60_000});
    let uri = server.load(&record);
    thread::scope(|scope| {
        let some = || batch(&server, "", &uri, &json!(vec![authority(&web); 30])).data();
        let others: Vec<_> = (0..3).map(|_| scope.spawn(some)).collect();
        for data in others.into_iter().map(|other| other.join().unwrap()) {
            assert!(data.as_array().unwrap().iter().all(|envelope| envelope["data"] == 200), "{data}");
        }
    });
}

#[test]
fn what_is_too_much_for_one_document_is_left_out_and_comes_in_lines() {
    let server = TestServer::start();
    // Fifteen megabytes of text each.
    let large = Guest {
        eval: "(local $at i32)
               (local.set $at (call $alloc (i32.const 15728640)))
               (memory.fill (local.get $at) (i32.const 120) (i32.const 15728640))
               (call $quote (local.get $at) (i32.const 15728640))",
        ..Guest::default()
    };
    let mut record = record("large", &server.put_file("l.wasm", &large.build()));
    record["limits"] = json!({"output_kb": 16_384, "timeout_ms": 60_000});
    let uri = server.load(&record);
    let data = batch(&server, "", &uri, &json!([1, 2, 3, 4, 5, 6, 7])).data();
    let codes: Vec<&str> =
        data.as_array().unwrap().iter().map(|envelope| envelope["code"].as_str().unwrap_or("ok")).collect();
    assert_eq!(codes, ["ok", "ok", "ok", "ok", "ok", "invalid_input", "invalid_input"]);
    assert!(data[6]["message"].as_str().unwrap().contains("application/x-ndjson"), "{}", data[6]);
    let reply = unchunked(&lines(&server, BATCH, &uri, &json!([1, 2, 3, 4, 5, 6])).body);
    assert_eq!(reply.lines().filter(|line| line.starts_with(r#"{"success":true"#)).count(), 6);
}

// attack 74
#[test]
fn a_batch_ends_with_the_server_and_says_so() {
    for accept in ["application/json", LINES.1] {
        let web = CodeServer::start();
        web.answers("/", [Answer::ok("x"), Answer::ok("x").held()]);
        let server = TestServer::builder().allow_loopback().start();
        let uri = fetching(&server, &web);
        let body = json!({"policy_rule_uri": uri, "inputs": vec![authority(&web); 3]}).to_string();
        let mut stream = server.connect().unwrap();
        let head = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
        );
        write!(stream, "{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        eventually("the calls to begin", || if web.hits("/") == 3 { Ok(()) } else { Err(web.hits("/")) });
        server.terminate();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        if accept == LINES.1 {
            let body = unchunked(body.as_bytes());
            let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
            assert_eq!((&last["success"], &last["code"]), (&json!(false), &json!("shutting_down")), "{body}");
        } else {
            let data: Value = serde_json::from_str(body).unwrap();
            let data = data["data"].as_array().unwrap();
            assert_eq!((data.len(), &data[2]["code"]), (3, &json!("shutting_down")), "{body}");
        }
        let (exited, _) = server.wait();
        assert_eq!(exited.code, Some(0), "{exited:?}");
    }
}

#[test]
fn another_executor_answers_each_input() {
    let web = CodeServer::start();
    web.answer("/picky.wasm", Answer::ok(picky()));
    let system = TestServer::builder().allow_loopback().start();
    let host = |server: &TestServer| format!("http://{}", server.address());
    let far =
        TestServer::builder().allow_loopback().flag("--system", host(&system)).flag("--executor-id", "far").start();
    system.post("/executor", &json!({"executor_id": "far", "executor_host_uri": host(&far)})).data();
    let mut slots = record("picky", &web.url("/picky.wasm"));
    slots["limits"] = json!({"max_concurrency": 1});
    let uri = system.load(&slots);
    let path = "/executor/far/execute_policy/batch";
    let inputs = json!([1, "x", {"a": [2]}, null, true, 6, 7, 8, 9]);
    let far_away = system.post(path, &json!({"policy_rule_uri": uri, "inputs": inputs})).data();
    assert_eq!(far_away, batch(&system, "", &uri, &inputs).data());
    assert_eq!(unchunked(&lines(&system, path, &uri, &inputs).body).lines().count(), 9);
    // The executor itself takes batches too.
    assert_eq!(far.post(path, &json!({"policy_rule_uri": uri, "inputs": inputs})).data(), far_away);
    let missing = json!({"policy_rule_uri": "no:1.0-such", "inputs": [1]});
    assert_eq!(system.post(path, &missing).refusal(), (404, "not_found".into()));
    drop(far);
    let gone = json!({"policy_rule_uri": uri, "inputs": [1, 2]});
    assert_eq!(system.post(path, &gone).refusal(), (502, "code_unreachable".into()));
}

/// The lines of the metrics that count calls.
fn counted(server: &TestServer) -> Vec<String> {
    let metrics = server.admin().get("/metrics").text();
    metrics.lines().filter(|line| line.starts_with("lictor_policy_evaluation")).map(str::to_owned).collect()
}

#[test]
fn a_dry_run_answers_and_leaves_nothing_behind() {
    let server = TestServer::start();
    let uri = server.load(&record("keeps", &server.put_file("c.wasm", &Scripted::named("context").component())));
    let ask =
        |query: &str, what: &str| server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": what})).data();
    ask("", "s kept before");
    let before = counted(&server);
    assert_eq!(ask("?dry_run=1", "g kept"), "before");
    ask("?dry_run=1", "s kept after");
    ask("?dry_run=1", "s other value");
    ask("?dry_run=1", "d kept");
    let data = batch(&server, "?dry_run=1", &uri, &json!(["s kept batch", "d kept", "g kept"])).data();
    assert!(data.as_array().unwrap().iter().all(|envelope| envelope["success"] == true), "{data}");
    assert_eq!(data[2]["data"], "before", "each call of a batch has a copy of its own");
    assert_eq!(counted(&server), before, "a dry run is not counted");
    assert_eq!((ask("", "g kept"), ask("", "l")), (json!("before"), json!(1)));
    assert_ne!(counted(&server), before);
}

// attack 81: and so of a candidate, whose calls are dry runs.
#[test]
fn a_dry_run_sends_only_requests_that_change_nothing() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("x"));
    let server = TestServer::builder().allow_loopback().start();
    let get = fetching(&server, &web);
    let import = r#"(import "wasi:http/types@0.2.12" "[method]outgoing-request.set-method"
        (func $set_method (param i32 i32 i32 i32) (result i32)))"#;
    let fields = Scripted::named("fetches").fields().replace(
        "(drop (call $set_scheme",
        "(drop (call $set_method (local.get $request) (i32.const 2) (i32.const 0) (i32.const 0)))
         (drop (call $set_scheme",
    );
    let code = server.put_file("p.wasm", &Scripted::new(format!("{import}\n{fields}")).component());
    let mut record = record("posts", &code);
    record["capabilities"] = json!({"http": [web.origin()]});
    let post = server.load(&record);
    let ask = |uri: &str, query: &str| {
        let body = json!({"policy_rule_uri": uri, "input_data": authority(&web)});
        server.execute_as(query, &body).data()
    };
    let sent = || web.seen().into_iter().map(|seen| seen.method).collect::<Vec<_>>();
    assert_eq!((ask(&post, ""), sent()), (json!(200), vec!["POST".to_owned()]));
    // Refused at once, as what is not granted is: HTTP-request-denied.
    assert_eq!((ask(&post, "?dry_run=1"), sent().len()), (json!(2015), 1));
    assert_eq!(batch(&server, "?dry_run=1", &post, &json!([authority(&web)])).data()[0]["data"], 2015);
    assert_eq!((ask(&get, "?dry_run=1"), sent()), (json!(200), vec!["POST".to_owned(), "GET".to_owned()]));
}

#[test]
fn a_dry_run_is_checked_against_the_schemas() {
    let server = TestServer::start();
    let mut record = record("strict", &server.put_file("picky.wasm", &picky()));
    record["schema_mode"] = json!("enforce");
    record["policy_input_schema"] = json!({"n": {"type": "number", "required": true}});
    record["policy_output_schema"] = json!({"m": {"type": "number", "required": true}});
    let uri = server.load(&record);
    let inputs = json!([{"n": "x"}, {"n": 1}, {"n": 1, "m": 1}]);
    let data = batch(&server, "?dry_run=1", &uri, &inputs).data();
    let codes: Vec<&Value> = data.as_array().unwrap().iter().map(|envelope| &envelope["code"]).collect();
    assert_eq!(json!(codes), json!(["input_schema", "output_schema", null]));
}
