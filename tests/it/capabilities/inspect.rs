//! `lictor inspect` as an auditor reads it: what a policy imports, what of that is granted, and what it could reach.

use std::{fs, path::PathBuf};

use lictor_tests::{Command, record, sandbox::Guest};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A guest as a file, and a record beside it with these capabilities.
fn files(guest: &Guest, capabilities: &Value) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (wasm, json) = (folder.path().join("guest.wasm"), folder.path().join("other.json"));
    fs::write(&wasm, guest.component()).unwrap();
    let mut record = record("guest", "guest.wasm");
    record["capabilities"] = capabilities.clone();
    fs::write(&json, record.to_string()).unwrap();
    (folder, wasm, json)
}

#[track_caller]
fn inspect(guest: &Guest, capabilities: &Value) -> (Value, String) {
    let (_folder, wasm, record) = files(guest, capabilities);
    let run = |args: &[&str]| Command::new(args).arg(&wasm).arg("--record").arg(&record).run().exits(0);
    (run(&["inspect", "--json"]).json(), run(&["inspect"]).stdout)
}

/// What stands behind an import.
#[track_caller]
fn provision<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let imports = shown["imports"].as_array().unwrap();
    imports.iter().find(|import| import["name"] == name).unwrap_or_else(|| panic!("no {name} in {shown}"))
}

#[test]
fn what_is_granted_and_could_be_used_is_what_a_policy_could_reach() {
    let granted = json!({"http": ["https://a.example", "http://b.example:8080"], "host": ["get_metrics"]});
    let (shown, text) = inspect(&Guest::named("fetches"), &granted);
    let handler = provision(&shown, "wasi:http/outgoing-handler@0.2.12");
    assert_eq!((&handler["provision"], &handler["granted"]), (&json!("granted"), &json!(true)));
    assert_eq!(provision(&shown, "wasi:http/types@0.2.12")["provision"], "host");
    assert_eq!(shown["capabilities"]["host"], json!({"needed": false, "granted": ["get_metrics"]}));
    let reach = json!({"http": ["https://a.example", "http://b.example:8080"], "context": false, "host": []});
    assert_eq!(shown["reach"], reach, "it does not import the context, nor functions of a host");
    for part in ["granted: http", "reach", "https://a.example", "http://b.example:8080"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.split("\nreach\n").nth(1).unwrap().split("\n\n").next().unwrap().contains("get_metrics"), "{text}");
}

#[test]
fn what_is_not_granted_is_out_of_reach() {
    let nothing = json!({"http": [], "context": false, "host": []});
    for (guest, capabilities) in [
        (Guest::named("fetches"), json!({})),
        (Guest::named("context"), json!({"context": false})),
        (Guest::good(), json!({"http": ["https://a.example"], "host": ["get_metrics"]})),
        (Guest::named("std"), json!({})),
    ] {
        let (shown, text) = inspect(&guest, &capabilities);
        assert_eq!(shown["reach"], nothing, "{shown}");
        assert!(text.contains("\nreach: nothing outside of its sandbox\n"), "{text}");
    }
    let (shown, text) = inspect(&Guest::named("context"), &json!({}));
    assert_eq!(shown["reach"]["context"], true, "the context is granted unless it is withheld");
    assert!(text.contains("\nreach\n  its own context"), "{text}");
    assert_eq!(
        provision(&inspect(&Guest::named("std"), &json!({})).0, "wasi:filesystem/preopens@0.2.12")["provision"],
        "inert"
    );
}

/// Grants on the command line count as those of a record do.
#[test]
fn a_grant_of_the_command_line_is_in_reach() {
    let (_folder, wasm, record) = files(&Guest::named("fetches"), &json!({}));
    let command = Command::new(["inspect", "--json", "--grant", "http=https://c.example"]);
    let shown = command.arg(&wasm).arg("--record").arg(&record).run().exits(0).json();
    assert_eq!(shown["reach"]["http"], json!(["https://c.example"]));
}
