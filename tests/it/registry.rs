//! The registry of policies.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use lictor_tests::{TestServer, eventually, policy, record};
use serde_json::{Value, json};

const SEED_UPDATE: &str = include_str!("../data/seed/update_policy.json");

/// Tells threads to end, also when the one that waits for them fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A record whose code is never looked at.
fn unloaded(name: &str) -> Value {
    record(name, "file:///nowhere/x.wasm")
}

#[test]
fn a_record_reads_back_with_every_key_that_clients_of_the_original_need() {
    let server = TestServer::start();
    let uri = server.load(&record("minimal", &server.put_file("p.wasm", &policy("1"))));
    let read = server.policy(&uri);
    for (key, expected) in [
        ("name", json!("minimal")),
        ("version", json!("1.0")),
        ("release_tag", json!("test")),
        ("metadata", json!({})),
        ("tags", json!("")),
        ("code_type", json!("")),
        ("type", json!("wasm_component_v1")),
        ("policy_input_schema", json!({})),
        ("policy_output_schema", json!({})),
        ("policy_settings_schema", json!({})),
        ("policy_parameters_schema", json!({})),
        ("policy_settings", json!({})),
        ("policy_parameters", json!({})),
        ("management_commands_schema", json!([])),
        ("description", json!("")),
        ("functionality_data", json!({})),
        ("resource_estimates", json!({})),
        ("policy_rule_uri", json!("minimal:1.0-test")),
        ("load", json!({"state": "ready"})),
    ] {
        assert_eq!(read.get(key), Some(&expected), "{key}");
    }
    assert!(read["code"].as_str().is_some_and(|code| code.ends_with("/p.wasm")));
    assert!(read["component_digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{read}");
    assert_eq!(read.get("_id"), None);
}

#[test]
fn what_was_posted_is_what_is_read() {
    let server = TestServer::start();
    let mut record = unloaded("full");
    for (key, value) in [
        ("metadata", json!({"author": "A", "nested": {"list": [1, 2.5, null]}})),
        ("tags", json!("a,b")),
        ("policy_settings", json!({"k": "ü\u{0}\u{1f600}"})),
        ("policy_parameters", json!({"big": 12_345_678_901_234_567_890_u64, "small": 1e-9})),
        ("limits", json!({"timeout_ms": 50})),
        ("capabilities", json!({"http": ["https://example.com"], "context": false})),
        ("colour", json!("red")),
    ] {
        record[key] = value;
    }
    let created = server.post("/policy", &record);
    assert_eq!(created.json()["warnings"], json!(["unknown field `colour` is kept and not used"]));
    let read = server.policy("full:1.0-test");
    for (key, value) in record.as_object().unwrap() {
        assert_eq!(&read[key], value, "{key}");
    }
}

#[test]
fn the_same_record_again_is_fine_and_another_one_is_a_conflict() {
    let server = TestServer::start();
    let mut record = unloaded("twice");
    server.create_policy(&record);
    server.create_policy(&record);
    record["description"] = json!("other");
    let conflict = server.post("/policy", &record);
    assert_eq!(conflict.refusal(), (200, "conflict".into()));
    assert!(conflict.text().contains("`twice:1.0-test`: change that one with PUT"), "{}", conflict.text());
    assert_eq!(server.policy("twice:1.0-test")["description"], "");
    // What a client reads it may send back.
    let read = server.policy("twice:1.0-test");
    assert_eq!(server.post("/policy", &read).data(), "Policy created successfully.");
}

#[test]
fn a_record_that_is_wrong_is_refused_by_field_and_not_stored() {
    let server = TestServer::start();
    let rows = [
        ("name", json!("")),
        ("name", json!("a/b")),
        ("name", json!("ünïcode")),
        ("name", json!("..")),
        ("name", json!("a:b")),
        ("name", json!("x".repeat(129))),
        ("name", json!(5)),
        ("name", Value::Null),
        ("version", json!(1.0)),
        ("version", json!("1 0")),
        ("release_tag", json!("a@b")),
        ("type", json!("jar")),
        ("code", json!("")),
        ("code", json!("gopher://example.com/x")),
        ("code", json!("data:application/wasm;base64,AA==")),
        ("code", json!("https://user:secret@example.com/x.zip")),
        ("code", json!("file://../etc/passwd")),
        ("code", json!("https://example.com/\u{0}")),
        ("code", json!("x".repeat(5000))),
        ("tags", json!({"a": 1})),
        ("policy_settings", json!([])),
        ("policy_parameters", json!("{}")),
        ("policy_input_schema", json!([])),
        ("management_commands_schema", json!({})),
        ("description", json!(5)),
        ("code_digest", json!("md5:abc")),
        ("code_digest", json!("sha256:abc")),
        ("limits", json!([])),
        ("capabilities", json!({"files": ["/"]})),
        ("schema_mode", json!("strict")),
        ("deterministic", json!("yes")),
    ];
    for (field, value) in rows {
        let mut record = unloaded("wrong");
        record[field] = value.clone();
        let reply = server.post("/policy", &record);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{field}: {value}");
        assert_eq!(reply.json()["field"], field, "{value}");
        assert!(!reply.text().contains("secret"), "{}", reply.text());
    }
    let nested = [
        ("limits", json!({"cpu": 1}), "cpu"),
        ("limits", json!({"timeout_ms": 0}), "timeout_ms"),
        ("limits", json!({"timeout_ms": -1}), "timeout_ms"),
        ("limits", json!({"memory_mb": 1.5}), "memory_mb"),
        ("capabilities", json!({"http": ["https://a.example/path"]}), "https://a.example/path"),
        ("capabilities", json!({"http": "https://a.example"}), "capabilities.http"),
        ("capabilities", json!({"context": 1}), "capabilities.context"),
    ];
    for (field, value, named) in nested {
        let mut record = unloaded("wrong");
        record[field] = value.clone();
        let reply = server.post("/policy", &record);
        assert_eq!(reply.refusal(), (200, "invalid_input".into()), "{field}: {value}");
        assert!(reply.text().contains(named), "{value}: {}", reply.text());
    }
    for missing in ["name", "version", "release_tag", "code", "type"] {
        let mut record = unloaded("wrong");
        record.as_object_mut().unwrap().remove(missing);
        let body = server.post("/policy", &record).json();
        assert_eq!((&body["code"], &body["field"]), (&json!("invalid_input"), &json!(missing)), "{body}");
    }
    assert_eq!(server.post("/policy", &json!([])).refusal(), (200, "invalid_input".into()));
    assert_eq!(server.post("/policy/query", &json!({})).data(), json!([]));
}

#[test]
fn the_seeds_own_update_works_verbatim() {
    let server = TestServer::start();
    let mut record = unloaded("ip_allowlist");
    record["release_tag"] = json!("beta");
    record["policy_parameters"] = json!({"local_allowlist": ["127.0.0.1"], "kept": true});
    server.create_policy(&record);
    let path = "/policy/ip_allowlist:1.0-beta";
    let reply = server.send("PUT", path, &[("Content-Type", "application/json")], SEED_UPDATE.as_bytes());
    assert_eq!(reply.data(), "Policy updated successfully.");
    let read = server.policy("ip_allowlist:1.0-beta");
    assert_eq!(read["policy_parameters"], json!({"local_allowlist": ["10.0.0.1", "8.8.8.8"], "kept": true}));
    assert_eq!(read["description"], "Updated policy to allow new internal IP ranges.");
    assert_eq!(read["code"], record["code"]);
}

#[test]
fn an_update_takes_effect_at_once() {
    let server = TestServer::start();
    let (one, two) = (server.put_file("1.wasm", &policy("1")), server.put_file("2.wasm", &policy("2")));
    let uri = server.load(&record("changing", &one));
    let path = format!("/policy/{uri}");
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
    assert_eq!(server.put(&path, &json!({"$set": {"code": two}})).data(), "Policy updated successfully.");
    assert_eq!(server.execute(&uri, &json!(0)).data(), 2);
    assert_eq!(server.put(&path, &record("changing", &one)).data(), "Policy updated successfully.");
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
    assert_eq!(server.put(&path, &json!({"$unset": {"description": ""}})).data(), "Policy updated successfully.");
    assert_eq!(server.put(&path, &record("changing", &one)).data(), "Policy updated successfully.", "nothing changes");
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
}

#[test]
fn a_full_update_replaces_what_it_does_not_name() {
    let server = TestServer::start();
    let mut first = unloaded("replaced");
    first["description"] = json!("first");
    first["limits"] = json!({"timeout_ms": 5});
    let uri = server.create_policy(&first);
    server.put(&format!("/policy/{uri}"), &unloaded("replaced")).data();
    let read = server.policy(&uri);
    assert_eq!((&read["description"], read.get("limits")), (&json!(""), None));
}

#[test]
fn another_version_moves_the_record() {
    let server = TestServer::start();
    let code = server.put_file("1.wasm", &policy("1"));
    let old = server.load(&record("moving", &code));
    server.put(&format!("/policy/{old}"), &json!({"$set": {"version": "2.0"}})).data();
    assert_eq!(server.get(&format!("/policy/{old}")).refusal(), (200, "not_found".into()));
    assert_eq!(server.execute(&old, &json!(0)).refusal(), (404, "not_found".into()));
    assert_eq!(server.policy("moving:2.0-test")["policy_rule_uri"], "moving:2.0-test");
    assert_eq!(server.execute("moving:2.0-test", &json!(0)).data(), 1);
    // Not onto another one.
    server.load(&record("moving", &code));
    let onto = server.put("/policy/moving:1.0-test", &json!({"$set": {"version": "2.0"}}));
    assert_eq!(onto.refusal(), (200, "conflict".into()));
    assert_eq!(server.execute("moving:1.0-test", &json!(0)).data(), 1);
}

#[test]
fn an_update_that_is_wrong_changes_nothing() {
    let server = TestServer::start();
    let uri = server.create_policy(&unloaded("stable"));
    let (path, before) = (format!("/policy/{uri}"), {
        server.wait_loaded(&uri);
        server.policy(&uri)
    });
    for (change, field) in [
        (json!({"$set": {"type": "jar"}}), "type"),
        (json!({"$set": {"name": "a b"}}), "name"),
        (json!({"$set": {"name.first": 1}}), "name.first"),
        (json!({"$set": {"a..b": 1}}), "a..b"),
        (json!({"$set": []}), "$set"),
        (json!({"$unset": {"code": ""}}), "code"),
        (json!({"$inc": {"description": 1}}), "description"),
        (json!({"$bump": {"x": 1}}), "$bump"),
        (json!({"$set": {"description": "x"}, "$where": "1"}), "$where"),
        (json!({"description": "no name"}), "name"),
    ] {
        let body = server.put(&path, &change).json();
        assert_eq!((&body["code"], &body["field"]), (&json!("invalid_input"), &json!(field)), "{change}: {body}");
    }
    assert_eq!(server.policy(&uri), before);
    assert_eq!(server.put("/policy/no:1.0-such", &json!({"$set": {}})).refusal(), (200, "not_found".into()));
}

#[test]
fn a_deleted_policy_is_gone() {
    let server = TestServer::start();
    let record = record("short", &server.put_file("1.wasm", &policy("1")));
    let uri = server.load(&record);
    let path = format!("/policy/{uri}");
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
    assert_eq!(server.delete(&path).data(), "Policy deleted successfully.");
    assert_eq!(server.get(&path).refusal(), (200, "not_found".into()));
    assert_eq!(server.delete(&path).refusal(), (200, "not_found".into()));
    assert_eq!(server.execute(&uri, &json!(0)).refusal(), (404, "not_found".into()));
    server.load(&record);
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
}

#[test]
fn queries_find_by_equality() {
    let server = TestServer::start();
    for (name, tag, colour) in [("a", "beta", "red"), ("b", "beta", "blue"), ("c", "stable", "red")] {
        let mut record = unloaded(name);
        record["release_tag"] = json!(tag);
        record["metadata"] = json!({"colour": colour, "list": [{"k": name}]});
        record["tags"] = json!(["all", name]);
        server.create_policy(&record);
    }
    for (filter, expected) in [
        (json!({}), "abc"),
        (json!({"release_tag": "beta"}), "ab"),
        (json!({"metadata.colour": "red"}), "ac"),
        (json!({"metadata.colour": "red", "release_tag": "beta"}), "a"),
        (json!({"tags": "b"}), "b"),
        (json!({"metadata.list.k": "c"}), "c"),
        (json!({"policy_rule_uri": "b:1.0-beta"}), "b"),
        (json!({"name": "c"}), "c"),
        (json!({"name": "c", "policy_rule_uri": "b:1.0-beta"}), ""),
        (json!({"name": 5}), ""),
        (json!({"no.such": null}), "abc"),
        (json!({"load.state": "no such state"}), ""),
    ] {
        let found = server.post("/policy/query", &filter).data();
        let names: String = found.as_array().unwrap().iter().filter_map(|found| found["name"].as_str()).collect();
        assert_eq!(names, expected, "{filter}");
    }
    for filter in [json!({"$where": "1"}), json!({"a": {"$function": {}}}), json!([]), json!("x")] {
        assert_eq!(server.post("/policy/query", &filter).refusal(), (200, "invalid_input".into()), "{filter}");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut builder = TestServer::builder();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..4 {
        let server = builder.start();
        for uri in &acknowledged {
            server.policy(uri);
        }
        let stored = Mutex::new(Vec::new());
        let stop = AtomicBool::new(false);
        let builder_again = thread::scope(|scope| {
            for writer in 0..4 {
                let (client, stored, stop) = (server.client().clone(), &stored, &stop);
                scope.spawn(move || {
                    for n in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let body = unloaded(&format!("r{round}.w{writer}.n{n}")).to_string();
                        let json = [("Content-Type", "application/json")];
                        match client.try_send("POST", "/policy", &json, body.as_bytes()) {
                            Ok(reply) => {
                                reply.data();
                                stored.lock().unwrap().push(format!("r{round}.w{writer}.n{n}:1.0-test"));
                            }
                            Err(_) => break,
                        }
                    }
                });
            }
            let _end = SetAtEnd(&stop);
            let enough = 20 + round * 7;
            eventually("some writes", || {
                let n = stored.lock().unwrap().len();
                if enough <= n { Ok(()) } else { Err(n) }
            });
            server.kill()
        });
        builder = builder_again;
        acknowledged.append(&mut stored.into_inner().unwrap());
    }
    let server = builder.start();
    for uri in &acknowledged {
        server.policy(uri);
    }
    server.stop();
}

#[test]
fn updates_and_deletes_survive_kill_9() {
    let server = TestServer::start();
    let (kept, gone) = (server.create_policy(&unloaded("kept")), server.create_policy(&unloaded("gone")));
    server.put(&format!("/policy/{kept}"), &json!({"$set": {"description": "changed"}})).data();
    server.delete(&format!("/policy/{gone}")).data();
    let server = server.kill().start();
    assert_eq!(server.policy(&kept)["description"], "changed");
    assert_eq!(server.get(&format!("/policy/{gone}")).refusal(), (200, "not_found".into()));
}

// attack 58
#[test]
fn a_load_that_was_cut_off_is_taken_up_again() {
    let server = TestServer::start();
    let uri = server.create_policy(&record("cut", &server.put_file("1.wasm", &policy("1"))));
    let server = server.kill().start();
    assert_eq!(server.wait_loaded(&uri), json!({"state": "ready"}));
    assert_eq!(server.execute(&uri, &json!(0)).data(), 1);
}

#[test]
fn a_burst_of_policies_is_loaded_to_the_last() {
    let server = TestServer::start();
    let code = server.put_file("1.wasm", &policy("1"));
    // More than wait outside of the registry.
    let (writers, each) = (8, 60);
    thread::scope(|scope| {
        for writer in 0..writers {
            let (server, code) = (&server, &code);
            scope.spawn(move || {
                for n in 0..each {
                    server.create_policy(&record(&format!("burst{writer}.{n}"), code));
                }
            });
        }
    });
    let ready = "/policy/query?projection=policy_rule_uri";
    eventually("every policy is ready", || {
        match server.post(ready, &json!({"load.state": "ready"})).data().as_array().map(Vec::len) {
            Some(n) if n == writers * each => Ok(()),
            n => Err(n),
        }
    });
    assert_eq!(server.execute("burst7.59:1.0-test", &json!(0)).data(), 1);
}

#[test]
fn updates_at_the_same_time_are_all_applied() {
    let server = TestServer::start();
    let uri = server.create_policy(&unloaded("shared"));
    let path = format!("/policy/{uri}");
    thread::scope(|scope| {
        for n in 0..8 {
            let (server, path) = (&server, &path);
            scope.spawn(move || {
                for m in 0..5 {
                    let change = json!({"$set": {format!("metadata.writer{n}.field{m}"): m}});
                    server.put(path, &change).data();
                }
            });
        }
    });
    let metadata = server.policy(&uri)["metadata"].take();
    for n in 0..8 {
        for m in 0..5 {
            assert_eq!(metadata[format!("writer{n}")][format!("field{m}")], m, "{metadata}");
        }
    }
}

// attack 73
#[test]
fn a_call_during_updates_and_deletes_sees_exactly_one_version() {
    let server = TestServer::start();
    let codes = ["1", "2"].map(|answer| server.put_file(answer, &policy(answer)));
    // Settings change together with the code, so that half a version would show.
    let versions = [0, 1].map(|n| record("contended", &codes[n]));
    let uri = server.load(&versions[0]);
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _end = SetAtEnd(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let reply = server.execute(&uri, &json!(0));
                    match reply.status {
                        200 => assert!(matches!(reply.data().as_u64(), Some(1 | 2)), "{}", reply.text()),
                        _ => assert_eq!(reply.refusal(), (404, "not_found".into())),
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 0..30 {
            let path = format!("/policy/{uri}");
            server.put(&path, &versions[n % 2]).data();
            assert_eq!(server.execute(&uri, &json!(0)).data(), 1 + n % 2, "an update that was answered is in force");
            if n % 5 == 4 {
                server.delete(&path).data();
                assert_eq!(server.execute(&uri, &json!(0)).refusal(), (404, "not_found".into()));
                server.create_policy(&versions[n % 2]);
            }
        }
        eventually("some calls", || match calls.load(Ordering::Relaxed) {
            n if 30 < n => Ok(()),
            n => Err(n),
        });
    });
    server.assert_serving();
}
