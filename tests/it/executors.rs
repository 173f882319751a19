//! The registry of executors, their health, and calls that another executor answers.

use std::{net::TcpListener, path::Path, thread};

use lictor_tests::{
    Answer, Builder, CodeServer, Command, Guest, Reply, TestServer, eventually, guest_record, guest_zip, policy,
    record, sandbox::Guest as Scripted,
};
use serde_json::{Value, json};

const SEED: &str = include_str!("../data/seed/executor.json");
const SEED_UPDATE: &str = include_str!("../data/seed/update_executor.json");
const SEED_QUERY: &str = include_str!("../data/seed/query_executors.json");

/// Short enough that a test sees an executor go.
const HEARTBEAT: &str = "heartbeat_ms = 300";

fn seed() -> Value {
    serde_json::from_str(SEED).unwrap()
}

fn host(server: &TestServer) -> String {
    format!("http://{}", server.address())
}

/// Registers an executor, which must succeed; gives what its author is told beside that.
#[track_caller]
fn register(server: &TestServer, id: &str, host: &str) -> Value {
    let reply = server.post("/executor", &json!({"executor_id": id, "executor_host_uri": host}));
    assert_eq!(reply.clone().data(), "Executor created successfully.");
    reply.json()["warnings"].clone()
}

#[track_caller]
fn read(server: &TestServer, id: &str) -> Value {
    server.get(&format!("/executor/{id}")).data()
}

fn call(server: &TestServer, id: &str, query: &str, uri: &str, input: &Value) -> Reply {
    let body = json!({"policy_rule_uri": uri, "input_data": input});
    server.post(&format!("/executor/{id}/execute_policy{query}"), &body)
}

/// A system, and an executor of it in a process of its own that is registered there as `remote`.
fn pair() -> (TestServer, TestServer) {
    let system = TestServer::builder().allow_loopback().config(HEARTBEAT).start();
    let remote = remote_of(&system).start();
    assert_eq!(register(&system, "remote", &host(&remote)), Value::Null);
    (system, remote)
}

fn remote_of(system: &TestServer) -> Builder {
    let builder = TestServer::builder().allow_loopback().config(HEARTBEAT);
    builder.flag("--system", host(system)).flag("--executor-id", "remote")
}

/// Code that both processes of a pair may read.
fn serve(web: &CodeServer, path: &str, code: Vec<u8>) -> String {
    web.answer(path, Answer::ok(code));
    web.url(path)
}

/// An address at which nobody listens.
fn nowhere() -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", taken.local_addr().unwrap())
}

#[test]
fn the_requests_of_the_document_work_on_the_executor_that_is_here() {
    let server = TestServer::start();
    let before = read(&server, "executor-001");
    assert_eq!(before["executor_host_uri"], host(&server));
    assert_eq!((&before["executor_metadata"], &before["executor_status"]), (&json!({}), &json!("healthy")));
    let created = server.post("/executor", &seed());
    assert_eq!(
        (created.clone().data(), created.json().get("warnings")),
        (json!("Executor created successfully."), None)
    );
    let found = server.post_text("/executor/query", SEED_QUERY).data();
    assert_eq!(found[0]["executor_hardware_info"], seed()["executor_hardware_info"]);
    let updated =
        server.send("PUT", "/executor/executor-001", &[("Content-Type", "application/json")], SEED_UPDATE.as_bytes());
    assert_eq!(updated.data(), "Executor updated successfully.");
    let record = read(&server, "executor-001");
    assert_eq!(record["executor_metadata"]["tags"], json!(["amd_64", "zero-downtime", "ai-worker"]));
    assert_eq!((record["executor_metadata"]["country"].as_str(), record.get("metadata")), (Some("US"), None));
    assert_eq!(server.post_text("/executor/query", SEED_QUERY).data(), json!([]));
    // Once more: that is never a conflict, and what the document does not speak of stays.
    server.put("/executor/executor-001", &json!({"$set": {"max_processes": 7, "colour": "red"}})).data();
    server.post("/executor", &seed()).data();
    let record = read(&server, "executor-001");
    assert_eq!(record["executor_metadata"], seed()["executor_metadata"]);
    assert_eq!((&record["max_processes"], &record["colour"]), (&json!(7), &json!("red")));
    // What a client reads it may send back.
    assert_eq!(server.put("/executor/executor-001", &record).json()["success"], true);
}

