//! Each limit of a policy's record holds, is measured, and cannot be had above the server's ceiling.

use std::thread;

use lictor_model::StopKind;
use lictor_tests::{
    Answer, CodeServer, TestServer, eventually, record,
    sandbox::{Canned, Cell, Guest, finished, stopped},
};
use serde_json::{Value, json};

/// A policy that computes until it is stopped.
const SPIN: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

/// Adds one to a counter as often as the input, a digit, says, times 1000.
const WORK: &str = "
    (local $left i32)
    (local.set $left (i32.mul (i32.const 1000) (i32.sub (i32.load8_u (local.get $in)) (i32.const 48))))
    (block $done (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more)))
    (call $null)";

/// A server, and on it a policy with these limits.
fn serving(guest: &Guest, more: &Value) -> (TestServer, String) {
    let server = TestServer::start();
    let uri = load(&server, "limited", guest, more);
    (server, uri)
}

fn load(server: &TestServer, name: &str, guest: &Guest, more: &Value) -> String {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), &guest.component()));
    record["limits"]["timeout_ms"] = json!(60_000);
    for (key, value) in more.as_object().unwrap() {
        for (name, value) in value.as_object().unwrap() {
            record[key][name] = value.clone();
        }
    }
    server.load(&record)
}

#[tokio::test]
async fn timeout_ms_covers_init_and_eval_together() {
    // A loop of about half a second each on a machine of any speed would take a clock: these wait.
    let wait = "(call $block (call $after (i64.const 60000000))) (call $null)";
    let guest = Guest::new(format!(
        "(import \"wasi:clocks/monotonic-clock@0.2.12\" \"subscribe-duration\" (func $after (param i64) (result i32)))
        (import \"wasi:io/poll@0.2.12\" \"[method]pollable.block\" (func $block (param i32)))
        (func $on_init (param $in i32) (param $n i32) (result i32) {wait})
        (func $on_eval (param $in i32) (param $n i32) (result i32) {wait})"
    ));
    let cell = Cell::of(&guest).limits(&json!({"timeout_ms": 100}));
    let run = cell.eval("{}").await;
    stopped(&run, StopKind::Timeout);
    assert!(100_000 <= run.usage.wall_us, "{run:?}");
    finished(&cell.limits(&json!({"timeout_ms": 10_000})).eval("{}").await);
}

#[test]
fn timeout_ms_can_be_lowered_by_a_call_and_not_raised() {
    let (server, uri) = serving(&Guest::eval(SPIN), &json!({"limits": {"timeout_ms": 100}}));
    for (query, within) in [("", "100 ms"), ("?timeout_ms=20", "20 ms"), ("?timeout_ms=60000", "100 ms")] {
        let reply = server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": {}}));
        let body = reply.json();
        assert_eq!((reply.status, body["code"].as_str()), (200, Some("timeout")), "{body}");
        assert!(body["message"].as_str().unwrap().contains(within), "{query}: {body}");
        assert_eq!(body["data"]["code"], "timeout", "{body}");
    }
}

// attack 14
#[tokio::test]
async fn memory_mb_bounds_what_grows_and_a_policy_may_go_on() {
    let guest = Guest::named("hoards");
    for mb in [1, 8, 64] {
        let cell = Cell::of(&guest).limits(&json!({"memory_mb": mb}));
        let run = cell.eval("0").await;
        assert_eq!(finished(&run), (mb * 16).to_string());
        assert_eq!(run.usage.peak_memory_bytes, mb << 20);
        let run = cell.eval("1").await;
        assert!(stopped(&run, StopKind::OutOfMemory).contains(&(mb << 20).to_string()));
        assert_eq!(run.usage.peak_memory_bytes, mb << 20);
    }
}

/// A policy that never asked for memory and gives up has trapped, and one whose own bound stopped it too.
#[tokio::test]
async fn a_trap_without_want_of_memory_is_a_trap() {
    stopped(&Cell::of(&Guest::eval("(unreachable)")).eval("{}").await, StopKind::Trap);
    let guest = Guest::eval("(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (nop))) (call $null)");
    finished(&Cell::of(&guest.memory("2 2")).eval("{}").await);
}

// attack 17
#[tokio::test]
async fn a_table_stops_growing() {
    let guest = Guest::eval(
        "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
        (call $number (i64.extend_i32_u (table.size $t)))",
    )
    .and("(table $t 1 funcref)");
    let run = Cell::of(&guest).eval("{}").await;
    assert!(finished(&run).parse::<u32>().unwrap() <= 20_000, "{run:?}");
}

#[tokio::test]
async fn fuel_is_counted_and_ends_a_call() {
    let cell = Cell::metered(&Guest::eval(WORK), 100_000);
    let used = async |work: &str| {
        let run = cell.eval(work).await;
        finished(&run);
        run.usage.fuel.unwrap()
    };
    let (none, some, more) = (used("0").await, used("1").await, used("2").await);
    assert_eq!(more - some, some - none);
    assert_eq!(used("2").await, more, "the same call uses the same fuel");
    // All of it but the last is to be had.
    let cell = cell.limits(&json!({"fuel": some + 1}));
    finished(&cell.eval("1").await);
    let run = cell.eval("2").await;
    assert!(stopped(&run, StopKind::OutOfFuel).contains(&(some + 1).to_string()));
    assert_eq!(run.usage.fuel, Some(some + 1));
}

// attack 13
#[tokio::test]
async fn fuel_is_used_up_by_a_start_function_too() {
    let spin = "(loop $for_ever (br $for_ever))";
    for hook in ["$on_start", "$on_realloc", "$on_post"] {
        let cell = Cell::metered(&Guest::new(format!("(func {hook} {spin})")), 10_000);
        stopped(&cell.eval("{}").await, StopKind::OutOfFuel);
    }
}

/// Each call of a resident instance gets the fuel anew.
#[tokio::test]
async fn fuel_is_given_for_each_call() {
    let cell = Cell::metered(&Guest::eval(WORK), 20_000);
    let mut resident = cell.instance();
    for _ in 0..10 {
        finished(&cell.eval_in(&mut resident, "1").await);
    }
}

#[tokio::test]
async fn fuel_is_not_reported_where_it_is_not_counted() {
    assert_eq!(Cell::of(&Guest::good()).eval("{}").await.usage.fuel, None);
}

#[tokio::test]
async fn output_kb_bounds_the_answer_to_the_byte() {
    let cell = Cell::of(&Guest::echo()).limits(&json!({"output_kb": 1}));
    let text = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    assert_eq!(finished(&cell.eval(&text(1024)).await).len(), 1024);
    stopped(&cell.eval(&text(1025)).await, StopKind::OutputTooLarge);
}

#[tokio::test]
async fn log_kb_bounds_what_is_said_in_one_call() {
    let cell = Cell::of(&Guest::named("logs")).limits(&json!({"log_kb": 1}));
    let mut resident = cell.instance();
    let run = cell.eval_in(&mut resident, "10").await;
    assert!(!run.usage.log_truncated);
    let run = cell.eval_in(&mut resident, &format!("\"{}\"", "x".repeat(2000))).await;
    assert!(run.usage.log_truncated);
    assert_eq!(cell.heard.messages().last().map(String::len), Some(1008));
    let before = cell.heard.lines().len();
    assert!(cell.eval_in(&mut resident, "1000").await.usage.log_truncated);
    assert!(cell.heard.lines().len() - before <= 64);
    // Each call may say as much again.
    assert!(!cell.eval_in(&mut resident, "10").await.usage.log_truncated);
    let silent = cell.limits(&json!({"log_kb": 0}));
    let before = silent.heard.lines().len();
    assert!(silent.eval("1").await.usage.log_truncated);
    assert_eq!(silent.heard.lines().len(), before);
}

#[tokio::test]
async fn http_requests_are_counted_for_each_call() {
    let cell = Cell::of(&Guest::named("fetches"))
        .grant(&json!({"http": ["http://a.example"]}))
        .limits(&json!({"http_requests": 3}));
    cell.heard.answer_with(Canned::Response { status: 204, headers: vec![], body: vec![] });
    let mut resident = cell.instance();
    for _ in 0..2 {
        assert_eq!(finished(&cell.eval_in(&mut resident, "3").await), "204");
    }
    let run = cell.eval_in(&mut resident, "4").await;
    assert!(stopped(&run, StopKind::HostcallLimit).contains("3 requests"), "{run:?}");
    let none = cell.limits(&json!({"http_requests": 0}));
    stopped(&none.eval("1").await, StopKind::HostcallLimit);
}

#[tokio::test]
async fn context_kb_bounds_keys_and_values_together() {
    let cell = Cell::of(&Guest::named("context")).limits(&json!({"context_kb": 1}));
    let set = async |key: &str, n: usize| cell.eval(&format!("\"s {key} {}\"", "v".repeat(n))).await.outcome.code();
    assert_eq!(set("a", 1023).await, "ok");
    assert_eq!(set("b", 0).await, "policy_error");
    assert_eq!(set("a", 1024).await, "policy_error");
    assert_eq!(set("a", 1000).await, "ok");
    assert_eq!(set("b", 22).await, "ok");
    assert_eq!(finished(&cell.eval("\"l\"").await), "2");
}

/// One more at a time is told that the policy is busy; when the first has ended, there is room again.
#[test]
fn max_concurrency_refuses_the_next_call_and_lets_others_be() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("late").held());
    let server = TestServer::builder().allow_loopback().start();
    let more =
        json!({"limits": {"max_concurrency": 1, "timeout_ms": 60_000}, "capabilities": {"http": [web.origin()]}});
    let uri = load(&server, "one", &Guest::named("fetches"), &more);
    let other = load(&server, "other", &Guest::named("fetches"), &json!({}));
    let input = json!(format!("127.0.0.1:{}", web.port()));
    thread::scope(|scope| {
        let first = scope.spawn(|| server.execute(&uri, &input).data());
        eventually("the first call to wait for an answer", || if web.hits("/") == 1 { Ok(()) } else { Err(()) });
        let reply = server.execute(&uri, &input);
        assert_eq!(reply.refusal(), (429, "busy".into()));
        assert!(reply.header("retry-after").is_some());
        assert_eq!(server.execute(&other, &input).data(), 2015, "another policy has its own count");
        web.release();
        assert_eq!(first.join().unwrap(), 200);
    });
    assert_eq!(server.execute(&uri, &input).data(), 200);
}

