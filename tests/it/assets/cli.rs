//! `lictor push` and `lictor pull`.

use std::{fs, path::Path};

use lictor_tests::{Answer, CodeServer, Command, Output, TestServer, guest_zip, policy, tar_gz_of, tar_xz_of, zip_of};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::package;

fn lictor(args: &[&str]) -> Output {
    Command::new(args).run()
}

fn url(server: &TestServer) -> String {
    format!("http://{}", server.client().address())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with this package and a record beside it: `mine:1.0-dev`.
fn folder(file: &str, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), bytes).unwrap();
    let stem = file.split_once('.').unwrap().0;
    let record = json!({"name": "mine", "version": "1.0", "policy_settings": {"a": 1}, "colour": "red"});
    fs::write(folder.path().join(format!("{stem}.json")), record.to_string()).unwrap();
    folder
}

#[test]
fn push_onboards_an_example_and_may_be_repeated() {
    let server = TestServer::start();
    let (package, to) = (guest_zip("ip_allowlist"), url(&server));
    let first = lictor(&["push", text(&package), "--to", &to]).exits(0);
    let uri = first.stdout.split(' ').next().unwrap().to_owned();
    assert!(first.stdout.starts_with(&format!("{uri}  pushed  sha256:")), "{first:?}");
    let call = first.stdout.lines().nth(1).unwrap();
    assert!(call.starts_with(&format!("curl {to}/executor/")) && call.contains(&uri), "{call}");
    let record = server.policy(&uri);
    assert_eq!((&record["code"], &record["load"]["state"]), (&json!(format!("asset:{uri}")), &json!("ready")));
    let input = json!({"policy_rule_uri": uri, "input_data": {"ip": "127.0.0.1"}});
    let path = call.split(' ').nth(1).unwrap().strip_prefix(&to).unwrap();
    assert_eq!(server.post(path, &input).data()["allowed"], true);

    let again = lictor(&["push", text(&package), "--to", &format!("{to}/")]).exits(0);
    assert!(again.stdout.starts_with(&format!("{uri}  already there  ")), "{again:?}");
    assert_eq!(server.policy(&uri), record);
}

#[test]
fn push_takes_every_kind_of_package() {
    let server = TestServer::start();
    let to = url(&server);
    let wasm = policy("7");
    let entries: &[(&str, &[u8])] = &[("code/policy.wasm", &wasm)];
    for (version, file, bytes) in [
        ("1", "mine.wasm", wasm.clone()),
        ("2", "mine.zip", zip_of(entries)),
        ("3", "mine.tar.gz", tar_gz_of(entries)),
        ("4", "mine.tar.xz", tar_xz_of(entries)),
    ] {
        let folder = folder(file, &bytes);
        let path = folder.path().join(file);
        let output = lictor(&["push", text(&path), "--to", &to, "--version", version, "--release-tag", "x"]).exits(0);
        let uri = format!("mine:{version}-x");
        assert!(output.stdout.starts_with(&uri), "{output:?}");
        assert_eq!(server.execute(&uri, &json!({})).data(), 7);
        let record = server.policy(&uri);
        assert_eq!((&record["colour"], &record["policy_settings"]), (&json!("red"), &json!({"a": 1})));
        assert!(output.stderr.contains("colour"), "warnings are passed on: {output:?}");
    }
    // A folder of a package, without a record: named on the command line.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("code")).unwrap();
    fs::write(folder.path().join("code/policy.wasm"), &wasm).unwrap();
    let at = text(folder.path());
    let output = lictor(&["push", at, "--to", &to]).exits(2);
    assert!(output.stderr.contains("--record") && output.stderr.contains("--name"), "{output:?}");
    for _ in 0..2 {
        lictor(&["push", at, "--to", &to, "--name", "bare", "--version", "1"]).exits(0);
    }
    assert_eq!(server.execute("bare:1-dev", &json!({})).data(), 7);
}

