//! While hostile policies run to their limits, others are answered; and after any of them, the same process answers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use lictor_tests::{TestServer, eventually, record, sandbox::Guest};
use serde_json::{Value, json};

/// Every hostile guest, what it is asked, and the code that it meets.
fn hostile() -> Vec<(&'static str, Guest, Value, &'static str)> {
    let spin = |hook: &str| super::spins_in(hook);
    vec![
        ("spins", spin("$on_eval"), json!({}), "timeout"),
        ("spins-init", spin("$on_init"), json!({}), "timeout"),
        ("spins-start", spin("$on_start"), json!({}), "timeout"),
        ("spins-realloc", spin("$on_realloc"), json!({}), "timeout"),
        ("spins-post", spin("$on_post"), json!({}), "timeout"),
        ("sleeps", Guest::named("sleeps"), json!(0), "timeout"),
        ("traps", Guest::eval("(unreachable)"), json!({}), "trap"),
        (
            "recurses",
            Guest::eval("(call $on_eval (local.get $in) (local.get $n)) (drop) (call $null)"),
            json!({}),
            "stack_overflow",
        ),
        ("hoards", Guest::named("hoards"), json!(1), "out_of_memory"),
        ("talks", Guest::named("logs"), json!(1_000_000), "hostcall_limit"),
        ("claims", Guest::eval("(call $ok (i32.const 0) (i32.const -1))"), json!({}), "output_too_large"),
        ("garbles", Guest::eval("(call $ok (i32.const 1024) (i32.const 3))"), json!({}), "bad_output"),
        ("prints", Guest::named("prints"), json!(0), "ok"),
        ("fields", Guest::named("headers"), json!(0), "hostcall_limit"),
    ]
}

fn load(server: &TestServer, name: &str, guest: &Guest) -> String {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), &guest.component()));
    // Who computes or waits for ever has its time cut by the call; others have all they need on a slow machine.
    record["limits"] = json!({"timeout_ms": 60_000});
    server.load(&record)
}

fn code_of(body: &Value) -> &str {
    if body["success"] == true { "ok" } else { body["code"].as_str().unwrap_or("none") }
}

#[test]
fn after_every_hostile_outcome_the_same_process_answers() {
    let server = TestServer::start();
    let good = load(&server, "good", &Guest::echo());
    let mut expected = std::collections::BTreeMap::<&str, u64>::new();
    for (name, guest, input, code) in hostile() {
        let uri = load(&server, name, &guest);
        for _ in 0..3 {
            let query = if code == "timeout" { "?timeout_ms=50" } else { "" };
            let reply = server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": input}));
            let body = reply.json();
            assert_eq!((reply.status, code_of(&body)), (200, code), "{name}: {body}");
            if code != "ok" {
                assert_eq!((&body["data"]["success"], &body["data"]["code"]), (&json!(false), &json!(code)), "{name}");
            }
            assert_eq!(server.execute(&good, &json!({"after": name})).data(), json!({"after": name}));
        }
        *expected.entry(code).or_default() += 3;
        *expected.entry("ok").or_default() += 3;
    }
    // Each call was counted once, under its outcome.
    for (outcome, n) in expected {
        assert_eq!(evaluations(&server, Some(outcome)), n, "{outcome}");
    }
    assert_eq!(server.admin().get("/healthz").status, 200);
    eventually("every sandbox to be given back", || match gauge(&server, "lictor_instances_in_use") {
        0 => Ok(()),
        n => Err(n),
    });
}

/// The sum of a counter of calls, of one outcome or of all.
fn evaluations(server: &TestServer, outcome: Option<&str>) -> u64 {
    let text = server.admin().get("/metrics").text();
    let label = outcome.map(|outcome| format!("{{outcome=\"{outcome}\"}}"));
    let lines = text.lines().filter_map(|line| line.strip_prefix("lictor_policy_evaluations_total"));
    let values = lines.filter_map(|line| {
        let (labels, value) = line.split_once(' ')?;
        label.as_ref().is_none_or(|label| label == labels).then(|| value.parse::<u64>().unwrap())
    });
    values.sum()
}

fn gauge(server: &TestServer, name: &str) -> u64 {
    let text = server.admin().get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no `{name}` in {text}"))
}

