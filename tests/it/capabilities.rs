//! What a policy may reach: nothing but what it was granted, and what is linked for a language's library is empty.

mod addresses;
mod inspect;
mod offered;

use lictor_model::StopKind;
use lictor_sandbox::{OpenError, RefusalCode};
use lictor_tests::{
    Answer, CodeServer, TestServer, component, record,
    sandbox::{Cell, Guest, finished, open, refusal, sandbox, stopped},
};
use serde_json::json;

/// Numbers of `wasi:http`'s error codes as `fetches` answers them.
const PROHIBITED: &str = "1004";
const REFUSED: &str = "1006";
const DENIED: &str = "2015";
const URI_INVALID: &str = "2019";

/// A component that imports one thing, with one function in it.
fn importing(name: &str, function: &str) -> Vec<u8> {
    component(&format!("(component (import \"{name}\" (instance (export \"{function}\" (func)))))"))
}

// attack 31
#[test]
fn an_import_outside_the_world_is_refused_by_name() {
    for name in [
        "acme:files/read@1.0.0",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:nn/inference@0.2.0-rc-2024-10-28",
        "wasi:config/store@0.2.0-draft",
        "lictor:policy/rule@1.0.0",
    ] {
        let refusal = refusal(&importing(name, "f"));
        assert_eq!(refusal.code, RefusalCode::UnknownImport, "{refusal}");
        assert!(refusal.message.contains(&format!("`{name}`")), "{refusal}");
    }
    for (text, said) in [
        ("(component (import \"f\" (func)))", "`f`"),
        ("(component (import \"m\" (core module)))", "`m`"),
        ("(component (import \"c\" (component)))", "`c`"),
    ] {
        let refusal = refusal(&component(text));
        assert_eq!(refusal.code, RefusalCode::UnknownImport, "{refusal}");
        assert!(refusal.message.contains(said), "{refusal}");
    }
}

// attack 32
#[test]
fn a_version_higher_than_the_highest_known_is_refused_by_name() {
    for (name, highest) in [
        ("wasi:cli/exit@0.2.999", "0.2.12"),
        ("wasi:cli/environment@0.2.13", "0.2.12"),
        ("wasi:random/random@0.3.0", "0.2.12"),
        ("wasi:keyvalue/store@0.2.0-draft2", "0.2.0-draft"),
        ("lictor:policy/host@1.0.1", "1.0.0"),
    ] {
        let refusal = refusal(&importing(name, "f"));
        assert_eq!(refusal.code, RefusalCode::UnknownImport, "{refusal}");
        assert!(refusal.message.contains(&format!("`{name}`")) && refusal.message.contains(highest), "{refusal}");
    }
}

// attack 32: the version is known, the function is not.
#[test]
fn a_function_that_no_host_has_is_refused_by_name() {
    let guest =
        Guest::new("(import \"wasi:random/random@0.2.12\" \"get-random-u64\" (func $random (result i64)))").component();
    // Everywhere in the component: in the type of its import, and in the module that calls it.
    let other: Vec<u8> = replace(&guest, b"get-random-u64", b"get-random-u65");
    match open(&sandbox(1), &other, false) {
        Err(OpenError::Refused(refusal)) => {
            assert_eq!(refusal.code, RefusalCode::UnknownImport, "{refusal}");
            assert!(refusal.message.contains("get-random-u65"), "{refusal}");
        }
        Err(OpenError::Internal(message)) => panic!("{message}"),
        Ok(_) => panic!("it was linked"),
    }
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut res = bytes.to_vec();
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            res[at..at + old.len()].copy_from_slice(new);
        }
    }
    res
}

// attack 31
#[tokio::test]
async fn http_that_is_not_granted_is_denied_and_the_log_names_the_grant() {
    let cell = Cell::of(&Guest::named("fetches"));
    assert_eq!(finished(&cell.eval("\"example.com\"").await), DENIED);
    let said = cell.heard.messages().concat();
    assert!(said.contains("`capabilities.http` with `http://example.com`"), "{said}");
    // A grant is for an origin: not for another port, scheme, or a host that begins the same.
    let cell = cell.grant(&json!({"http": ["http://example.com:8080", "https://example.com"]}));
    for authority in ["example.com", "example.com:8081", "example.com.evil.example", "a.example.com"] {
        assert_eq!(finished(&cell.eval(&format!("\"{authority}\"")).await), DENIED, "{authority}");
    }
}

// attack 93
/// An authority is not a place to hide a path or credentials in.
#[tokio::test]
async fn an_authority_that_says_more_than_a_host_is_refused() {
    let cell = Cell::of(&Guest::named("fetches")).grant(&json!({"http": ["http://a.example"]}));
    for authority in [
        "u:p@a.example",
        "a.example/x",
        "a.example?x",
        "a.example#x",
        "a.example@evil.example",
        "a.example\\\\.evil.example",
    ] {
        let run = cell.eval(&format!("\"{authority}\"")).await;
        // 3000: wasmtime's own check of the authority was first.
        assert!([URI_INVALID, DENIED, "3000"].contains(&finished(&run)), "{authority}: {run:?}");
    }
}

