//! Patterns and schemas that stand for more work than they look.

use lictor_tests::{CodeServer, TestServer, policy, record};
use serde_json::{Value, json};

/// Each takes a backtracking matcher longer than there is time, on the text below.
const ENDLESS: [&str; 6] =
    ["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "^(a*)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$", "^(.*a){12}.*[^a!]$"];

/// Almost what the patterns want.
fn almost() -> String {
    format!("{}!", "a".repeat(20_000))
}

// attack 39
#[test]
fn a_pattern_that_backtracking_would_not_end_is_answered() {
    let server = TestServer::start();
    let mut record = record("patterns", &server.put_file("p.wasm", &policy("7")));
    let fields = ENDLESS.iter().enumerate().map(|(n, pattern)| (format!("f{n}"), json!({"pattern": pattern})));
    record["policy_input_schema"] = Value::Object(fields.collect());
    record["schema_mode"] = json!("enforce");
    let uri = server.load(&record);
    let input: serde_json::Map<_, _> = (0..ENDLESS.len()).map(|n| (format!("f{n}"), json!(almost()))).collect();
    let body = server.execute(&uri, &Value::Object(input)).json();
    assert_eq!(body["code"], "input_schema", "{body}");
    let paths: Vec<&str> =
        body["violations"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..ENDLESS.len()).map(|n| format!("input_data.f{n}")).collect();
    assert_eq!(paths, expected, "{body}");
    assert_eq!(server.execute(&uri, &json!({"f0": "aaa"})).data(), 7);
}

// attacks 39, 67
#[test]
fn a_query_with_such_a_pattern_is_answered_too() {
    let server = TestServer::start();
    for n in 0..20 {
        let mut record = record(&format!("p{n}"), "https://a.example/p.wasm");
        record["description"] = json!(almost());
        server.create_policy(&record);
    }
    for pattern in ENDLESS {
        let found = server.post("/policy/query", &json!({"description": {"$regex": pattern}})).data();
        assert_eq!(found, json!([]), "{pattern}");
    }
    let all = json!({"$or": ENDLESS.map(|pattern| json!({"description": {"$regex": pattern}}))});
    assert_eq!(server.post("/policy/query", &all).data(), json!([]));
    let found = server.post("/policy/query?projection=name", &json!({"description": {"$regex": "^(a+)+!$"}})).data();
    assert_eq!(found.as_array().map(Vec::len), Some(20));
}

// attack 67
#[test]
fn a_filter_is_bounded_in_depth_and_in_conditions() {
    let server = TestServer::start();
    server.create_policy(&record("there", "https://a.example/p.wasm"));
    let nested =
        |depth: usize| format!("{}{}{}", r#"{"$and":["#.repeat(depth), r#"{"name":"there"}"#, "]}".repeat(depth));
    let text = |filter: Value| filter.to_string();
    for (filter, status) in [
        (nested(200), 400),
        (nested(100_000), 400),
        (text(json!({"$or": vec![json!({"name": "x"}); 100_000]})), 200),
        (text(json!({"$or": vec![json!({"name": {"$regex": "x"}}); 1000]})), 200),
        (text(json!({"name": {"$regex": "(a{1000}){1000}"}})), 200),
        (text(json!({"$where": "while (true) {}"})), 200),
        (text(json!({"$expr": {"$function": {"body": "while (true) {}", "args": [], "lang": "js"}}})), 200),
    ] {
        let reply = server.post_text("/policy/query", &filter);
        assert_eq!(reply.refusal(), (status, "invalid_input".into()), "{}", reply.text());
    }
    let found = server.post_text("/policy/query", &nested(40)).data();
    assert_eq!(found[0]["name"], "there");
}

// attack 79
#[test]
fn a_schema_that_stands_for_endless_work_is_refused_by_path_and_nothing_is_fetched() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let code = server.put_file("p.wasm", &policy("7"));
    let step = |n: usize| {
        let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
        json!({"allOf": [next, next]})
    };
    let mut doubling: serde_json::Map<_, _> = (0..60).map(|n| (n.to_string(), step(n))).collect();
    doubling.insert("60".into(), json!({"type": "string"}));
    let many: serde_json::Map<_, _> = (0..20_000).map(|n| (format!("f{n}"), json!({"type": "string"}))).collect();
    for (what, schema) in [
        ("itself", json!({"type": "object", "$ref": "#"})),
        (
            "a circle",
            json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        ("doubling", json!({"type": "object", "$ref": "#/$defs/0", "$defs": doubling})),
        ("a server", json!({"type": "object", "properties": {"a": {"$ref": web.url("/schema.json")}}})),
        ("a file", json!({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}})),
        ("a pattern of a million", json!({"a": {"pattern": "(a{1000}){1000}"}})),
        ("many patterns", json!({"type": "object", "patternProperties": {"(a{500}){500}": {}}})),
        ("very many fields", Value::Object(many)),
    ] {
        let mut record = record("schemas", &code);
        record["policy_input_schema"] = schema;
        record["schema_mode"] = json!("enforce");
        let reply = server.post("/policy", &record);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{what}: {}", reply.text());
        let field = reply.json()["field"].as_str().unwrap_or_default().to_owned();
        assert!(field.starts_with("policy_input_schema"), "{what}: {field}");
        // Where it is not enforced it is a warning, and checks nothing.
        record["schema_mode"] = json!("warn");
        let uri = server.load(&record);
        assert_eq!(server.execute(&uri, &json!({"a": "b"})).data(), 7, "{what}");
        server.delete(&format!("/policy/{uri}")).data();
    }
    assert!(web.seen().is_empty());
    server.assert_serving();
}
