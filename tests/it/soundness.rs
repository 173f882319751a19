//! Everything at the same time: no call without an answer, none with two, nothing acknowledged lost.
//!
//! The guest counts its calls, so how often they ran can be held against how often they were answered; and it keeps a
//! value that a command sets, so a replica that came later and knows less gives itself away.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    thread,
};

use lictor_tests::{Client, Reply, TestServer, counter_version, eventually, record};
use serde_json::{Value, json};

/// Threads that call, and how often each does.
const CALLERS: u64 = 4;
const CALLS: u64 = 200;

/// A server with the policies `counter:1.0-test` and `counter:2.0-test`, each of which takes over from the other.
fn server(stateful: bool) -> TestServer {
    let server = TestServer::start();
    for version in ["1.0", "2.0"] {
        let code = server.put_file(&format!("counter-{version}.wasm"), &counter_version(stateful, 1));
        let mut record = record("counter", &code);
        record["version"] = json!(version);
        record["limits"] = json!({"timeout_ms": 2000});
        server.load(&record);
    }
    server
}

/// Deploys `counter:1.0-test` as `f`.
fn deploy(client: &Client, more: &Value) -> Reply {
    let mut body = json!({"name": "f", "policy_rule_uri": "counter:1.0-test"});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    client.post("/function/deployments/create/executor-001", &body)
}

/// Sends one call on a connection of its own, which must bring exactly one answer.
fn call(client: &Client, input: &str) -> Reply {
    let head = format!(
        "POST /function/call_function/f HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{input}",
        client.address(),
        input.len()
    );
    let raw = client.raw(head.as_bytes());
    let text = String::from_utf8_lossy(&raw.bytes);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{input}: {text:?}");
    raw.parse().unwrap_or_else(|| panic!("{input}: no whole answer: {text:?}"))
}

fn manage(client: &Client, action: &str, data: &Value) -> Value {
    let body = json!({"mgmt_action": action, "mgmt_data": data});
    client.post("/function/management/f", &body).json()
}

fn upgrade(client: &Client, version: &str) -> Value {
    client.post("/function/f/upgrade", &json!({"policy_rule_uri": format!("counter:{version}-test")})).json()
}

/// The sum of what the replicas counted.
fn counted(client: &Client) -> u64 {
    let all = manage(client, "get", &json!({}));
    let replicas = all["replicas"].as_array().unwrap_or_else(|| panic!("{all}"));
    replicas.iter().map(|replica| replica["data"]["count"].as_u64().unwrap_or_else(|| panic!("{all}"))).sum()
}

/// Tells threads to end, also when the one that waits for them fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `disturb` again and again, with the number of the time, while `CALLERS` threads each run `calls`.
fn while_disturbed(disturb: impl Fn(i64) + Sync, calls: impl Fn() + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(&calls)).collect();
        let disturber = scope.spawn(|| {
            for n in 1.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                disturb(n);
            }
        });
        {
            let _end = SetAtEnd(&done);
            for caller in callers {
                caller.join().unwrap();
            }
        }
        disturber.join().unwrap();
    });
}

/// Commands and upgrades come and go; what was answered is what was counted, to the last call.
#[test]
fn each_call_runs_exactly_once_while_a_function_is_managed_and_upgraded() {
    let server = server(true);
    deploy(&server, &json!({"replicas": 3})).data();
    let (answered, acknowledged) = (AtomicU64::new(0), AtomicI64::new(0));
    while_disturbed(
        |n| {
            assert_eq!(manage(&server, "set", &json!(n))["success"], true);
            acknowledged.store(n, Ordering::SeqCst);
            let version = if n % 2 == 0 { "1.0" } else { "2.0" };
            let upgraded = upgrade(&server, version);
            assert_eq!(upgraded["success"], true, "{upgraded}");
        },
        || {
            for _ in 0..CALLS {
                let known = acknowledged.load(Ordering::SeqCst);
                let data = call(&server, "1").data();
                answered.fetch_add(1, Ordering::Relaxed);
                assert!(known <= data["value"].as_i64().unwrap(), "{known} was acknowledged: {data}");
            }
        },
    );
    assert!(0 < acknowledged.into_inner(), "nothing happened meanwhile");
    assert_eq!(counted(&server), answered.into_inner());
    // And once more after a restart: stopping loses nothing.
    let server = server.stop().start();
    assert_eq!(counted(&server), CALLERS * CALLS);
}