#[test]
fn usage_is_reported_when_it_is_asked_for() {
    let (server, uri) = serving(&Guest::named("hoards"), &json!({"limits": {"fuel": 100_000, "memory_mb": 4}}));
    let ask = |query: &str| server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": 0})).json();
    assert_eq!(ask("").get("usage"), None);
    let usage = ask("?usage=1")["usage"].clone();
    assert_eq!(usage["peak_memory_bytes"], 4 << 20, "{usage}");
    assert_eq!((&usage["host_calls"], &usage["log_truncated"]), (&json!(0), &json!(false)), "{usage}");
    assert!(usage["fuel"].as_u64().is_some_and(|fuel| 0 < fuel && fuel < 100_000), "{usage}");
    assert!(usage["wall_us"].as_u64().is_some_and(|us| 0 < us), "{usage}");
}

// attack 101
/// What a record asks for above the ceiling is cut to it, and its author is told.
#[test]
fn the_servers_ceiling_cuts_what_a_record_asks_for() {
    let ceiling = "[ceiling]\nmemory_mb = 4\noutput_kb = 1\nhttp_requests = 0\ncontext_kb = 1\nlog_kb = 1\n";
    let server = TestServer::builder().config(ceiling).start();
    let asked =
        json!({"memory_mb": 512, "output_kb": 16_384, "http_requests": 100, "context_kb": 16_384, "log_kb": 1024});
    let more = json!({"limits": asked, "capabilities": {"http": ["http://a.example"]}});
    let ask = |name: &str, guest: &Guest, input: Value| {
        let uri = load(&server, name, guest, &more);
        server.execute_as("?usage=1", &json!({"policy_rule_uri": uri, "input_data": input})).json()
    };
    let body = ask("hoards", &Guest::named("hoards"), json!(0));
    assert_eq!((&body["data"], &body["usage"]["peak_memory_bytes"]), (&json!(64), &json!(4 << 20)), "{body}");
    let body = ask("echo", &Guest::echo(), json!("x".repeat(1100)));
    assert_eq!(body["code"], "output_too_large", "{body}");
    let body = ask("fetches", &Guest::named("fetches"), json!(1));
    assert_eq!(body["code"], "hostcall_limit", "{body}");
    let body = ask("context", &Guest::named("context"), json!(format!("s k {}", "v".repeat(1024))));
    assert_eq!(body["code"], "policy_error", "{body}");
    let body = ask("logs", &Guest::named("logs"), json!(100));
    assert_eq!(body["usage"]["log_truncated"], true, "{body}");

    let mut told = record("told", &server.put_file("told.wasm", &Guest::good().component()));
    told["limits"] = asked;
    let warnings = server.post("/policy", &told).json()["warnings"].clone();
    assert_eq!(warnings.as_array().map(Vec::len), Some(5), "{warnings}");
}

