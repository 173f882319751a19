//! Running a policy over HTTP.

use lictor_tests::{Answer, CodeServer, Guest, TestServer, file_url, guest_record, guest_zip, policy, record};
use serde_json::{Value, json};

/// The seed's documents, as they stand there.
const SEED_POLICY: &str = include_str!("../data/seed/policy.json");
const SEED_EXECUTE: &str = include_str!("../data/seed/execute_policy.json");

const EXECUTE: &str = "/executor/executor-001/execute_policy";

/// `policy_input`, of a policy that answers its input.
fn echo() -> Vec<u8> {
    Guest { eval: "(call $ok (local.get $input) (local.get $inputn))", ..Guest::default() }.build()
}

/// A policy that answers the parameters it was constructed with, unless the call brought some.
fn parameters() -> Vec<u8> {
    Guest {
        data: "(global $own (mut i32) (i32.const 0)) (global $ownn (mut i32) (i32.const 0))",
        init: "(global.set $own (local.get $parameters)) (global.set $ownn (local.get $parametersn)) (i32.const 960)",
        eval: "(if (local.get $has) (then (return (call $ok (local.get $parameters) (local.get $parametersn)))))
               (call $ok (global.get $own) (global.get $ownn))",
        ..Guest::default()
    }
    .build()
}

#[test]
fn the_seeds_sample_requests_work_verbatim() {
    let server = TestServer::start();
    let code = file_url(&guest_zip("ip_allowlist"));
    let body = SEED_POLICY
        .replace("\"code\": \"https://example.com/code/ip_allowlist_policy.zip\"", &format!("\"code\": \"{code}\""))
        .replace("\"type\": \"python_class_v1\"", "\"type\": \"wasm_component_v1\"");
    assert!(body.contains(&code) && body.contains("wasm_component_v1"));
    let created = server.post_text("/policy", &body);
    assert_eq!(
        (created.status, created.json()),
        (200, json!({"success": true, "data": "Policy created successfully."}))
    );

    let answer = server.post_text(EXECUTE, SEED_EXECUTE);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.text(),
        r#"{"success":true,"data":{"allowed":true,"input_data":{"ip":"10.0.0.1"},"reason":"allowed"}}"#.replace(
            r#"{"ip":"10.0.0.1"}"#,
            // The input is echoed as it was written.
            "{\n      \"ip\": \"10.0.0.1\"\n    }"
        )
    );
    assert_eq!(
        answer.json(),
        json!({"success": true, "data": {"allowed": true, "input_data": {"ip": "10.0.0.1"}, "reason": "allowed"}})
    );
    assert_eq!(server.wait_loaded("ip_allowlist:1.0-beta"), json!({"state": "ready"}));
}

#[test]
fn a_call_right_after_the_policy_was_created_waits_for_its_code() {
    let server = TestServer::start();
    let uri = server.create_policy(&guest_record("ip_allowlist"));
    assert_eq!(server.execute(&uri, &json!({"ip": "127.0.0.1"})).data()["reason"], "allowed");
}

#[test]
fn parameters_of_the_call_replace_the_stored_ones() {
    let server = TestServer::start();
    let code = server.put_file("p.wasm", &parameters());
    let mut record = record("parameters", &code);
    record["policy_parameters"] = json!({"stored": [1, 2]});
    let uri = server.load(&record);
    let stored = json!({"stored": [1, 2]});
    for (parameters, expected) in [
        (None, &stored),
        (Some(json!(null)), &stored),
        (Some(json!({})), &json!({})),
        (Some(json!({"other": 1})), &json!({"other": 1})),
    ] {
        let mut body = json!({"policy_rule_uri": uri, "input_data": 1});
        if let Some(parameters) = &parameters {
            body["parameters"] = parameters.clone();
        }
        assert_eq!(&server.execute_as("", &body).data(), expected, "{parameters:?}");
    }
}

#[test]
fn settings_are_the_stored_ones_and_each_call_has_an_instance_of_its_own() {
    let server = TestServer::start();
    // Counts its calls in a global: a second call of the same instance would answer 2.
    let counting = Guest {
        data: r#"(global $n (mut i32) (i32.const 0)) (data (i32.const 1024) "0123456789")"#,
        eval: "(global.set $n (i32.add (global.get $n) (i32.const 1)))
               (call $ok (i32.add (i32.const 1024) (global.get $n)) (i32.const 1))",
        ..Guest::default()
    };
    let uri = server.load(&record("counting", &server.put_file("c.wasm", &counting.build())));
    for _ in 0..3 {
        assert_eq!(server.execute(&uri, &json!(null)).data(), json!(1));
    }
    let settings = Guest {
        data: "(global $own (mut i32) (i32.const 0)) (global $ownn (mut i32) (i32.const 0))",
        init: "(global.set $own (local.get $settings)) (global.set $ownn (local.get $settingsn)) (i32.const 960)",
        eval: "(call $ok (global.get $own) (global.get $ownn))",
        ..Guest::default()
    };
    let mut record = record("settings", &server.put_file("s.wasm", &settings.build()));
    record["policy_settings"] = json!({"k": "v"});
    let uri = server.load(&record);
    assert_eq!(server.execute(&uri, &json!(null)).data(), json!({"k": "v"}));
}

