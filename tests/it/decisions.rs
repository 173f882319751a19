//! The decision log: what is in it, that it survives its server, and that it shows who touched it.

mod replay;
mod tampering;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use lictor_tests::{Client, Command, Output, TestServer, counter, eventually, file_url, record, sandbox::Guest};
use serde_json::{Value, json};

use crate::hostile::disk::Cramped;

/// The lines of a log, in order; one that is being written is not yet one.
fn lines(data: &Path) -> Vec<Value> {
    let text: String = segments(data).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The decisions among them.
fn decisions(data: &Path) -> Vec<Value> {
    lines(data).into_iter().filter(|line| line["decision"].is_string()).collect()
}

fn folder(data: &Path) -> PathBuf {
    data.join("decisions")
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder(data)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = all.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    found.sort();
    found
}

fn verify(data: &Path) -> Output {
    Command::new(["audit", "verify", "--data-dir"]).arg(data).run()
}

/// Waits until the log has so many decisions.
#[track_caller]
fn wait_for(data: &Path, n: usize) -> Vec<Value> {
    eventually(&format!("{n} decisions"), || {
        let all = decisions(data);
        if n <= all.len() { Ok(all) } else { Err(all.len()) }
    })
}

/// A policy of the name `echo` that answers what it is asked.
fn load_echo(server: &TestServer) -> String {
    load(server, "echo", &Guest::echo().component(), &json!({}))
}

fn load(server: &TestServer, name: &str, component: &[u8], more: &Value) -> String {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), component));
    for (field, value) in more.as_object().unwrap() {
        record[field] = value.clone();
    }
    server.load(&record)
}

#[test]
fn a_decision_says_what_was_asked_by_whom_of_what_and_what_came_of_it() {
    let builder = TestServer::builder();
    let token = builder.token("caller");
    let admin = builder.token("admin");
    let server = builder.start();
    let client = server.client().with_token(&admin);
    let code = server.put_file("echo.wasm", &Guest::echo().component());
    let mut record = record("echo", &code);
    (record["policy_settings"], record["policy_parameters"]) = (json!({"a": 1}), json!({"b": [2]}));
    let uri = client.load(&record);
    let caller = server.client().with_token(&token);
    let body = format!(
        r#"{{"policy_rule_uri":"{uri}","input_data":{{"ip": "10.0.0.1",{}"b":1}},"parameters":{{"c":3}}}}"#,
        "\n"
    );
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let headers = [("Content-Type", "application/json"), ("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"))];
    let path = "/executor/executor-001/execute_policy?dry_run=1&timeout_ms=700";
    assert_eq!(caller.send("POST", path, &headers, body.as_bytes()).status, 200);
    let all = wait_for(&server.data_dir(), 1);
    let [decision] = all.as_slice() else { panic!("{all:?}") };
    let expected = [
        ("policy", json!(uri)),
        ("origin", json!("http")),
        ("trace", json!(trace)),
        ("timeout_ms", json!(700)),
        ("dry_run", json!(true)),
        ("parameters", json!({"c": 3})),
        ("input_text", json!("{\"ip\": \"10.0.0.1\",\n\"b\":1}")),
        ("outcome", json!("ok")),
        ("output_text", json!("{\"ip\": \"10.0.0.1\",\n\"b\":1}")),
    ];
    for (name, value) in expected {
        assert_eq!(decision[name], value, "{name}: {decision}");
    }
    assert!(decision["caller"]["token"].is_string() && decision["caller"]["name"].is_string(), "{decision}");
    assert!(0 < decision["memory"].as_u64().unwrap());
    let made = lines(&server.data_dir()).into_iter().find(|line| line["n"] == decision["version"]).unwrap();
    let made = &made["policy"];
    assert_eq!(made["component_digest"], client.policy(&uri)["component_digest"]);
    assert_eq!((&made["settings"], &made["parameters"]), (&json!({"a": 1}), &json!({"b": [2]})));
    assert_eq!(made["settings_digest"], json!(lictor_model::Digest::of(b"{\"a\":1}").to_string()));
    assert_eq!(made["capabilities"], json!({"http": [], "context": true, "host": []}));
    let id = decision["decision"].as_str().unwrap().to_owned();
    let data = server.data_dir();
    verify(&data).exits(0);
    let shown = Command::new(["audit", "show", &id, "--data-dir"]).arg(&data).run().exits(0).stdout;
    for said in [&id, "10.0.0.1", trace, "dry run", "{\"c\":3}", "sha256:"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let missing = id.replace(&id[30..], "000000");
    Command::new(["audit", "show", &missing, "--data-dir"]).arg(&data).run().exits(1);
    Command::new(["audit", "show", "nonsense", "--data-dir"]).arg(&data).run().exits(2);
}

