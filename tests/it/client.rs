//! `lictor-client`: policies in an application's own process, and on an executor.

mod functions;

use std::{path::Path, sync::Arc};

use lictor_client::{
    Bucket, Builder, Capabilities, Ceiling, Error, LimitsSpec, LocalPolicyEvaluator, Mode, Sandbox, SandboxConfig,
    blocking,
};
use lictor_tests::{
    Answer, CodeServer, Guest, TestServer, guest_bytes, guest_record, guest_zip, guests_dir, policy, record, zip_of,
};
use serde_json::{Value, json};

/// A policy that counts its calls. `true` makes it trap, `false` run for ever; a command adds a hundred.
pub(crate) fn counter() -> Vec<u8> {
    let data = "(global $count (mut i32) (i32.const 0))
        (func $number (param $x i32) (result i32)
            (local $at i32)
            (local.set $at (i32.const 1100))
            (loop $digits
                (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $x) (i32.const 10))))
                (local.set $x (i32.div_u (local.get $x) (i32.const 10)))
                (br_if $digits (local.get $x)))
            (call $ok (local.get $at) (i32.sub (i32.const 1100) (local.get $at))))";
    let eval = "(if (i32.eq (i32.load8_u (local.get $input)) (i32.const 116)) (then (unreachable)))
        (if (i32.eq (i32.load8_u (local.get $input)) (i32.const 102)) (then (loop $ever (br $ever))))
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (call $number (global.get $count))";
    let management = "(global.set $count (i32.add (global.get $count) (i32.const 100)))
        (call $number (global.get $count))";
    Guest { data, eval, management, ..Guest::default() }.build()
}

/// A policy that answers the settings it was constructed with, or, if its input is `1`, the parameters.
fn mirror() -> Vec<u8> {
    let data = "(global $s (mut i32) (i32.const 0)) (global $sn (mut i32) (i32.const 0))
        (global $p (mut i32) (i32.const 0)) (global $pn (mut i32) (i32.const 0))";
    let init = "(global.set $s (local.get $settings)) (global.set $sn (local.get $settingsn))
        (global.set $p (local.get $parameters)) (global.set $pn (local.get $parametersn))
        (i32.const 960)";
    let eval = "(if (result i32) (i32.eq (i32.load8_u (local.get $input)) (i32.const 49))
        (then (call $ok (global.get $p) (global.get $pn)))
        (else (call $ok (global.get $s) (global.get $sn))))";
    Guest { data, init, eval, ..Guest::default() }.build()
}

pub(crate) fn url(server: &TestServer) -> String {
    format!("http://{}", server.client().address())
}

/// An evaluator of what `server` has under `uri`, in an environment without variables.
pub(crate) fn evaluator(server: &TestServer, uri: &str) -> Builder {
    let builder = LocalPolicyEvaluator::builder().policy_rule_uri(uri).environment([]);
    builder.policy_db_url(url(server)).allow_file(server.same_place().files()).allow_file(guests_dir())
}

/// An evaluator of a component that no system has.
pub(crate) fn custom(component: Vec<u8>) -> Builder {
    LocalPolicyEvaluator::builder().environment([]).custom_component(component)
}

#[track_caller]
pub(crate) fn failed<T: std::fmt::Debug>(res: Result<T, Error>, code: &str) -> Error {
    let error = res.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    error
}

fn state_lost(error: &Error) -> bool {
    match error {
        Error::Stopped { state_lost, .. } => *state_lost,
        other => panic!("{other}"),
    }
}