// attacks 1, 8
#[test]
fn others_are_answered_while_policies_compute_for_ever() {
    let server = TestServer::start();
    let good = load(&server, "good", &Guest::echo());
    let spins: Vec<_> = (0..4).map(|i| load(&server, &format!("spins{i}"), &super::spins_in("$on_eval"))).collect();
    // Twice as many callers as there are threads to compute: they hold the processor all the time.
    let (over, running) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let spinning: Vec<_> = spins
            .iter()
            .map(|uri| {
                let (over, running, server) = (&over, &running, &server);
                scope.spawn(move || {
                    let mut stopped = 0;
                    while !over.load(Ordering::Relaxed) {
                        running.fetch_add(1, Ordering::Relaxed);
                        let body = json!({"policy_rule_uri": uri, "input_data": {}});
                        let reply = server.execute_as("?timeout_ms=200", &body);
                        assert_eq!(reply.refusal(), (200, "timeout".into()));
                        stopped += 1;
                    }
                    stopped
                })
            })
            .collect();
        eventually("all four to be under way", || match running.load(Ordering::Relaxed) {
            n if 4 <= n => Ok(()),
            n => Err(n),
        });
        let before = evaluations(&server, Some("timeout"));
        for i in 0..200 {
            assert_eq!(server.execute(&good, &json!(i)).data(), i);
        }
        // They never paused, and never got in the way.
        eventually("another time-out", || match evaluations(&server, Some("timeout")) {
            n if before < n => Ok(()),
            n => Err(n),
        });
        over.store(true, Ordering::Relaxed);
        let stopped: u64 = spinning.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(stopped, evaluations(&server, Some("timeout")));
    });
    assert_eq!(evaluations(&server, Some("ok")), 200);
}

// attack 6
#[test]
fn others_are_answered_while_a_hundred_policies_sleep() {
    let server = TestServer::start();
    let good = load(&server, "good", &Guest::echo());
    let sleeps = load(&server, "sleeps", &Guest::named("sleeps"));
    let sleep = json!({"policy_rule_uri": sleeps, "input_data": 0});
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                assert_eq!(server.execute_as("?timeout_ms=2000", &sleep).refusal(), (200, "timeout".into()));
            });
        }
        for i in 0..100 {
            assert_eq!(server.execute(&good, &json!(i)).data(), i);
        }
    });
    assert_eq!(evaluations(&server, None), 200);
}

// attack 9
#[test]
fn callers_that_go_away_leave_nothing_behind() {
    use std::io::Write as _;
    let server = TestServer::start();
    let good = load(&server, "good", &Guest::echo());
    let uri = load(&server, "spins", &super::spins_in("$on_eval"));
    let body = json!({"policy_rule_uri": uri, "input_data": {}}).to_string();
    for _ in 0..10 {
        let mut stream = server.client().connect().unwrap();
        let head =
            "POST /executor/executor-001/execute_policy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        eventually("the policy to run", || match gauge(&server, "lictor_instances_in_use") {
            0 => Err(()),
            _ => Ok(()),
        });
        drop(stream);
        eventually("the policy to be gone with its caller", || match gauge(&server, "lictor_instances_in_use") {
            0 => Ok(()),
            n => Err(n),
        });
        assert_eq!(server.execute(&good, &json!(1)).data(), 1);
    }
}

// attack 11
#[test]
fn a_call_that_ends_about_at_its_deadline_is_counted_once() {
    let server = TestServer::start();
    let guest = Guest::works();
    let uri = load(&server, "races", &guest);
    let (mut ok, mut late) = (0, 0);
    for i in 0..300 {
        let reply = server.execute_as("?timeout_ms=1", &json!({"policy_rule_uri": uri, "input_data": i % 10}));
        let body = reply.json();
        match (reply.status, code_of(&body)) {
            (200, "ok") => ok += 1,
            (200, "timeout") => late += 1,
            other => panic!("{other:?}: {body}"),
        }
    }
    assert_eq!((evaluations(&server, Some("ok")), evaluations(&server, Some("timeout"))), (ok, late));
    assert_eq!(evaluations(&server, None), 300);
}