#[test]
fn a_record_that_is_wrong_is_refused_by_field() {
    let server = TestServer::start();
    let own = host(&server);
    let port = server.address().port();
    let rows = [
        (json!({}), "executor_id"),
        (json!({"executor_id": "a/b", "executor_host_uri": "http://a.example"}), "executor_id"),
        (json!({"executor_id": "e"}), "executor_host_uri"),
        (json!({"executor_id": "e", "executor_host_uri": "a.example"}), "executor_host_uri"),
        (json!({"executor_id": "e", "executor_host_uri": "http://u:secret@a.example"}), "executor_host_uri"),
        (json!({"executor_id": "e", "cluster_public_ip": "http://a"}), "cluster_public_ip"),
        (json!({"executor_id": "e", "executor_host_uri": own}), "executor_host_uri"),
        (json!({"executor_id": "e", "executor_host_uri": format!("http://localhost:{port}/x")}), "executor_host_uri"),
        (
            json!({"executor_id": "e", "executor_host_uri": "http://a.example", "executor_metadata": []}),
            "executor_metadata",
        ),
        (json!({"executor_id": "executor-001", "executor_hardware_info": 5}), "executor_hardware_info"),
        (json!({"executor_id": "executor-001", "max_processes": -1}), "max_processes"),
    ];
    for (body, field) in rows {
        let reply = server.post("/executor", &body);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{body}");
        assert_eq!(reply.json()["field"], field, "{body}");
        assert!(!reply.text().contains("secret"), "{}", reply.text());
    }
    let neither = server.post("/executor", &json!({"executor_id": "e"})).text();
    assert!(neither.contains("executor_host_uri") && neither.contains("cluster_public_ip"), "{neither}");
    assert_eq!(server.get("/executor/e").refusal(), (200, "not_found".into()));
    assert_eq!(server.get("/executor/e").json()["message"], "Executor not found.");
    // The identity of the one that is here is not in its record.
    let moved = server.put("/executor/executor-001", &json!({"$set": {"executor_id": "e"}}));
    assert_eq!((moved.refusal(), &moved.json()["field"]), ((200, "invalid_input".into()), &json!("executor_id")));
    server.execute("no-such:1.0-x", &json!(1)).refusal();
}

#[test]
fn another_executor_is_a_record_like_every_other() {
    let server = TestServer::start();
    let record = json!({"executor_id": "far", "cluster_public_ip": "198.51.100.7", "colour": "red"});
    let warnings = server.post("/executor", &record).json()["warnings"].to_string();
    // An address for documentation is no public one.
    assert!(warnings.contains("colour") && warnings.contains("--allow-private 198.51.100.7"), "{warnings}");
    assert_eq!(server.post("/executor", &record).json()["success"], true, "the same again is fine");
    let other = json!({"executor_id": "far", "cluster_public_ip": "198.51.100.8"});
    assert_eq!(server.post("/executor", &other).refusal(), (200, "conflict".into()));
    let stored = read(&server, "far");
    assert_eq!(stored["executor_host_uri"], "http://198.51.100.7:30900");
    assert_eq!((&stored["executor_status"], stored.get("cluster_public_ip")), (&json!("healthy"), None));
    // Its health is what it says itself, until more is known; it can be searched by.
    server.put("/executor/far", &json!({"$set": {"executor_status": "resting"}})).data();
    for (status, expected) in [("resting", json!(["far"])), ("healthy", json!(["executor-001"])), ("busy", json!([]))] {
        let found = server.post("/executor/query?projection=executor_id", &json!({"executor_status": status})).data();
        let ids: Vec<_> = found.as_array().unwrap().iter().map(|one| one["executor_id"].clone()).collect();
        assert_eq!(Value::Array(ids), expected, "{status}");
    }
    let taken = server.put("/executor/far", &json!({"$set": {"executor_id": "executor-001"}}));
    assert_eq!(taken.refusal(), (200, "invalid_input".into()));
    server.put("/executor/far", &json!({"$set": {"executor_id": "farther"}})).data();
    assert_eq!(server.get("/executor/far").refusal(), (200, "not_found".into()));
    assert_eq!(server.delete("/executor/farther").data(), "Executor deleted successfully.");
    assert_eq!(server.delete("/executor/farther").refusal(), (200, "not_found".into()));
    assert_eq!(call(&server, "farther", "", "a:1-b", &json!(1)).refusal(), (404, "not_found".into()));
}

#[test]
fn a_private_host_is_named_at_registration_and_refused_at_each_call() {
    let server = TestServer::start();
    for host in ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "http://10.0.0.1:9"] {
        let warnings = register(&server, "near", host).to_string();
        assert!(warnings.contains("--allow-private"), "{host}: {warnings}");
        let refused = call(&server, "near", "", "a:1-b", &json!(1));
        assert_eq!(refused.refusal(), (502, "code_unreachable".into()), "{host}");
        assert!(refused.text().contains("--allow-private"), "{}", refused.text());
        server.delete("/executor/near").data();
    }
}

