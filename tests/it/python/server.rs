//! Policies in Python on the server: the seed's sample every way there is, what `code` may be, and the commands.

use std::{fs, path::Path};

use lictor_tests::{
    Answer, CodeServer, Command, TestServer, class, eventually, python_cache, python_host, python_record, repository,
    tar_gz_of, tar_xz_of, zip_of,
};
use serde_json::{Value, json};

const POLICY: &str = include_str!("../../data/seed/policy.json");
const FUNCTION: &str = include_str!("../../python/seed/code/function.py");
const REQUIREMENTS: &str = include_str!("../../python/seed/code/requirements.txt");

fn sample() -> Vec<u8> {
    zip_of(&[("code/function.py", FUNCTION.as_bytes()), ("code/requirements.txt", REQUIREMENTS.as_bytes())])
}

/// The document's record, with code that is here and an API that answers.
fn record(code: &str, api: &CodeServer) -> Value {
    let mut record: Value = serde_json::from_str(POLICY).unwrap();
    record["code"] = json!(code);
    record["policy_settings"]["allowlist_api"] = json!(api.url("/api/allowlist"));
    record["capabilities"] = json!({"http": [api.origin()]});
    record
}

#[test]
fn the_seeds_sample_runs_in_every_way() {
    let api = CodeServer::start();
    api.answer("/api/allowlist", Answer::json(&json!({"allowlist": ["10.0.0.9"]})));
    api.answer("/code/ip_allowlist_policy.zip", Answer::ok(sample()));
    let server = TestServer::builder().with_python().allow_loopback().start();
    let client = server.client();
    let uri = client.create_policy(&record(&api.url("/code/ip_allowlist_policy.zip"), &api));
    assert_eq!(uri, "ip_allowlist:1.0-beta");

    // Stateless: the stored parameters, the remote list, and the parameters of the document's request.
    let said = |ip: &str| client.execute(&uri, &json!({"ip": ip})).data();
    let verdict = |ip: &str, allowed: bool| json!({"allowed": allowed, "input_data": {"ip": ip}, "reason": if allowed { "allowed" } else { "denied" }});
    for (ip, allowed) in [("127.0.0.1", true), ("10.0.0.9", true), ("10.0.0.1", false)] {
        assert_eq!(said(ip), verdict(ip, allowed));
    }
    let body = include_str!("../../data/seed/execute_policy.json");
    let reply = client.post_text("/executor/executor-001/execute_policy", body);
    assert_eq!(reply.json()["data"], verdict("10.0.0.1", true));
    assert_eq!(client.wait_loaded(&uri)["state"], "ready");

    // A function, and its three commands.
    let deployed =
        client.post("/function/deployments/create/executor-001", &json!({"name": "check", "policy_rule_uri": uri}));
    assert_eq!(deployed.json()["success"], true, "{}", deployed.text());
    let call = |ip: &str| client.post("/function/call_function/check", &json!({"ip": ip})).data();
    let manage = |action: &str, data: Value| {
        let body = json!({"mgmt_action": action, "mgmt_data": data});
        client.post("/function/management/check", &body).data()
    };
    assert_eq!(call("1.2.3.4"), verdict("1.2.3.4", false));
    let updated = json!({"status": "success", "updated_allowlist": ["1.2.3.4"]});
    assert_eq!(manage("update_local_allowlist", json!({"ips": ["1.2.3.4"]})), updated);
    assert_eq!(call("1.2.3.4"), verdict("1.2.3.4", true));
    assert_eq!(call("127.0.0.1"), verdict("127.0.0.1", false));
    api.answer("/api/allowlist", Answer::json(&json!({"allowlist": ["10.0.0.10"]})));
    let fetched = json!({"status": "success", "remote_allowlist": ["10.0.0.10"]});
    assert_eq!(manage("fetch_remote_allowlist", json!({})), fetched);
    let state = json!({"status": "success", "local_allowlist": ["1.2.3.4"], "cached_remote_allowlist": ["10.0.0.10"]});
    assert_eq!(manage("get_state", json!({})), state);
    let unknown = json!({"status": "error", "message": "Unknown action 'other'"});
    assert_eq!(manage("other", json!({})), unknown);

    // A job.
    let mut body: Value = serde_json::from_str(include_str!("../../data/seed/submit_job.json")).unwrap();
    body["node_selector"] = json!({});
    let submitted = client.post("/jobs/submit/executor-001", &body).json();
    let id = submitted["job_id"].as_str().unwrap_or_else(|| panic!("{submitted}"));
    let done = eventually("the job to end", || {
        let job = client.get(&format!("/jobs/{id}")).data();
        if job["job_status"] == "completed" { Ok(job) } else { Err(job) }
    });
    assert_eq!(done["job_output_data"], verdict("192.168.1.1", true), "{done}");

    // A graph of it and of what it hands on to.
    let last = class("return {'decision': 'allow' if input_data['allowed'] else 'block'}");
    let next = client.load(&python_record("decide", &last));
    client.post("/function/deployments/create/executor-001", &json!({"name": "decide", "policy_rule_uri": next}));
    let graph = json!({"graph_name": "g", "graph_version": "1", "graph_release_tag": "a", "graph_metadata": {},
        "graph_function_ids": ["check", "decide"], "graph_connection_data": {"check": ["decide"]}, "graph_search_tags": [],
        "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}});
    assert_eq!(client.post("/graphs", &graph).json()["success"], true);
    let ran = client.post("/graph/execute_graph", &json!({"graph_uri": "g:1-a", "input_data": {"ip": "1.2.3.4"}}));
    assert_eq!(ran.data(), json!({"decision": "allow"}), "{}", ran.text());
}

#[test]
fn code_may_be_an_archive_the_file_or_its_text() {
    let server = TestServer::builder().with_python().start();
    let client = server.client();
    let code = class("return 'here'");
    let entries: &[(&str, &[u8])] =
        &[("code/", b""), ("code/function.py", code.as_bytes()), ("code/__pycache__/function.cpython-311.pyc", b"x")];
    let places = [
        ("zip", server.put_file("p.zip", &zip_of(&entries[1..]))),
        ("gz", server.put_file("p.tar.gz", &tar_gz_of(&entries[1..]))),
        ("xz", server.put_file("p.tar.xz", &tar_xz_of(&entries[1..]))),
        ("py", server.put_file("function.py", code.as_bytes())),
        ("text", code.clone()),
    ];
    let mut digests = std::collections::BTreeSet::new();
    for (name, place) in &places {
        let uri = client.load(&python_record(name, place));
        assert_eq!(client.execute(&uri, &json!(1)).data(), json!("here"), "{name}");
        digests.insert(client.policy(&uri)["component_digest"].to_string());
    }
    // The same files are the same policy, however they came.
    assert_eq!(digests.len(), 1, "{digests:?}");
    assert_eq!(client.policy("text:1.0-test")["code"], json!(code));
}

#[test]
fn a_policy_of_the_other_kind_is_refused_with_the_type_that_it_needs() {
    let server = TestServer::builder().with_python().start();
    let client = server.client();
    let zip = zip_of(&[("code/function.py", class("return 1").as_bytes())]);
    let mut record = python_record("kind", &server.put_file("p.zip", &zip));
    record["type"] = json!("wasm_component_v1");
    let uri = client.create_policy(&record);
    let load = client.wait_loaded(&uri);
    assert_eq!(load["code"], "bad_archive");
    assert!(load["message"].as_str().unwrap().contains("`python_class_v1`"), "{load}");
    let wasm = server.put_file("p.wasm.zip", &zip_of(&[("code/policy.wasm", b"\0asm")]));
    let uri = client.create_policy(&python_record("other", &wasm));
    assert!(client.wait_loaded(&uri)["message"].as_str().unwrap().contains("`wasm_component_v1`"));
}

#[test]
fn without_the_interpreter_it_is_said_what_is_missing() {
    let server = TestServer::start();
    let client = server.client();
    let uri = client.create_policy(&python_record("alone", &class("return 1")));
    let load = client.wait_loaded(&uri);
    assert_eq!(load["code"], "not_available");
    assert!(load["message"].as_str().unwrap().contains("python_host.wasm"), "{load}");
}

#[test]
fn a_recorded_decision_comes_to_the_same_again() {
    let server = TestServer::builder().with_python().start();
    let client = server.client();
    let code = format!(
        "import random, time\n{}",
        class(
            "context['n'] = context.get('n', 0) + 1\nprint('said')\nreturn [random.random(), time.time(), context['n'], input_data]"
        )
    );
    let uri = client.load(&python_record("again", &code));
    for n in 0..5 {
        client.execute(&uri, &json!(n)).data();
    }
    let place = server.stop();
    let data = place.data_dir().to_string_lossy().into_owned();
    let cache = python_cache();
    // The log is read with the server's cache, which is elsewhere here.
    std::os::unix::fs::symlink(&cache, place.data_dir().join("cache")).unwrap();
    let replayed = Command::new(["replay", "--data-dir", &data]).env("LICTOR_PYTHON_HOST", "/nowhere").run();
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.stdout, replayed.stderr);
    assert!(replayed.stdout.contains('5'), "{}", replayed.stdout);
}

fn run(args: &[&str]) -> Command {
    let cache = python_cache();
    let (home, host) = (cache.parent().unwrap().join("python-cache-home"), python_host());
    fs::create_dir_all(&home).unwrap();
    // Commands keep what they compile in a folder of this name.
    if !home.join("lictor").exists() {
        drop(std::os::unix::fs::symlink(&cache, home.join("lictor")));
    }
    Command::new(args).env("XDG_CACHE_HOME", &home).env("LICTOR_PYTHON_HOST", host)
}

#[test]
fn the_commands_take_a_folder_a_file_and_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let seed = repository().join("tests/python/seed").to_string_lossy().into_owned();
    fs::write(at("p.zip"), sample()).unwrap();
    fs::write(at("p.py"), FUNCTION).unwrap();
    for place in [&seed, &at("p.zip"), &at("p.py")] {
        let ran = run(&[
            "eval",
            place,
            "--input",
            r#"{"ip":"10.1.1.1"}"#,
            "--parameters",
            r#"{"local_allowlist":["10.1.1.1"]}"#,
        ])
        .run()
        .exits(0);
        assert_eq!(ran.json()["allowed"], true, "{place}");
    }
    let ran = run(&["manage", &seed, "--action", "get_state", "--data", "{}"]).run().exits(0);
    assert_eq!(ran.json()["status"], "success");
    let shown = run(&["inspect", &at("p.zip")]).run().exits(0).stdout;
    for expected in ["python", "function.py", "requirements.txt", "It is a policy."] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    fs::write(at("broken.py"), "class AIOSv1PolicyRule(:\n").unwrap();
    let refused = run(&["eval", &at("broken.py"), "--input", "1"]).run().exits(3);
    assert!(refused.stderr.contains("is not Python") || refused.stdout.contains("is not Python"), "{refused:?}");
}

