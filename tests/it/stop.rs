//! How a server ends, and why it may not start.

use std::{fs, net::TcpListener, thread};

use lictor_tests::{Answer, CodeServer, Command, TestServer, eventually, guest_record, policy, record};
use serde_json::json;

/// The example with a remote allowlist at `web`, given as much time as there is.
fn slow_record(web: &CodeServer) -> serde_json::Value {
    let mut record = guest_record("ip_allowlist");
    record["policy_settings"] = json!({"allowlist_api": web.url("/list")});
    record["capabilities"] = json!({"http": [web.origin()]});
    record["limits"] = json!({"timeout_ms": 60_000});
    record
}

// attack 74
#[test]
fn a_call_in_flight_gets_its_answer_before_the_server_ends() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": ["10.1.2.3"]})).held());
    let server = TestServer::builder().allow_loopback().start();
    let uri = server.load(&slow_record(&web));
    let client = server.client().clone();
    let call = thread::spawn(move || client.execute(&uri, &json!({"ip": "10.1.2.3"})));
    eventually("the call to be in the policy", || if web.hits("/list") == 1 { Ok(()) } else { Err(()) });
    server.terminate();
    eventually("the server to stop taking work", || {
        if server.log().contains("stopping") { Ok(()) } else { Err(server.log()) }
    });
    // New work is refused one way or the other, and does not end the old.
    if let Ok(reply) = server.try_send("GET", "/policy/a:1-b", &[], b"") {
        assert_eq!(reply.refusal(), (503, "shutting_down".into()));
    }
    web.release();
    assert_eq!(call.join().unwrap().data()["reason"], "allowed");
    let (exited, _) = server.wait();
    assert_eq!((exited.code, exited.signal), (Some(0), None), "{exited:?}");
}

// attack 74
#[test]
fn a_call_that_does_not_end_is_cut_when_the_grace_is_over() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": []})).held());
    let server = TestServer::builder().allow_loopback().config("grace_ms = 50").start();
    let uri = server.load(&slow_record(&web));
    let client = server.client().clone();
    let call = thread::spawn(move || {
        let body = json!({"policy_rule_uri": uri, "input_data": {"ip": "10.1.2.3"}}).to_string();
        let json = [("Content-Type", "application/json")];
        client.try_send("POST", "/executor/executor-001/execute_policy", &json, body.as_bytes())
    });
    eventually("the call to be in the policy", || if web.hits("/list") == 1 { Ok(()) } else { Err(()) });
    server.terminate();
    let (exited, builder) = server.wait();
    assert_eq!(exited.code, Some(0), "{exited:?}");
    if let Ok(reply) = call.join().unwrap() {
        assert_eq!(reply.refusal(), (503, "shutting_down".into()));
    }
    builder.start().assert_serving();
}

#[test]
fn a_stop_leaves_everything_that_was_stored() {
    let server = TestServer::start();
    let uri = server.load(&record("kept", &server.put_file("p.wasm", &policy("7"))));
    let server = server.stop().start();
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
    // And again, and by kill -9.
    let server = server.stop().start();
    let server = server.kill().start();
    assert_eq!(server.execute(&uri, &json!(null)).data(), 7);
}

#[test]
fn an_idle_connection_does_not_keep_a_server_from_ending() {
    let server = TestServer::start();
    let _idle = [server.connect().unwrap(), server.admin().connect().unwrap()];
    server.stop();
}

#[test]
fn standard_output_has_two_lines_and_nothing_else() {
    let server = TestServer::builder().config("log = \"trace\"").start();
    let uri = server.load(&record("small", &server.put_file("p.wasm", &policy("7"))));
    server.execute(&uri, &json!(null)).data();
    let (main, admin) = (server.address(), server.admin().address());
    server.terminate();
    let (exited, _) = server.wait();
    assert_eq!(exited.stdout, format!("listening on http://{main}\nadmin on http://{admin}\n"));
    assert!(exited.stderr.contains("stopping"), "{}", exited.stderr);
}

#[test]
fn a_data_directory_has_one_server() {
    let server = TestServer::start();
    let refused = server.same_place().try_start().err().expect("the second server does not start");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.stderr.contains("in use by another server"), "{refused:?}");
    server.assert_serving();
    server.kill().start().assert_serving();
}