#[test]
fn the_executor_that_is_here_goes_out_of_service_until_it_is_registered_again() {
    let server = TestServer::start();
    let uri = server.load(&guest_record("ip_allowlist"));
    let input = json!({"ip": "10.0.0.1"});
    let statuses = |server: &TestServer| {
        let here = server.post("/execute_policy", &json!({"policy_rule_uri": uri, "input_data": input})).status;
        [
            call(server, "executor-001", "", &uri, &input).status,
            call(server, "executor-0", "", &uri, &input).status,
            here,
        ]
    };
    assert_eq!(statuses(&server), [200, 200, 202]);
    assert_eq!(read(&server, "executor-0")["executor_id"], "executor-001");
    server.delete("/executor/executor-001").data();
    assert_eq!(statuses(&server), [404, 404, 404]);
    assert_eq!(server.execute(&uri, &input).json()["message"], "Executor not found");
    assert_eq!(server.get("/executor/executor-001").refusal(), (200, "not_found".into()));
    let server = server.kill().start();
    assert_eq!(statuses(&server), [404, 404, 404]);
    assert!(server.log().contains("until it is registered again"), "{}", server.log());
    server.post("/executor", &seed()).data();
    assert_eq!(statuses(&server), [200, 200, 202]);
    let server = server.stop().start();
    assert_eq!(statuses(&server), [200, 200, 202]);
    assert_eq!(read(&server, "executor-001")["executor_host_uri"], host(&server), "as it is reached now");
    // Somebody else may have the name that the original's SDK takes for granted.
    register(&server, "executor-0", "http://198.51.100.7");
    assert_eq!(statuses(&server), [200, 502, 202]);
    server.delete("/executor/executor-0").data();
    assert_eq!(statuses(&server), [200, 200, 202]);
}

#[test]
fn its_own_route_answers_202_and_notices_a_call_for_somebody_else() {
    let server = TestServer::start();
    let uri = server.load(&guest_record("ip_allowlist"));
    let body = json!({"policy_rule_uri": uri, "input_data": {"ip": "10.0.0.1"}, "parameters": null}).to_string();
    let send = |query: &str, headers: &[(&str, &str)]| {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        server.send("POST", &format!("/execute_policy{query}"), &headers, body.as_bytes())
    };
    let plain = send("", &[]);
    let on_system = server.post_text("/executor/executor-001/execute_policy", &body);
    assert_eq!((plain.status, plain.body), (202, on_system.body));
    assert!(send("?usage=1", &[("x-lictor-executor", "executor-001")]).json()["usage"]["wall_us"].is_u64());
    let wrong = send("", &[("X-Lictor-Executor", "b")]);
    assert_eq!(wrong.refusal(), (409, "conflict".into()));
    assert_eq!(wrong.json()["message"], "this executor is `executor-001`, the caller expected `b`");
    assert_eq!(send("?dry_run=1", &[]).status, 202);
    assert_eq!(send("?colour=red", &[]).refusal(), (400, "invalid_input".into()));
    assert_eq!(
        server.post("/execute_policy", &json!({"policy_rule_uri": uri})).refusal(),
        (400, "invalid_input".into())
    );
    let unknown = json!({"policy_rule_uri": "no-such:1.0-x", "input_data": 1});
    assert_eq!(server.post("/execute_policy", &unknown).refusal(), (404, "not_found".into()));
    assert_eq!(server.get("/execute_policy").status, 405);
}