/// A wheel of pure Python, or one that says that it has native code.
fn wheel(dir: &Path, name: &str, tag: &str) {
    let facts = format!("{name}-1.0.dist-info");
    let files = [
        (format!("{name}/__init__.py"), "ANSWER = 42\n".to_owned()),
        (format!("{facts}/METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")),
        (format!("{facts}/WHEEL"), format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")),
        (format!("{facts}/RECORD"), String::new()),
    ];
    let entries: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    fs::write(dir.join(format!("{name}-1.0-{tag}.whl")), zip_of(&entries)).unwrap();
}

#[test]
fn pack_puts_what_is_required_into_the_package() {
    let dir = tempfile::tempdir().unwrap();
    let (wheels, policy) = (dir.path().join("wheels"), dir.path().join("policy"));
    fs::create_dir_all(&wheels).unwrap();
    fs::create_dir_all(policy.join("code")).unwrap();
    wheel(&wheels, "tinypure", "py3-none-any");
    wheel(&wheels, "tinynative", "cp314-cp314-manylinux_2_17_x86_64");
    let code = format!("import tinypure\n{}", class("return tinypure.ANSWER"));
    fs::write(policy.join("code/function.py"), code).unwrap();
    fs::write(policy.join("code/requirements.txt"), "requests\nlogging\ntinypure==1.0\n").unwrap();
    let out = dir.path().join("out/packed").to_string_lossy().into_owned();
    let folder = policy.to_string_lossy().into_owned();
    let pip = |command: Command| {
        let command = command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &wheels);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir.path())
    };

    // Not packed, it is refused with the way out.
    let refused = run(&["eval", &folder, "--input", "1"]).run().exits(3);
    assert!(format!("{refused:?}").contains("lictor pack"), "{refused:?}");
    pip(run(&["pack", &folder, "--out", &out])).run().exits(0);
    let ran = run(&["eval", &format!("{out}.zip"), "--input", "1"]).run().exits(0);
    assert_eq!(ran.json(), json!(42));
    let record: Value = serde_json::from_slice(&fs::read(format!("{out}.json")).unwrap()).unwrap();
    assert_eq!((&record["type"], &record["code"]), (&json!("python_class_v1"), &json!("packed.zip")));

    fs::write(policy.join("code/requirements.txt"), "tinynative\n").unwrap();
    let refused = pip(run(&["pack", &folder, "--out", &out])).run().exits(3);
    assert!(refused.stderr.contains("`tinynative` is to be had neither"), "{refused:?}");
}
