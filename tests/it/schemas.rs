//! What the schemas of a policy say, kept or only warned about.

use std::fs;

use lictor_tests::{Command, Guest, Reply, TestServer, file_url, guest, guest_record, guest_zip, policy, record};
use serde_json::{Value, json};

const SEED_POLICY: &str = include_str!("../data/seed/policy.json");
const IP: &str = r"must match the pattern `^\d{1,3}(\.\d{1,3}){3}$`";

/// The seed's record verbatim, but for what its code is.
fn seed_record() -> Value {
    let mut record: Value = serde_json::from_str(SEED_POLICY).unwrap();
    record["code"] = json!(file_url(&guest_zip("ip_allowlist")));
    record["type"] = json!("wasm_component_v1");
    record
}

/// A record in whose schemas there is one of each, of a policy that answers `answer`.
fn with_schemas(server: &TestServer, name: &str, answer: &str, mode: &str) -> Value {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), &policy(answer)));
    record["schema_mode"] = json!(mode);
    record["policy_input_schema"] = json!({
        "ip": {"type": "string", "length": 15, "required": true},
        "ports": {"type": "array", "items": {"type": "number", "min": 1, "max": 65535}},
    });
    record["policy_output_schema"] = json!({"allowed": {"type": "boolean", "required": true}});
    record["policy_parameters_schema"] = json!({"level": {"type": "string", "choices": ["low", "high"]}});
    record
}

