//! Several servers on one PostgreSQL: who may be which executor, and what one sees of the other's changes.
//!
//! Runs only where there is a PostgreSQL; `make test` says so where there is none.

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{Builder, Client, Guest, TestServer, eventually, policy, record, sandbox};
use serde_json::{Value, json};

/// A server, and another executor on the same database. Each may call the other.
fn two() -> (TestServer, TestServer) {
    let one = TestServer::on_postgres().allow_loopback().start();
    let two = Builder::beside(&one).flag("--executor-id", "executor-002").allow_loopback().start();
    (one, two)
}

/// Runs a policy on whichever executor this server is.
fn run(server: &Client, id: &str, uri: &str) -> Value {
    server.post(&format!("/executor/{id}/execute_policy"), &json!({"policy_rule_uri": uri, "input_data": 1})).json()
}

/// A policy that answers the parameters it was constructed with.
fn parameters() -> Vec<u8> {
    Guest {
        data: "(global $own (mut i32) (i32.const 0)) (global $ownn (mut i32) (i32.const 0))",
        init: "(global.set $own (local.get $parameters)) (global.set $ownn (local.get $parametersn)) (i32.const 960)",
        eval: "(call $ok (global.get $own) (global.get $ownn))",
        ..Guest::default()
    }
    .build()
}

#[test]
fn an_executor_id_is_held_by_one_process() {
    let server = TestServer::on_postgres().start();
    for _ in 0..2 {
        let refused = Builder::beside(&server).try_start().err().expect("the second one does not start");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains("executor-001"), "{refused:?}");
        assert!(!refused.stderr.contains("panicked"), "{refused:?}");
    }
    let other = Builder::beside(&server).flag("--executor-id", "executor-002").start();
    server.assert_serving();
    other.assert_serving();
}

#[test]
fn an_executor_id_is_free_once_its_holder_has_stopped() {
    let server = TestServer::on_postgres().start();
    let successor = Builder::beside(&server);
    server.stop();
    successor.start().assert_serving();
}

#[test]
fn after_kill_9_the_same_data_directory_starts_and_another_one_is_refused_or_waits() {
    let server = TestServer::on_postgres().start();
    let uri = server.create_policy(&record("kept", "file:///nowhere/x.wasm"));
    let stranger = Builder::beside(&server);
    let builder = server.kill();
    // Nobody is told that the holder is dead.
    let refused = stranger.clone().try_start().err();
    if let Some(refused) = &refused {
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("executor-001"), "{refused:?}");
        // It knows its lease again, without waiting for it to be over.
        let server = builder.start();
        server.policy(&uri);
        drop(server.kill());
    }
    eventually("the lease to be over", || stranger.clone().try_start().map(|server| server.policy(&uri)));
}

#[test]
fn kill_9_again_and_again_leaves_a_data_directory_that_starts() {
    let mut server = TestServer::on_postgres().start();
    for n in 0..5 {
        let uri = server.create_policy(&record(&format!("p{n}"), "file:///nowhere/x.wasm"));
        server = server.kill().start();
        server.policy(&uri);
    }
}

#[test]
fn a_server_whose_id_was_taken_ends() {
    let server = TestServer::on_postgres().start();
    // As if its lease had run out, while it or its database was held up, and somebody else had taken it.
    server.sql("UPDATE leases SET holder = 'x', session = 'y', expires_at = expires_at + 3600000");
    let (exited, builder) = server.wait();
    assert_eq!(exited.code, Some(5), "{exited:?}");
    assert!(exited.stderr.contains("another process has taken"), "{exited:?}");
    assert_eq!(builder.try_start().err().and_then(|refused| refused.code), Some(2));
}