#[test]
fn a_call_is_answered_by_another_process_as_it_would_be_here() {
    let (system, remote) = pair();
    let web = CodeServer::start();
    let spin = Guest { eval: "(loop $l (br $l)) (unreachable)", ..Guest::default() };
    let mut spins = record("spins", &serve(&web, "/spins.wasm", spin.build()));
    spins["limits"] = json!({"timeout_ms": 50});
    let mut echo = record("echo", &serve(&web, "/echo.wasm", Scripted::echo().component()));
    echo["policy_parameters"] = json!({"stored": true});
    let mut broken = record("broken", &serve(&web, "/broken.wasm", b"no component".to_vec()));
    broken["description"] = json!("never loads");
    let uris = [system.load(&guest_record("ip_allowlist")), system.load(&spins), system.load(&echo)];
    let broken = system.create_policy(&broken);
    let (allow, spins, echo) = (&uris[0], &uris[1], &uris[2]);
    let big = json!({"text": "ü\u{1f600}\"\\".repeat(2000), "number": 12_345_678_901_234_567_890_u64});
    for (uri, input) in [(allow, &json!({"ip": "10.0.0.1"})), (spins, &json!(1)), (echo, &big), (&broken, &json!(1))] {
        let (here, there) = (system.execute(uri, input), call(&system, "remote", "", uri, input));
        assert_eq!((there.status, there.json()), (here.status, here.json()), "{uri}");
    }
    let fetched = web.hits("/broken.wasm");
    for _ in 0..5 {
        call(&system, "remote", "", &broken, &json!(1)).refusal();
    }
    assert_eq!(web.hits("/broken.wasm"), fetched, "what cannot be loaded is not fetched for every call");
    for (query, uri) in [("?usage=1", allow), ("?usage=1", spins)] {
        assert!(call(&system, "remote", query, uri, &json!({"ip": "10.0.0.1"})).json()["usage"]["wall_us"].is_u64());
    }
    for (query, body) in [
        ("", json!({"policy_rule_uri": "no-such:1.0-x", "input_data": 1})),
        ("", json!({"policy_rule_uri": "../x", "input_data": 1})),
        ("", json!({"policy_rule_uri": 5, "input_data": 1})),
        ("", json!({"policy_rule_uri": allow})),
        ("", json!({"policy_rule_uri": allow, "input_data": 1, "parameters": []})),
        ("?dry_run=1", json!({"policy_rule_uri": allow, "input_data": 1})),
        ("?timeout_ms=0", json!({"policy_rule_uri": allow, "input_data": 1})),
        (
            "",
            json!({"policy_rule_uri": allow, "input_data": {"ip": "10.9.9.9"}, "parameters": {"local_allowlist": ["10.9.9.9"]}}),
        ),
    ] {
        let here = system.post(&format!("/executor/executor-001/execute_policy{query}"), &body);
        let there = system.post(&format!("/executor/remote/execute_policy{query}"), &body);
        assert_eq!((there.status, there.json()), (here.status, here.json()), "{body}");
    }
    assert_eq!(remote.execute(allow, &json!(1)).refusal(), (501, "not_available".into()), "it is not executor-001");
    assert_eq!(call(&remote, "remote", "", allow, &json!({"ip": "10.0.0.1"})).status, 200);
}

#[test]
fn the_context_of_a_policy_is_kept_where_it_runs() {
    let (system, remote) = pair();
    let web = CodeServer::start();
    let mut keeps = record("keeps", &serve(&web, "/context.wasm", Scripted::named("context").component()));
    keeps["limits"] = json!({"timeout_ms": 60_000});
    let uri = system.load(&keeps);
    call(&system, "remote", "", &uri, &json!("s key there")).data();
    system.execute(&uri, &json!("s key here")).data();
    assert_eq!(call(&system, "remote", "", &uri, &json!("g key")).data(), "there");
    assert_eq!(system.execute(&uri, &json!("g key")).data(), "here");
    let remote = remote.kill().start();
    assert_eq!(call(&remote, "remote", "", &uri, &json!("g key")).data(), "there");
}

// attack 86
#[test]
fn a_wrong_host_is_noticed_and_no_call_goes_round_in_a_circle() {
    let (system, remote) = pair();
    let uri = system.load(&guest_record("ip_allowlist"));
    let input = json!({"ip": "10.0.0.1"});
    register(&system, "other", &host(&remote));
    let wrong = call(&system, "other", "", &uri, &input);
    assert_eq!(wrong.refusal(), (409, "conflict".into()));
    assert!(wrong.text().contains("`remote`") && wrong.text().contains("`other`"), "{}", wrong.text());
    // Two systems, each of which takes the other's executor for one that is behind it.
    let second = TestServer::builder().allow_loopback().flag("--executor-id", "second").start();
    register(&system, "lost", &format!("{}/executor/lost", host(&second)));
    register(&second, "lost", &format!("{}/executor/lost", host(&system)));
    let circle = call(&system, "lost", "", &uri, &input);
    assert_eq!(circle.refusal(), (409, "conflict".into()));
    assert!(circle.text().contains("executor-001") && circle.text().contains("second"), "{}", circle.text());
}