/// What may be answered to a call that traps, never ends, or comes while its replica is built again.
fn is_fair(input: &str, reply: &Reply) -> bool {
    let body = reply.json();
    let code = body["code"].as_str().unwrap_or_default();
    match input {
        "\"trap\"" => code == "trap" || code == "busy",
        "\"spin\"" => code == "timeout" || code == "busy",
        "\"fail\"" => code == "policy_error" || code == "busy",
        _ => body["success"] == true || code == "busy",
    }
}

/// Replicas trap, run into their time-outs, are scaled and managed; none that comes later has forgotten a command.
fn no_replica_forgets(stateful: bool) {
    let server = server(stateful);
    let autoscaling = json!({
        "min_replicas": 1, "max_replicas": 4, "target_cpu_utilization_percentage": 50, "scale_down_stabilization_seconds": 0
    });
    deploy(&server, &json!({"replicas": 2, "autoscaling": autoscaling})).data();
    let acknowledged = AtomicI64::new(0);
    while_disturbed(
        |n| {
            // No more commands than are kept of a policy that saves nothing.
            if !stateful && 500 < n {
                server.get("/function/f").data();
                return;
            }
            let answer = manage(&server, "set", &json!(n));
            if answer["success"] == true {
                acknowledged.store(n, Ordering::SeqCst);
            } else {
                assert_eq!(answer["code"], "busy", "{answer}");
            }
        },
        || {
            for n in 0..CALLS {
                let input = match n % 50 {
                    7 => "\"trap\"",
                    23 => "\"fail\"",
                    41 => "\"spin\"",
                    _ => "1",
                };
                let known = acknowledged.load(Ordering::SeqCst);
                let reply = call(&server, input);
                assert!(is_fair(input, &reply), "{input}: {} {}", reply.status, reply.text());
                if let Some(value) = reply.json()["data"]["value"].as_i64() {
                    assert!(known <= value, "{known} was acknowledged: {}", reply.text());
                }
            }
        },
    );
    let known = acknowledged.into_inner();
    assert!(0 < known, "nothing happened meanwhile");
    eventually("every replica to know the last command", || {
        let all = manage(&server, "get", &json!({}));
        let replicas = all["replicas"].as_array().cloned().unwrap_or_default();
        let knows = |replica: &Value| Some(known) <= replica["data"]["value"].as_i64();
        if !replicas.is_empty() && replicas.iter().all(knows) { Ok(()) } else { Err(all) }
    });
    server.assert_serving();
}

#[test]
fn no_replica_forgets_a_command_where_states_are_saved() {
    no_replica_forgets(true);
}

#[test]
fn no_replica_forgets_a_command_where_commands_are_replayed() {
    no_replica_forgets(false);
}

/// A call meets the function or no function, and always gets to know which.
#[test]
fn each_call_is_answered_while_a_function_is_removed_and_deployed_again() {
    let server = server(true);
    let (served, missed) = (AtomicU64::new(0), AtomicU64::new(0));
    while_disturbed(
        |n| {
            deploy(&server, &json!({"replicas": 2})).data();
            assert_eq!(manage(&server, "set", &json!(n))["success"], true);
            let enough = served.load(Ordering::Relaxed) + 5;
            eventually("some calls", || {
                let n = served.load(Ordering::Relaxed);
                if enough <= n || CALLERS * CALLS <= n + missed.load(Ordering::Relaxed) { Ok(()) } else { Err(n) }
            });
            server.delete("/function/deployments/remove/f").data();
        },
        || {
            for _ in 0..CALLS {
                let reply = call(&server, "1");
                let body = reply.json();
                let served_now = reply.status == 200 && body["success"] == true;
                assert!(served_now || matches!(reply.status, 404 | 409 | 429), "{} {body}", reply.status);
                if served_now { &served } else { &missed }.fetch_add(1, Ordering::Relaxed);
            }
        },
    );
    assert_eq!(served.into_inner() + missed.into_inner(), CALLERS * CALLS);
    assert_eq!(server.post("/function/query", &json!({})).data(), json!([]));
}

/// Callers that hang up in the middle of a call take nothing with them.
#[test]
fn callers_that_go_away_leave_every_replica_to_the_others() {
    let server = server(true);
    deploy(&server, &json!({"replicas": 2})).data();
    manage(&server, "set", &json!(7));
    for _ in 0..20 {
        let mut stream = server.connect().unwrap();
        let head = format!(
            "POST /function/call_function/f HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n\"spin\"",
            server.address()
        );
        stream.write_all(head.as_bytes()).unwrap();
        drop(stream);
    }
    eventually("both replicas to be free again", || {
        let status = server.get("/function/f").data()["function_status"].take();
        if status["ready_replicas"] == 2 { Ok(()) } else { Err(status) }
    });
    for _ in 0..10 {
        assert_eq!(call(&server, "1").data()["value"], 7);
    }
}