#[test]
fn facts_about_the_call_reach_the_policy() {
    let server = TestServer::start();
    let call = Guest { eval: "(call $ok (local.get $call) (local.get $calln))", ..Guest::default() };
    let uri = server.load(&record("facts", &server.put_file("f.wasm", &call.build())));
    let (first, second) = (server.execute(&uri, &json!(1)).data(), server.execute(&uri, &json!(1)).data());
    assert_eq!((&first["policy_rule_uri"], &first["origin"]), (&json!(uri), &json!("http")));
    assert!(first["deadline_ms"].as_u64().is_some(), "{first}");
    assert!(first["id"].is_string() && first["id"] != second["id"], "{first} {second}");
}

#[test]
fn every_json_value_is_an_input() {
    let server = TestServer::start();
    let uri = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let nested = format!("{}{}", "[".repeat(126), "]".repeat(126));
    for input in [
        "null",
        "[]",
        "{}",
        "0",
        "-0",
        "\"\"",
        "false",
        "1e400",
        "123456789012345678901234567890",
        "0.1000",
        r#"{"a":1,"a":2}"#,
        r#""\u0000\ud83d\ude00""#,
        "\"ü\"",
        &nested,
    ] {
        let body = format!(r#"{{"policy_rule_uri":"{uri}","input_data":{input}}}"#);
        let reply = server.post_text(EXECUTE, &body);
        assert_eq!((reply.status, reply.text()), (200, format!(r#"{{"success":true,"data":{input}}}"#)), "{input}");
    }
}

#[test]
fn executor_0_is_the_embedded_executor_and_others_are_not_there() {
    let server = TestServer::builder().flag("--executor-id", "edge-7").start();
    let uri = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let body = json!({"policy_rule_uri": uri, "input_data": 5});
    for id in ["edge-7", "executor-0"] {
        assert_eq!(server.post(&format!("/executor/{id}/execute_policy"), &body).data(), 5, "{id}");
    }
    for id in ["executor-001", "executor-00", "EDGE-7", "x"] {
        let reply = server.post(&format!("/executor/{id}/execute_policy"), &body);
        assert_eq!(reply.refusal(), (404, "not_found".into()), "{id}");
    }
}

#[test]
fn usage_is_told_if_asked_for() {
    let server = TestServer::start();
    let mut metered = record("metered", &server.put_file("e.wasm", &echo()));
    metered["limits"] = json!({"fuel": 1_000_000});
    let plain = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let metered = server.load(&metered);
    let usage = |uri: &str, query: &str| {
        server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": 1})).json()["usage"].clone()
    };
    for query in ["", "?usage=0", "?usage=false"] {
        assert_eq!(usage(&plain, query), Value::Null, "{query}");
    }
    let told = usage(&plain, "?usage=1");
    assert_eq!((&told["fuel"], &told["log_truncated"]), (&Value::Null, &json!(false)), "{told}");
    assert!(told["wall_us"].is_u64() && told["host_calls"].is_u64(), "{told}");
    assert_eq!(told["peak_memory_bytes"], 2 * 65536, "{told}");
    assert!(usage(&metered, "?usage=true")["fuel"].as_u64().is_some_and(|fuel| 0 < fuel));
}

#[test]
fn a_call_can_lower_its_time_but_not_raise_it() {
    let server = TestServer::start();
    let spinning = Guest { eval: "(loop $again (br $again)) (unreachable)", ..Guest::default() }.build();
    let mut record = record("spinning", &server.put_file("s.wasm", &spinning));
    record["limits"] = json!({"timeout_ms": 60_000});
    let patient = server.load(&record);
    record["name"] = json!("impatient");
    record["limits"] = json!({"timeout_ms": 20});
    let impatient = server.load(&record);
    for (uri, query) in [(&patient, "?timeout_ms=20"), (&impatient, "?timeout_ms=60000"), (&impatient, "")] {
        let body = server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": 1})).json();
        assert_eq!((&body["success"], &body["code"]), (&json!(false), &json!("timeout")), "{uri}{query}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains("20 ms")), "{body}");
    }
}

#[test]
fn options_that_are_unknown_or_wrong_are_refused_by_name() {
    let server = TestServer::start();
    let uri = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let body = json!({"policy_rule_uri": uri, "input_data": 1});
    for (query, status, code, field) in [
        ("?dry_run=maybe", 400, "invalid_input", Some("dry_run")),
        ("?usage=2", 400, "invalid_input", Some("usage")),
        ("?usage", 400, "invalid_input", Some("usage")),
        ("?timeout_ms=0", 400, "invalid_input", Some("timeout_ms")),
        ("?timeout_ms=-5", 400, "invalid_input", Some("timeout_ms")),
        ("?timeout_ms=1.5", 400, "invalid_input", Some("timeout_ms")),
        ("?timeout_ms=99999999999999999999999", 400, "invalid_input", Some("timeout_ms")),
        ("?trace=1", 400, "invalid_input", Some("trace")),
    ] {
        let reply = server.execute_as(query, &body);
        assert_eq!(reply.refusal(), (status, code.into()), "{query}");
        assert_eq!(reply.json()["field"].as_str(), field, "{query}");
    }
    assert_eq!(server.execute_as("?dry_run=0&usage=0&", &body).status, 200);
}

#[test]
fn fields_that_are_missing_or_wrong_are_refused_by_name() {
    let server = TestServer::start();
    let uri = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let rows = [
        (json!({"input_data": 1}), 400, "invalid_input", Some("policy_rule_uri")),
        (json!({"policy_rule_uri": null, "input_data": 1}), 400, "invalid_input", Some("policy_rule_uri")),
        (json!({"policy_rule_uri": 5, "input_data": 1}), 400, "invalid_input", Some("policy_rule_uri")),
        (json!({"policy_rule_uri": [uri], "input_data": 1}), 400, "invalid_input", Some("policy_rule_uri")),
        (json!({"policy_rule_uri": uri}), 400, "invalid_input", Some("input_data")),
        (json!({}), 400, "invalid_input", Some("policy_rule_uri")),
        (json!({"policy_rule_uri": uri, "input_data": 1, "parameters": []}), 400, "invalid_input", Some("parameters")),
        (json!({"policy_rule_uri": uri, "input_data": 1, "parameters": "x"}), 400, "invalid_input", Some("parameters")),
        (json!({"policy_rule_uri": uri, "input_data": 1, "parameters": 0}), 400, "invalid_input", Some("parameters")),
        (
            json!({"policy_rule_uri": uri, "input_data": 1, "parameters": false}),
            400,
            "invalid_input",
            Some("parameters"),
        ),
        (json!({"policy_rule_uri": "echo:9.9-test", "input_data": 1}), 404, "not_found", None),
        (json!({"policy_rule_uri": "", "input_data": 1}), 404, "not_found", None),
        (json!({"policy_rule_uri": "echo:1.0-test\u{0}", "input_data": 1}), 404, "not_found", None),
        (json!({"policy_rule_uri": "x".repeat(100_000), "input_data": 1}), 404, "not_found", None),
        (json!([]), 400, "invalid_input", None),
        (json!([uri, 1, null]), 400, "invalid_input", None),
        (json!("x"), 400, "invalid_input", None),
        (json!(null), 400, "invalid_input", None),
    ];
    for (body, status, code, field) in rows {
        let reply = server.execute_as("", &body);
        let shown: String = body.to_string().chars().take(100).collect();
        assert_eq!(reply.refusal(), (status, code.into()), "{shown}");
        assert_eq!(reply.json()["field"].as_str(), field, "{shown}");
        assert!(reply.body.len() < 1000, "{shown}: the message repeats what it got");
    }
    assert_eq!(server.execute(&uri, &json!(1)).data(), 1);
}

#[test]
fn unknown_fields_beside_ours_are_let_through() {
    let server = TestServer::start();
    let uri = server.load(&record("echo", &server.put_file("e.wasm", &echo())));
    let body = json!({"policy_rule_uri": uri, "input_data": 1, "parameters": null, "trace_id": "x"});
    assert_eq!(server.execute_as("", &body).data(), 1);
}

#[test]
fn a_policy_that_fails_is_an_answer() {
    let server = TestServer::start();
    let code = r#"(data (i32.const 1024) "no_such_zone")"#;
    let failing = Guest { data: code, eval: "(call $err (i32.const 1024) (i32.const 12))", ..Guest::default() };
    let uri = server.load(&record("failing", &server.put_file("f.wasm", &failing.build())));
    let reply = server.execute(&uri, &json!(1));
    let copy = json!({"success": false, "code": "policy_error", "message": "no_such_zone"});
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!((&body["success"], &body["code"], &body["data"]), (&json!(false), &json!("policy_error"), &copy));
    assert_eq!(body["failure"]["code"], "no_such_zone");

    let refusing = Guest { data: code, init: "(call $err (i32.const 1024) (i32.const 12))", ..Guest::default() };
    let uri = server.load(&record("refusing", &server.put_file("r.wasm", &refusing.build())));
    assert_eq!(server.execute(&uri, &json!(1)).json()["data"], copy);

    let example = server.load(&guest_record("ip_allowlist"));
    let body = server.execute(&example, &json!(["127.0.0.1"])).json();
    assert_eq!((&body["code"], &body["failure"]["code"]), (&json!("policy_error"), &json!("invalid_input")));
}

#[test]
fn a_policy_that_may_run_once_at_a_time_is_busy_meanwhile() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answer("/list", Answer::json(&json!({"allowlist": []})).held());
    let mut record = remote_allowlist(&web, true);
    record["limits"] = json!({"max_concurrency": 1, "timeout_ms": 60_000});
    let uri = server.load(&record);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.execute(&uri, &json!({"ip": "127.0.0.1"})));
        lictor_tests::eventually("the first call to ask for the list", || match web.hits("/list") {
            1 => Ok(()),
            n => Err(n),
        });
        let second = server.execute(&uri, &json!({"ip": "127.0.0.1"}));
        assert_eq!(second.refusal(), (429, "busy".into()));
        assert!(second.header("retry-after").is_some());
        web.release();
        assert_eq!(first.join().unwrap().data()["allowed"], true);
    });
    assert_eq!(server.execute(&uri, &json!({"ip": "127.0.0.1"})).status, 200, "the slot is free again");
}

/// The example, asking `web` for its remote allowlist.
fn remote_allowlist(web: &CodeServer, granted: bool) -> Value {
    let mut record = guest_record("ip_allowlist");
    record["policy_settings"] = json!({"allowlist_api": web.url("/list")});
    if granted {
        record["capabilities"] = json!({"http": [web.origin()]});
    }
    record
}

#[test]
fn a_remote_allowlist_counts_if_it_was_granted() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": ["10.1.2.3"]})));
    // The grant, the address filter, what is decided, and how often the list was asked for.
    for (granted, admitted, expected, hits) in
        [(true, true, "allowed", 1), (false, true, "denied", 0), (true, false, "denied", 0)]
    {
        let builder = TestServer::builder();
        let server = if admitted { builder.allow_loopback().start() } else { builder.start() };
        let before = web.hits("/list");
        let uri = server.load(&remote_allowlist(&web, granted));
        let answer = server.execute(&uri, &json!({"ip": "10.1.2.3"})).data();
        assert_eq!(answer["reason"], expected, "granted: {granted}, admitted: {admitted}");
        assert_eq!(web.hits("/list") - before, hits, "granted: {granted}, admitted: {admitted}");
    }
}