#[test]
fn a_change_in_the_system_is_in_force_on_its_executor() {
    let (system, remote) = pair();
    let web = CodeServer::start();
    let one = serve(&web, "/1.wasm", policy("1"));
    let uri = system.load(&record("changes", &one));
    assert_eq!(call(&system, "remote", "", &uri, &json!(0)).data(), 1);
    let two = serve(&web, "/2.wasm", policy("2"));
    system.put(&format!("/policy/{uri}"), &json!({"$set": {"code": two}})).data();
    eventually("the change to be in force", || match call(&system, "remote", "", &uri, &json!(0)).data() {
        Value::Number(n) if n.as_u64() == Some(2) => Ok(()),
        other => Err(other),
    });
    system.delete(&format!("/policy/{uri}")).data();
    let gone = eventually("the policy to be gone", || match call(&remote, "remote", "", &uri, &json!(0)) {
        reply if reply.status == 404 => Ok(reply.json()),
        reply => Err(reply.text()),
    });
    assert_eq!(gone["message"], "Policy not found.");
    // A system that cannot be asked is no reason to run what it may have withdrawn.
    let uri = system.load(&record("again", &one));
    assert_eq!(call(&remote, "remote", "", &uri, &json!(0)).data(), 1);
    let url = host(&system);
    drop(system);
    let refused = eventually("the system to be missed", || match call(&remote, "remote", "", &uri, &json!(0)) {
        reply if reply.status == 200 => Err(reply.text()),
        reply => Ok(reply),
    });
    assert_eq!(refused.refusal(), (502, "code_unreachable".into()));
    assert!(refused.text().contains(&url), "{}", refused.text());
}

#[test]
fn code_in_the_systems_assets_runs_on_its_executor() {
    let (system, remote) = pair();
    let url = host(&system);
    let push = [Path::new("push"), &guest_zip("ip_allowlist"), Path::new("--to"), Path::new(&url)];
    Command::new(push).run().exits(0);
    let pushed = system.post("/policy/query", &json!({"name": "ip_allowlist"})).data()[0].clone();
    assert!(pushed["code"].as_str().is_some_and(|code| code.starts_with("asset:")), "{pushed}");
    let uri = pushed["policy_rule_uri"].as_str().unwrap();
    let allowed = call(&system, "remote", "", uri, &json!({"ip": "10.0.0.1"})).data();
    assert_eq!(allowed, system.execute(uri, &json!({"ip": "10.0.0.1"})).data());
    // By its id and by its own address too, at which nothing else would let the other process look.
    let asset =
        system.get(&format!("/asset/{}", pushed["code"].as_str().unwrap().strip_prefix("asset:").unwrap())).data();
    let id = asset["asset_id"].as_str().unwrap();
    for (name, code) in [("by_id", format!("asset://{id}")), ("by_url", format!("{url}/asset-object/{id}"))] {
        let uri = system.load(&record(name, &code));
        assert_eq!(call(&remote, "remote", "", &uri, &json!({"ip": "10.0.0.1"})).data(), allowed, "{code}");
    }
    let missing = system.create_policy(&record("missing", "asset:no-such:1.0-x"));
    let refused = call(&remote, "remote", "", &missing, &json!(1));
    assert_eq!(refused.refusal(), (502, "code_unreachable".into()));
    assert!(refused.text().contains("asset:no-such:1.0-x"), "{}", refused.text());
}

#[test]
fn a_record_that_did_not_change_is_not_sent_again() {
    let server = TestServer::start();
    let uri = server.load(&guest_record("ip_allowlist"));
    let path = format!("/policy/{uri}");
    let first = server.get(&path);
    let tag = first.header("etag").unwrap().to_owned();
    let again = server.send("GET", &path, &[("If-None-Match", &tag)], b"");
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
    server.put(&path, &json!({"$set": {"description": "other"}})).data();
    let changed = server.send("GET", &path, &[("If-None-Match", &tag)], b"");
    assert_eq!((changed.status, &changed.json()["data"]["description"]), (200, &json!("other")));
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[test]
fn an_executor_of_a_system_has_no_registries() {
    let (system, remote) = pair();
    let url = host(&system);
    let get = |path: &str| remote.get(path);
    for path in ["/policy/a:1-b", "/executor/remote", "/graphs/a:1-b"] {
        let refused = get(path);
        assert_eq!(refused.refusal(), (200, "not_available".into()), "{path}");
        assert!(refused.text().contains(&url), "{}", refused.text());
    }
    assert_eq!(get("/function/f").refusal(), (501, "not_available".into()));
    // The jobs that it was given are its own.
    assert_eq!(get("/jobs/j").refusal(), (200, "not_found".into()));
    assert_eq!(remote.post("/jobs/query", &json!({})).refusal(), (200, "not_available".into()));
    assert_eq!(remote.post("/policy", &record("a", "https://a.example")).refusal(), (200, "not_available".into()));
    assert_eq!(remote.post("/executor", &seed()).refusal(), (200, "not_available".into()));
    assert_eq!(remote.post("/executor/remote/create-infra", &json!({})).refusal(), (501, "not_available".into()));
    assert_eq!(get("/no-such-route").refusal(), (404, "not_found".into()));
    assert_eq!(get("/openapi.json").status, 200);
    // Nor can it be the system of another one.
    let third =
        TestServer::builder().allow_loopback().flag("--system", host(&remote)).flag("--executor-id", "third").start();
    let refused = call(&third, "third", "", "a:1.0-b", &json!(1));
    assert_eq!(refused.refusal(), (502, "code_unreachable".into()));
    assert!(refused.text().contains(&url), "{}", refused.text());
    let refused = TestServer::builder()
        .flag("--system", "http://127.0.0.1:1")
        .flag("--store", "postgres://a@127.0.0.1/b")
        .try_start()
        .err()
        .expect("makes no sense");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("`system` and `store`"), "{refused:?}");
}