// attack 101
#[test]
fn the_servers_ceiling_cuts_the_timeout() {
    let server = TestServer::builder().config("[ceiling]\ntimeout_ms = 50\n").start();
    let uri = load(&server, "spins", &Guest::eval(SPIN), &json!({}));
    for query in ["", "?timeout_ms=60000"] {
        let body = server.execute_as(query, &json!({"policy_rule_uri": uri, "input_data": {}})).json();
        assert_eq!(body["code"], "timeout", "{body}");
        assert!(body["message"].as_str().unwrap().contains("50 ms"), "{body}");
    }
}

/// A call that is over its fuel over HTTP, and the code that it has.
#[test]
fn fuel_of_a_record_is_held_to_over_http() {
    let (server, uri) = serving(&Guest::eval(WORK), &json!({"limits": {"fuel": 5000}}));
    assert_eq!(server.execute(&uri, &json!(0)).data(), Value::Null);
    assert_eq!(server.execute(&uri, &json!(9)).refusal(), (200, "out_of_fuel".into()));
}

// attack 15
#[test]
fn a_policy_that_starts_with_more_than_its_memory_is_refused_at_load() {
    let server = TestServer::start();
    let mut record = record("big", &server.put_file("big.wasm", &Guest::good().memory("33").component()));
    record["limits"] = json!({"memory_mb": 2});
    let uri = server.create_policy(&record);
    let load = server.wait_loaded(&uri);
    assert_eq!((&load["state"], &load["code"]), (&json!("failed"), &json!("too_complex")), "{load}");
    assert!(load["message"].as_str().unwrap().contains("memory_mb"), "{load}");
    assert_eq!(server.execute(&uri, &json!({})).refusal(), (422, "too_complex".into()));
}
