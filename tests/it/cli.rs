//! The other subcommands as a person or a script runs them: what is printed, and every exit code.

use std::fs;

use lictor_tests::{
    Answer, CodeServer, Command, Guest, Output, component, guest, guest_zip, guests_dir, policy, zip_of,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs `lictor eval` on this component.
#[track_caller]
fn eval(component: &[u8], args: &[&str]) -> Output {
    let folder = folder();
    let path = folder.path().join("policy.wasm");
    fs::write(&path, component).unwrap();
    Command::new(["eval"]).arg(&path).run_with(args)
}

trait RunWith {
    fn run_with(self, args: &[&str]) -> Output;
}

impl RunWith for Command {
    #[track_caller]
    fn run_with(self, args: &[&str]) -> Output {
        args.iter().fold(self, |command, arg| command.arg(arg)).run()
    }
}

fn spinning() -> Vec<u8> {
    Guest { eval: "(loop $again (br $again)) (unreachable)", ..Guest::default() }.build()
}

#[test]
fn eval_prints_the_answer_as_it_is() {
    let expected = "{\"allowed\":true,\"input_data\":{\"ip\": \"127.0.0.1\"},\"reason\":\"allowed\"}\n";
    for path in [guest("ip_allowlist"), guest_zip("ip_allowlist")] {
        let args = ["--settings", "{}", "--input", r#"{"ip": "127.0.0.1"}"#];
        let output = Command::new(["eval"]).arg(path).run_with(&args).exits(0);
        assert_eq!(output.stdout, expected);
    }
}

#[test]
fn eval_reads_its_input_from_anywhere() {
    let echo = Guest { eval: "(call $ok (local.get $input) (local.get $inputn))", ..Guest::default() }.build();
    let folder = folder();
    let (wasm, input) = (folder.path().join("echo.wasm"), folder.path().join("input.json"));
    fs::write(&wasm, echo).unwrap();
    fs::write(&input, "{\"from\": \"file\"}").unwrap();
    let run = |input: &str, stdin: &str| {
        Command::new(["eval"]).arg(&wasm).arg("--input").arg(input).stdin(stdin).run().exits(0).json()
    };
    assert_eq!(run("{\"from\": \"flag\"}", ""), json!({"from": "flag"}));
    assert_eq!(run(&format!("@{}", input.display()), ""), json!({"from": "file"}));
    assert_eq!(run("-", "{\"from\": \"stdin\"}"), json!({"from": "stdin"}));
    assert_eq!(run("null", ""), json!(null));
}

#[test]
fn eval_takes_settings_and_parameters_of_the_record_unless_told_otherwise() {
    let folder = folder();
    let both = Guest {
        data: "(global $own (mut i32) (i32.const 0)) (global $ownn (mut i32) (i32.const 0))",
        init: "(global.set $own (local.get $settings)) (global.set $ownn (local.get $settingsn)) (i32.const 960)",
        eval: "(if (local.get $has) (then (return (call $ok (local.get $parameters) (local.get $parametersn)))))
               (call $ok (global.get $own) (global.get $ownn))",
        ..Guest::default()
    };
    let wasm = folder.path().join("p.wasm");
    fs::write(&wasm, both.build()).unwrap();
    let record = json!({
        "name": "p", "version": "1", "release_tag": "t", "type": "wasm_component_v1", "code": "p.wasm",
        "policy_settings": {"from": "record"},
    });
    let run = |args: &[&str]| Command::new(["eval"]).arg(&wasm).arg("--input").arg("1").run_with(args).exits(0).json();
    assert_eq!(run(&[]), json!({}));
    let other = folder.path().join("other.json");
    fs::write(&other, record.to_string()).unwrap();
    assert_eq!(run(&["--record", other.to_str().unwrap()]), json!({"from": "record"}));
    fs::write(folder.path().join("p.json"), record.to_string()).unwrap();
    assert_eq!(run(&[]), json!({"from": "record"}), "the record beside it");
    assert_eq!(run(&["--settings", r#"{"from":"flag"}"#]), json!({"from": "flag"}));
    assert_eq!(run(&["--parameters", r#"{"of":"call"}"#]), json!({"of": "call"}));
}

#[test]
fn what_a_policy_does_decides_the_exit_code() {
    let err = r#"(data (i32.const 1024) "no_such_zone")"#;
    let failing = Guest { data: err, eval: "(call $err (i32.const 1024) (i32.const 12))", ..Guest::default() }.build();
    let refusing = Guest { data: err, init: "(call $err (i32.const 1024) (i32.const 12))", ..Guest::default() }.build();
    let trapping = Guest { eval: "(unreachable)", ..Guest::default() }.build();
    let garbage = Guest {
        data: r#"(data (i32.const 1024) "NaN")"#,
        eval: "(call $ok (i32.const 1024) (i32.const 3))",
        ..Guest::default()
    }
    .build();
    let large = Guest { eval: "(call $quote (i32.const 65536) (i32.const 2000))", ..Guest::default() };
    let large = Guest {
        data: "(start $fill) (func $fill (memory.fill (i32.const 65536) (i32.const 97) (i32.const 2000)))",
        ..large
    }
    .build();
    let recursing = Guest {
        data: "(func $deep (param $n i32) (result i32) (i32.add (i32.const 1) (call $deep (i32.add (local.get $n) (i32.const 1)))))",
        eval: "(call $deep (i32.const 0))",
        ..Guest::default()
    }
    .build();
    let core = component("(module)");
    let importing = component(r#"(component (import "acme:files/read@1.0.0" (instance)))"#);
    let ok = policy("7");
    let climbing = zip_of(&[("code/policy.wasm", &ok), ("../x", b"x")]);
    for (what, bytes, args, code, said) in [
        ("an answer", &ok, &[][..], 0, None),
        ("a failure", &failing, &[], 1, Some("policy_error")),
        ("a refusal to start", &refusing, &[], 1, Some("policy_error")),
        ("a trap", &trapping, &[], 1, Some("trap")),
        ("bad output", &garbage, &[], 1, Some("bad_output")),
        ("endless recursion", &recursing, &[], 1, Some("stack_overflow")),
        ("a core module", &core, &[], 3, Some("not_a_component")),
        ("an import outside the world", &importing, &[], 3, Some("unknown_import")),
        ("a hostile archive", &climbing, &[], 3, Some("bad_archive")),
        ("too much time", &spinning(), &["--limit", "timeout_ms=20"], 4, Some("timeout")),
        (
            "too much fuel",
            &spinning(),
            &["--limit", "fuel=100000", "--limit", "timeout_ms=60000"],
            4,
            Some("out_of_fuel"),
        ),
        ("too long an answer", &large, &["--limit", "output_kb=1"], 4, Some("output_too_large")),
    ] {
        let output = eval(bytes, &[&["--input", "1"], args].concat());
        assert_eq!(output.code, Some(code), "{what}: {output:?}");
        match said {
            None => assert_eq!(output.stdout, "7\n", "{what}"),
            Some(said) => {
                let body = output.json();
                assert_eq!((&body["success"], &body["code"]), (&json!(false), &json!(said)), "{what}: {body}");
            }
        }
        assert!(!output.stderr.contains("panicked"), "{what}: {}", output.stderr);
    }
    let missing = Command::new(["eval", "/no/such.wasm", "--input", "1"]).run().exits(3);
    assert_eq!(missing.json()["code"], "code_unreachable");
}

#[test]
fn a_command_that_makes_no_sense_exits_with_2_and_says_why() {
    let ok = policy("7");
    for (what, args) in [
        ("malformed input", &["--input", "{"][..]),
        ("an unknown limit", &["--limit", "cpu=1"]),
        ("a limit of nothing", &["--limit", "timeout_ms=0"]),
        ("a limit that is no number", &["--limit", "timeout_ms=soon"]),
        ("an unknown grant", &["--grant", "files=/"]),
        ("a grant of more than an origin", &["--grant", "http=https://a.example/x"]),
        ("settings that are no object", &["--settings", "5"]),
        ("an unknown flag", &["--colour"]),
        ("a record that is not there", &["--record", "/no/such.json"]),
        ("no input", &[]),
    ] {
        let input: &[&str] = if what.ends_with("input") { &[] } else { &["--input", "1"] };
        let output = eval(&ok, &[input, args].concat()).exits(2);
        assert_eq!(output.stdout, "", "{what}");
        assert!(!output.stderr.is_empty() && !output.stderr.contains("panicked"), "{what}: {}", output.stderr);
    }
}

#[test]
fn eval_grants_what_it_is_told_to() {
    let web = CodeServer::start();
    web.answer("/list", Answer::json(&json!({"allowlist": ["10.1.2.3"]})));
    let settings = json!({"allowlist_api": web.url("/list")}).to_string();
    let grant = format!("http={}", web.origin());
    let run = |args: &[&str]| {
        let command = Command::new(["eval"]).arg(guest("ip_allowlist")).arg("--settings").arg(&settings);
        let output = command.arg("--input").arg(r#"{"ip": "10.1.2.3"}"#).run_with(args).exits(0);
        output.json()["reason"].clone()
    };
    assert_eq!(run(&[]), "denied");
    assert_eq!(run(&["--grant", &grant]), "denied", "a grant does not admit a private address");
    assert_eq!(run(&["--allow-private", "127.0.0.1"]), "denied", "nor the other way round");
    assert_eq!(web.hits("/list"), 0);
    assert_eq!(run(&["--grant", &grant, "--allow-private", "127.0.0.1"]), "allowed");
}

#[test]
fn eval_tells_usage_on_standard_error() {
    let output = eval(&policy("7"), &["--input", "1", "--usage"]).exits(0);
    assert_eq!(output.stdout, "7\n");
    assert!(output.stderr.contains("peak_memory_bytes"), "{}", output.stderr);
}

// attack 92
#[test]
fn what_a_policy_says_cannot_steer_a_terminal() {
    // ESC and a bidirectional override inside its answer: the same JSON, written out.
    let output = eval(&policy("\"\u{202e}x\u{9b}2J\""), &["--input", "1"]).exits(0);
    assert!(!output.stdout.contains(['\u{202e}', '\u{9b}']), "{:?}", output.stdout);
    assert_eq!(output.json(), json!("\u{202e}x\u{9b}2J"));
}

#[test]
fn manage_gives_commands() {
    let zip = guest_zip("ip_allowlist");
    let run = |args: &[&str]| Command::new(["manage"]).arg(&zip).run_with(args);
    let state = run(&["--action", "get_state"]).exits(0).json();
    assert_eq!(state["local_allowlist"], json!(["127.0.0.1", "192.168.0.1"]), "the record beside it counts");
    let updated = run(&["--action", "update_local_allowlist", "--data", r#"{"ips": ["10.0.0.1"]}"#]).exits(0).json();
    assert_eq!(updated, json!({"status": "success", "updated_allowlist": ["10.0.0.1"]}));
    let failed = run(&["--action", "update_local_allowlist", "--data", "[]"]).exits(1).json();
    assert_eq!((&failed["code"], &failed["failure"]["code"]), (&json!("policy_error"), &json!("invalid_data")));
    run(&["--action", "get_state", "--data", "{"]).exits(2);
    run(&[]).exits(2);
    let wasm = folder();
    let path = wasm.path().join("p.wasm");
    fs::write(&path, Guest { management: "(loop $again (br $again)) (unreachable)", ..Guest::default() }.build())
        .unwrap();
    let stopped = Command::new(["manage"]).arg(&path).run_with(&["--action", "x", "--limit", "timeout_ms=20"]).exits(4);
    assert_eq!(stopped.json()["code"], "timeout");
    Command::new(["manage", "/no/such.wasm", "--action", "x"]).run().exits(3);
}

#[test]
fn test_tells_wrong_fixtures_from_a_wrong_policy() {
    let folder = folder();
    let fixtures = folder.path().join("expected.json");
    let run = |text: &str| {
        fs::write(&fixtures, text).unwrap();
        Command::new(["test"]).arg(guest("ip_allowlist")).arg("--fixtures").arg(&fixtures).run()
    };
    for wrong in [
        "{",
        "{}",
        "[5]",
        r#"[{"name": "x", "input": 1, "expect": 1, "surplus": 1}]"#,
        r#"[{"input": 1, "expect": 1}]"#,
        "[]",
    ] {
        let output = run(wrong).exits(2);
        assert!(!output.stderr.is_empty(), "{wrong}");
    }
    // A case that asks nothing, or expects two things, fails like one that is wrong, and says why.
    for (wrong, said) in [
        (r#"[{"name": "x"}]"#, "`input`"),
        (r#"[{"name": "x", "input": 1, "expect": 1, "expect_failure": {"code": "y"}}]"#, "`expect_failure`"),
    ] {
        let output = run(wrong);
        assert!(matches!(output.code, Some(1 | 2)), "{wrong}: {output:?}");
        assert!(output.stdout.contains(said) || output.stderr.contains(said), "{wrong}: {output:?}");
    }
    run(r#"[{"name": "x", "input": {}, "expect": 1}]"#).exits(1);
    Command::new(["test"]).arg(guest("ip_allowlist")).arg("--fixtures").arg("/no/such.json").run().exits(2);
    fs::write(&fixtures, r#"[{"name": "x", "input": {}, "expect": 1}]"#).unwrap();
    Command::new(["test", "/no/such.wasm", "--fixtures"]).arg(&fixtures).run().exits(3);
    let core = folder.path().join("core.wasm");
    fs::write(&core, component("(module)")).unwrap();
    Command::new(["test"]).arg(&core).arg("--fixtures").arg(&fixtures).run().exits(3);
}

#[test]
fn inspect_shows_what_a_policy_is_and_would_need() {
    let output = Command::new(["inspect", "--json"]).arg(guest_zip("ip_allowlist")).run().exits(0);
    let shown = output.json();
    let record: Value = serde_json::from_slice(&fs::read(guests_dir().join("ip_allowlist.json")).unwrap()).unwrap();
    assert_eq!(shown["archive"]["digest"], record["code_digest"]);
    assert_eq!(shown["policy"], true);
    assert_eq!(shown["exports"], json!(["lictor:policy/rule@1.0.0"]));
    assert_eq!(
        (&shown["capabilities"]["http"]["needed"], &shown["capabilities"]["context"]["needed"]),
        (&json!(true), &json!(false))
    );
    let imports = shown["imports"].as_array().unwrap();
    assert!(
        imports
            .iter()
            .any(|import| import["name"] == "wasi:http/outgoing-handler@0.2.12" && import["granted"] == false)
    );
    for schema in ["settings", "parameters", "input", "output"] {
        assert!(shown["schemas"][schema].is_object(), "{schema}");
    }
    assert_eq!(shown["limits"]["timeout_ms"], 1000);
    let text = Command::new(["inspect"]).arg(guest("ip_allowlist")).run().exits(0).stdout;
    for part in ["sha256:", "wasi:http/outgoing-handler@0.2.12", "lictor:policy/rule@1.0.0", "It is a policy."] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn inspect_shows_what_is_no_policy_too() {
    let folder = folder();
    let path = folder.path().join("x.wasm");
    for (text, code) in [
        (r#"(component (import "acme:files/read@1.0.0" (instance)))"#, "unknown_import"),
        (r#"(component (import "wasi:cli/environment@0.2.999" (instance)))"#, "unknown_import"),
        ("(component)", "missing_export"),
    ] {
        fs::write(&path, component(text)).unwrap();
        let output = Command::new(["inspect", "--json"]).arg(&path).run().exits(3);
        let shown = output.json();
        assert_eq!((&shown["policy"], &shown["refusal"]["code"]), (&json!(false), &json!(code)), "{text}: {shown}");
    }
    fs::write(&path, component("(module)")).unwrap();
    Command::new(["inspect"]).arg(&path).run().exits(3);
    fs::write(&path, "nothing").unwrap();
    Command::new(["inspect"]).arg(&path).run().exits(3);
    Command::new(["inspect", "/no/such"]).run().exits(3);
    Command::new(["inspect"]).run().exits(2);
}

#[test]
fn new_makes_a_crate_and_takes_nothing_away() {
    let folder = folder();
    let output = Command::new(["new", "amount_limit"]).current_dir(folder.path()).run().exits(0);
    assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
    let made = folder.path().join("amount_limit");
    for file in ["Cargo.toml", "src/lib.rs", "policy.json", "expected.json", "README.md"] {
        assert!(made.join(file).is_file(), "{file}");
    }
    let record: Value = serde_json::from_slice(&fs::read(made.join("policy.json")).unwrap()).unwrap();
    assert_eq!((&record["name"], &record["type"]), (&json!("amount_limit"), &json!("wasm_component_v1")));
    fs::write(made.join("src/lib.rs"), "mine").unwrap();
    Command::new(["new", "amount_limit"]).current_dir(folder.path()).run().exits(2);
    assert_eq!(fs::read_to_string(made.join("src/lib.rs")).unwrap(), "mine");
    for name in ["", "a b", "../x", "a/b", "-x"] {
        Command::new(["new", "--", name]).current_dir(folder.path()).run().exits(2);
    }
}

#[test]
fn pack_makes_a_package_that_loads() {
    let folder = folder();
    let wasm = folder.path().join("mine.wasm");
    fs::copy(guest("plain_wit"), &wasm).unwrap();
    let stem = folder.path().join("dist/mine-1.0");
    fs::create_dir(folder.path().join("dist")).unwrap();
    Command::new(["pack"]).arg(&wasm).arg("--out").arg(&stem).run().exits(0);
    for ending in ["wasm", "zip", "json"] {
        assert!(folder.path().join(format!("dist/mine-1.0.{ending}")).is_file(), "{ending}");
    }
    let record: Value = serde_json::from_slice(&fs::read(folder.path().join("dist/mine-1.0.json")).unwrap()).unwrap();
    let inspected =
        Command::new(["inspect", "--json"]).arg(folder.path().join("dist/mine-1.0.zip")).run().exits(0).json();
    assert_eq!(inspected["archive"]["digest"], record["code_digest"]);
    // The same again gives the same bytes.
    let first = fs::read(folder.path().join("dist/mine-1.0.zip")).unwrap();
    Command::new(["pack"]).arg(&wasm).arg("--out").arg(&stem).run().exits(0);
    assert_eq!(fs::read(folder.path().join("dist/mine-1.0.zip")).unwrap(), first);
    fs::write(&wasm, "nothing").unwrap();
    let refused = Command::new(["pack"]).arg(&wasm).run();
    assert!(matches!(refused.code, Some(2 | 3)), "{refused:?}");
    let missing = Command::new(["pack", "/no/such"]).run();
    assert!(matches!(missing.code, Some(2 | 3)), "{missing:?}");
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = Command::new(["completions", shell]).run().exits(0);
        assert!(output.stdout.contains("lictor") && output.stdout.contains("inspect"), "{shell}");
    }
    Command::new(["completions", "tcsh"]).run().exits(2);
}

#[test]
fn help_names_every_command_and_unknown_ones_are_refused() {
    let help = Command::new(["--help"]).run().exits(0).stdout;
    for command in ["serve", "eval", "manage", "test", "inspect", "new", "pack", "push", "pull", "bench", "completions"]
    {
        assert!(help.contains(command), "{command}: {help}");
        let own = Command::new([command, "--help"]).run().exits(0);
        assert!(own.stdout.contains("Usage: lictor"), "{command}: {}", own.stdout);
    }
    assert!(Command::new(["--version"]).run().exits(0).stdout.starts_with("lictor "));
    Command::new(["explode"]).run().exits(2);
    Command::new([""; 0]).run().exits(2);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(lictor_tests::binary());
    let child = child.args(["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