#[test]
fn functions_jobs_and_graphs_are_in_the_log_too() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true), &json!({}));
    server.post("/function/deployments/create/executor-001", &json!({"name": "f", "policy_rule_uri": uri})).data();
    server.post("/function/call_function/f", &json!(1)).data();
    server.post("/function/management/f", &json!({"mgmt_action": "set", "mgmt_data": 7})).data();
    let echo = load_echo(&server);
    let job =
        server.post("/jobs/submit/executor-001", &json!({"name": "j", "policy_rule_uri": echo, "inputs": {"x": 1}}));
    let job = job.json()["job_id"].as_str().unwrap().to_owned();
    eventually("the job to end", || {
        let status = server.get(&format!("/jobs/{job}")).data()["job_status"].clone();
        if status == "completed" { Ok(()) } else { Err(status) }
    });
    let data = server.data_dir();
    let saved = |all: &[Value]| all.iter().any(|line| line["op"] == "save");
    let all = eventually("a saved state", || {
        let all = decisions(&data);
        if saved(&all) && 5 <= all.len() { Ok(all) } else { Err(all) }
    });
    let of = |op: &str| all.iter().filter(|line| line["op"] == op).collect::<Vec<_>>();
    let called = all.iter().find(|line| line["origin"] == "function" && line["op"].is_null()).unwrap();
    assert_eq!((&called["input"], &called["sequence"]), (&json!(1), &json!(1)));
    let [begun] = of("init")[..] else { panic!("{all:?}") };
    assert_eq!((&begun["instance"], &begun["sequence"]), (&begun["decision"], &json!(0)));
    assert_eq!(called["instance"], begun["instance"]);
    let [managed] = of("management")[..] else { panic!("{all:?}") };
    assert_eq!(
        (&managed["action"], &managed["data"], &managed["instance"]),
        (&json!("set"), &json!(7), &begun["instance"])
    );
    assert!(all.iter().any(|line| line["origin"] == "job" && line["input"] == json!({"x": 1})));
    // After its end it is continued from what it saved.
    let server = server.stop().start();
    server.post("/function/call_function/f", &json!(1)).data();
    let all = wait_for(&data, all.len() + 3);
    let restored = all.iter().find(|line| line["op"] == "restore").unwrap();
    assert_ne!(restored["instance"], begun["instance"]);
    assert_eq!(restored["sequence"], 1);
    let _stopped = server.stop();
    verify(&data).exits(0);
}