/// Changes something on one side again and again, and asks the other side until it knows. Half of the times it must
/// have known within a second; the other half is for machines that are busy with other tests.
#[track_caller]
fn within_a_second(change: impl Fn(usize), known: impl Fn(usize) -> Result<(), String>) {
    let mut took: Vec<Duration> = (0..5)
        .map(|n| {
            change(n);
            let changed = Instant::now();
            eventually("the other server to know", || known(n));
            changed.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[2] < Duration::from_secs(1), "{took:?}");
}

#[expect(clippy::needless_pass_by_value, reason = "what is compared is made for it")]
fn same<T: PartialEq + std::fmt::Debug>(left: T, right: T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{left:?}, not {right:?}")) }
}

#[test]
fn a_policy_that_is_changed_on_one_runs_changed_on_the_other() {
    let (one, two) = two();
    let mut record = record("changing", &one.put_file("p.wasm", &parameters()));
    record["policy_parameters"] = json!({"n": -1});
    let uri = one.load(&record);
    assert_eq!(run(&two, "executor-002", &uri)["data"], json!({"n": -1}));
    let path = format!("/policy/{uri}");
    within_a_second(
        |n| drop(one.put(&path, &json!({"$set": {"policy_parameters": {"n": n}}})).data()),
        |n| same(run(&two, "executor-002", &uri)["data"].take(), json!({"n": n})),
    );
    // And the other way round.
    within_a_second(
        |n| drop(two.put(&path, &json!({"$set": {"policy_parameters": {"m": n}}})).data()),
        |n| same(run(&one, "executor-001", &uri)["data"].take(), json!({"m": n})),
    );
}

#[test]
fn other_code_on_one_is_other_code_on_the_other() {
    let (one, two) = two();
    let codes = ["1", "2"].map(|answer| one.put_file(answer, &policy(answer)));
    let uri = one.load(&record("coded", &codes[1]));
    assert_eq!(run(&two, "executor-002", &uri)["data"], 2);
    within_a_second(
        |n| drop(one.put(&format!("/policy/{uri}"), &json!({"$set": {"code": codes[n % 2]}})).data()),
        |n| same(run(&two, "executor-002", &uri)["data"].take(), json!(n % 2 + 1)),
    );
}

#[test]
fn a_policy_that_is_deleted_on_one_is_gone_on_the_other_and_comes_back() {
    let (one, two) = two();
    let record = record("coming", &one.put_file("p.wasm", &policy("7")));
    let uri = one.load(&record);
    assert_eq!(run(&two, "executor-002", &uri)["data"], 7);
    within_a_second(
        |n| {
            if n % 2 == 0 {
                one.delete(&format!("/policy/{uri}")).data();
            } else {
                one.load(&record);
            }
        },
        |n| {
            let answer = run(&two, "executor-002", &uri);
            let expected = if n % 2 == 0 { ("code", json!("not_found")) } else { ("data", json!(7)) };
            same(answer[expected.0].clone(), expected.1)
        },
    );
}

#[test]
fn a_policy_that_moves_on_one_has_moved_on_the_other() {
    let (one, two) = two();
    let mut uri = one.load(&record("moving", &one.put_file("p.wasm", &policy("7"))));
    assert_eq!(run(&two, "executor-002", &uri)["data"], 7);
    for version in ["2.0", "3.0"] {
        one.put(&format!("/policy/{uri}"), &json!({"$set": {"version": version}})).data();
        let new = format!("moving:{version}-test");
        eventually("the other server to know", || {
            let (old, new) = (run(&two, "executor-002", &uri), run(&two, "executor-002", &new));
            same((&old["code"], &new["data"]), (&json!("not_found"), &json!(7)))
        });
        uri = new;
    }
}

#[test]
fn what_one_keeps_in_the_context_the_other_finds() {
    let (one, two) = two();
    let code = one.put_file("context.wasm", &sandbox::Guest::named("context").component());
    let mut record = record("keeping", &code);
    record["limits"] = json!({"timeout_ms": 60_000});
    let uri = one.load(&record);
    let ask = |server: &Client, id: &str, what: &str| {
        let body = json!({"policy_rule_uri": uri, "input_data": what});
        server.post(&format!("/executor/{id}/execute_policy"), &body).data()
    };
    assert_eq!(ask(&two, "executor-002", "g key"), Value::Null);
    within_a_second(
        |n| drop(ask(&one, "executor-001", &format!("s key value{n}"))),
        |n| same(ask(&two, "executor-002", "g key"), json!(format!("value{n}"))),
    );
    within_a_second(
        |n| drop(ask(&two, "executor-002", &format!("s key other{n}"))),
        |n| same(ask(&one, "executor-001", "g key"), json!(format!("other{n}"))),
    );
    // What both keep under names of their own is kept by both.
    thread::scope(|scope| {
        for (server, id) in [(&one, "executor-001"), (&two, "executor-002")] {
            scope.spawn(move || (0..10).for_each(|n| drop(ask(server, id, &format!("s {id}-{n} x")))));
        }
    });
    for (server, id) in [(&one, "executor-001"), (&two, "executor-002")] {
        eventually("all keys", || same(ask(server, id, "l"), json!(21)));
    }
}

#[test]
fn executors_and_graphs_of_one_are_those_of_the_other() {
    let (one, two) = two();
    // Each knows the other itself.
    assert_eq!(one.get("/executor/executor-002").data()["executor_id"], "executor-002");
    assert_eq!(two.get("/executor/executor-001").data()["executor_id"], "executor-001");
    let executor = json!({"executor_id": "far", "executor_host_uri": "http://203.0.113.7:1", "executor_metadata": {}});
    let graph = json!({
        "graph_name": "g", "graph_version": "1", "graph_release_tag": "t", "graph_metadata": {},
        "graph_function_ids": ["a"], "graph_connection_data": {}, "graph_search_tags": ["x"], "graph_description": "",
        "graph_input_schema": {}, "graph_output_schema": {}
    });
    for (path, document, id) in [("/executor", executor, "far"), ("/graphs", graph, "g:1-t")] {
        let one_of_them = format!("{path}/{id}");
        within_a_second(
            |n| {
                if n % 2 == 0 {
                    one.post(path, &document).data();
                } else {
                    one.delete(&one_of_them).data();
                }
            },
            |n| {
                let found = two.post(&format!("{path}/query"), &json!({})).data();
                let ids =
                    found.as_array().unwrap().iter().filter(|found| found.to_string().contains(&format!("\"{id}\"")));
                same((two.get(&one_of_them).json()["success"] == true, ids.count()), (n % 2 == 0, (n + 1) % 2))
            },
        );
    }
}

#[test]
fn a_call_for_the_other_executor_reaches_it_until_it_is_deregistered() {
    let (one, two) = two();
    let uri = one.load(&record("far", &one.put_file("p.wasm", &policy("7"))));
    assert_eq!(run(&one, "executor-002", &uri)["data"], 7);
    assert_eq!(run(&two, "executor-001", &uri)["data"], 7);
    one.delete("/executor/executor-002").data();
    eventually("the other to be out of service everywhere", || {
        let codes = [&one, &two].map(|server| run(server, "executor-002", &uri)["code"].take());
        same(codes, [json!("not_found"), json!("not_found")])
    });
    assert_eq!(run(&two, "executor-001", &uri)["data"], 7);
}

#[test]
fn each_sees_how_the_others_executor_is() {
    let often = "heartbeat_ms = 300";
    let one = TestServer::on_postgres().config(often).start();
    let two = Builder::beside(&one).config(often).flag("--executor-id", "executor-002").start();
    let becomes = |expected: &str| {
        eventually(&format!("the other to be {expected}"), || {
            let status = one.get("/executor/executor-002").data()["executor_status"].take();
            if status == expected { Ok(()) } else { Err(status) }
        });
    };
    becomes("healthy");
    let builder = two.kill();
    becomes("unreachable");
    let _two = builder.start();
    becomes("healthy");
}

#[test]
fn updates_from_both_sides_are_all_applied() {
    let (one, two) = two();
    let uri = one.create_policy(&record("counted", "file:///nowhere/x.wasm"));
    let executor = json!({"executor_id": "far", "executor_host_uri": "http://203.0.113.7:1", "executor_metadata": {}});
    one.post("/executor", &executor).data();
    let paths = [(format!("/policy/{uri}"), "metadata"), ("/executor/far".to_owned(), "executor_metadata")];
    thread::scope(|scope| {
        for (writer, server) in [&one, &two, &one, &two].into_iter().enumerate() {
            let paths = &paths;
            scope.spawn(move || {
                for n in 0..10 {
                    for (path, field) in paths {
                        let [count, list] = ["count", "list"].map(|name| format!("{field}.{name}"));
                        let change = json!({"$inc": {count: 1}, "$addToSet": {list: writer * 10 + n}});
                        server.put(path, &change).data();
                    }
                }
            });
        }
    });
    for (path, field) in &paths {
        for server in [&one, &two] {
            let metadata = server.get(path).data()[field].take();
            assert_eq!(metadata["count"], 40, "{path}: {metadata}");
            assert_eq!(metadata["list"].as_array().map(Vec::len), Some(40), "{path}: {metadata}");
        }
    }
}

#[test]
fn of_two_that_are_created_at_the_same_time_one_is_there() {
    let (one, two) = two();
    for n in 0..10 {
        let create = |server: &TestServer, description: &str| {
            let mut record = record(&format!("raced{n}"), "file:///nowhere/x.wasm");
            record["description"] = json!(description);
            server.post("/policy", &record).json()["success"] == true
        };
        let created = thread::scope(|scope| {
            let first = scope.spawn(|| create(&one, "one"));
            let second = scope.spawn(|| create(&two, "two"));
            [first.join().unwrap(), second.join().unwrap()]
        });
        let winner = match created {
            [true, false] => "one",
            [false, true] => "two",
            both => panic!("{both:?}"),
        };
        for server in [&one, &two] {
            assert_eq!(server.policy(&format!("raced{n}:1.0-test"))["description"], winner);
        }
    }
}

#[test]
fn connections_that_the_database_closes_are_made_again() {
    let (one, two) = two();
    let mut record = record("going", &one.put_file("p.wasm", &parameters()));
    record["policy_parameters"] = json!({"n": -1});
    let uri = one.load(&record);
    assert_eq!(run(&two, "executor-002", &uri)["data"], json!({"n": -1}));
    for round in 0..3 {
        one.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        let change = json!({"$set": {"policy_parameters": {"n": round}}});
        // What was in use when it was closed may fail; what is asked again does not.
        eventually("a change to be possible", || same(one.put(&format!("/policy/{uri}"), &change).status, 200));
        eventually("the other server to know", || {
            same(run(&two, "executor-002", &uri)["data"].take(), json!({"n": round}))
        });
    }
    // Neither has lost its lease over it.
    for server in [&one, &two] {
        server.assert_serving();
    }
    assert!(Builder::beside(&one).try_start().is_err());
}

// attack 98
#[test]
fn the_databases_password_is_in_no_log_and_no_answer() {
    let server = TestServer::on_postgres().config("log = \"debug\"").start();
    let password = server.database_password();
    let refused = Builder::beside(&server).config("log = \"debug\"").try_start().err().unwrap();
    assert!(!refused.stderr.contains(password), "{}", refused.stderr);
    server.create_policy(&record("logged", "file:///nowhere/x.wasm"));
    server.sql("ALTER TABLE policies RENAME TO elsewhere");
    let failed = server.get("/policy/logged:1.0-test");
    assert_eq!(failed.refusal(), (500, "internal".into()));
    assert!(!failed.text().contains(password) && !failed.text().contains("elsewhere"), "{}", failed.text());
    assert!(!server.log().contains(password), "{}", server.log());
}