// attack 87
#[test]
fn an_executor_of_the_original_is_understood() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    register(&server, "old", &format!("{}/", web.origin()));
    let ask = |answer: Answer| {
        web.answer("/execute_policy", answer);
        call(&server, "old", "", "a:1.0-b", &json!({"x": [1, 2.50]}))
    };
    for (status, body, data) in [
        (202, json!({"success": true, "data": {"allowed": true}}), json!({"allowed": true})),
        (202, json!({"success": true, "data": null}), Value::Null),
        (500, json!({"success": true, "message": "done"}), json!("done")),
        (
            202,
            json!({"success": true, "data": {"success": false, "message": "it broke"}}),
            json!({"success": false, "message": "it broke"}),
        ),
    ] {
        assert_eq!(ask(Answer::json(&body).with_status(status)).data(), data, "{body}");
    }
    for (status, body, expected, says) in [
        (500, json!({"success": false, "message": "no such policy"}), (502, "internal"), "no such policy"),
        (500, json!({"success": false, "error": "out of disk"}), (502, "internal"), "out of disk"),
        (
            400,
            json!({"success": false, "message": "input_data is required"}),
            (400, "invalid_input"),
            "input_data is required",
        ),
        (429, json!({"success": false, "message": "later"}), (429, "busy"), "later"),
        (200, json!({"data": 1}), (502, "code_unreachable"), "`old`"),
        (200, json!([1]), (502, "code_unreachable"), "`old`"),
    ] {
        let reply = ask(Answer::json(&body).with_status(status));
        assert_eq!(reply.refusal(), (expected.0, expected.1.into()), "{body}");
        assert!(reply.text().contains(says) && reply.text().contains("old"), "{}", reply.text());
        assert_eq!(reply.header("retry-after").is_some(), expected.0 == 429);
    }
    for answer in [
        Answer::ok("<html>"),
        Answer::ok(""),
        Answer::redirect("/elsewhere"),
        Answer::status(404),
        Answer::ok("x".repeat(1 << 16)).endless(),
    ] {
        let reply = ask(answer.clone());
        assert_eq!(reply.refusal(), (502, "code_unreachable".into()), "{answer:?}");
    }
    // Exactly three fields, as they came, and no header that a proxy would trip over.
    let seen = web.seen().into_iter().find(|seen| seen.path == "/execute_policy").unwrap();
    let sent = r#"{"policy_rule_uri":"a:1.0-b","input_data":{"x":[1,2.5]},"parameters":null}"#;
    assert_eq!((seen.method.as_str(), String::from_utf8(seen.body).unwrap()), ("POST", sent.into()));
    let header = |name: &str| seen.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!((header("x-lictor-executor"), header("x-lictor-via")), (Some("old"), Some("executor-001")));
}

// attack 87
#[test]
fn an_executor_that_does_not_answer_is_given_up_in_time() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    register(&server, "slow", &web.origin());
    web.answer("/execute_policy?timeout_ms=50", Answer::ok("{}").held());
    let reply = call(&server, "slow", "?timeout_ms=50", "a:1.0-b", &json!(1));
    assert_eq!(reply.refusal(), (502, "code_unreachable".into()));
    assert!(reply.text().contains("did not answer in time"), "{}", reply.text());
    server.assert_serving();
}

#[test]
fn an_executor_without_heartbeats_is_judged_by_its_last_call() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let (nowhere, somewhere) = (nowhere(), web.origin());
    register(&server, "e", &nowhere);
    let status = || read(&server, "e")["executor_status"].clone();
    assert_eq!(status(), "healthy", "as registered");
    let refused = call(&server, "e", "", "a:1.0-b", &json!(1));
    assert_eq!(refused.refusal(), (502, "code_unreachable".into()));
    assert!(refused.text().contains("the executor `e`") && refused.text().contains(&nowhere), "{}", refused.text());
    assert_eq!(status(), "unreachable");
    assert_eq!(
        server.post("/executor/query", &json!({"executor_status": "unreachable"})).data()[0]["executor_id"],
        "e"
    );
    web.answer("/execute_policy", Answer::json(&json!({"success": false, "message": "no"})).with_status(500));
    server.put("/executor/e", &json!({"$set": {"executor_host_uri": somewhere}})).data();
    assert_eq!(status(), "healthy", "nothing is known of the new place");
    call(&server, "e", "", "a:1.0-b", &json!(1)).refusal();
    assert_eq!(status(), "healthy", "it answered, if only that it cannot");
}