#[test]
fn push_refuses_what_is_other_than_what_is_there() {
    let server = TestServer::start();
    let to = url(&server);
    let mine = folder("mine.zip", &package("7"));
    let (path, beside) = (mine.path().join("mine.zip"), mine.path().join("mine.json"));
    let push = |more: &[&str]| lictor(&[&["push", text(&path), "--to", &to], more].concat());
    push(&[]).exits(0);
    fs::write(&path, package("8")).unwrap();
    let output = push(&[]).exits(2);
    assert!(output.stderr.contains("conflict") && output.stderr.contains("raise `version`"), "{output:?}");
    assert_eq!(server.execute("mine:1.0-dev", &json!({})).data(), 7);
    push(&["--version", "1.1"]).exits(0);
    assert_eq!(server.execute("mine:1.1-dev", &json!({})).data(), 8);
    fs::write(&path, package("7")).unwrap();
    fs::write(&beside, json!({"name": "mine", "version": "1.0", "policy_settings": {"a": 2}}).to_string()).unwrap();
    let output = push(&[]).exits(2);
    assert!(output.stderr.contains("another policy"), "{output:?}");
    assert_eq!(server.policy("mine:1.0-dev")["policy_settings"], json!({"a": 1}));
}

#[test]
fn push_mends_a_policy_whose_asset_went_away() {
    let server = TestServer::start();
    let mine = folder("mine.zip", &package("7"));
    let path = mine.path().join("mine.zip");
    let mut record: Value = serde_json::from_slice(&fs::read(mine.path().join("mine.json")).unwrap()).unwrap();
    record["release_tag"] = json!("dev");
    record["type"] = json!("wasm_component_v1");
    record["code"] = json!("asset:mine:1.0-dev");
    record["code_digest"] = json!(digest(&fs::read(&path).unwrap()));
    server.post("/policy", &record);
    assert_eq!(server.wait_loaded("mine:1.0-dev")["code"], "code_unreachable");
    lictor(&["push", text(&path), "--to", &url(&server)]).exits(0);
    assert_eq!(server.policy("mine:1.0-dev")["load"]["state"], "ready");
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digits: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[test]
fn what_is_pulled_runs_and_is_the_same_when_it_is_pushed() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let package = guest_zip("ip_allowlist");
    let pushed = lictor(&["push", text(&package), "--to", &url(&here)]).exits(0);
    let uri = pushed.stdout.split(' ').next().unwrap().to_owned();
    // What an operator changed since is part of it.
    here.put(&format!("/policy/{uri}"), &json!({"$set": {"policy_settings": {}, "description": "changed"}})).data();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/er");
    for _ in 0..2 {
        lictor(&["pull", &uri, "--from", &url(&here), "--out", text(&out)]).exits(0);
    }
    let file = out.join("policy.zip");
    assert!(fs::read(&file).unwrap() == fs::read(&package).unwrap());
    let record: Value = serde_json::from_slice(&fs::read(out.join("policy.json")).unwrap()).unwrap();
    assert_eq!((&record["code"], &record["description"]), (&json!("policy.zip"), &json!("changed")));
    assert!(record.get("load").is_none() && record.get("policy_rule_uri").is_none(), "{record}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2, "nothing else is left");

    let answer = lictor(&["eval", text(&file), "--input", r#"{"ip": "127.0.0.1"}"#]).exits(0).json();
    assert_eq!(answer["allowed"], true);
    let again = lictor(&["push", text(&file), "--to", &url(&here)]).exits(0);
    assert!(again.stdout.contains("already there"), "{again:?}");
    lictor(&["push", text(&file), "--to", &url(&there)]).exits(0);
    let (mut one, mut other) = (here.policy(&uri), there.policy(&uri));
    assert_eq!(one, other);
    assert_eq!(one["load"].take(), other["load"].take());
}

#[test]
fn pull_finds_a_package_wherever_the_server_has_it() {
    let web = CodeServer::start();
    let server = TestServer::builder().allow_loopback().start();
    let folder = tempfile::tempdir().unwrap();
    let pull = |uri: &str, out: &str| {
        let out = folder.path().join(out);
        lictor(&["pull", uri, "--from", &url(&server), "-o", text(&out)])
    };
    let id = super::keep(&server, "p", &policy("7"));
    let at = server.client().address();
    for (name, code) in [("one", format!("asset://{id}")), ("two", format!("http://{at}/asset-object/{id}"))] {
        server.load(&lictor_tests::record(name, &code));
        pull(&format!("{name}:1.0-test"), &format!("{name}.wasm")).exits(0);
        assert!(fs::read(folder.path().join(format!("{name}.wasm"))).unwrap() == policy("7"));
        let path = folder.path().join(format!("{name}.wasm"));
        lictor(&["eval", text(&path), "--input", "{}"]).exits(0);
        let again = lictor(&["push", text(&path), "--to", &url(&server)]).exits(0);
        assert!(again.stdout.contains("already there"), "{again:?}");
    }
    // What a record says of other places is not the operator's word: loopback stays out of reach.
    web.answer("/p.wasm", Answer::ok(policy("7")));
    server.load(&lictor_tests::record("web", &web.url("/p.wasm")));
    let output = pull("web:1.0-test", "web").exits(3);
    assert!(output.stderr.contains("no public address"), "{output:?}");
    server.load(&lictor_tests::record("file", &server.put_file("p.wasm", &policy("7"))));
    let output = pull("file:1.0-test", "file").exits(3);
    assert!(output.stderr.contains("only the server can read"), "{output:?}");
    assert!(!folder.path().join("web").exists() && !folder.path().join("file").exists());
}

#[test]
fn pull_takes_nothing_that_is_not_what_the_record_says() {
    let web = CodeServer::start();
    let folder = tempfile::tempdir().unwrap();
    let record = |code_digest: &str, component: Value| {
        json!({"success": true, "data": {
            "name": "p", "version": "1", "release_tag": "x", "type": "wasm_component_v1", "code": "asset:p:1-x",
            "code_digest": code_digest, "component_digest": component, "load": {"state": "ready"},
        }})
    };
    web.answer("/asset/p:1-x", Answer::json(&json!({"success": true, "data": {"asset_id": "i"}})));
    web.answer("/asset-object/i", Answer::ok(policy("7")));
    let (good, bad) = (digest(&policy("7")), digest(b"other"));
    for (record, says) in [
        (record(&bad, json!(null)), "digest mismatch"),
        (record(&good, json!(bad)), "another component"),
        (json!({"success": true, "data": 5}), "no record"),
        (json!({"success": false, "code": "not_found", "message": "Policy not found."}), "Policy not found."),
        (json!({"hello": "world"}), "no answer of a policies system"),
    ] {
        web.answer("/policy/p:1-x", Answer::json(&record));
        let out = folder.path().join("out");
        let output = lictor(&["pull", "p:1-x", "--from", &web.url(""), "-o", text(&out)]).exits(3);
        assert!(output.stderr.contains(says), "{output:?}");
        assert!(!out.exists(), "{says}");
    }
}

#[test]
fn every_exit_code() {
    let server = TestServer::start();
    let to = url(&server);
    let mine = folder("mine.zip", &package("7"));
    let path = mine.path().join("mine.zip");
    let at = text(&path);
    let core = folder("core.wasm", b"\0asm\x01\0\0\0");
    let core = core.path().join("core.wasm");
    let wrong = mine.path().join("wrong.json");
    fs::write(&wrong, r#"{"name": "a/b", "version": "1"}"#).unwrap();
    for (args, code, says) in [
        (vec!["push", at], 2, "--to"),
        (vec!["push", at, "--to", "localhost:1"], 2, "`--to`"),
        (vec!["push", at, "--to", "ftp://localhost/"], 2, "`--to`"),
        (vec!["push", at, "--to", &to, "--record", text(&wrong)], 2, "`name`"),
        (vec!["push", at, "--to", &to, "--record", "/no/such.json"], 2, "/no/such.json"),
        (vec!["push", "/no/such.zip", "--to", &to], 3, "/no/such.zip"),
        (vec!["push", text(&core), "--to", &to, "--name", "a", "--version", "1"], 3, "component"),
        (vec!["push", at, "--to", "http://127.0.0.1:1"], 3, "http://127.0.0.1:1"),
        (vec!["pull", "mine:1.0-dev"], 2, "--from"),
        (vec!["pull", "mine", "--from", &to], 2, "name:version-tag"),
        (vec!["pull", "none:1.0-dev", "--from", &to], 3, "Policy not found."),
        (vec!["pull", "none:1.0-dev", "--from", "http://127.0.0.1:1"], 3, "http://127.0.0.1:1"),
    ] {
        let output = lictor(&args).exits(code);
        assert!(output.stderr.contains(says), "{args:?}: {output:?}");
    }
    assert_eq!(server.post("/assets", &json!({})).data(), json!([]), "nothing was uploaded");
    assert_eq!(server.post("/policy/query", &json!({})).data(), json!([]));
}