#[test]
fn a_remote_allowlist_that_fails_counts_as_empty() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let uri = server.load(&remote_allowlist(&web, true));
    let list = json!({"allowlist": ["10.1.2.3"]});
    for (what, answer) in [
        ("an error", Answer::status(500)),
        ("no JSON", Answer::ok("<html>")),
        ("a list", Answer::json(&json!(["10.1.2.3"]))),
        ("a redirect", Answer::redirect("/elsewhere")),
    ] {
        web.answer("/list", answer);
        assert_eq!(server.execute(&uri, &json!({"ip": "10.1.2.3"})).data()["reason"], "denied", "{what}");
    }
    web.answer("/list", Answer::json(&list).without_length());
    assert_eq!(server.execute(&uri, &json!({"ip": "10.1.2.3"})).data()["reason"], "allowed");
    assert_eq!(web.hits("/elsewhere"), 0, "a redirect is the policy's own affair");
}

#[test]
fn a_policy_is_found_by_one_version_of_itself() {
    let server = TestServer::start();
    for version in ["1.0", "1.1"] {
        let mut record = record("versioned", &server.put_file(version, &policy(&format!("\"{version}\""))));
        record["version"] = json!(version);
        server.load(&record);
    }
    for version in ["1.0", "1.1"] {
        assert_eq!(server.execute(&format!("versioned:{version}-test"), &json!(1)).data(), version);
    }
}