fn variables(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The three examples of the document, one after the other.
#[tokio::test]
async fn the_seeds_examples_answer_as_the_seed_says() {
    let server = TestServer::start();
    server.load(&guest_record("ip_allowlist"));
    let url = url(&server);
    let environment = variables(&[("POLICY_DB_URL", &url), ("POLICY_EXECUTOR_HOST_URL", &url)]);

    let settings = json!({});
    let parameters = json!({});
    let policy_rule_uri = "ip_allowlist:1.0-beta";
    let denied = json!({"allowed": false, "input_data": {"ip": "192.168.0.109"}, "reason": "denied"});

    let executor = LocalPolicyEvaluator::builder()
        .policy_rule_uri(policy_rule_uri)
        .parameters(parameters.clone())
        .settings(settings.clone())
        .mode("local")
        .environment(environment.clone())
        .allow_file(guests_dir())
        .build()
        .await
        .unwrap();
    let output = executor.execute_policy_rule(&json!({"ip": "192.168.0.109"})).await.unwrap();
    assert_eq!(output, denied);

    let remote = LocalPolicyEvaluator::builder()
        .policy_rule_uri(policy_rule_uri)
        .parameters(parameters)
        .settings(settings)
        .mode("remote")
        .executor_id("executor-001")
        .environment(environment)
        .build()
        .await
        .unwrap();
    assert_eq!(remote.execute_policy_rule(&json!({"ip": "192.168.0.109"})).await.unwrap(), denied);
    // The stored parameters are used where none are given.
    let allowed = remote.execute_policy_rule(&json!({"ip": "192.168.0.1"})).await.unwrap();
    assert_eq!(allowed["allowed"], true);

    let ips = json!({"ips": ["192.168.0.100", "192.168.0.102"]});
    let output = executor.execute_mgmt_command("update_local_allowlist", &ips).await.unwrap();
    assert_eq!(output["status"], "success", "{output}");
    for (ip, allowed) in [("192.168.0.100", true), ("192.168.0.1", false)] {
        let output = executor.execute_policy_rule(&json!({ "ip": ip })).await.unwrap();
        assert_eq!(output["allowed"], allowed, "{output}");
    }
}

#[tokio::test]
async fn what_the_caller_gives_overrides_what_is_stored_member_by_member() {
    let server = TestServer::start();
    let mut stored = record("mirror", &server.put_file("mirror.wasm", &mirror()));
    stored["policy_settings"] = json!({"a": {"x": 1}, "b": 1});
    stored["policy_parameters"] = json!({"c": [1], "d": 1});
    let uri = server.create_policy(&stored);
    let merged = json!({"a": {"y": 2}, "b": 1, "e": 5});
    for (given, settings, parameters) in [
        (json!(null), json!({"a": {"x": 1}, "b": 1}), json!({"c": [1], "d": 1})),
        (json!({}), json!({"a": {"x": 1}, "b": 1}), json!({"c": [1], "d": 1})),
        (json!({"a": {"y": 2}, "e": 5}), merged, json!({"a": {"y": 2}, "c": [1], "d": 1, "e": 5})),
    ] {
        let evaluator = evaluator(&server, &uri).settings(given.clone()).parameters(given).build().await.unwrap();
        assert_eq!(evaluator.execute_policy_rule(&json!(0)).await.unwrap(), settings);
        assert_eq!(evaluator.execute_policy_rule(&json!(1)).await.unwrap(), parameters);
    }
    for wrong in [json!([]), json!("{}"), json!(5)] {
        let error = failed(evaluator(&server, &uri).settings(wrong.clone()).build().await, "invalid_input");
        assert_eq!(error.to_string(), "`settings` must be a JSON object");
        failed(evaluator(&server, &uri).parameters(wrong).build().await, "invalid_input");
    }
}

#[tokio::test]
async fn one_instance_is_kept_and_management_reaches_it() {
    let evaluator = custom(counter()).build().await.unwrap();
    assert_eq!(evaluator.mode(), Mode::Local);
    for n in 1..=3 {
        assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), n);
    }
    assert_eq!(evaluator.execute_mgmt_command("add", &json!({})).await.unwrap(), 103);
    assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 104);
}