#[test]
fn what_is_hashed_or_masked_is_not_in_the_log() {
    let config = "[decisions.policies.\"echo*\"]\nmask = [\"/input/secret\", \"/input/n\", \"/output/secret\"]\n\
        [decisions.policies.\"hidden:1.0-test\"]\ninput = \"hashed\"\noutput = \"hashed\"";
    let server = TestServer::builder().config(config).start();
    let (echo, hidden) = (load_echo(&server), load(&server, "hidden", &Guest::echo().component(), &json!({})));
    let input = json!({"secret": "swordfish", "rest": 1});
    assert_eq!(server.execute(&echo, &input).data(), input);
    assert_eq!(server.execute(&hidden, &input).data(), input);
    let all = wait_for(&server.data_dir(), 2);
    // On several lines, and quoted by a schema.
    let lines = "{\"policy_rule_uri\": \"echo:1.0-test\", \"input_data\": {\n\"secret\": \"swordfish\"\n}}";
    server.post_text("/executor/executor-001/execute_policy", lines).data();
    let schemas = json!({"schema_mode": "enforce", "policy_input_schema": {"n": {"type": "number"}}});
    let checked = load(&server, "echo-checked", &Guest::echo().component(), &schemas);
    assert_eq!(server.execute(&checked, &json!({"n": "swordfish"})).json()["code"], "input_schema");
    wait_for(&server.data_dir(), 4);
    let masked = json!({"secret": "***", "rest": 1});
    assert_eq!((&all[0]["input"], &all[0]["output"], &all[0]["masked"]), (&masked, &masked, &json!(true)));
    let digest = json!(lictor_model::Digest::of(input.to_string().as_bytes()).to_string());
    assert_eq!((&all[1]["input_digest"], &all[1]["output_digest"]), (&digest, &digest));
    let text: String = segments(&server.data_dir()).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!text.contains("swordfish"));
    verify(&server.data_dir()).exits(0);
    let replayed = Command::new(["replay", "--data-dir"]).arg(server.data_dir()).run().exits(0).stdout;
    assert_eq!(replayed.matches("hashed or masked").count(), 4, "{replayed}");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said() {
    for (config, said) in [
        ("decisions.durability = \"sometimes\"", "durability"),
        ("decisions.keep_mb = 0", "keep_mb"),
        ("decisions.key = \"/nowhere/key.pem\"", "/nowhere/key.pem"),
        ("[decisions.policies.a]\nmask = [\"input\"]", "JSON pointer"),
        ("decisions.unknown = 1", "unknown"),
    ] {
        let refused = TestServer::builder().config(config).try_start().err().expect("refused");
        assert_eq!(refused.code, Some(2), "{config}: {refused:?}");
        assert!(refused.stderr.contains(said), "{config}: {refused:?}");
    }
    // Where nothing is recorded, nothing is there.
    let server = TestServer::builder().config("decisions.enabled = false").start();
    let uri = load_echo(&server);
    server.execute(&uri, &json!(1)).data();
    let stopped = server.stop();
    let data = stopped.data_dir();
    assert!(!folder(&data).exists());
    assert!(verify(&data).exits(2).stderr.contains("no decision log"));
}

#[test]
fn the_oldest_segments_go_first_and_that_is_said() {
    let server = TestServer::builder().config("decisions.keep_mb = 1").start();
    let uri = load_echo(&server);
    let large = json!("x".repeat(20_000));
    for _ in 0..60 {
        server.execute(&uri, &large).data();
    }
    let data = server.data_dir();
    let first = |data: &Path| lines(data).first().unwrap()["n"].as_u64().unwrap();
    eventually("segments to be dropped", || if 1 < first(&data) { Ok(()) } else { Err(first(&data)) });
    let stopped = server.stop();
    let data = stopped.data_dir();
    let kept: u64 = segments(&data).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(kept <= 1 << 20, "{kept}");
    let report = verify(&data).exits(0).json();
    assert_eq!(report["first"], first(&data));
    // Without the line that says so, it is a hole.
    let dropped = lines(&data).iter().filter(|line| line["dropped"].is_object()).count();
    assert!(0 < dropped);
    fs::remove_file(&segments(&data)[0]).unwrap();
    let found = verify(&data).exits(1).stderr;
    assert!(found.contains("removed: the records before it"), "{found}");
}

/// How often a server is killed, and by how many it is asked meanwhile.
const ROUNDS: usize = 5;
const ASKING: usize = 4;

#[test]
fn what_was_answered_is_in_the_log_after_kill_nine() {
    let mut builder = TestServer::builder().config("decisions.durability = \"before-answer\"");
    let (answered, next) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    for round in 0..ROUNDS {
        let server = builder.start();
        let uri = if round == 0 { load_echo(&server) } else { "echo:1.0-test".to_owned() };
        // Before it is asked by several, it has answered one.
        server.execute(&uri, &json!("warm")).data();
        let (killed, client) = (AtomicBool::new(false), server.client().clone());
        let data = server.data_dir();
        builder = thread::scope(|scope| {
            for _ in 0..ASKING {
                scope.spawn(|| ask_until(&client, &uri, &killed, &answered, &next));
            }
            let goal = answered.lock().unwrap().len() + 100;
            eventually("a hundred answers", || {
                let n = answered.lock().unwrap().len();
                if goal <= n { Ok(()) } else { Err(n) }
            });
            let builder = server.kill();
            killed.store(true, Ordering::Relaxed);
            builder
        });
        verify(&data).exits(0);
        let logged: std::collections::BTreeSet<u64> =
            decisions(&data).iter().filter_map(|line| line["input"].as_u64()).collect();
        for input in answered.lock().unwrap().iter() {
            assert!(logged.contains(input), "{input} was answered and is not in the log");
        }
    }
    let server = builder.start();
    server.assert_serving();
    let stopped = server.stop();
    verify(&stopped.data_dir()).exits(0);
}

