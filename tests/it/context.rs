//! The context: what a policy keeps from one call to the next, its bounds, and that nothing acknowledged is lost.

use lictor_model::Outcome;
use lictor_tests::{
    TestServer, record,
    sandbox::{Cell, Guest, finished},
};
use serde_json::{Value, json};

fn load(server: &TestServer, name: &str) -> String {
    let code = server.put_file("context.wasm", &Guest::named("context").component());
    let mut record = record(name, &code);
    record["limits"] = json!({"timeout_ms": 60_000});
    server.load(&record)
}

#[track_caller]
fn ask(server: &TestServer, uri: &str, what: &str) -> Value {
    server.execute(uri, &json!(what)).data()
}

/// The failure's code, or `ok`.
async fn code_of(cell: &Cell, what: &str) -> String {
    match cell.eval(what).await.outcome {
        Outcome::Finished(_) => "ok".into(),
        Outcome::Failed(failure) => failure.code,
        Outcome::Stopped(stop) => panic!("{stop:?}"),
    }
}

#[test]
fn what_is_set_is_there_in_the_next_call_and_only_there() {
    let server = TestServer::start();
    let (one, other) = (load(&server, "one"), load(&server, "other"));
    assert_eq!(ask(&server, &one, "g key"), Value::Null);
    ask(&server, &one, "s key value");
    assert_eq!(ask(&server, &one, "g key"), "value");
    assert_eq!(ask(&server, &one, "e key"), 1);
    assert_eq!(ask(&server, &other, "g key"), Value::Null);
    assert_eq!(ask(&server, &other, "l"), 0);
    ask(&server, &one, "d key");
    assert_eq!(ask(&server, &one, "g key"), Value::Null);
    assert_eq!(ask(&server, &one, "e key"), 0);
}

#[test]
fn a_policy_that_moves_takes_it_along() {
    let server = TestServer::start();
    let uri = load(&server, "moves");
    ask(&server, &uri, "s key value");
    server.put(&format!("/policy/{uri}"), &json!({"$set": {"version": "9.0"}})).data();
    assert_eq!(ask(&server, "moves:9.0-test", "g key"), "value");
    // Whoever comes to the old place finds it empty.
    let again = load(&server, "moves");
    assert_eq!((again.as_str(), ask(&server, &uri, "l")), (uri.as_str(), json!(0)));
    assert_eq!(ask(&server, "moves:9.0-test", "g key"), "value");
}

#[test]
fn what_was_answered_survives_kill_9() {
    let mut server = TestServer::start();
    let uri = load(&server, "keeps");
    for round in 0..3 {
        for i in 0..10 {
            ask(&server, &uri, &format!("s k{i} r{round}"));
        }
        ask(&server, &uri, "d k9");
        server = server.kill().start();
        for i in 0..9 {
            assert_eq!(ask(&server, &uri, &format!("g k{i}")), format!("r{round}"));
        }
        assert_eq!(ask(&server, &uri, "l"), 9);
    }
}

#[test]
fn writes_of_calls_at_the_same_time_are_all_kept() {
    let server = TestServer::start();
    let uri = load(&server, "busy");
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (server, uri) = (&server, &uri);
            scope.spawn(move || {
                for i in 0..10 {
                    ask(server, uri, &format!("s w{worker}-{i} x"));
                }
            });
        }
    });
    let server = server.kill().start();
    assert_eq!(ask(&server, &uri, "l"), 80);
}

#[test]
fn a_policy_that_is_deleted_takes_its_context_along() {
    let server = TestServer::start();
    let uri = load(&server, "gone");
    ask(&server, &uri, "s key value");
    server.delete(&format!("/policy/{uri}")).data();
    assert_eq!(load(&server, "gone"), uri);
    assert_eq!(ask(&server, &uri, "g key"), Value::Null);
    let server = server.kill().start();
    assert_eq!(ask(&server, &uri, "l"), 0);
}

#[test]
fn a_policy_that_is_changed_keeps_its_context() {
    let server = TestServer::start();
    let uri = load(&server, "changed");
    ask(&server, &uri, "s key value");
    let changed =
        server.put(&format!("/policy/{uri}"), &json!({"$set": {"tags": ["new"], "limits": {"timeout_ms": 30_000}}}));
    assert_eq!(changed.json()["success"], true, "{}", changed.text());
    assert_eq!(server.wait_loaded(&uri)["state"], "ready");
    assert_eq!(ask(&server, &uri, "g key"), "value");
}

/// A call that was stopped is answered, too: what it wrote before is kept.
#[test]
fn what_a_call_wrote_before_it_was_stopped_is_kept() {
    let server = TestServer::start();
    let guest = Guest::named("context").and(
        "(func $on_init (param $in i32) (param $n i32) (result i32)
            (call $open (i32.const 0) (i32.const 0) (i32.const 16))
            (call $set (i32.load (i32.const 20)) (i32.const 4112) (i32.const 6) (i32.const 4112) (i32.const 6) (i32.const 16))
            (if (i32.load8_u (i32.add (local.get $in) (i32.const 1))) (then (if (i32.ne (local.get $n) (i32.const 2)) (then (unreachable)))))
            (call $null))",
    );
    let code = server.put_file("stops.wasm", &guest.component());
    let mut record = record("stops", &code);
    record["policy_settings"] = json!({"stop": true});
    record["limits"] = json!({"timeout_ms": 60_000});
    let uri = server.load(&record);
    assert_eq!(server.execute(&uri, &json!("l")).refusal(), (200, "trap".into()));
    server.put(&format!("/policy/{uri}"), &json!({"$set": {"policy_settings": {}}})).data();
    let server = server.kill().start();
    assert_eq!(ask(&server, &uri, "g access"), "access");
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let cell = Cell::of(&Guest::named("context"));
    for n in [0, 1, 999, 1000, 1001, 2500] {
        while cell.context.keys(0, usize::MAX).len() < n {
            let i = cell.context.keys(0, usize::MAX).len();
            cell.context.set(&format!("k{i:05}"), vec![1], 1 << 20).unwrap();
        }
        assert_eq!(finished(&cell.eval("\"l\"").await), n.to_string());
        assert_eq!(finished(&cell.eval("\"k\"").await), (n / 1000 + 1).to_string());
    }
}

