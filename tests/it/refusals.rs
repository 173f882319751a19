//! Bad input on every route of the main listener: a clear error that names the field, by table.
//!
//! What is wrong with any body (not JSON, too deep, of another media type, too large) is sent to every route that takes
//! one; what a route wants of its fields is in the tables of `registries` and `running`. The routes are counted
//! against `/openapi.json`: one without rows fails.

mod batch;
mod functions;
mod graphs;
mod jobs;
mod peer;
mod registries;
mod running;
mod shadows;

use std::collections::BTreeSet;

use lictor_tests::{Reply, TestServer, policy, record};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Statuses of the two families of routes.
const REGISTRY: u16 = 200;
const RUNNING: u16 = 400;

/// What is sent.
enum Body {
    Nothing,
    Json(Value),
    /// A form of parts: the head of each after `form-data; `, and its body.
    Form(Vec<(&'static str, String)>),
}

/// One bad request, and the refusal that it meets.
struct Row {
    request: String,
    body: Body,
    status: u16,
    code: &'static str,
    /// The field to blame; empty if none is.
    field: &'static str,
    /// A part of the message.
    says: &'static str,
}

/// A row whose code is `invalid_input`.
fn row(request: &str, body: Value, status: u16, field: &'static str, says: &'static str) -> Row {
    Row { request: request.into(), body: Body::Json(body), status, code: "invalid_input", field, says }
}

/// A row for what is not there.
fn missing(request: &str, body: Option<Value>, status: u16, says: &'static str) -> Row {
    let body = body.map_or(Body::Nothing, Body::Json);
    Row { request: request.into(), body, status, code: "not_found", field: "", says }
}

/// `document` with `field` as `value`, or without it.
fn but(document: &Value, field: &str, value: Option<Value>) -> Value {
    let mut document = document.clone();
    match value {
        Some(value) => document[field] = value,
        None => drop(document.as_object_mut().unwrap().remove(field)),
    }
    document
}

fn rows() -> Vec<Row> {
    let all = [
        registries::rows(),
        running::rows(),
        batch::rows(),
        functions::rows(),
        graphs::rows(),
        jobs::rows(),
        peer::rows(),
        shadows::rows(),
    ];
    all.into_iter().flatten().collect()
}

/// Routes that take JSON, with the status of the family they are of.
fn takes_json() -> Vec<(&'static str, u16)> {
    [
        &TAKES_JSON,
        batch::TAKES_JSON,
        functions::TAKES_JSON,
        graphs::TAKES_JSON,
        jobs::TAKES_JSON,
        peer::TAKES_JSON,
        shadows::TAKES_JSON,
    ]
    .concat()
}

const TAKES_JSON: [(&str, u16); 20] = [
    ("POST /policy", REGISTRY),
    ("PUT /policy/there:1.0-test", REGISTRY),
    ("POST /policy/query", REGISTRY),
    ("POST /executor", REGISTRY),
    ("PUT /executor/far", REGISTRY),
    ("POST /executor/query", REGISTRY),
    ("POST /executor/executor-001/execute_policy", RUNNING),
    ("POST /executor/far/execute_policy", RUNNING),
    ("POST /execute_policy", RUNNING),
    ("POST /executor/far/create-infra", RUNNING),
    ("DELETE /executor/far/remove-infra", RUNNING),
    ("POST /graphs", REGISTRY),
    ("PUT /graphs/there:1.0-test", REGISTRY),
    ("POST /graphs/query", REGISTRY),
    ("POST /function/query", RUNNING),
    ("POST /jobs/query", REGISTRY),
    ("POST /asset", RUNNING),
    ("PUT /asset/there:1.0-test", RUNNING),
    ("POST /assets", RUNNING),
    ("POST /executor/far/heartbeat", REGISTRY),
];

/// What the rows stand on: one of everything, named `there:1.0-test` or `far`.
fn server() -> TestServer {
    let server = TestServer::builder().allow_loopback().start();
    let record = record("there", &server.put_file("p.wasm", &policy("7")));
    server.load(&but(&record, "metadata", Some(json!({"n": "text"}))));
    server.post("/graphs", &registries::graph()).data();
    server.post("/executor", &registries::executor()).data();
    let asset = server.post("/asset", &registries::asset());
    assert_eq!(asset.json()["success"], true, "{}", asset.text());
    for set_up in [batch::set_up, functions::set_up, graphs::set_up, jobs::set_up, peer::set_up, shadows::set_up] {
        set_up(&server);
    }
    server
}

fn send(server: &TestServer, request: &str, body: &Body) -> Reply {
    let (method, path) = request.split_once(' ').expect("a request is a method and a path");
    match body {
        Body::Nothing => server.send(method, path, &[], b""),
        Body::Json(value) => server.send(method, path, &[JSON], value.to_string().as_bytes()),
        Body::Form(parts) => {
            let mut form = String::new();
            for (head, body) in parts {
                form.push_str(&format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n"));
            }
            form.push_str("--x--\r\n");
            server.send(method, path, &[("Content-Type", "multipart/form-data; boundary=x")], form.as_bytes())
        }
    }
}

/// Why a reply is not this refusal, if it is not.
fn unlike(reply: &Reply, status: u16, code: &str, field: Option<&str>, says: &str) -> Option<String> {
    let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    // Some of the assets' answers have the original's key beside ours.
    let message = body["message"].as_str().unwrap_or_default();
    let named = body["field"].as_str().unwrap_or_default();
    let right = reply.status == status
        && reply.header("content-type") == Some("application/json")
        && body["success"] == false
        && body["code"] == code
        && field.is_none_or(|field| field == named)
        && !message.is_empty()
        && message.contains(says);
    (!right).then(|| format!("{} {}", reply.status, reply.text()))
}

/// Everything there is, as it can be read.
fn everything(server: &TestServer) -> Vec<Value> {
    let queries = ["/policy/query", "/executor/query", "/graphs/query", "/function/query", "/jobs/query", "/assets"];
    queries.iter().map(|path| server.post(path, &json!({})).data()).collect()
}

#[test]
fn each_field_that_is_wrong_is_named_and_nothing_is_changed() {
    let server = server();
    let before = everything(&server);
    let mut wrong = Vec::new();
    for Row { request, body, status, code, field, says } in rows() {
        let reply = send(&server, &request, &body);
        let sent = match &body {
            Body::Json(value) => value.to_string(),
            Body::Form(parts) => format!("{parts:?}"),
            Body::Nothing => String::new(),
        };
        wrong.extend(unlike(&reply, status, code, Some(field), says).map(|got| {
            let sent: String = sent.chars().take(300).collect();
            format!("{request} {sent}\n  expected {status} {code} `{field}` “{says}”\n  got      {got}")
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(everything(&server), before);
    server.assert_serving();
}

#[test]
fn what_is_no_document_is_refused_by_every_route_that_takes_one() {
    let server = server();
    let before = everything(&server);
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let mut wrong = Vec::new();
    for (request, family) in takes_json() {
        let (method, path) = request.split_once(' ').unwrap();
        for (what, body) in [
            ("nothing", Vec::new()),
            ("half a document", b"{\"a\":".to_vec()),
            ("two documents", b"{} {}".to_vec()),
            ("a trailing comma", b"{\"a\": 1,}".to_vec()),
            ("no UTF-8", b"{\"a\": \"\xff\"}".to_vec()),
            ("NaN", b"{\"a\": NaN}".to_vec()),
            ("129 levels", deep(129).into_bytes()),
            ("a million levels", "[".repeat(1_000_000).into_bytes()),
        ] {
            let reply = server.send(method, path, &[JSON], &body);
            let unlike = unlike(&reply, 400, "invalid_input", None, "");
            wrong.extend(unlike.map(|got| format!("{request}, {what}: {got}")));
        }
        for body in ["[]", "5", "\"{}\"", "true"] {
            let reply = server.send(method, path, &[JSON], body.as_bytes());
            let unlike = unlike(&reply, family, "invalid_input", None, "object");
            wrong.extend(unlike.map(|got| format!("{request}, {body}: {got}")));
        }
        for headers in [
            &[][..],
            &[("Content-Type", "text/plain")],
            &[("Content-Type", "multipart/form-data; boundary=x")],
            &[JSON, ("Content-Encoding", "gzip")],
        ] {
            let reply = server.send(method, path, headers, b"{}");
            let unlike = unlike(&reply, 415, "invalid_input", None, "");
            wrong.extend(unlike.map(|got| format!("{request}, {headers:?}: {got}")));
        }
        // Only announced, and refused without waiting for it.
        let announced = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        let reply = server.raw(format!("{announced}Content-Length: {}\r\n\r\n", 1_u64 << 40).as_bytes());
        if reply.status() != Some(413) {
            wrong.push(format!("{request}, a terabyte: {:?}", reply.status()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(everything(&server), before);
    server.assert_serving();
}

#[test]
fn a_method_that_a_route_has_not_is_answered_with_those_that_it_has() {
    let server = server();
    let mut wrong = Vec::new();
    for route in described(&server) {
        let path = concrete(&route.path);
        for method in ["PATCH", "BREW", "OPTIONS"] {
            let reply = server.send(method, &path, &[JSON], b"{}");
            let allow = reply.header("allow").unwrap_or_default().to_owned();
            let all = route.methods.iter().all(|method| allow.split(',').any(|allowed| allowed.trim() == *method));
            if unlike(&reply, 405, "invalid_input", None, method).is_some() || !all {
                wrong.push(format!("{method} {path}: {} {} Allow: {allow}", reply.status, reply.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_in_a_path_that_is_not_utf_8_is_refused() {
    let server = server();
    let mut wrong = Vec::new();
    for route in described(&server).iter().filter(|route| route.path.contains('{')) {
        let head = route.path.split('{').next().unwrap();
        let tail = route.path.split('}').nth(1).unwrap();
        for method in &route.methods {
            let path = format!("{head}%ff{tail}");
            let reply = server.send(method, &path, &[JSON], b"{}");
            // The hot route takes what is no executor of ours for one that is not there.
            let refused = [(400, "invalid_input"), (404, "not_found")];
            if refused.iter().all(|(status, code)| unlike(&reply, *status, code, None, "").is_some()) {
                wrong.push(format!("{method} {path}: {} {}", reply.status, reply.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A path of `/openapi.json`, with its methods.
struct Described {
    path: String,
    methods: Vec<String>,
}

fn described(server: &TestServer) -> Vec<Described> {
    let document = server.get("/openapi.json").json();
    let methods = |operations: &Value| -> Vec<String> {
        let names = operations.as_object().unwrap().keys();
        let known = ["get", "put", "post", "delete"];
        names.filter(|name| known.contains(&name.as_str())).map(|name| name.to_uppercase()).collect()
    };
    let paths = document["paths"].as_object().expect("there are paths");
    paths.iter().map(|(path, operations)| Described { path: path.clone(), methods: methods(operations) }).collect()
}

/// A path of a route with names in it that exist.
fn concrete(template: &str) -> String {
    let segments = template.split('/').map(|segment| match segment {
        "{executor_id}" => "far",
        "{name}" | "{function_id}" | "{job_id}" | "{asset_id}" => "none",
        segment if segment.starts_with('{') => "there:1.0-test",
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether a request is one for this route.
fn is_for(request: &str, method: &str, template: &str) -> bool {
    let Some((given, path)) = request.split_once(' ') else { return false };
    let path = path.split('?').next().unwrap_or_default();
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    let alike = |(segment, of_template): (&&str, &&str)| of_template.starts_with('{') || segment == of_template;
    given == method && path.len() == template.len() && path.iter().zip(&template).all(alike)
}

#[test]
fn no_route_is_without_a_row() {
    let server = server();
    let takes_json = takes_json().into_iter().map(|(request, _)| request.to_owned());
    let requests: Vec<String> = rows().into_iter().map(|row| row.request).chain(takes_json).collect();
    // Nothing can be wrong with a request for one of these.
    let without_input = ["/openapi.json", "/docs", "/docs/{file}", "/health"];
    let mut bare = BTreeSet::new();
    for Described { path, methods } in described(&server) {
        for method in methods {
            // A fixed path is not taken for a name: `/policy/query` is no policy.
            let has = requests.iter().any(|request| is_for(request, &method, &path));
            if !has && !without_input.contains(&path.as_str()) {
                bare.insert(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(bare, BTreeSet::new());
}