fn ask_until(client: &Client, uri: &str, killed: &AtomicBool, answered: &Mutex<Vec<u64>>, next: &AtomicU64) {
    while !killed.load(Ordering::Relaxed) {
        let input = next.fetch_add(1, Ordering::Relaxed);
        let body = json!({"policy_rule_uri": uri, "input_data": input}).to_string();
        let path = "/executor/executor-001/execute_policy";
        let Ok(reply) = client.try_send("POST", path, &[("Content-Type", "application/json")], body.as_bytes()) else {
            continue;
        };
        if reply.status == 200 {
            answered.lock().unwrap().push(input);
        }
    }
}

#[test]
fn an_unfinished_line_is_cut_off_and_that_is_said() {
    let server = TestServer::start();
    let uri = load_echo(&server);
    server.execute(&uri, &json!(1)).data();
    wait_for(&server.data_dir(), 1);
    let builder = server.kill();
    let data = builder.data_dir();
    let last = segments(&data).pop().unwrap();
    fs::OpenOptions::new().append(true).open(&last).unwrap().write_all(b"{\"n\":7,\"version\":4,\"deci").unwrap();
    let torn = verify(&data).exits(0);
    assert!(torn.stderr.contains("24 bytes of an unfinished line"), "{}", torn.stderr);
    let server = builder.start();
    assert!(server.log().contains("unfinished line"), "{}", server.log());
    server.execute(&uri, &json!(2)).data();
    let stopped = server.stop();
    let data = stopped.data_dir();
    let said = verify(&data).exits(0).stderr;
    assert!(said.contains("24 bytes of an unfinished line, which were cut off"), "{said}");
    assert_eq!(decisions(&data).len(), 2);
}

#[test]
fn a_log_that_takes_no_more_does_what_it_was_told() {
    for (when_full, status) in [("refuse", 503), ("count", 200)] {
        let home = tempfile::tempdir().unwrap();
        let (data, files) = (home.path().join("data"), home.path().join("files"));
        fs::create_dir(&files).unwrap();
        fs::write(files.join("echo.wasm"), Guest::echo().component()).unwrap();
        // 4 MiB: enough for everything but the log of what follows.
        let server = Cramped::start_with(8192, &data, &files, &[("LICTOR_DECISIONS__WHEN_FULL", when_full)]);
        let uri = server.client.load(&record("echo", &file_url(&files.join("echo.wasm"))));
        let large = json!("x".repeat(400_000));
        let full = eventually("the log to be full", || {
            let reply = server.client.execute(&uri, &large);
            let lost = server.metric("lictor_lost_decisions_total");
            let is_full = if status == 503 { reply.status == status } else { 0 < lost };
            if is_full { Ok(reply) } else { Err((reply.status, lost)) }
        });
        assert_eq!(full.status, status);
        if status == 503 {
            assert_eq!(full.json()["code"], "not_available");
            assert!(full.header("retry-after").is_some());
        }
        server.make_room();
        eventually("the log to be written again", || {
            let reply = server.client.execute(&uri, &json!("after"));
            let logged = decisions(&data).iter().any(|line| line["input"] == "after");
            if reply.status == 200 && logged { Ok(()) } else { Err(reply.status) }
        });
        let lost = server.metric("lictor_lost_decisions_total");
        server.stop();
        let report = verify(&data).exits(0);
        let said: u64 = lines(&data).iter().filter_map(|line| line["lost"]["decisions"].as_u64()).sum();
        assert_eq!(said, lost, "{}", report.stderr);
        assert!(when_full == "refuse" || report.stderr.contains("could not be recorded"), "{}", report.stderr);
    }
}