// attack 37
#[tokio::test]
async fn a_granted_host_that_is_not_public_is_prohibited() {
    let web = CodeServer::start();
    let port = web.port();
    // However the address is written: the grant is given for the same text.
    let hosts = [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ];
    for host in hosts {
        let authority = format!("{host}:{port}");
        let cell = Cell::of(&Guest::named("fetches")).grant(&json!({"http": [format!("http://{authority}")]}));
        assert_eq!(finished(&cell.eval(&format!("\"{authority}\"")).await), PROHIBITED, "{host}");
    }
    assert!(web.seen().is_empty());
}

// attack 37
#[tokio::test]
async fn a_private_host_is_reached_where_the_operator_allowed_it_and_the_record_granted_it() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("hello"));
    let authority = format!("127.0.0.1:{}", web.port());
    let input = format!("\"{authority}\"");
    let cell = Cell::reaching(&Guest::named("fetches"), &["127.0.0.1"]);
    assert_eq!(finished(&cell.eval(&input).await), DENIED);
    let cell = cell.grant(&json!({"http": [web.origin()]}));
    assert_eq!(finished(&cell.eval(&input).await), "200");
    assert_eq!(web.hits("/"), 1);
    // What is allowed is this address and no other.
    let other = cell.grant(&json!({"http": ["http://127.0.0.2:1"]}));
    assert_eq!(finished(&other.eval("\"127.0.0.2:1\"").await), PROHIBITED);
}

// attack 37: a redirect is the guest's to see, and is not followed.
#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let (inner, outer) = (CodeServer::start(), CodeServer::start());
    outer.answer("/", Answer::redirect(&inner.url("/secret")));
    let cell = Cell::reaching(&Guest::named("fetches"), &["127.0.0.1"]).grant(&json!({"http": [outer.origin()]}));
    assert_eq!(finished(&cell.eval(&format!("\"127.0.0.1:{}\"", outer.port())).await), "302");
    assert!(inner.seen().is_empty());
}

/// A host that does not answer is the interface's own error, and one that never answers meets the time-out.
#[tokio::test]
async fn a_host_that_fails_is_an_error_of_the_interface() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let authority = format!("127.0.0.1:{port}");
    let cell = Cell::reaching(&Guest::named("fetches"), &["127.0.0.1"]);
    let cell = cell.grant(&json!({"http": [format!("http://{authority}")]}));
    assert_eq!(finished(&cell.eval(&format!("\"{authority}\"")).await), REFUSED);

    let web = CodeServer::start();
    web.answer("/", Answer::ok("never").held());
    let cell = cell.grant(&json!({"http": [web.origin()]})).limits(&json!({"timeout_ms": 50}));
    stopped(&cell.eval(&format!("\"127.0.0.1:{}\"", web.port())).await, StopKind::Timeout);
    assert_eq!(cell.sandbox.live_instances(), 0);
}

// attack 37: over HTTP, with the server's own configuration.
#[test]
fn a_server_without_allow_private_sends_nothing_to_loopback() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("hello"));
    let input = json!(format!("127.0.0.1:{}", web.port()));
    for (server, expected) in [(TestServer::start(), 1004), (TestServer::builder().allow_loopback().start(), 200)] {
        let mut record = record("fetches", &server.put_file("f.wasm", &Guest::named("fetches").component()));
        record["capabilities"] = json!({"http": [web.origin()]});
        record["limits"] = json!({"timeout_ms": 60_000});
        let uri = server.load(&record);
        assert_eq!(server.execute(&uri, &input).data(), expected);
    }
    assert_eq!(web.hits("/"), 1);
}

// attack 34: what an author asks for above the server's ceiling is not effective.
#[test]
fn a_grant_above_the_servers_ceiling_is_not_effective() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().config("[grants]\nhttp = [\"https://a.example\"]\n").start();
    let mut record = record("fetches", &server.put_file("f.wasm", &Guest::named("fetches").component()));
    record["capabilities"] = json!({"http": [web.origin()]});
    record["limits"] = json!({"timeout_ms": 60_000});
    let uri = server.load(&record);
    assert_eq!(server.execute(&uri, &json!(format!("127.0.0.1:{}", web.port()))).data(), 2015);
    assert!(web.seen().is_empty());
}

// attack 34
#[tokio::test]
async fn environment_arguments_folders_and_standard_input_are_empty() {
    let run = Cell::of(&Guest::named("std")).eval("{}").await;
    assert_eq!(finished(&run), "0");
}