// attack 19: in a child process, which may die of it; the server does not.
#[test]
fn a_component_made_to_exhaust_the_compiler_leaves_the_server_alone() {
    let server = TestServer::start();
    let good = load(&server, "good", &Guest::echo());
    let many = "(func (result i64) (local i64 f64 i32) (i64.add (local.get 0) (i64.mul (local.get 0) (i64.const 3))))"
        .repeat(50_000);
    let locals = format!("(func (local {}))", "f64 ".repeat(49_000)).repeat(5);
    let jumps = format!("(func (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(200_000)).repeat(4);
    // One function in which everything is alive everywhere: what register allocators like least.
    let live = format!(
        "(func (param i64) (result i64) (local {}) {} {})",
        "i64 ".repeat(2000),
        (0..2000).map(|i| format!("(local.set {} (i64.mul (local.get 0) (i64.const {i})))", i + 1)).collect::<String>(),
        (0..2000).fold("(local.get 0)".to_owned(), |sum, i| if i % 200 == 0 {
            format!("(i64.add {sum} (local.get {}))", i + 1)
        } else {
            sum
        }),
    )
    .repeat(20);
    let bombs = [("many", many), ("locals", locals), ("jumps", jumps), ("live", live)];
    let uris: Vec<_> = bombs
        .iter()
        .map(|(name, fields)| {
            let file = server.put_file(&format!("{name}.wasm"), &super::refused::with_module(fields));
            server.create_policy(&record(name, &file))
        })
        .collect();
    for i in 0..50 {
        assert_eq!(server.execute(&good, &json!(i)).data(), i);
    }
    for uri in uris {
        let load = server.wait_loaded(&uri);
        let compiled = load["state"] == "ready";
        assert!(compiled || load["code"] == "too_complex" || load["code"] == "not_a_component", "{uri}: {load}");
        assert_eq!(server.execute(&good, &json!(1)).data(), 1);
    }
}

// attack 24
#[test]
fn the_servers_log_stays_one_object_a_line() {
    let server = TestServer::builder().config("log_format = \"json\"\n").start();
    let uri = load(&server, "logs", &Guest::named("logs"));
    // In JSON text the characters are written out; a guest in UTF-8 hands them over raw when it prints.
    let guest = Guest::eval("(call $write (call $stdout) (i32.const 4096) (i32.const 41) (i32.const 16)) (call $null)");
    let imports = Guest::new(
        "(import \"wasi:cli/stdout@0.2.12\" \"get-stdout\" (func $stdout (result i32)))
        (import \"wasi:io/streams@0.2.12\" \"[method]output-stream.blocking-write-and-flush\" (func $write (param i32 i32 i32 i32)))
        (data (i32.const 4096) \"a\\00\\1b[2J\\ff\\0d\\7b\\22level\\22:\\22ERROR\\22,\\22forged\\22:1\\7d\\0atail    \")",
    );
    let prints = load(&server, "prints", &imports.and(guest.fields()));
    for _ in 0..3 {
        server.execute(&uri, &json!("x\n{\"level\":\"ERROR\"}\u{1b}[2J")).data();
        server.execute(&prints, &json!({})).data();
    }
    let log = eventually("the lines of the guests", || {
        let log = server.log();
        if log.matches("tail").count() == 3 { Ok(log) } else { Err(log) }
    });
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.get("timestamp").is_some() && line.get("forged").is_none(), "{line}");
    }
    assert!(!log.contains('\u{1b}') && !log.contains('\0'));
}

/// The processes that compile for the server.
fn compilers(server: &TestServer) -> Vec<i32> {
    let own = server.pid().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let stats = processes.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    let children = stats.filter_map(|stat| {
        let (name, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?);
        (parent == own && state != "Z").then(|| name.split(' ').next()?.parse().ok()).flatten()
    });
    children.collect()
}

// attack 19: a compiler that somebody killed, as a machine does that is out of memory, says nothing of the component.
#[test]
fn a_component_whose_compiler_was_killed_is_compiled_again() {
    let server = TestServer::start();
    // It takes long enough to be found.
    let many = "(func (result i64) (local i64) (i64.mul (local.get 0) (i64.const 3)))".repeat(40_000);
    let code = server.put_file("many.wasm", &super::refused::with_module(&many));
    let uri = server.create_policy(&record("many", &code));
    let mut killed = std::collections::BTreeSet::new();
    let kill_one = |killed: &mut std::collections::BTreeSet<i32>| {
        let found = compilers(&server).into_iter().find(|pid| !killed.contains(pid));
        found.is_some_and(|pid| {
            let process = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).is_ok() && killed.insert(pid)
        })
    };
    eventually("all tries to be killed", || {
        kill_one(&mut killed);
        let load = server.policy(&uri)["load"].clone();
        if load["state"] == "failed" { Ok(()) } else { Err((load, killed.clone())) }
    });
    let load = server.policy(&uri)["load"].clone();
    assert_eq!((&load["code"], killed.len()), (&json!("internal"), 3), "{load}");
    // Whoever asks for it next has it compiled, whatever became of the first tries.
    assert_eq!(server.execute(&uri, &json!(1)).status, 200);
    assert_eq!(server.policy(&uri)["load"]["state"], "ready");
}

// attack 19: who takes the compiler over finds nothing to open there.
#[test]
fn the_process_that_compiles_can_open_nothing() {
    let mut child = std::process::Command::new(lictor_tests::binary());
    child.arg("compile-component").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    // It waits for the component.
    eventually("its limits", || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let of = |name: &str| {
            limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        let found: [Option<u64>; 3] = ["Max open files", "Max file size", "Max core file size"].map(of);
        if found == [Some(3), Some(0), Some(0)] { Ok(()) } else { Err(limits) }
    });
    child.kill().unwrap();
    child.wait().unwrap();
}