#[test]
fn a_key_of_the_operators_own_signs() {
    let other = TestServer::start();
    let key = folder(&other.data_dir()).join("key.pem");
    let public = fs::read_to_string(folder(&other.data_dir()).join("key.pub")).unwrap();
    let server = TestServer::builder().config(&format!("decisions.key = \"{}\"", key.display())).start();
    let uri = load_echo(&server);
    server.execute(&uri, &json!(1)).data();
    let stopped = server.stop();
    let data = stopped.data_dir();
    assert!(!folder(&data).join("key.pem").exists());
    let verify = |key: &str| Command::new(["audit", "verify", "--key", key, "--data-dir"]).arg(&data).run();
    assert_eq!(verify(public.trim()).exits(0).json()["keys"], json!([public.trim()]));
    assert!(verify(&"0".repeat(64)).exits(1).stderr.contains("none of those given"));
    verify("abc").exits(2);
}

#[test]
fn decisions_are_found_by_what_they_are() {
    let server = TestServer::start();
    let echo = load_echo(&server);
    let traps = load(&server, "traps", &Guest::eval("unreachable").component(), &json!({}));
    for n in 0..3 {
        server.execute(&echo, &json!(n)).data();
        server.execute(&traps, &json!(n));
    }
    let data = server.data_dir();
    let all = wait_for(&data, 6);
    let list = |options: &[&str]| -> Vec<Value> {
        let listed = Command::new(["audit", "list", "--data-dir"]).arg(&data).args(options).run().exits(0).stdout;
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(list(&[]).len(), 6);
    assert_eq!(list(&["--policy", "traps:*", "--outcome", "trap"]).len(), 3);
    assert_eq!(list(&["--policy", &echo, "--limit", "2"]).len(), 2);
    assert_eq!(list(&["--outcome", "timeout"]).len(), 0);
    assert_eq!(list(&["--since", "1h"]).len(), 6);
    assert_eq!(list(&["--until", "1h"]).len(), 0);
    assert_eq!(list(&["--caller", "nobody"]).len(), 0);
    let at = all[2]["at_ms"].as_i64().unwrap();
    let since = lictor_model::Time::from_millis(at).to_string();
    assert!(list(&["--since", &since]).iter().all(|line| at <= line["at_ms"].as_i64().unwrap()));
    Command::new(["audit", "list", "--since", "yesterday", "--data-dir"]).arg(&data).run().exits(2);
    let stats = Command::new(["audit", "stats", "--data-dir"]).arg(&data).run().exits(0).stdout;
    let stats: Vec<Value> = stats.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stats[0]["outcomes"], json!({"ok": 3}));
    assert_eq!((&stats[1]["policy"], &stats[1]["outcomes"]), (&json!(traps), &json!({"trap": 3})));
    assert_eq!(stats[1]["callers"], json!({"(no token)": 3}));
}

#[test]
fn the_log_is_passed_on_to_standard_output_and_to_a_server() {
    let web = lictor_tests::CodeServer::start();
    // The first time it is not there.
    web.answers("/log", [lictor_tests::Answer::status(503), lictor_tests::Answer::ok("")]);
    let config = format!("decisions.stdout = true\n[decisions.http]\nurl = \"{}\"\ntoken = \"t\"", web.url("/log"));
    let server = TestServer::builder().config(&config).start();
    let uri = load_echo(&server);
    let reply = server.execute(&uri, &json!(42));
    let id = reply.header("lictor-decision").expect("an answer says under which id it is recorded").to_owned();
    let taken = || -> Vec<Value> {
        let seen = web.seen();
        let bodies = seen.iter().skip(1).map(|seen| serde_json::from_slice::<Vec<Value>>(&seen.body).unwrap());
        bodies.flatten().collect()
    };
    eventually("the decision at the other server", || {
        let taken = taken();
        if taken.iter().any(|line| line["decision"] == id) { Ok(()) } else { Err(taken) }
    });
    assert!(web.seen()[0].headers.contains(&("authorization".into(), "Bearer t".into())));
    eventually("the decision on standard output", || {
        let said = server.stdout();
        if said.contains(&id) { Ok(()) } else { Err(said) }
    });
    let stopped = server.stop();
    let all = lines(&stopped.data_dir());
    // Each line once, in order, from the beginning.
    let taken = taken();
    assert_eq!(taken, all[..taken.len()]);
}