#[test]
fn what_is_unknown_or_wrong_in_the_configuration_is_named() {
    for (toml, named) in [
        ("colour = \"red\"", "colour"),
        ("[ceiling]\ncpu = 1", "cpu"),
        ("[grants]\nfiles = []", "files"),
        ("[grants]\nhttp = [\"ftp://a\"]", "ftp://a"),
        ("listen = \"nowhere\"", "listen"),
        ("admin = 5", "admin"),
        ("executor_id = \"a/b\"", "a/b"),
        ("allow_private = [\"10.0.0.0/99\"]", "allow_private"),
        ("max_instances = 0", "max_instances"),
        ("max_body_kb = 0", "max_body_kb"),
        ("max_connections = -1", "max_connections"),
        ("log_format = \"xml\"", "xml"),
        ("log = \"lictor=loud\"", "log"),
        ("store = \"mysql://x\"", "store"),
        ("public_url = \"nowhere\"", "public_url"),
        ("this is no TOML", "TOML"),
    ] {
        // Given as a file only, since a flag of ours would win.
        let refused = TestServer::builder().bare().config(toml).try_start().err().expect(toml);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{toml}: {refused:?}");
        assert!(refused.stderr.contains(named), "{toml}: {}", refused.stderr);
        assert!(!refused.stderr.contains("panicked"), "{toml}: {}", refused.stderr);
    }
}

#[test]
fn what_is_unknown_or_wrong_in_the_environment_is_named() {
    for (name, value, named) in [
        ("LICTOR_COLOUR", "red", "colour"),
        ("LICTOR_MAX_BODY_KB", "many", "max_body_kb"),
        ("LICTOR_CEILING__CPU", "1", "cpu"),
        ("LICTOR_CONFIG", "/no/such/file.toml", "/no/such/file.toml"),
    ] {
        let refused = TestServer::builder().env(name, value).try_start().err().expect(name);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{name}: {refused:?}");
        assert!(refused.stderr.to_lowercase().contains(named), "{name}: {}", refused.stderr);
    }
}

#[test]
fn what_is_unknown_or_wrong_among_the_flags_is_named() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().to_str().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let below_a_file = file.join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, named) in [
        (vec!["--colour"], "--colour"),
        (vec!["--data-dir"], "--data-dir"),
        (vec![], "--data-dir"),
        (vec!["--data-dir", dir, "--listen", "localhost"], "listen"),
        (vec!["--data-dir", dir, "--listen", "127.0.0.1:99999"], "listen"),
        (vec!["--data-dir", dir, "--listen", &taken, "--admin", "127.0.0.1:0"], &taken),
        (vec!["--data-dir", dir, "--listen", "127.0.0.1:0", "--admin", &taken], &taken),
        (vec!["--data-dir", dir, "--executor-id", ".."], ".."),
        (vec!["--data-dir", dir, "--config", "/no/such.toml"], "/no/such.toml"),
        (vec!["--data-dir", dir, "--allow-private", "not a host"], "not a host"),
        (
            vec!["--data-dir", below_a_file.to_str().unwrap(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            "file",
        ),
        (vec!["surplus"], "surplus"),
    ] {
        let output = Command::new(["serve"].iter().chain(&args)).run().exits(2);
        assert_eq!(output.stdout, "", "{args:?}");
        assert!(output.stderr.contains(named), "{args:?}: {}", output.stderr);
    }
}

// attack 69
#[test]
fn an_address_that_others_reach_needs_consent() {
    for flag in ["--listen", "--admin"] {
        let refused = TestServer::builder().bare().flag(flag, "0.0.0.0:0");
        let other = if flag == "--listen" { "--admin" } else { "--listen" };
        let refused = refused.flag(other, "127.0.0.1:0").try_start();
        // The admin listener shows nothing of a policy or a caller, and may be scraped from elsewhere.
        if flag == "--listen" {
            let refused = refused.err().expect("does not start");
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(refused.stderr.contains("--allow-anonymous"), "{refused:?}");
        }
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let answers_as = |server: &TestServer, id: &str| {
        let body = json!({"policy_rule_uri": "no:1.0-such", "input_data": 1});
        let reply = server.post(&format!("/executor/{id}/execute_policy"), &body).json();
        reply["message"] != "Executor not found"
    };
    let with_file = || TestServer::builder().config("executor_id = \"from-file\"");
    let rows = [
        (TestServer::builder(), "executor-001"),
        (with_file(), "from-file"),
        (with_file().env("LICTOR_EXECUTOR_ID", "from-env"), "from-env"),
        (with_file().env("LICTOR_EXECUTOR_ID", "from-env").flag("--executor-id", "from-flag"), "from-flag"),
    ];
    for (builder, expected) in rows {
        let server = builder.start();
        for id in ["executor-001", "from-file", "from-env", "from-flag"] {
            assert_eq!(answers_as(&server, id), id == expected, "{id} where {expected} is right");
        }
    }
}
