//! The edge: requests that no honest client sends, and the admin listener. After each of them somebody else is served.

use std::io::Write as _;

use lictor_tests::{Client, Reply, TestServer, eventually, policy, record};
use serde_json::{Value, json};

const EXECUTE: &str = "/executor/executor-001/execute_policy";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[track_caller]
fn assert_envelope(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.refusal(), (status, code.into()), "{what}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
}

// attack 63
#[test]
fn a_body_that_is_no_document_is_refused_on_every_route() {
    let server = TestServer::start();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"".to_vec()),
        ("no JSON", b"{".to_vec()),
        ("two documents", b"{} {}".to_vec()),
        ("a word", b"NaN".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("invalid UTF-8", b"{\"name\": \"\xff\"}".to_vec()),
        ("an unpaired surrogate", br#"{"name": "\ud800"}"#.to_vec()),
        ("a control character", b"{\"name\": \"\x01\"}".to_vec()),
        ("too deep a list", nested(129).into_bytes()),
        ("too deep an object", format!(r#"{{"name": {}}}"#, nested(128)).into_bytes()),
        ("much too deep", nested(100_000).into_bytes()),
        ("deep and unfinished", "[".repeat(1_000_000).into_bytes()),
        ("a field twice", br#"{"name": "a", "policy_rule_uri": "a", "name": "b", "policy_rule_uri": "b"}"#.to_vec()),
    ];
    for (method, path) in [("POST", EXECUTE), ("POST", "/policy"), ("POST", "/policy/query"), ("PUT", "/policy/a:1-b")]
    {
        for (what, body) in &bodies {
            let reply = server.send(method, path, &[JSON], body);
            assert_envelope(&reply, 400, "invalid_input", &format!("{what} to {path}"));
        }
    }
    server.assert_serving();
}

// attack 63
#[test]
fn the_deepest_document_that_is_read_is_read_everywhere() {
    let server = TestServer::start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = format!(r#"{{"policy_rule_uri": "{uri}", "input_data": {}}}"#, nested(127));
    assert_eq!(server.post_text(EXECUTE, &body).data(), 7);
    let body = format!(
        r#"{{"name": "deep", "version": "1", "release_tag": "t", "type": "wasm_component_v1",
            "code": "https://a.example/", "metadata": {}}}"#,
        nested(127)
    );
    server.post_text("/policy", &body).data();
    // What is read back is one level deeper, in its envelope; a client has its own bounds.
    assert!(server.get("/policy/deep:1-t").text().contains(&nested(127)));
}

#[test]
fn a_route_that_is_not_there_and_a_method_that_is_not_its_own() {
    let server = TestServer::start();
    for (method, path, status, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/nowhere", 404, "not_found"),
        ("GET", "/policy/a/b", 404, "not_found"),
        ("GET", "/policy/a:1-b/", 404, "not_found"),
        ("POST", "/executor/a/b/execute_policy", 404, "not_found"),
        ("POST", "/executor//execute_policy", 404, "not_found"),
        ("POST", "//policy", 404, "not_found"),
        ("POST", "/policy//query", 404, "not_found"),
        ("POST", "/POLICY", 404, "not_found"),
        ("GET", "/healthz", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("PATCH", "/policy/a:1-b", 405, "invalid_input"),
        ("DELETE", "/policy", 405, "invalid_input"),
        ("GET", EXECUTE, 405, "invalid_input"),
        ("OPTIONS", EXECUTE, 405, "invalid_input"),
        ("TRACE", EXECUTE, 405, "invalid_input"),
        ("BREW", "/policy", 405, "invalid_input"),
    ] {
        let reply = server.send(method, path, &[JSON], b"{}");
        assert_envelope(&reply, status, code, &format!("{method} {path}"));
    }
    let head = server.send("HEAD", "/policy/a:1-b", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

// attack 66
#[test]
fn paths_that_play_tricks_reach_nothing() {
    let server = TestServer::start();
    server.create_policy(&record("a", "https://a.example/"));
    for (path, status) in [
        ("/policy/%61:1.0-test", 200),
        ("/policy/%2e%2e", 200),
        ("/policy/..", 200),
        ("/policy/..%2f..%2fetc%2fpasswd", 200),
        ("/policy/a%00:1.0-test", 200),
        ("/policy/a:1.0-test%00", 200),
        ("/policy/%D0%B0:1.0-test", 200),
        ("/policy/A:1.0-test", 200),
        ("/policy/%ff", 400),
        ("/policy/%c0%ae", 400),
        ("/policy/%zz", 200),
        ("/policy/../policy/a:1.0-test", 404),
        ("/./policy/a:1.0-test", 404),
        ("/policy/a:1.0-test/../a:1.0-test", 404),
        ("/policy/a:1.0-test;x=1", 200),
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        let canonical = path == "/policy/%61:1.0-test";
        assert_eq!(reply.json()["success"], canonical, "{path}: {}", reply.text());
    }
    assert_eq!(server.get("/policy/a:1.0-test?x=1").json()["success"], true);
    // Percent-encoding makes another text and no other name.
    let body = json!({"policy_rule_uri": "no:1.0-such", "input_data": 1});
    for (id, status, says) in [
        ("executor-001", 404, "Policy not found"),
        ("executor%2d001", 404, "Policy not found"),
        ("executor-001%00", 404, "Executor not found"),
        ("..", 404, "Executor not found"),
        ("%2e%2e", 404, "Executor not found"),
        ("executor-001%2f..", 404, "Executor not found"),
        ("%ff", 400, "UTF-8"),
    ] {
        let reply = server.post(&format!("/executor/{id}/execute_policy"), &body);
        assert_eq!((reply.status, reply.json()["success"] == false), (status, true), "{id}: {}", reply.text());
        assert!(reply.text().contains(says), "{id}: {}", reply.text());
    }
    server.assert_serving();
}

// attack 65
#[test]
fn a_body_of_another_media_type_is_refused() {
    let server = TestServer::start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = json!({"policy_rule_uri": uri, "input_data": 1}).to_string();
    let send = |headers: &[(&str, &str)]| server.send("POST", EXECUTE, headers, body.as_bytes());
    for headers in [
        &[][..],
        &[("Content-Type", "")],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "multipart/form-data; boundary=x")],
        &[("Content-Type", "application/jsonx")],
        &[("Content-Type", "text/plain; application/json")],
        &[("Content-Type", "application/\u{fc}json")],
        &[JSON, ("Content-Encoding", "gzip")],
        &[JSON, ("Content-Encoding", "identity, gzip")],
        &[JSON, ("Content-Encoding", "br")],
    ] {
        assert_envelope(&send(headers), 415, "invalid_input", &format!("{headers:?}"));
        let reply = server.send("POST", "/policy", headers, b"{}");
        assert_envelope(&reply, 415, "invalid_input", &format!("{headers:?}"));
    }
    for headers in [
        &[JSON][..],
        &[("content-type", "Application/JSON; charset=utf-8")],
        &[("Content-Type", "application/problem+json")],
        &[JSON, ("Content-Encoding", "identity")],
    ] {
        assert_eq!(send(headers).data(), 7, "{headers:?}");
    }
}

// attack 59
#[test]
fn a_body_over_the_limit_is_refused_without_being_read() {
    let server = TestServer::builder().config("max_body_kb = 1").start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let of_length = |n: usize| {
        let body = json!({"policy_rule_uri": uri, "input_data": ""}).to_string();
        body.replace("\"\"", &format!("\"{}\"", "x".repeat(n - body.len())))
    };
    assert_eq!(server.post_text(EXECUTE, &of_length(1024)).data(), 7);
    assert_envelope(&server.post_text(EXECUTE, &of_length(1025)), 413, "invalid_input", "one byte more");
    for path in [EXECUTE, "/policy"] {
        // Only announced: nothing of it is sent, and the answer is there all the same.
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            1u64 << 40
        );
        let reply = server.raw(head.as_bytes());
        assert_eq!((reply.status(), reply.closed), (Some(413), true), "{path}");
        // Without a length, and without an end.
        let mut chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        for _ in 0..100 {
            chunked.push_str(&format!("64\r\n{}\r\n", "x".repeat(100)));
        }
        let reply = server.raw(chunked.as_bytes());
        assert_eq!((reply.status(), reply.closed), (Some(413), true), "{path}");
    }
    server.assert_serving();
}

// attack 68: pages in a browser.
#[test]
fn web_pages_and_names_that_were_made_to_point_here_are_refused() {
    let server = TestServer::start();
    let port = server.address().port();
    for (headers, status) in [
        (vec![("Origin", "http://evil.example")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Origin", "http://127.0.0.1")], 403),
        (vec![("Host", "evil.example")], 403),
        (vec![("Host", "localhost.evil.example")], 403),
        (vec![("Host", "127.0.0.1.evil.example")], 403),
        (vec![("Host", "")], 403),
        (vec![("Host", "localhost")], 200),
        (vec![("Host", "LOCALHOST:80")], 200),
        (vec![("Host", "[::1]")], 200),
        (vec![("Host", "127.0.0.1:1")], 200),
    ] {
        for client in [server.client(), server.admin()] {
            let path = if client.address().port() == port { "/policy/a:1-b" } else { "/healthz" };
            let reply = client.send("GET", path, &headers, b"");
            assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
        }
    }
    let mut headers = vec![JSON, ("Origin", "http://evil.example")];
    assert_envelope(&server.send("POST", EXECUTE, &headers, b"{}"), 403, "forbidden", "the hot route");
    headers[1] = ("Host", "evil.example");
    assert_envelope(&server.send("POST", EXECUTE, &headers, b"{}"), 403, "forbidden", "the hot route");
    let two =
        server.raw(b"GET /policy/a HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(matches!(two.status(), Some(400 | 403)), "{two:?}");
    let absolute =
        server.raw(b"GET http://evil.example/policy/a HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    assert_eq!(absolute.status(), Some(403), "{absolute:?}");
    assert!(!server.get("/policy/a:1-b").headers.iter().any(|(name, _)| name.starts_with("access-control")));
}

// attack 59
#[test]
fn heads_without_measure_are_refused() {
    let server = TestServer::start();
    let (long, many) = ("x".repeat(200_000), "X-A: b\r\n".repeat(100_000));
    let get = |path: &str, headers: &str| {
        server.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
    };
    for (what, reply, statuses) in [
        ("a header", get("/policy/a", &format!("X-Long: {long}\r\n")), &[431][..]),
        ("a name", get("/policy/a", &format!("{long}: x\r\n")), &[431]),
        ("headers", get("/policy/a", &many), &[431]),
        ("101 headers", get("/policy/a", &"X-A: b\r\n".repeat(101)), &[431]),
        // Which of the two depends on how much of it came at once.
        ("a URL", get(&format!("/policy/{long}"), ""), &[414, 431]),
        ("a query", get(&format!("/policy/a?{long}"), ""), &[414, 431]),
        ("a method", server.raw(format!("{long} / HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()), &[400, 405, 431]),
    ] {
        assert!(reply.closed, "{what}");
        assert!(reply.status().is_some_and(|status| statuses.contains(&status)), "{what}: {:?}", reply.status());
    }
    server.assert_serving();
}

// attack 60
#[test]
fn requests_that_could_mean_two_things_are_refused_and_the_connection_closed() {
    let server = TestServer::start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = json!({"policy_rule_uri": uri, "input_data": 1}).to_string();
    let n = body.len();
    let chunks = format!("{n:x}\r\n{body}\r\n0\r\n\r\n");
    let head = format!("POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    // What would be smuggled in, were the first request to end early.
    let mut wrong = Vec::new();
    let second = "GET /policy/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (what, request) in [
        ("length and chunks", format!("{head}Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")),
        ("chunks and length", format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunks}")),
        ("two lengths", format!("{head}Content-Length: {n}\r\nContent-Length: 4\r\n\r\n{body}")),
        ("a list of lengths", format!("{head}Content-Length: {n}, 4\r\n\r\n{body}")),
        ("a length that is none", format!("{head}Content-Length: +{n}\r\n\r\n{body}")),
        ("a negative length", format!("{head}Content-Length: -1\r\n\r\n{body}")),
        ("a huge length", format!("{head}Content-Length: 99999999999999999999\r\n\r\n{body}")),
        ("chunks inside out", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{chunks}")),
        ("an unknown encoding", format!("{head}Transfer-Encoding: gzip\r\n\r\n{chunks}")),
        ("chunks in HTTP/1.0", format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").replace("/1.1", "/1.0")),
        ("a chunk whose size is none", format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n")),
        ("a chunk of negative size", format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{body}\r\n0\r\n\r\n")),
        ("a folded header", format!("{head}X-A: a\r\n b\r\nContent-Length: {n}\r\n\r\n{body}")),
        ("a NUL in a header", format!("{head}X-A: a\0b\r\nContent-Length: {n}\r\n\r\n{body}")),
        ("a NUL in a name", format!("{head}X\0A: b\r\nContent-Length: {n}\r\n\r\n{body}")),
        ("a space before the colon", format!("{head}X-A : b\r\nContent-Length: {n}\r\n\r\n{body}")),
        ("a bare CR in a header", format!("{head}X-A: a\rb\r\nContent-Length: {n}\r\n\r\n{body}")),
        ("lines that end in LF", format!("{head}Content-Length: {n}\r\n\r\n{body}").replace("\r\n", "\n")),
        ("one line that ends in LF", format!("{head}X-A: b\nContent-Length: {n}\r\n\r\n{body}")),
        ("a space in the path", format!("{head}Content-Length: {n}\r\n\r\n{body}").replace("/execute", "/ execute")),
        ("no version", format!("POST {EXECUTE}\r\n\r\n")),
        ("another version", format!("{head}Content-Length: {n}\r\n\r\n{body}").replace("/1.1", "/3.7")),
        ("no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned()),
    ] {
        let reply = server.raw_and_no_more(format!("{request}{second}").as_bytes());
        let answers = reply.bytes.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
        if (reply.status(), reply.closed, answers) != (Some(400), true, 1) {
            wrong.push(format!("{what}: {:?}", String::from_utf8_lossy(&reply.bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(server.execute(&uri, &json!(1)).data(), 7);
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let server = TestServer::start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = json!({"policy_rule_uri": uri, "input_data": 1}).to_string();
    let one = format!(
        "POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = one.replace("Host:", "Connection: close\r\nHost:");
    let reply = server.raw(format!("{one}{one}{last}").as_bytes());
    let text = String::from_utf8_lossy(&reply.bytes).into_owned();
    assert_eq!(text.matches(r#"{"success":true,"data":7}"#).count(), 3, "{text}");
}

#[test]
fn a_client_that_goes_away_in_the_middle_harms_nobody() {
    let server = TestServer::start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = json!({"policy_rule_uri": uri, "input_data": 1}).to_string();
    let request = format!(
        "POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for end in [0, 1, 20, request.len() - body.len(), request.len() - 1, request.len()] {
        let mut stream = server.connect().unwrap();
        stream.write_all(&request.as_bytes()[..end]).unwrap();
        drop(stream);
    }
    assert_eq!(server.execute(&uri, &json!(1)).data(), 7);
    server.assert_serving();
}

// attack 62
#[test]
fn idle_connections_take_no_health_away() {
    let server = TestServer::builder().config("max_connections = 4").start();
    let idle: Vec<_> = (0..20).map(|_| server.connect().unwrap()).collect();
    assert_eq!(server.admin().get("/healthz").text(), "ok");
    assert_eq!(server.admin().get("/readyz").status, 200);
    drop(idle);
    eventually("a place for a new connection", || match server.get("/policy/a:1-b").status {
        200 => Ok(()),
        status => Err(status),
    });
}

#[test]
fn the_admin_listener_tells_health_and_version() {
    let server = TestServer::start();
    let admin = server.admin();
    assert_eq!((admin.get("/healthz").status, admin.get("/healthz").text()), (200, "ok".into()));
    assert_eq!((admin.get("/readyz").status, admin.get("/readyz").text()), (200, "ready".into()));
    assert_eq!(admin.get("/version").json(), json!({"version": env!("CARGO_PKG_VERSION")}));
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/policy/a:1-b", 404),
        ("POST", EXECUTE, 404),
        ("GET", "/healthz/", 404),
        ("GET", "//healthz", 404),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
    ] {
        let reply = admin.send(method, path, &[JSON], b"{}");
        assert_eq!((reply.status, reply.json()["success"].clone()), (status, json!(false)), "{method} {path}");
    }
    assert_eq!(admin.send("HEAD", "/healthz", &[], b"").status, 200);
}

fn metrics(admin: &Client) -> Vec<(String, f64)> {
    let reply = admin.get("/metrics");
    assert!(reply.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text")));
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a series has a value");
        (series.to_owned(), value.parse().expect("a value is a number"))
    };
    text.lines().filter(|text| !text.starts_with('#')).map(line).collect()
}

// attack 76
#[test]
fn metrics_count_what_happened_under_labels_of_ours() {
    let server = TestServer::start();
    let value = |name: &str| {
        let all = metrics(server.admin());
        all.iter().find(|(series, _)| series == name).map_or(0.0, |(_, value)| *value)
    };
    let (ok, loads) = (r#"lictor_policy_evaluations_total{outcome="ok"}"#, r#"lictor_policy_loads_total{result="ok"}"#);
    assert_eq!(value(ok), 0.0);
    let uri = server.load(&record("zanzibar", &server.put_file("p.wasm", &policy("7"))));
    assert_eq!(value(loads), 1.0);
    for _ in 0..3 {
        server.execute(&uri, &json!("tanganyika")).data();
    }
    assert_eq!(value(ok), 3.0);
    assert_eq!(value("lictor_policy_evaluation_duration_seconds_count"), 3.0);
    assert_eq!(value("lictor_instances_in_use"), 0.0);
    let refused = value("lictor_refused_requests_total");
    server.send("GET", "/policy/a:1-b", &[("Origin", "null")], b"");
    assert_eq!(value("lictor_refused_requests_total"), refused + 1.0);

    // Whatever callers choose to call things, the series stay the same.
    let failed = server.create_policy(&record("broken", &server.put_file("b.wasm", b"x")));
    server.wait_loaded(&failed);
    let before: Vec<String> = metrics(server.admin()).into_iter().map(|(series, _)| series).collect();
    for n in 0..20 {
        let uri = server.create_policy(&record(&format!("zanzibar{n}"), &server.put_file("b.wasm", b"x")));
        server.wait_loaded(&uri);
        server.execute(&uri, &json!(n));
        server.execute(&format!("unknown{n}"), &Value::Null);
        server.get(&format!("/zanzibar{n}"));
    }
    let after: Vec<String> = metrics(server.admin()).into_iter().map(|(series, _)| series).collect();
    assert_eq!(after, before);
    assert!(!after.iter().any(|series| series.contains("zanzibar")), "{after:?}");
}

// attack 77
#[test]
fn headers_of_a_request_forge_no_log_lines() {
    let server = TestServer::builder().config("log = \"debug\"\nlog_format = \"json\"").start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    let body = json!({"policy_rule_uri": uri, "input_data": 1}).to_string();
    let headers = [JSON, ("X-Request-Id", "a\t\"}{\"forged\":1"), ("Traceparent", "00-x\u{e9}")];
    assert_eq!(server.send("POST", EXECUTE, &headers, body.as_bytes()).data(), 7);
    server.execute("no:such\n{\"forged\":1}", &json!(1));
    server.terminate();
    let log = server.wait().0.stderr;
    assert!(!log.is_empty());
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(entry.get("forged"), None, "{line}");
    }
}