#[tokio::test]
async fn calls_at_the_same_time_are_answered_once_each_and_in_one_instance() {
    let evaluator = Arc::new(custom(counter()).build().await.unwrap());
    let call = |_| {
        let evaluator = Arc::clone(&evaluator);
        tokio::spawn(async move { evaluator.execute_policy_rule(&json!({})).await.unwrap().as_u64().unwrap() })
    };
    let mut answers = Vec::new();
    for call in (0..50).map(call).collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    answers.sort_unstable();
    assert_eq!(answers, (1..=50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn an_instance_that_was_stopped_is_replaced_and_the_error_says_so() {
    let ceiling = Ceiling { timeout_ms: 100, ..Ceiling::default() };
    let evaluator = custom(counter()).ceiling(ceiling).build().await.unwrap();
    for (input, code) in [(json!(true), "trap"), (json!(false), "timeout")] {
        assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 1);
        let error = failed(evaluator.execute_policy_rule(&input).await, code);
        assert!(state_lost(&error) && error.to_string().contains("is lost"), "{error}");
        // Nothing was there to be lost.
        assert!(!state_lost(&failed(evaluator.execute_policy_rule(&input).await, code)));
    }
    assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 1);
}

#[tokio::test]
async fn a_failure_of_the_policy_is_its_own_account_and_nothing_is_lost() {
    let evaluator = custom(guest_bytes("load_balancer")).build().await.unwrap();
    let choose = json!({"mode": "load_balance", "instances": ["a", "b"]});
    assert_eq!(evaluator.execute_policy_rule(&choose).await.unwrap(), json!({"instance_id": "a"}));
    let nobody = json!({"mode": "load_balance", "instances": []});
    let Error::Policy(failure) = failed(evaluator.execute_policy_rule(&nobody).await, "policy_error") else { panic!() };
    assert_eq!(failure.code, "no_instances");
    let error = failed(evaluator.execute_mgmt_command("no_such", &json!({})).await, "policy_error");
    assert!(matches!(&error, Error::Policy(failure) if failure.code == "unknown_action"), "{error}");
    let estimate = evaluator.execute_policy_rule(&json!({"mode": "estimate"})).await.unwrap();
    assert_eq!(estimate["packets"], 1);
}

#[tokio::test]
async fn a_component_of_the_callers_own_needs_no_system() {
    let nowhere = || LocalPolicyEvaluator::builder().environment([]).policy_db_url("http://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let (bare, packed) = (folder.path().join("bare.wasm"), folder.path().join("packed.zip"));
    std::fs::write(&bare, mirror()).unwrap();
    std::fs::write(&packed, zip_of(&[("code/policy.wasm", &mirror())])).unwrap();
    for builder in [
        nowhere().custom_component(mirror()),
        nowhere().custom_component_file(&bare),
        nowhere().custom_component_file(&packed),
    ] {
        let evaluator = builder.clone().settings(json!({"a": 1})).build().await.unwrap();
        assert_eq!(evaluator.execute_policy_rule(&json!(0)).await.unwrap(), json!({"a": 1}));
        assert_eq!(evaluator.execute_policy_rule(&json!(1)).await.unwrap(), json!({}));
    }
    for (builder, code) in [
        (nowhere().custom_component(b"\0asm".to_vec()), "not_a_component"),
        (nowhere().custom_component(b"text".to_vec()), "bad_archive"),
        (nowhere().custom_component_file(Path::new("/no/such/file")), "code_unreachable"),
        (nowhere().custom_component(mirror()).policy_rule_uri("no uri"), "invalid_input"),
        (nowhere().policy_rule_uri("a:1.0-b"), "unreachable"),
        (nowhere(), "invalid_input"),
    ] {
        failed(builder.build().await, code);
    }
}

#[tokio::test]
async fn each_way_not_to_get_a_policy_has_its_code() {
    let server = TestServer::start();
    let other = server.create_policy(&record("gone", "file:///no/such/file.wasm"));
    let private = server.create_policy(&record("private", "http://127.0.0.1:1/x.wasm"));
    let mut pinned = record("pinned", &server.put_file("pinned.wasm", &policy("1")));
    pinned["code_digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let pinned = server.create_policy(&pinned);
    let mut python = record("python", "file:///no/such/file.zip");
    python["type"] = json!("python_class_v1");
    let python = server.create_policy(&python);
    for (uri, code, says) in [
        ("no-such:1.0-x", "not_found", "Policy rule with URI 'no-such:1.0-x' not found."),
        ("a/b", "invalid_input", "policy_rule_uri"),
        (&other, "code_unreachable", "does not exist"),
        (&private, "code_unreachable", "no public address"),
        (&pinned, "digest_mismatch", "digest mismatch"),
        (&python, "not_available", "python_class_v1"),
    ] {
        let error = failed(evaluator(&server, uri).build().await, code);
        assert!(error.to_string().contains(says), "{uri}: {error}");
    }
}

#[tokio::test]
async fn the_originals_system_and_broken_ones_are_understood() {
    let system = CodeServer::start();
    let uri = "p:1.0-x";
    let build = || {
        let builder = LocalPolicyEvaluator::builder().environment([]).policy_rule_uri(uri);
        builder.policy_db_url(system.url("")).build()
    };
    for (answer, code) in [
        (Answer::json(&json!({"success": false, "message": "Policy not found."})), "not_found"),
        (Answer::json(&json!({"success": false, "message": "no disk"})), "internal"),
        (Answer::json(&json!({"success": true, "data": []})), "unreachable"),
        (Answer::json(&json!({"success": true, "data": {"name": 5}})), "unreachable"),
        (Answer::json(&json!({"success": true, "data": record("q", "https://example.com/x.wasm")})), "unreachable"),
        (Answer::ok("<html>"), "unreachable"),
        (Answer::status(500), "unreachable"),
    ] {
        system.answer("/policy/p:1.0-x", answer);
        failed(build().await, code);
    }
}

#[tokio::test]
async fn code_in_the_systems_registry_of_assets_is_found() {
    let server = TestServer::start();
    let metadata = json!({"asset_name": "code", "asset_version": {"version": "1.0", "tag": "x"}}).to_string();
    let mut form = b"--b\r\nContent-Disposition: form-data; name=\"asset\"; filename=\"code.wasm\"\r\n\r\n".to_vec();
    form.extend(policy("7"));
    form.extend(b"\r\n--b\r\nContent-Disposition: form-data; name=\"asset_metadata\"\r\n\r\n");
    form.extend(metadata.as_bytes());
    form.extend(b"\r\n--b--\r\n");
    let head = [("Content-Type", "multipart/form-data; boundary=b")];
    let reply = server.send("POST", "/upload_asset", &head, &form);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["asset_id"].as_str().unwrap().to_owned();
    let places =
        ["asset:code:1.0-x".to_owned(), format!("asset://{id}"), format!("{}/asset-object/{id}", url(&server))];
    for (n, code) in places.iter().enumerate() {
        let uri = server.create_policy(&record(&format!("of-asset{n}"), code));
        let evaluator = evaluator(&server, &uri).build().await.unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 7, "{code}");
    }
    let uri = server.create_policy(&record("of-none", "asset:none:1.0-x"));
    failed(evaluator(&server, &uri).build().await, "code_unreachable");
}

#[tokio::test]
async fn what_is_kept_in_the_cache_needs_no_code() {
    let server = TestServer::start();
    let uri = server.load(&record("kept", &server.put_file("kept.wasm", &policy("7"))));
    let cache = tempfile::tempdir().unwrap();
    let kept = || evaluator(&server, &uri).cache_dir(cache.path().join("lictor"));
    kept().build().await.unwrap();
    std::fs::remove_file(server.same_place().files().join("kept.wasm")).unwrap();
    assert_eq!(kept().build().await.unwrap().execute_policy_rule(&json!({})).await.unwrap(), 7);
    failed(evaluator(&server, &uri).build().await, "code_unreachable");
}

#[tokio::test]
async fn schemas_are_kept_or_warned_about_as_on_an_executor() {
    let server = TestServer::start();
    for (mode, code) in [("warn", "ok"), ("off", "ok"), ("enforce", "input_schema")] {
        let mut stored = record(&format!("schemas-{mode}"), &server.put_file("mirror.wasm", &mirror()));
        stored["schema_mode"] = json!(mode);
        stored["policy_input_schema"] = json!({"type": "integer"});
        stored["policy_output_schema"] = json!({"m": {"type": "number", "required": true}});
        stored["policy_settings_schema"] = json!({"n": {"type": "number"}});
        stored["management_commands_schema"] = json!([{"name": "set", "schema": {"v": {"type": "number"}}}]);
        let uri = server.create_policy(&stored);
        let code_of = |res: &Result<Value, Error>| res.as_ref().map_or_else(|e| e.code().to_owned(), |_| "ok".into());

        let local = evaluator(&server, &uri).settings(json!({"m": 5})).build().await.unwrap();
        let host = LocalPolicyEvaluator::builder().environment([]).policy_rule_uri(&uri).mode("remote");
        let remote = host.executor_host_url(url(&server)).executor_id("executor-001").build().await.unwrap();
        for evaluator in [&local, &remote] {
            assert_eq!(code_of(&evaluator.execute_policy_rule(&json!("text")).await), code, "{mode}");
        }
        assert_eq!(code_of(&local.execute_policy_rule(&json!(0)).await), "ok", "{mode}");
        let output = if mode == "enforce" { "output_schema" } else { "ok" };
        for evaluator in [&local, &remote] {
            assert_eq!(code_of(&evaluator.execute_policy_rule(&json!(1)).await), output, "{mode}");
        }
        assert_eq!(code_of(&local.execute_mgmt_command("set", &json!({"v": "x"})).await), code, "{mode}");
        // What the caller overrides is checked too.
        let built = evaluator(&server, &uri).settings(json!({"n": "x"})).build().await;
        assert_eq!(built.as_ref().map_or_else(Error::code, |_| "ok"), code, "{mode}");
    }
}

#[tokio::test]
async fn limits_are_the_records_within_the_callers_ceiling() {
    let server = TestServer::start();
    let mut stored = record("limited", &server.put_file("counter.wasm", &counter()));
    stored["limits"] = json!({"timeout_ms": 60_000});
    let uri = server.create_policy(&stored);
    let ceiling = Ceiling { timeout_ms: 100, ..Ceiling::default() };
    let of_ceiling = evaluator(&server, &uri).ceiling(ceiling);
    let of_caller = evaluator(&server, &uri).limits(LimitsSpec { timeout_ms: Some(100), ..LimitsSpec::default() });
    for builder in [of_ceiling, of_caller] {
        let evaluator = builder.build().await.unwrap();
        let error = failed(evaluator.execute_policy_rule(&json!(false)).await, "timeout");
        assert!(error.to_string().contains("within 100 ms"), "{error}");
    }
    let fuel = LimitsSpec { fuel: Some(10_000), ..LimitsSpec::default() };
    let metered = evaluator(&server, &uri).limits(fuel).build().await.unwrap();
    failed(metered.execute_policy_rule(&json!(false)).await, "out_of_fuel");
    let tiny = Ceiling { memory_mb: 0, ..Ceiling::default() };
    failed(evaluator(&server, &uri).ceiling(tiny).build().await, "too_complex");
}

#[tokio::test]
async fn the_context_is_the_applications_to_keep_and_to_withhold() {
    let context = Arc::new(Bucket::default());
    let component = lictor_tests::sandbox::Guest::named("context").component();
    let kept = || custom(component.clone()).context(Arc::clone(&context));
    kept().build().await.unwrap().execute_policy_rule(&json!("s key value")).await.unwrap();
    assert_eq!(context.get("key"), Some(b"value".to_vec()));
    assert_eq!(kept().build().await.unwrap().execute_policy_rule(&json!("g key")).await.unwrap(), "value");
    let in_memory = custom(component.clone()).build().await.unwrap();
    assert_eq!(in_memory.execute_policy_rule(&json!("g key")).await.unwrap(), json!(null));
    let without = kept().grant(Capabilities { context: false, ..Capabilities::default() }).build().await.unwrap();
    let error = failed(without.execute_policy_rule(&json!("g key")).await, "policy_error");
    assert!(matches!(&error, Error::Policy(failure) if failure.code == "access-denied"), "{error}");
}

#[tokio::test]
async fn a_sandbox_can_be_shared_and_be_full() {
    let sandbox = Sandbox::new(SandboxConfig { max_instances: 2, ..SandboxConfig::default() }).unwrap();
    let first = custom(counter()).sandbox(&sandbox).build().await.unwrap();
    let second = custom(counter()).sandbox(&sandbox).build().await.unwrap();
    for evaluator in [&first, &second] {
        assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 1);
    }
    failed(custom(counter()).sandbox(&sandbox).build().await, "busy");
    drop(first);
    custom(counter()).sandbox(&sandbox).build().await.unwrap();
}

#[tokio::test]
async fn an_executor_is_asked_and_what_it_says_is_the_same_error_as_here() {
    let server = TestServer::start();
    let mirror = server.load(&record("mirror", &server.put_file("mirror.wasm", &mirror())));
    let counter = server.load(&record("counter", &server.put_file("counter.wasm", &counter())));
    let url = url(&server);
    let remote = |uri: &str, id: &str| {
        let builder = LocalPolicyEvaluator::builder().environment([]).policy_rule_uri(uri).mode(Mode::Remote);
        builder.executor_host_url(&url).executor_id(id)
    };
    // `executor-0` is whom the original asks.
    for id in ["", "executor-001"] {
        let evaluator = remote(&mirror, id).parameters(json!({"p": 1})).build().await.unwrap();
        assert_eq!(evaluator.mode(), Mode::Remote);
        assert_eq!(evaluator.execute_policy_rule(&json!(1)).await.unwrap(), json!({"p": 1}), "{id:?}");
    }
    for (uri, id, code) in [
        (counter.as_str(), "", "trap"),
        ("no-such:1.0-x", "", "not_found"),
        (counter.as_str(), "executor-123", "not_found"),
    ] {
        let evaluator = remote(uri, id).build().await.unwrap();
        failed(evaluator.execute_policy_rule(&json!(true)).await, code);
    }
    let evaluator = remote(&counter, "").build().await.unwrap();
    let error = failed(evaluator.execute_mgmt_command("add", &json!({})).await, "not_available");
    assert!(error.to_string().contains("mode `local`"), "{error}");
    for (builder, code) in [
        (remote("a b", ""), "invalid_input"),
        (remote(&counter, "a/b"), "invalid_input"),
        (remote(&counter, "").executor_host_url("ftp://x"), "invalid_input"),
        (custom(policy("1")).mode("remote"), "invalid_input"),
    ] {
        failed(builder.build().await, code);
    }
    let nobody = remote(&counter, "").executor_host_url("http://127.0.0.1:1").build().await.unwrap();
    failed(nobody.execute_policy_rule(&json!({})).await, "unreachable");
}

#[tokio::test]
async fn the_variables_of_the_original_are_read() {
    let server = TestServer::start();
    let uri = server.load(&record("seven", &server.put_file("seven.wasm", &policy("7"))));
    let url = url(&server);
    let with = |all: &[(&str, &str)]| {
        let builder = LocalPolicyEvaluator::builder().policy_rule_uri(&uri).environment(variables(all));
        builder.allow_file(server.same_place().files())
    };
    let seven = async |builder: Builder, mode| {
        let evaluator = builder.build().await.unwrap();
        assert_eq!(evaluator.mode(), mode);
        assert_eq!(evaluator.execute_policy_rule(&json!({})).await.unwrap(), 7);
    };
    let (local, remote) = (("POLICY_DB_URL", url.as_str()), ("POLICY_EXECUTOR_HOST_URL", url.as_str()));
    seven(with(&[local]), Mode::Local).await;
    seven(with(&[local, ("POLICY_EXECUTION_MODE", "local")]).mode("remote"), Mode::Local).await;
    seven(with(&[remote, ("POLICY_EXECUTION_MODE", "anywhere")]).mode("local"), Mode::Remote).await;
    seven(with(&[remote, ("POLICY_SYSTEM_EXECUTOR_ID", "executor-001")]).mode("remote"), Mode::Remote).await;
    let other = with(&[remote, ("POLICY_SYSTEM_EXECUTOR_ID", "executor-123")]).mode("remote").build().await.unwrap();
    failed(other.execute_policy_rule(&json!({})).await, "not_found");
    let error = failed(with(&[("POLICY_DB_URL", "nowhere")]).build().await, "invalid_input");
    assert!(error.to_string().contains("POLICY_DB_URL"), "{error}");
}

#[test]
fn an_application_without_a_runtime_waits_for_its_answers() {
    let evaluator = blocking::LocalPolicyEvaluator::build(custom(counter())).unwrap();
    assert_eq!(evaluator.execute_policy_rule(&json!({})).unwrap(), 1);
    assert_eq!(evaluator.execute_mgmt_command("add", &json!({})).unwrap(), 101);
    failed(evaluator.execute_policy_rule(&json!(true)), "trap");
    let packed = LocalPolicyEvaluator::builder().environment([]).custom_component_file(guest_zip("ip_allowlist"));
    let evaluator = blocking::LocalPolicyEvaluator::build(packed).unwrap();
    let output = evaluator.execute_policy_rule(&json!({"ip": "10.0.0.1"})).unwrap();
    assert_eq!(output["allowed"], false);
    failed(blocking::LocalPolicyEvaluator::build(custom(Vec::new())), "bad_archive");
}

#[tokio::test]
async fn a_document_that_is_nested_too_deeply_is_refused() {
    let evaluator = custom(counter()).build().await.unwrap();
    let deep = (0..129).fold(json!(1), |inner, _| json!([inner]));
    failed(evaluator.execute_policy_rule(&deep).await, "invalid_input");
    failed(evaluator.execute_mgmt_command("add", &deep).await, "invalid_input");
}