// attack 36
#[tokio::test]
async fn sockets_are_denied() {
    let cell = Cell::of(&Guest::named("sockets"));
    for kind in ["0", "1"] {
        assert_eq!(finished(&cell.eval(kind).await), "1");
    }
    // A network cannot be refused by an error: the interface has none.
    let run = cell.eval("2").await;
    assert!(stopped(&run, StopKind::DeniedCapability).contains("wasi:sockets/instance-network"), "{run:?}");
}

#[tokio::test]
async fn exit_is_an_outcome() {
    let guest = Guest::new(
        "(import \"wasi:cli/exit@0.2.12\" \"exit\" (func $exit (param i32)))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $exit (i32.sub (i32.load8_u (local.get $in)) (i32.const 48))) (call $null))",
    );
    for status in ["0", "1"] {
        let cell = Cell::of(&guest);
        let mut instance = cell.instance();
        let run = cell.eval_in(&mut instance, status).await;
        assert!(stopped(&run, StopKind::Trap).ends_with(&format!("status {status}")), "{run:?}");
        assert!(!instance.is_live());
    }
}

// attack 31: the context.
#[tokio::test]
async fn the_context_can_be_withheld() {
    let cell = Cell::of(&Guest::named("context")).grant(&json!({"context": false}));
    match cell.eval("\"g k\"").await.outcome {
        lictor_model::Outcome::Failed(failure) => assert_eq!(failure.code, "access-denied"),
        other => panic!("{other:?}"),
    }
    assert!(cell.heard.messages().concat().contains("`capabilities.context`"));
}

// attack 31: a function of a host application.
#[tokio::test]
async fn host_functions_are_denied_by_name() {
    let guest = Guest::new(
        "(import \"lictor:policy/host@1.0.0\" \"call\" (func $call (param i32 i32 i32 i32 i32)))
        (data (i32.const 4096) \"get_metrics\")
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $call (i32.const 4096) (i32.const 11) (local.get $in) (local.get $n) (i32.const 16))
            ;; What the host answers has the form of what a policy answers.
            (i32.const 16))",
    );
    let cell = Cell::of(&guest);
    for (grant, code) in [(json!({}), "denied_capability"), (json!({"host": ["get_metrics"]}), "not_available")] {
        match cell.clone().grant(&grant).eval("{}").await.outcome {
            lictor_model::Outcome::Failed(failure) => assert_eq!(failure.code, code),
            other => panic!("{other:?}"),
        }
    }
    assert!(cell.heard.messages().concat().contains("`capabilities.host` with `get_metrics`"));
}

// attack 35
#[tokio::test]
async fn a_deterministic_policy_sees_the_same_time_and_the_same_chance() {
    let cell = Cell::of(&Guest::named("clocks")).deterministic();
    for what in ["0", "1", "2", "3", "4"] {
        let (first, second) = (cell.eval(what).await, cell.eval(what).await);
        assert_eq!(finished(&first), finished(&second), "{what}");
    }
    for clock in ["0", "1"] {
        assert_eq!(finished(&cell.eval(clock).await), "0");
    }
    let run = cell.limits(&json!({"timeout_ms": 30})).eval("5").await;
    assert!(matches!(run.outcome.code(), "timeout" | "hostcall_limit"), "{run:?}");
}

// attack 35
#[tokio::test]
async fn other_policies_see_clocks_that_move_and_chance_that_differs() {
    let cell = Cell::of(&Guest::named("clocks"));
    finished(&cell.eval("5").await);
    for what in ["2", "3", "4"] {
        let (first, second) = (cell.eval(what).await, cell.eval(what).await);
        assert_ne!(finished(&first), finished(&second), "{what}");
    }
}

/// A stopped clock never comes to the end of a sleep; a policy that sleeps is not held up for it.
#[tokio::test]
async fn a_deterministic_policy_does_not_wait() {
    finished(&Cell::of(&Guest::named("sleeps")).deterministic().eval("0").await);
}

// attack 38
#[tokio::test]
async fn settings_reach_only_their_own_policy() {
    let guest = Guest::new(
        "(global $settings (mut i32) (i32.const 0))
        (global $settings_n (mut i32) (i32.const 0))
        (func $on_init (param $in i32) (param $n i32) (result i32)
            (global.set $settings (local.get $in)) (global.set $settings_n (local.get $n)) (call $null))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $ok (global.get $settings) (global.get $settings_n)))",
    );
    let sandbox = sandbox(1);
    let mut one = Cell::within(&sandbox, &guest);
    let mut other = one.clone();
    one.policy.settings = "{\"key\":\"one\"}".into();
    other.policy.settings = "{\"key\":\"other\"}".into();
    for _ in 0..10 {
        assert_eq!(finished(&one.eval("{}").await), "{\"key\":\"one\"}");
        assert_eq!(finished(&other.eval("{}").await), "{\"key\":\"other\"}");
    }
}