fn paths(violations: &Value) -> Vec<&str> {
    violations.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

#[test]
fn the_seeds_record_is_silent_for_good_input_and_warns_of_bad() {
    let server = TestServer::start();
    let created = server.post("/policy", &seed_record()).json();
    assert_eq!(created, json!({"success": true, "data": "Policy created successfully."}));
    let uri = "ip_allowlist:1.0-beta";
    let local = json!({"local_allowlist": ["10.0.0.1"]});
    let ask = |input: Value, parameters: &Value| {
        let body = json!({"policy_rule_uri": uri, "input_data": input, "parameters": parameters});
        server.execute_as("", &body).json()
    };
    assert_eq!(
        ask(json!({"ip": "10.0.0.1"}), &local),
        json!({"success": true, "data": {"allowed": true, "input_data": {"ip": "10.0.0.1"}, "reason": "allowed"}})
    );
    let warned = ask(json!({"ip": "not an ip"}), &local);
    assert_eq!(warned["warnings"], json!([format!("`input_data.ip` {IP}")]));
    assert_eq!((&warned["success"], &warned["data"]["allowed"]), (&json!(true), &json!(false)));
    let warned = ask(json!({"ip": 5}), &json!({"local_allowlist": ["x", "10.0.0.1", "y"]}));
    assert_eq!(
        warned["warnings"],
        json!([
            "`input_data.ip` must be a string, not a number",
            format!("`parameters.local_allowlist.0` {IP}"),
            format!("`parameters.local_allowlist.2` {IP}"),
        ])
    );
    lictor_tests::eventually("the log to say it", || {
        let log = server.log();
        if log.contains("does not match the schemas") && log.contains("input_data.ip") { Ok(()) } else { Err(log) }
    });
    assert!(!server.log().contains("not an ip"), "the log quotes what a call brought");
}

// attack 29
#[test]
fn each_mode_does_what_it_says_to_every_violation() {
    let server = TestServer::start();
    let bad = json!({"ports": [80, 0, "x", 70000]});
    let expected =
        ["input_data.ports.1", "input_data.ports.2", "input_data.ports.3", "input_data.ip", "parameters.level"];
    for mode in ["off", "warn", "enforce"] {
        let uri = server.load(&with_schemas(&server, mode, r#"{"allowed": 1}"#, mode));
        let body = json!({"policy_rule_uri": uri, "input_data": bad, "parameters": {"level": "top"}});
        let reply = server.execute_as("?usage=1", &body);
        assert_eq!(reply.status, 200, "{mode}");
        let answer = reply.json();
        assert!(answer["usage"]["wall_us"].is_u64(), "{answer}");
        match mode {
            "off" => assert_eq!((&answer["data"], answer.get("warnings")), (&json!({"allowed": 1}), None)),
            "warn" => {
                assert_eq!(answer["data"], json!({"allowed": 1}));
                let warnings = answer["warnings"].as_array().unwrap();
                assert_eq!(warnings.len(), 6, "{answer}");
                for (warning, path) in warnings.iter().zip(expected.iter().chain(&["output.allowed"])) {
                    assert!(warning.as_str().unwrap().starts_with(&format!("`{path}` ")), "{warning} {path}");
                }
            }
            _ => {
                assert_eq!((&answer["success"], &answer["code"]), (&json!(false), &json!("input_schema")));
                assert_eq!(paths(&answer["violations"]), expected);
                for path in expected {
                    assert!(answer["message"].as_str().unwrap().contains(&format!("`{path}` ")), "{answer}");
                }
                let copy = ["success", "code", "message", "violations"].map(|name| (name, answer[name].clone()));
                assert_eq!(answer["data"], json!(std::collections::BTreeMap::from(copy)));
            }
        }
    }
}

// attack 29
#[test]
fn under_enforce_nothing_of_the_policy_runs_for_bad_input_and_a_bad_answer_is_withheld() {
    let server = TestServer::start();
    // Would be stopped by its time if it ran.
    let spinning = Guest { eval: "(loop $again (br $again)) (unreachable)", ..Guest::default() }.build();
    let mut spins = record("spins", &server.put_file("spins.wasm", &spinning));
    spins["schema_mode"] = json!("enforce");
    spins["policy_input_schema"] = json!({"n": {"type": "number"}});
    spins["limits"] = json!({"timeout_ms": 20});
    let spins = server.load(&spins);
    assert_eq!(server.execute(&spins, &json!({"n": 1})).json()["code"], "timeout");
    assert_eq!(server.execute(&spins, &json!({"n": "1"})).json()["code"], "input_schema");

    let secret = r#"{"allowed": "the answer"}"#;
    let uri = server.load(&with_schemas(&server, "answers", secret, "enforce"));
    let reply = server.execute(&uri, &json!({"ip": "10.0.0.1"}));
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!((&answer["code"], paths(&answer["violations"])), (&json!("output_schema"), vec!["output.allowed"]));
    assert!(!reply.text().contains("the answer"), "{answer}");

    let metrics = server.admin().get("/metrics").text();
    for outcome in ["input_schema", "output_schema"] {
        let line = format!("outcome=\"{outcome}\"}} 1");
        assert!(metrics.lines().any(|found| found.ends_with(&line)), "{outcome}: {metrics}");
    }
}

#[test]
fn plain_json_schema_holds_in_the_same_fields() {
    let server = TestServer::start();
    let mut record = record("json", &server.put_file("json.wasm", &policy(r#"["a", 1]"#)));
    record["schema_mode"] = json!("enforce");
    record["policy_input_schema"] = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["n", "m"],
        "properties": {"n": {"type": "integer", "minimum": 1}, "m": {}, "list": {"items": {"$ref": "#/definitions/text"}}},
        "additionalProperties": false,
        "definitions": {"text": {"type": "string", "pattern": "^a"}},
    });
    record["policy_output_schema"] = json!({"type": "array", "items": {"type": "string"}});
    let uri = server.load(&record);
    let answer = server.execute(&uri, &json!({"n": 0, "list": ["a", "b", 1], "x": 1})).json();
    let mut found = paths(&answer["violations"]);
    found.sort_unstable();
    assert_eq!(found, ["input_data.list.1", "input_data.list.2", "input_data.m", "input_data.n", "input_data.x"]);
    let answer = server.execute(&uri, &json!({"n": 1, "m": null})).json();
    assert_eq!((&answer["code"], paths(&answer["violations"])), (&json!("output_schema"), vec!["output.1"]));
}

/// The code, the field and the message of a refusal.
fn refusal(reply: &Reply) -> (String, String, String) {
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("field"), text("message"))
}

#[test]
fn a_record_that_is_wrong_is_refused_by_field_or_warned_about() {
    let server = TestServer::start();
    for (n, (field, value, path, says)) in [
        ("policy_input_schema", json!({"ip": {"pattern": "("}}), "policy_input_schema.ip.pattern", "unclosed group"),
        ("policy_output_schema", json!({"ip": {"type": "integer"}}), "policy_output_schema.ip.type", "`number`"),
        ("policy_settings_schema", json!({"type": "objekt"}), "policy_settings_schema.type", "`object`"),
        (
            "policy_parameters_schema",
            json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}),
            "policy_parameters_schema.properties.a.$ref",
            "not fetched",
        ),
        (
            "management_commands_schema",
            json!([{"name": "a", "schema": {"ips": {"items": {"type": "ip"}}}}]),
            "management_commands_schema.0.schema.ips.items.type",
            "`ip`",
        ),
        ("policy_settings", json!({"allowlist_api": "ftp://x"}), "policy_settings.allowlist_api", "`^https?://.*`"),
        (
            "policy_parameters",
            json!({"local_allowlist": ["1.2.3.4", "x", 5]}),
            "policy_parameters.local_allowlist.1",
            "`policy_parameters.local_allowlist.2`",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = seed_record();
        record["name"] = json!(format!("wrong{n}"));
        record[field] = value;
        record["schema_mode"] = json!("enforce");
        let (code, at, message) = refusal(&server.post("/policy", &record));
        assert_eq!((code.as_str(), at.as_str()), ("invalid_input", path), "{message}");
        assert!(message.contains(says) && message.contains(path), "{path}: {message}");

        record["schema_mode"] = json!("warn");
        let created = server.post("/policy", &record).json();
        assert_eq!(created["success"], true, "{created}");
        assert!(created["warnings"][0].as_str().unwrap().starts_with(&format!("`{path}` ")), "{created}");
        record["schema_mode"] = json!("off");
        record["release_tag"] = json!("off");
        assert_eq!(server.post("/policy", &record).json().get("warnings"), None, "{path}");
    }
}

#[test]
fn a_schema_that_is_none_checks_nothing_and_the_others_hold() {
    let server = TestServer::start();
    let mut record = with_schemas(&server, "half", r#"{"allowed": 1}"#, "warn");
    record["policy_input_schema"] = json!({"ip": {"type": "integer"}});
    let uri = server.load(&record);
    let answer = server.execute(&uri, &json!({"ip": []})).json();
    assert_eq!(answer["warnings"], json!(["`output.allowed` must be true or false, not a number"]));
}

#[test]
fn a_change_of_the_mode_or_of_a_schema_counts_from_the_next_call() {
    let server = TestServer::start();
    let uri = server.load(&with_schemas(&server, "changes", r#"{"allowed": true}"#, "warn"));
    let ask = || server.execute(&uri, &json!({"ip": 5})).json();
    let put = |body: Value| {
        let reply = server.put(&format!("/policy/{uri}"), &body).json();
        assert_eq!(reply["success"], true, "{reply}");
    };
    assert!(ask()["warnings"].is_array());
    put(json!({"$set": {"schema_mode": "enforce"}}));
    assert_eq!(ask()["code"], "input_schema");
    put(json!({"$set": {"policy_input_schema.ip.type": "number"}, "$unset": {"policy_input_schema.ip.length": 1}}));
    assert_eq!(ask(), json!({"success": true, "data": {"allowed": true}}));
    put(json!({"$set": {"policy_input_schema.ip.type": "string", "schema_mode": "off"}}));
    assert_eq!(ask(), json!({"success": true, "data": {"allowed": true}}));
    // A change that would make the record wrong is refused, and what was there counts on.
    let refused = server.put(
        &format!("/policy/{uri}"),
        &json!({"$set": {"schema_mode": "enforce", "policy_input_schema.ip.type": "x"}}),
    );
    assert_eq!(refusal(&refused).1, "policy_input_schema.ip.type");
    assert_eq!(ask()["success"], true);
}

/// A document that takes long to check holds up nobody, and past the bounds it is not checked.
#[test]
fn a_large_document_is_checked_as_well() {
    let server = TestServer::start();
    let uri = server.load(&with_schemas(&server, "large", r#"{"allowed": true}"#, "enforce"));
    let mut ports = vec![80; 100_000];
    assert_eq!(server.execute(&uri, &json!({"ip": "x", "ports": ports})).json()["success"], true);
    ports[99_999] = 0;
    let answer = server.execute(&uri, &json!({"ip": "x", "ports": ports})).json();
    assert_eq!(paths(&answer["violations"]), ["input_data.ports.99999"]);
    let answer = server.execute(&uri, &json!({"ip": "x", "ports": vec![0; 100_000]})).json();
    assert_eq!(answer["violations"].as_array().unwrap().len(), 101);
    assert_eq!(answer["violations"][100], json!({"path": "input_data", "message": "has 99900 more violations"}));
}

#[test]
fn the_examples_records_raise_no_warnings() {
    let server = TestServer::start();
    for name in crate::tidy::example_folders() {
        assert_eq!(server.post("/policy", &guest_record(&name)).json().get("warnings"), None, "{name}");
        let mut enforced = guest_record(&name);
        enforced["schema_mode"] = json!("enforce");
        enforced["release_tag"] = json!("enforced");
        assert_eq!(server.post("/policy", &enforced).json()["success"], true, "{name}");
    }
}

mod commands {
    use super::*;

    struct Folder {
        dir: tempfile::TempDir,
    }

    impl Folder {
        /// A policy and its record in a folder.
        fn of(wasm: &[u8], record: &Value) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("p.wasm"), wasm).unwrap();
            let mut record = record.clone();
            record["code"] = json!("p.wasm");
            fs::write(dir.path().join("p.json"), record.to_string()).unwrap();
            Self { dir }
        }

        fn lictor(&self, command: &str, args: &[&str]) -> lictor_tests::Output {
            args.iter().fold(Command::new([command]).arg(self.dir.path().join("p.wasm")), Command::arg).run()
        }
    }

    fn ip_allowlist(mode: &str) -> Folder {
        let mut record = seed_record();
        record["schema_mode"] = json!(mode);
        Folder::of(&fs::read(guest("ip_allowlist")).unwrap(), &record)
    }

    #[test]
    fn eval_and_manage_check_as_a_server_does() {
        let (good, bad) = (r#"{"ip": "127.0.0.1"}"#, r#"{"ip": "not an ip"}"#);
        let (ips, wrong_ips) = (r#"{"ips": ["10.0.0.1"]}"#, r#"{"ips": ["x"]}"#);
        let update = |data| vec!["--action", "update_local_allowlist", "--data", data];
        for (mode, command, args, code, path) in [
            ("warn", "eval", vec!["--input", good], 0, None),
            ("warn", "eval", vec!["--input", bad], 0, Some("input_data.ip")),
            ("off", "eval", vec!["--input", bad], 0, None),
            ("enforce", "eval", vec!["--input", good], 0, None),
            ("enforce", "eval", vec!["--input", bad], 1, Some("input_data.ip")),
            (
                "enforce",
                "eval",
                vec!["--input", good, "--parameters", r#"{"local_allowlist": 5}"#],
                1,
                Some("parameters.local_allowlist"),
            ),
            (
                "warn",
                "eval",
                vec!["--input", good, "--settings", r#"{"allowlist_api": "x"}"#],
                0,
                Some("settings.allowlist_api"),
            ),
            (
                "enforce",
                "eval",
                vec!["--input", good, "--settings", r#"{"allowlist_api": "x"}"#],
                2,
                Some("settings.allowlist_api"),
            ),
            ("warn", "manage", update(ips), 0, None),
            ("warn", "manage", update(wrong_ips), 0, Some("mgmt_data.ips.0")),
            ("enforce", "manage", update(ips), 0, None),
            ("enforce", "manage", update(wrong_ips), 1, Some("mgmt_data.ips.0")),
            ("enforce", "manage", vec!["--action", "get_state", "--data", wrong_ips], 0, None),
        ] {
            let what = format!("{mode} {command} {args:?}");
            let output = ip_allowlist(mode).lictor(command, &args);
            assert_eq!(output.code, Some(code), "{what}: {output:?}");
            match (code, path) {
                (0, None) => assert!(!output.stderr.contains("warning: "), "{what}: {output:?}"),
                (0 | 2, Some(path)) => assert!(output.stderr.contains(&format!("`{path}` ")), "{what}: {output:?}"),
                (_, path) => {
                    assert_eq!(output.json()["code"], "input_schema", "{what}");
                    assert_eq!(paths(&output.json()["violations"]), [path.unwrap()], "{what}");
                }
            }
        }
    }

    #[test]
    fn an_answer_that_does_not_match_is_withheld_by_eval_too() {
        let mut of_a_number = json!({"policy_output_schema": {"a": {"type": "number"}}});
        let run = |record: &Value| Folder::of(&policy(r#"{"a": "x"}"#), record).lictor("eval", &["--input", "1"]);
        let output = run(&of_a_number).exits(0);
        assert_eq!(output.json(), json!({"a": "x"}));
        assert!(output.stderr.contains("`output.a` must be a number, not a string"), "{output:?}");
        of_a_number["schema_mode"] = json!("enforce");
        assert_eq!(run(&of_a_number).exits(1).json()["code"], "output_schema");
    }

    #[test]
    fn a_record_that_is_wrong_is_a_usage_error_under_enforce() {
        let mut record = json!({"policy_input_schema": {"a": {"type": "integer"}}});
        let run = |record: &Value| Folder::of(&policy("7"), record).lictor("eval", &["--input", "1"]);
        let output = run(&record).exits(0);
        assert!(output.stderr.contains("`policy_input_schema.a.type`"), "{output:?}");
        record["schema_mode"] = json!("enforce");
        assert!(run(&record).exits(2).stderr.contains("`policy_input_schema.a.type`"));
    }

    #[test]
    fn fixtures_meet_the_schemas_too() {
        let test = |mode: &str, expect: Value| {
            let folder = ip_allowlist(mode);
            let mut case = json!({"name": "odd", "input": {"ip": "not an ip"}});
            case.as_object_mut().unwrap().extend(expect.as_object().unwrap().clone());
            let fixtures = folder.dir.path().join("cases.json");
            fs::write(&fixtures, json!([case]).to_string()).unwrap();
            folder.lictor("test", &["--fixtures", fixtures.to_str().unwrap()])
        };
        let answer = json!({"expect": {"allowed": false, "input_data": {"ip": "not an ip"}, "reason": "denied"}});
        let warned = test("warn", answer.clone()).exits(0);
        assert!(warned.stderr.contains("the case `odd`: `input_data.ip`"), "{warned:?}");
        assert!(!test("off", answer.clone()).exits(0).stderr.contains("warning: "));
        test("enforce", json!({"expect_failure": {"code": "input_schema"}})).exits(0);
        assert!(test("enforce", answer).exits(1).stdout.contains("input_schema"));
    }
}
