//! Clients that mean no good, against the real server. After each of them somebody else is served.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use lictor_tests::{Client, Guest, PATIENCE, TestServer, counter, eventually, policy, record, sandbox};
use serde_json::{Map, Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn echo() -> Vec<u8> {
    sandbox::Guest::echo().component()
}

fn load(server: &TestServer, name: &str, code: &[u8]) -> String {
    server.load(&record(name, &server.put_file(&format!("{name}.wasm"), code)))
}

/// A policy that answers this many bytes of text.
fn large(bytes: usize) -> Vec<u8> {
    Guest {
        eval: &format!(
            "(local $at i32)
            (local.set $at (call $alloc (i32.const {bytes})))
            (memory.fill (local.get $at) (i32.const 120) (i32.const {bytes}))
            (call $quote (local.get $at) (i32.const {bytes}))"
        ),
        ..Guest::default()
    }
    .build()
}

/// The most memory that the server ever had, in KiB.
fn peak_kb(server: &TestServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The value of one series of the metrics.
fn metric(server: &TestServer, series: &str) -> u64 {
    let text = server.admin().get("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok()).unwrap_or_default()
}

/// Reads to the end of a connection that is to be cut.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE * 3)).unwrap();
    let mut all = Vec::new();
    // Cut is cut: whether it was closed or reset.
    let _cut = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

// attacks 59, 62: a byte, and then nothing.
#[test]
fn what_does_not_come_is_given_up() {
    let server = TestServer::start();
    let uri = load(&server, "echo", &echo());
    let begun = |text: &str| {
        let mut stream = server.connect().unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let head =
        "POST /executor/executor-001/execute_policy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = begun(&format!("{head}Content-Length: 1000\r\n\r\n{{"));
    let chunks = begun(&format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"));
    let (line, silent) = (begun("GET /policy/a:1-b HT"), begun(""));
    let headers = begun("GET /policy/a:1-b HTTP/1.1\r\nHost: localhost\r\nX-");
    thread::scope(|scope| {
        for stream in [body, chunks] {
            scope.spawn(|| assert!(rest(stream).starts_with("HTTP/1.1 408 ")));
        }
        for stream in [line, silent, headers] {
            scope.spawn(|| assert_eq!(rest(stream), ""));
        }
        for n in 0..100 {
            assert_eq!(server.execute(&uri, &json!(n)).data(), n);
        }
    });
    assert_eq!(server.execute(&uri, &json!(1)).data(), 1);
}

// attack 64
#[test]
fn very_many_keys_are_a_document_like_others() {
    let server = TestServer::start();
    let uri = load(&server, "echo", &echo());
    let keys: Map<String, Value> = (0..50_000).map(|n| (format!("k{n:06}"), json!(n))).collect();
    assert_eq!(server.execute(&uri, &Value::Object(keys.clone())).data(), Value::Object(keys.clone()));
    let mut crowded = record("crowded", "https://a.example/p.wasm");
    crowded["metadata"] = Value::Object(keys);
    let crowded = server.create_policy(&crowded);
    assert_eq!(server.policy(&crowded)["metadata"]["k049999"], 49_999);
    let update = json!({"$set": {"metadata.k000000": "changed"}});
    server.put(&format!("/policy/{crowded}"), &update).data();
    assert_eq!(server.policy(&crowded)["metadata"]["k000000"], "changed");
}

// attack 64: keys that were found to collide would have to be found for each process anew.
#[test]
fn no_map_is_hashed_by_what_others_can_foresee() {
    let foreseeable = [
        "FxHash",
        "fxhash",
        "rustc_hash",
        "fnv",
        "Fnv",
        "ahash",
        "foldhash",
        "DefaultHasher",
        "SipHasher",
        "BuildHasher",
    ];
    for (path, text) in crate::tidy::files("executor", ".rs") {
        for word in foreseeable {
            // What std draws at random for each process.
            let used = text.replace("BuildHasher as _, RandomState", "");
            assert!(!used.contains(word), "{path} hashes with {word}");
        }
    }
}

// attack 66: names that look like others, or like paths, in every registry.
#[test]
fn a_name_is_plain_or_none() {
    let server = TestServer::start();
    let uri = load(&server, "echo", &echo());
    let long = "x".repeat(129);
    for name in [
        "\u{430}llow",
        "\u{ff41}llow",
        "a\u{200b}b",
        "a\u{301}",
        "a:b",
        "a@b",
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        "a b",
        "a\u{0}b",
        "a\nb",
        "a%2fb",
        "a\"b",
        "a'b",
        "a{b}",
        "-\u{2010}",
        &long,
    ] {
        let mut policy = record("p", "https://a.example/p.wasm");
        policy["name"] = json!(name);
        let mut tagged = record("p", "https://a.example/p.wasm");
        tagged["release_tag"] = json!(name);
        let graph = json!({
            "graph_name": name, "graph_version": "1.0", "graph_release_tag": "t", "graph_metadata": {},
            "graph_function_ids": ["a"], "graph_connection_data": {}, "graph_search_tags": [],
            "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {},
        });
        let asset = json!({"asset_name": name, "asset_version": {"version": "1", "tag": "t"}, "asset_public_url": "https://a.example/x"});
        for (path, body) in [
            ("/policy", policy),
            ("/policy", tagged),
            ("/executor", json!({"executor_id": name, "executor_host_uri": "http://198.51.100.7"})),
            ("/graphs", graph),
            ("/asset", asset),
        ] {
            let reply = server.post(path, &body);
            assert_eq!(reply.refusal().1, "invalid_input", "{path} {name:?}: {}", reply.text());
        }
    }
    // The name of a function is any text that is one segment of a path: another text is another function.
    for name in ["..", ".", "", "a/b", "../a", "a\u{0}b", "a\nb"] {
        let body = json!({"name": name, "policy_rule_uri": uri});
        let reply = server.post("/function/deployments/create/executor-001", &body);
        assert_eq!(reply.refusal(), (400, "invalid_input".into()), "{name:?}: {}", reply.text());
    }
    for path in ["/policy/query", "/graphs/query", "/assets", "/function/query"] {
        let all = server.post(path, &json!({})).data();
        let expected = usize::from(path == "/policy/query");
        assert_eq!(all.as_array().map(Vec::len), Some(expected), "{path}: {all}");
    }
}

fn graph(ids: &Value, connections: &Value) -> Value {
    json!({
        "graph_name": "g", "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": {},
        "graph_function_ids": ids, "graph_connection_data": connections, "graph_search_tags": [],
        "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
    })
}

// attack 70
#[test]
fn batches_and_graphs_without_measure_are_refused() {
    let server = TestServer::start();
    let uri = load(&server, "echo", &echo());
    let batch = json!({"policy_rule_uri": uri, "inputs": vec![0; 1_000_000]});
    let reply = server.post("/executor/executor-001/execute_policy/batch", &batch);
    assert_eq!(reply.refusal(), (400, "invalid_input".into()));
    let names: Vec<String> = (0..100_000).map(|n| format!("n{n}")).collect();
    let chain: Map<String, Value> = names.windows(2).map(|pair| (pair[0].clone(), json!([pair[1]]))).collect();
    let all_to_all: Map<String, Value> = (0..300).map(|n| (names[n].clone(), json!(names[n + 1..301]))).collect();
    for (what, ids, connections) in [
        ("100,000 nodes", json!(names), json!({})),
        ("100,000 edges", json!([]), Value::Object(chain)),
        ("45,000 edges", json!(names[..301]), Value::Object(all_to_all)),
        ("an edge to itself", json!(["a"]), json!({"a": ["a"]})),
        ("a cycle", json!(["a", "b", "c"]), json!({"a": ["b"], "b": ["c"], "c": ["b"]})),
        ("no end", json!(["a", "b"]), json!({"a": ["b"], "b": ["a"]})),
    ] {
        let reply = server.post("/graphs", &graph(&ids, &connections));
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{what}: {}", reply.text());
        assert!(reply.body.len() < 2000, "{what}: {}", reply.text());
    }
    server.post("/graphs", &graph(&json!(["missing"]), &json!({}))).data();
    let reply = server.post("/graph/execute_graph", &json!({"graph_uri": "g:1.0-test", "input_data": 1}));
    assert_eq!(reply.refusal(), (404, "not_found".into()));
    assert_eq!(server.execute(&uri, &json!(1)).data(), 1);
}

// attack 70: as many ways as 2^15 lead from the first node to the last one; each runs once.
#[test]
fn a_node_with_very_many_ways_to_it_runs_once() {
    let server = TestServer::start();
    let counts = load(&server, "counts", &counter(false));
    let quiet = load(&server, "quiet", &policy("1"));
    let steps = 15;
    let (mut ids, mut connections) = (Vec::new(), Map::new());
    for n in 0..steps {
        let (here, next) = (format!("j{n}"), format!("j{}", n + 1));
        let sides = [format!("l{n}"), format!("r{n}")];
        connections.insert(here.clone(), json!(sides));
        sides.iter().for_each(|side| drop(connections.insert(side.clone(), json!([next]))));
        ids.extend([here].into_iter().chain(sides));
    }
    ids.push(format!("j{steps}"));
    for id in &ids {
        let uri = if id.starts_with('j') { &counts } else { &quiet };
        let body = json!({"name": id, "policy_rule_uri": uri});
        server.post("/function/deployments/create/executor-001", &body).data();
    }
    server.post("/graphs", &graph(&json!(ids), &Value::Object(connections))).data();
    let run =
        || server.post("/graph/execute_graph?trace=1", &json!({"graph_uri": "g:1.0-test", "input_data": 1})).json();
    for n in 1..=2 {
        let body = run();
        assert_eq!(body["success"], true, "{body}");
        let nodes = body["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), ids.len());
        // Each of those that count was asked once more, and no more than that.
        let counted: Vec<&Value> =
            nodes.iter().map(|node| &node["output"]["count"]).filter(|count| !count.is_null()).collect();
        assert_eq!(counted, vec![n; steps + 1], "{body}");
    }
}

// attack 72
#[test]
fn ids_of_jobs_are_given_and_say_nothing_of_each_other() {
    let server = TestServer::start();
    let uri = load(&server, "small", &policy("7"));
    let body = json!({"name": "n", "policy_rule_uri": uri, "job_id": "mine", "id": "mine"});
    let mut ids = BTreeSet::new();
    for _ in 0..50 {
        let reply = server.post("/jobs/submit/executor-001", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        ids.insert(reply.json()["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 50, "the same submission again is another job");
    for id in &ids {
        assert_eq!((id.len(), &id[14..15], "89ab".contains(&id[19..20])), (36, "4", true), "{id}");
    }
    // Of version 4 all of it is drawn: neither time nor number is in it, at either end.
    for part in [0..8, 28..36] {
        let parts: BTreeSet<&str> = ids.iter().map(|id| &id[part.clone()]).collect();
        assert_eq!(parts.len(), 50);
    }
    for guess in ["mine", "1", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(server.get(&format!("/jobs/{guess}")).refusal(), (200, "not_found".into()));
        let cancel = server.send("POST", &format!("/jobs/{guess}/cancel"), &[], b"");
        assert_eq!(cancel.refusal(), (404, "not_found".into()));
    }
}

// attack 78: a jump of the wall clock cannot end a call, or keep one: nothing that is waited for goes by it. Where it is
// read, a time is shown or stored.
#[test]
fn the_wall_clock_is_read_only_to_tell_the_time() {
    let told = [
        "executor/loader/src/cache.rs",
        "executor/sandbox/src/imports/system.rs",
        "executor/sandbox/src/run.rs",
        // Tokens are good until a date.
        "executor/server/src/access.rs",
        "executor/server/src/functions/logs.rs",
        // When a file was changed.
        "executor/server/src/http/tls.rs",
        "executor/server/src/jobs.rs",
        "executor/server/src/shadows/tally.rs",
        "executor/server/src/store/documents.rs",
        "executor/server/src/store/functions.rs",
    ];
    for (path, text) in crate::tidy::files("executor", ".rs") {
        let reads = ["SystemTime", "chrono::", "OffsetDateTime", "CLOCK_REALTIME", "clock_gettime"];
        let found: Vec<_> = reads.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty() || told.contains(&path.as_str()), "{path} reads the wall clock: {found:?}");
        for line in text.lines().filter(|line| line.contains("SystemTime::now()")) {
            assert!(
                line.contains("duration_since(SystemTime::UNIX_EPOCH)"),
                "{path} measures with the wall clock: {line}"
            );
        }
    }
}

// attack 82: lines of a batch that nobody reads.
#[test]
fn a_reader_of_lines_that_never_reads_holds_up_nobody() {
    let server = TestServer::builder().config("grace_ms = 200").start();
    let (good, large) = (load(&server, "echo", &echo()), load(&server, "large", &large(900_000)));
    let inputs = vec![0; 2000];
    let n = inputs.len() as u64;
    let body = json!({"policy_rule_uri": large, "inputs": inputs}).to_string();
    let request = format!(
        "POST /executor/executor-001/execute_policy/batch HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nAccept: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let start = || {
        let mut stream = server.connect().unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let stuck = start();
    let ok = "lictor_policy_evaluations_total{outcome=\"ok\"}";
    let mut asked = 0;
    let stalled = eventually("the batch to wait for its reader", || {
        let before = metric(&server, ok) - asked;
        for i in 0..50 {
            assert_eq!(server.execute(&good, &json!(i)).data(), i);
        }
        asked += 50;
        let after = metric(&server, ok) - asked;
        if 0 < after && before == after { Ok(after) } else { Err((before, after)) }
    });
    assert!(stalled < n, "all {n} were made, and are kept for nobody");
    assert!(peak_kb(&server) < 600 << 10, "{} KiB", peak_kb(&server));
    drop(stuck);
    eventually("its calls to be over", || match metric(&server, "lictor_instances_in_use") {
        0 => Ok(()),
        n => Err(n),
    });
    // Nor does one keep the server from ending.
    let stuck = start();
    assert_eq!(server.execute(&good, &json!(1)).data(), 1);
    server.stop();
    drop(stuck);
}

// attack 82: events of a job that nobody reads.
#[test]
fn watchers_that_never_read_hold_up_nobody() {
    let server = TestServer::builder().config("max_jobs = 1\ngrace_ms = 200").start();
    let good = load(&server, "echo", &echo());
    let sleeps = {
        let code = server.put_file("sleeps.wasm", &sandbox::Guest::named("sleeps").component());
        let mut record = record("sleeps", &code);
        record["limits"] = json!({"timeout_ms": 60_000});
        server.load(&record)
    };
    let large = {
        let mut record = record("large", &server.put_file("large.wasm", &large(8 << 20)));
        record["limits"] = json!({"output_kb": 16_384, "timeout_ms": 60_000});
        server.load(&record)
    };
    let submit = |uri: &str| {
        let reply =
            server.post("/jobs/submit/executor-001", &json!({"name": "n", "policy_rule_uri": uri, "inputs": 0}));
        reply.json()["job_id"].as_str().unwrap().to_owned()
    };
    let (blocks, watched) = (submit(&sleeps), submit(&large));
    let watchers: Vec<TcpStream> = (0..100).map(|_| watch(server.client(), &watched)).collect();
    server.send("POST", &format!("/jobs/{blocks}/cancel"), &[], b"").data();
    eventually("the job to end", || {
        let ended = server.post("/jobs/query?projection=job_status", &json!({"job_status": "completed"})).data();
        if ended.as_array().is_some_and(|all| all.len() == 1) { Ok(()) } else { Err(ended) }
    });
    let next = submit(&good);
    eventually("the next job to end", || {
        let record = server.get(&format!("/jobs/{next}")).data();
        if record["job_status"] == "completed" { Ok(()) } else { Err(record) }
    });
    for i in 0..50 {
        assert_eq!(server.execute(&good, &json!(i)).data(), i);
    }
    // What they were to be sent is there once, not a hundred times.
    assert!(peak_kb(&server) < 500 << 10, "{} KiB", peak_kb(&server));
    server.stop();
    drop(watchers);
}

/// A watcher that asks and has been answered, and reads no more.
fn watch(client: &Client, id: &str) -> TcpStream {
    let mut stream = client.connect().unwrap();
    write!(stream, "GET /jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

const BOUNDARY: &str = "x-boundary";
const FILE: &str = "name=\"asset\"; filename=\"p.zip\"";

fn form(head: &str, file: &[u8], name: &str) -> Vec<u8> {
    let metadata = json!({"asset_name": name, "asset_version": {"version": "1.0", "tag": "t"}});
    let open = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
    let rest = format!(
        "\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"asset_metadata\"\r\n\r\n{metadata}\r\n--{BOUNDARY}--\r\n"
    );
    [open.as_bytes(), file, rest.as_bytes()].concat()
}

fn media_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

// attack 83
#[test]
fn an_upload_that_lies_about_its_length_keeps_nothing() {
    let server = TestServer::start();
    let whole = form(FILE, &vec![7; 50_000], "lies");
    let kind = media_type();
    let head = |framing: &str| {
        format!(
            "POST /upload_asset HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
        )
    };
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    for (what, request) in [
        (
            "more than there is",
            [head(&format!("Content-Length: {}", whole.len() + 1000)).as_bytes(), &whole[..whole.len() - 30]].concat(),
        ),
        ("less than there is", [head("Content-Length: 20000").as_bytes(), &whole[..]].concat()),
        ("nothing", [head("Content-Length: 0").as_bytes(), &whole[..]].concat()),
        ("no last chunk", [head("Transfer-Encoding: chunked").as_bytes(), &chunk(&whole[..20_000])].concat()),
        ("a chunk that is shorter", [head("Transfer-Encoding: chunked").as_bytes(), b"ffff\r\nabc"].concat()),
        (
            "a form that ends early",
            [head("Transfer-Encoding: chunked").as_bytes(), &chunk(&whole[..20_000]), b"0\r\n\r\n"].concat(),
        ),
    ] {
        let reply = server.raw_and_no_more(&request);
        // Some go before there is anything to answer.
        assert!(matches!(reply.status(), Some(400) | None), "{what}: {:?}", reply.status());
        assert_eq!(server.post("/assets", &json!({})).data(), json!([]), "{what}");
    }
    // A length that a part claims is not believed.
    let claims = form(&format!("{FILE}\r\nContent-Length: 3"), &[7; 5000], "claims");
    let reply = server.send("POST", "/upload_asset", &[("Content-Type", &kind)], &claims);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(server.get("/asset/claims:1.0-t").data()["asset_file_info"]["file_size"], 5000);
}

// attack 83: boundaries and heads of parts that are none.
#[test]
fn a_form_that_is_no_form_is_refused() {
    let server = TestServer::start();
    let whole = form(FILE, b"bytes", "odd");
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "multipart/mixed; boundary=x-boundary",
    ] {
        let reply = server.send("POST", "/upload_asset", &[("Content-Type", kind)], &whole);
        assert!(matches!(reply.status, 400 | 415), "{kind}: {}", reply.text());
        assert_eq!(reply.refusal().1, "invalid_input", "{kind}");
    }
    let many_heads = format!("{FILE}{}", "\r\nX-Many: x".repeat(10_000));
    for head in [&*many_heads, "name=\"asset\"; filename=\"\u{0}", "filename", ""] {
        let reply =
            server.send("POST", "/upload_asset", &[("Content-Type", &media_type())], &form(head, b"bytes", "odd"));
        assert!(matches!(reply.status, 400 | 413), "{:.40}: {} {}", head, reply.status, reply.text());
    }
    assert_eq!(server.post("/assets", &json!({})).data(), json!([]));
    server.assert_serving();
}

// attack 85
#[test]
fn the_name_of_a_file_becomes_neither_a_path_nor_a_header() {
    let server = TestServer::start();
    for (n, (sent, kept)) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Windows\\\\x.zip", "x.zip"),
        ("a\tb.zip", "ab.zip"),
        ("<script>.zip", "<script>.zip"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("asset{n}");
        let body = form(&format!("name=\"asset\"; filename=\"{sent}\""), b"bytes", &name);
        let reply = server.send("POST", "/upload_asset", &[("Content-Type", &media_type())], &body);
        assert_eq!(reply.status, 201, "{sent}: {}", reply.text());
        let id = reply.json()["asset_id"].as_str().unwrap().to_owned();
        assert_eq!(server.get(&format!("/asset/{name}:1.0-t")).data()["asset_file_info"]["file_name"], kept);
        let file = server.get(&format!("/asset-object/{id}"));
        assert_eq!(file.header("content-disposition"), Some(format!("attachment; filename=\"{id}\"").as_str()));
        assert_eq!(file.header("content-type"), Some("application/octet-stream"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
    for id in ["../lictor.db", "..%2f..%2fcache%2fkey", "%2e%2e/key", "a%00"] {
        let reply = server.get(&format!("/asset-object/{id}"));
        assert_eq!(reply.status, 404, "{id}: {}", reply.text());
    }
}

// attack 84
#[test]
fn a_heartbeat_of_somebody_else_takes_nobody_out_of_service() {
    let server = TestServer::start();
    let uri = load(&server, "echo", &echo());
    for status in ["unreachable", "dead", "deleted", "healthy\n", "Healthy", "0"] {
        let reply = server.post("/executor/executor-001/heartbeat", &json!({"executor_status": status}));
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{status:?}");
    }
    for body in [
        json!({"executor_status": "busy"}),
        json!({"executor_status": "healthy", "executor_host_uri": "http://evil.example", "max_processes": 0}),
    ] {
        let reply = server.send("POST", "/executor/executor-001/heartbeat", &[JSON], body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(server.execute(&uri, &json!(1)).data(), 1);
        let read = server.get("/executor/executor-001").data();
        assert!(!read.to_string().contains("evil.example"), "{read}");
        assert_eq!(read["executor_status"], "healthy", "what is here is known better here: {read}");
    }
    let reply = server.post("/executor/nobody/heartbeat", &json!({"executor_status": "healthy"}));
    assert_eq!(reply.refusal(), (200, "not_found".into()));
    assert_eq!(server.get("/executor/nobody").refusal(), (200, "not_found".into()));
}