#[test]
fn heartbeats_say_how_an_executor_is_and_when_it_is_gone() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("late").held());
    let system = TestServer::builder().allow_loopback().config(HEARTBEAT).start();
    let remote = remote_of(&system).env("LICTOR_MAX_PROCESSES", "1").start();
    let url = host(&system);
    let asked = |remote: &TestServer| {
        eventually("the remote to say how it is registered", || {
            let log = remote.log();
            let found = log.split_once(&format!("curl -X POST {url}/executor ")).map(|(_, rest)| rest.to_owned());
            found.and_then(|rest| Some(rest.split('\'').nth(3)?.to_owned())).ok_or(log)
        })
    };
    // It is not registered by saying that it is there; it says what to do.
    assert_eq!(system.post_text("/executor", &asked(&remote)).json()["success"], true);
    let status = |expected: &str| {
        eventually(&format!("the remote to be {expected}"), || {
            match read(&system, "remote")["executor_status"].clone() {
                status if status == expected => Ok(()),
                status => Err(status),
            }
        });
    };
    eventually(
        "the remote to be known",
        || {
            if remote.log().contains("knows again") { Ok(()) } else { Err(remote.log()) }
        },
    );
    assert_eq!(remote.log().matches("curl").count(), 1, "{}", remote.log());
    status("healthy");
    let mut fetches = record("fetches", &serve(&web, "/fetches.wasm", Scripted::named("fetches").component()));
    fetches["capabilities"] = json!({"http": [web.origin()]});
    fetches["limits"] = json!({"timeout_ms": 60_000});
    let uri = system.load(&fetches);
    let input = json!(format!("127.0.0.1:{}", web.port()));
    thread::scope(|scope| {
        let running = scope.spawn(|| call(&system, "remote", "", &uri, &input).data());
        status("busy");
        let busy = call(&system, "remote", "?timeout_ms=100", &uri, &input);
        assert_eq!(busy.refusal(), (429, "busy".into()));
        assert!(busy.header("retry-after").is_some());
        web.release();
        assert_eq!(running.join().unwrap(), 200);
    });
    status("healthy");
    let builder = remote.kill();
    status("unreachable");
    assert_eq!(
        system.post("/executor/query", &json!({"executor_status": "unreachable"})).data()[0]["executor_id"],
        "remote"
    );
    let _remote = builder.start();
    status("healthy");
}

// attack 84
#[test]
fn a_heartbeat_that_is_wrong_is_refused() {
    let server = TestServer::start();
    let beat = |id: &str, body: Value| server.post(&format!("/executor/{id}/heartbeat"), &body);
    register(&server, "e", "http://198.51.100.7");
    for body in [json!({}), json!({"executor_status": "dead"}), json!({"executor_status": 1})] {
        let reply = beat("e", body.clone());
        assert_eq!(
            (reply.refusal(), &reply.json()["field"]),
            ((200, "invalid_input".into()), &json!("executor_status")),
            "{body}"
        );
    }
    assert_eq!(beat("nobody", json!({"executor_status": "busy"})).refusal(), (200, "not_found".into()));
    assert_eq!(server.get("/executor/nobody").refusal(), (200, "not_found".into()), "it registers nothing");
    beat("e", json!({"executor_status": "busy", "load": 0.7})).data();
    assert_eq!(read(&server, "e")["executor_status"], "busy");
    // A new executor of the same name has not said anything yet.
    server.delete("/executor/e").data();
    register(&server, "e", "http://198.51.100.7");
    assert_eq!(read(&server, "e")["executor_status"], "healthy");
}