// attack 27
#[tokio::test]
async fn odd_keys_are_keys_like_others() {
    let cell = Cell::of(&Guest::named("context"));
    for key in ["../../etc/passwd", "..", "/", "\u{0}", "a\u{0}b", "\u{202e}", "%2e%2e", "';--", &"k".repeat(1024)] {
        assert_eq!(code_of(&cell, &format!("\"s {key} value\"")).await, "ok", "{key:?}");
        assert_eq!(finished(&cell.eval(&format!("\"g {key}\"")).await), "\"value\"", "{key:?}");
        assert_eq!(code_of(&cell, &format!("\"d {key}\"")).await, "ok", "{key:?}");
    }
    assert_eq!(cell.context.keys(0, 10).len(), 0);
}

// attack 27: and the same on disk.
#[test]
fn odd_keys_survive_on_disk() {
    let server = TestServer::start();
    let uri = load(&server, "odd");
    // As JSON text the input has escapes; the guest takes the bytes between.
    for key in ["../../etc/passwd", "\\u0000", "';DROP", "\u{1f600}", "%00"] {
        ask(&server, &uri, &format!("s {key} value"));
    }
    let server = server.kill().start();
    assert_eq!(ask(&server, &uri, "l"), 5);
    assert_eq!(ask(&server, &uri, "g ../../etc/passwd"), "value");
}

// attack 27
#[tokio::test]
async fn what_is_too_much_is_the_interfaces_own_error() {
    let cell = Cell::of(&Guest::named("context"));
    assert!(code_of(&cell, &format!("\"s {} v\"", "k".repeat(1025))).await.contains("longer than 1024"));
    assert!(code_of(&cell, &format!("\"s k {}\"", "v".repeat(1 << 20))).await.contains("1048576 bytes"));
    assert_eq!(cell.context.keys(0, 10).len(), 0);
}

/// Sets ever new keys of this many bytes, with values of that many, until it is refused; answers how many there are.
fn floods(key: u32, value: u32) -> Guest {
    Guest::new(format!(
        "(import \"wasi:keyvalue/store@0.2.0-draft\" \"open\" (func $open (param i32 i32 i32)))
        (import \"wasi:keyvalue/store@0.2.0-draft\" \"[method]bucket.set\" (func $set (param i32 i32 i32 i32 i32 i32)))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (local $bucket i32) (local $made i32)
            (drop (memory.grow (i32.const 16)))
            (call $open (i32.const 0) (i32.const 0) (i32.const 16))
            (local.set $bucket (i32.load (i32.const 20)))
            (memory.fill (i32.const 4096) (i32.const 0x61) (i32.const 1024))
            (loop $more
                (i32.store (i32.const 4096) (i32.or (i32.const 0x01010101) (i32.and (i32.const 0x3f3f3f3f)
                    (i32.or (i32.and (local.get $made) (i32.const 0x3f))
                        (i32.or (i32.shl (i32.and (local.get $made) (i32.const 0xfc0)) (i32.const 2))
                            (i32.shl (i32.and (local.get $made) (i32.const 0x3f000)) (i32.const 4)))))))
                (i32.store (i32.const 4100) (i32.and (i32.const 0x3e3e3e3e) (i32.mul (local.get $made) (i32.const 2))))
                (call $set (local.get $bucket) (i32.const 4096) (i32.const {key}) (i32.const 131072) (i32.const {value}) (i32.const 16))
                (if (i32.eqz (i32.load8_u (i32.const 16)))
                    (then
                        (local.set $made (i32.add (local.get $made) (i32.const 1)))
                        (br_if $more (i32.lt_u (local.get $made) (i32.const 200000))))))
            (call $number (i64.extend_i32_u (local.get $made))))"
    ))
}

// attack 27
#[tokio::test]
async fn a_million_keys_meet_the_quota() {
    let cell = Cell::of(&floods(16, 0));
    let run = cell.eval("{}").await;
    assert!(matches!(run.outcome.code(), "ok" | "hostcall_limit"), "{run:?}");
    let keys = cell.context.keys(0, usize::MAX);
    assert!(keys.len() * 16 <= 1 << 20, "{}", keys.len());
}

// attack 27
#[tokio::test]
async fn a_value_of_a_gigabyte_is_not_copied() {
    // The guest has not got it; what it claims is refused before it is looked at. What it has is over the quota.
    for (value, codes) in
        [(0x4000_0000_u32, ["hostcall_limit", "trap"]), (1 << 20, ["ok", "ok"]), ((1 << 20) - 16, ["ok", "ok"])]
    {
        let cell = Cell::of(&floods(16, value));
        let run = cell.eval("{}").await;
        assert!(codes.contains(&run.outcome.code()), "{value}: {run:?}");
        let kept: usize = cell.context.keys(0, 10).iter().map(String::len).sum();
        assert!(kept <= 16, "{value}");
    }
}