#[test]
fn past_max_processes_callers_wait_and_are_then_told_to_come_again() {
    let web = CodeServer::start();
    web.answer("/", Answer::ok("late").held());
    let server = TestServer::builder().allow_loopback().config("max_processes = 5").start();
    server.put("/executor/executor-001", &json!({"$set": {"max_processes": 1}})).data();
    let mut fetches = record("fetches", &server.put_file("fetches.wasm", &Scripted::named("fetches").component()));
    fetches["capabilities"] = json!({"http": [web.origin()]});
    fetches["limits"] = json!({"timeout_ms": 60_000});
    let (uri, quick) = (server.load(&fetches), server.load(&guest_record("ip_allowlist")));
    let input = json!(format!("127.0.0.1:{}", web.port()));
    thread::scope(|scope| {
        let first = scope.spawn(|| server.execute(&uri, &input).data());
        eventually("the first call to run", || if web.hits("/") == 1 { Ok(()) } else { Err(()) });
        assert_eq!(read(&server, "executor-001")["executor_status"], "busy");
        // Another policy's call: the limit is the executor's. Its own time is how long it waits.
        let body = json!({"policy_rule_uri": quick, "input_data": {"ip": "10.0.0.1"}});
        let busy = server.execute_as("?timeout_ms=50", &body);
        assert_eq!(busy.refusal(), (429, "busy".into()));
        assert!(busy.header("retry-after").is_some());
        let waiting = scope.spawn(|| server.execute(&uri, &input).data());
        assert!(!waiting.is_finished());
        web.release();
        assert_eq!((first.join().unwrap(), waiting.join().unwrap()), (json!(200), json!(200)));
    });
    assert_eq!(read(&server, "executor-001")["executor_status"], "healthy");
    server.execute(&quick, &json!({"ip": "10.0.0.1"})).data();
}

#[test]
fn the_limit_of_another_executor_bounds_what_is_passed_on_to_it() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    web.answer("/execute_policy", Answer::json(&json!({"success": true, "data": 1})).held());
    let record = json!({"executor_id": "small", "executor_host_uri": web.origin(), "max_processes": 1});
    server.post("/executor", &record).data();
    thread::scope(|scope| {
        let first = scope.spawn(|| call(&server, "small", "", "a:1.0-b", &json!(1)).data());
        eventually("the first call to be there", || if web.hits("/execute_policy") == 1 { Ok(()) } else { Err(()) });
        assert_eq!(call(&server, "small", "?timeout_ms=50", "a:1.0-b", &json!(1)).refusal(), (429, "busy".into()));
        web.release();
        assert_eq!(first.join().unwrap(), 1);
    });
    assert_eq!(web.seen().len(), 1, "what had to wait was never sent");
}

// attack 75
#[test]
fn infrastructure_is_checked_and_nothing_of_it_is_kept() {
    let server = TestServer::builder().env("LICTOR_LOG", "trace").start();
    register(&server, "far", "http://198.51.100.7");
    let send = |method: &str, id: &str, body: &Value| {
        let end = if method == "POST" { "create-infra" } else { "remove-infra" };
        let path = format!("/executor/{id}/{end}");
        server.send(method, &path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    };
    let exec = json!({"users": [{"name": "u", "user": {"exec": {"command": "k1wi-s3cret"}, "token": "k1wi-s3cret"}}]});
    let fine = json!({"clusters": [], "users": [{"name": "u", "user": {"token": "k1wi-s3cret"}}]});
    for method in ["POST", "DELETE"] {
        for (body, status, field) in [
            (json!({}), 400, json!("cluster_config")),
            (json!({"cluster_config": "k1wi-s3cret"}), 400, json!("cluster_config")),
            (json!({"cluster_config": exec}), 400, json!("cluster_config.users.0.user.exec")),
            (json!({"cluster_config": {"raw": exec.to_string()}}), 400, json!("cluster_config.raw.users.0.user.exec")),
            (
                json!({"cluster_config": {"users": [{"user": {"auth-provider": {}}}]}}),
                400,
                json!("cluster_config.users.0.user.auth-provider"),
            ),
            (json!({"cluster_config": fine, "max_processes": "k1wi-s3cret"}), 400, json!("max_processes")),
            (json!({"cluster_config": fine, "max_processes": 4}), 501, Value::Null),
            (json!({"cluster_config": {"provider": "kubernetes", "region": "us-west"}}), 501, Value::Null),
        ] {
            for id in ["executor-001", "far"] {
                let reply = send(method, id, &body);
                assert_eq!((reply.status, &reply.json()["field"]), (status, &field), "{method} {body}");
                assert!(!reply.text().contains("k1wi-s3cret"), "{}", reply.text());
            }
            assert_eq!(send(method, "nobody", &body).refusal(), (404, "not_found".into()), "{method} {body}");
        }
    }
    let data = server.data_dir();
    assert!(!server.log().contains("k1wi-s3cret"));
    let _kept = server.stop();
    let (mut folders, mut looked_at) = (vec![data], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                looked_at += 1;
                let bytes = std::fs::read(&entry).unwrap();
                assert!(!bytes.windows(11).any(|window| window == b"k1wi-s3cret"), "{}", entry.display());
            }
        }
    }
    assert!(0 < looked_at, "the data directory is not there");
}
