//! What no compiler checks: layers, headers, and that documents speak of things that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lictor_tests::repository;

/// Folders of the repository that hold sources of ours.
const SOURCES: [&str; 5] = ["executor", "policy-sdk", "guest-examples", "clients", "tests"];

/// Every file below `folder` whose name ends so, by its path from the repository's root; build folders are left out.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let (root, mut found) = (repository(), Vec::new());
    let mut folders = vec![root.join(folder)];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let shown = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((shown, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found.sort();
    found
}

/// The source without comments: what it does, not what it says.
fn code_of(text: &str) -> String {
    text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// Whether `word` stands in `text` with nothing of a name around it.
fn names(text: &str, word: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(of_a_name) && !text[at + word.len()..].starts_with(of_a_name))
}

/// The sources and manifests of the executor's crates that name `word` outside comments, but for those that may.
fn trespassers(words: &[&str], may: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files("executor", ".rs") {
        if may.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        found.extend(
            words
                .iter()
                .filter(|word| {
                    let code = code_of(&text);
                    names(&code, &format!("{word}::")) || names(&code, &format!("use {word}"))
                })
                .map(|word| format!("{path} names {word}")),
        );
    }
    found
}

#[test]
fn only_the_sandbox_names_wasmtime() {
    assert_eq!(
        trespassers(&["wasmtime", "wasmtime_wasi_http", "wasmtime_wasi_io", "wasmtime_wasi"], &["executor/sandbox/"]),
        [""; 0]
    );
    for (path, text) in files("executor", "Cargo.toml") {
        assert!(path.starts_with("executor/sandbox/") || !text.contains("wasmtime"), "{path}");
    }
}

#[test]
fn only_the_store_names_the_database() {
    assert_eq!(trespassers(&["sqlx"], &["executor/server/src/store"]), [""; 0]);
}

#[test]
fn only_http_names_axum_and_hyper() {
    let words = ["axum", "tower", "utoipa", "utoipa_axum", "utoipa_swagger_ui"];
    assert_eq!(trespassers(&words, &["executor/server/src/http"]), [""; 0]);
    // The sandbox sends a guest's requests.
    let may = ["executor/server/src/http", "executor/sandbox/src/imports/http"];
    assert_eq!(trespassers(&["hyper", "hyper_util"], &may), [""; 0]);
}

#[test]
fn only_the_loader_names_what_fetches_and_unpacks() {
    assert_eq!(trespassers(&["reqwest", "tar", "flate2", "liblzma"], &["executor/loader/"]), [""; 0]);
}

/// Whatever an application gets that depends on the client.
#[test]
fn the_client_brings_neither_the_server_nor_a_database() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let (mut found, mut next) = (BTreeSet::new(), vec!["lictor-client"]);
    while let Some(name) = next.pop() {
        if !found.insert(name) {
            continue;
        }
        for package in lock.split("[[package]]\n").filter(|package| package.contains(&format!("name = \"{name}\"\n"))) {
            let dependencies = package.split("dependencies = [").nth(1).unwrap_or_default();
            next.extend(dependencies.split('"').skip(1).step_by(2).map(|entry| entry.split(' ').next().unwrap()));
        }
    }
    assert!(found.contains("lictor-sandbox") && found.contains("wasmtime"), "{found:?}");
    for name in ["lictor", "sqlx", "sqlx-core", "axum", "utoipa", "clap"] {
        assert!(!found.contains(name), "the client depends on {name}");
    }
}

#[test]
fn the_model_does_no_io_and_looks_at_no_clock() {
    let forbidden = [
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "SystemTime",
        "Instant",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "tokio",
        "tracing",
        "rand",
    ];
    for (path, text) in files("executor/model", ".rs") {
        let code = code_of(&text);
        for word in forbidden {
            assert!(!names(&code, word), "{path} names {word}");
        }
    }
    let manifest = fs::read_to_string(repository().join("executor/model/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let pure = ["serde", "serde_json", "sha2", "thiserror", "url", "regex", "regex-automata", "jsonschema"];
    for line in dependencies.lines().filter(|line| !line.is_empty()) {
        let name = line.split(['.', ' ', '=']).next().unwrap();
        assert!(pure.contains(&name), "the model depends on {name}");
    }
}

#[test]
fn the_model_cannot_panic() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing", "string_slice", "todo"] {
        assert!(manifest.contains(&format!("{lint} = \"deny\"")), "{lint}");
    }
    for (path, text) in files("executor/model", ".rs") {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let excepted = ["unwrap_used", "expect_used", "clippy::panic", "indexing_slicing", "string_slice"];
        for lint in excepted.into_iter().filter(|_| !path.ends_with("/tests.rs")) {
            assert!(!code.contains(lint), "{path} makes an exception from {lint}");
        }
    }
    for (path, text) in files("executor", "Cargo.toml") {
        assert!(text.contains("[lints]\nworkspace = true"), "{path} does not keep to the workspace's lints");
    }
}

#[test]
fn every_call_of_a_guest_goes_through_run() {
    let doors = ["instantiate_async(", ".instantiate(", ".call_async(", "InstancePre<"];
    let may = [
        "executor/sandbox/src/run.rs",
        "executor/sandbox/src/run/interpreter.rs",
        "executor/sandbox/src/attempt.rs",
        "executor/sandbox/src/spare.rs",
        "executor/sandbox/src/module.rs",
        "executor/sandbox/src/module/",
        "executor/sandbox/src/engine.rs",
    ];
    for (path, text) in files("executor", ".rs") {
        if may.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        for door in doors {
            assert!(!code_of(&text).contains(door), "{path} goes through `{door}…`");
        }
    }
}

/// Where there is `unsafe`, and nowhere else. What a new file here needs it for is worth a look of somebody else.
const UNSAFE: [&str; 5] = [
    "executor/sandbox/src/imports/logging.rs",
    "executor/sandbox/src/module.rs",
    "executor/sandbox/src/pages.rs",
    "policy-sdk/rust/src/arena.rs",
    "tests/bench/allocations.rs",
];

/// The keyword and what follows it, put together here, so that this file does not find itself.
fn without_safety(what: &str) -> String {
    ["un", "safe ", what].concat()
}

/// The lines that begin something unsafe: a block, an implementation or a function, and not the type of a function.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let begins = ["{", "impl", "fn "].map(without_safety);
    let code = code_of(text);
    let lines = code.lines().enumerate();
    lines.filter(|(_, line)| begins.iter().any(|begin| line.contains(begin))).map(|(idx, _)| idx).collect()
}

/// Whether the comment directly above this line, or above its attributes, says why that is sound.
fn says_why_it_is_safe(lines: &[&str], idx: usize) -> bool {
    let above = lines[..idx].iter().rev().map(|line| line.trim());
    let comments = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
    comments.into_iter().any(|line| line.starts_with("// SAFETY: "))
}

#[test]
fn every_unsafe_line_says_why_it_is_sound_and_is_where_it_may_be() {
    let mut found = BTreeSet::new();
    for (path, text) in SOURCES.into_iter().flat_map(|folder| files(folder, ".rs")) {
        let lines: Vec<&str> = text.lines().collect();
        for idx in unsafe_lines(&text) {
            found.insert(path.clone());
            // A function of a trait that is unsafe itself asks of its callers what the trait does.
            let of_the_trait = lines[idx].starts_with("    ") && lines[idx].trim().starts_with(&without_safety("fn "));
            assert!(of_the_trait || says_why_it_is_safe(&lines, idx), "{path}:{} has no `// SAFETY:`", idx + 1);
        }
    }
    assert_eq!(found, UNSAFE.map(str::to_owned).into());
    let block = without_safety("{ f() }");
    assert_eq!(unsafe_lines(&format!("// {block}\nlet x = {block};\nlet y: {};", without_safety("fn()"))), [1]);
    assert!(!says_why_it_is_safe(&["// Why not.", &block], 1));
}

/// The benchmark has the baseline in it, which is kept to the byte.
#[test]
fn every_crate_but_the_benchmark_keeps_to_the_lints() {
    for (path, text) in SOURCES.into_iter().flat_map(|folder| files(folder, "Cargo.toml")) {
        let kept = text.contains("[lints]\nworkspace = true");
        let linted = kept || !text.contains("[package]") || path == "tests/bench/Cargo.toml";
        assert!(linted, "{path} does not keep to the lints of its workspace");
        assert!(
            !text.contains("[workspace]") || text.contains("[workspace.lints.rust]\nunsafe_code = \"deny\""),
            "{path}"
        );
    }
}

#[test]
fn every_workspace_is_built_from_its_committed_lock() {
    for folder in [".", "policy-sdk/rust", "guest-examples"] {
        assert!(repository().join(folder).join("Cargo.lock").is_file(), "{folder} has no Cargo.lock");
    }
    assert!(!fs::read_to_string(repository().join(".gitignore")).unwrap().contains(".lock"));
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let scripts =
        ["tests", "guest-examples", "policy-sdk", "clients"].into_iter().flat_map(|folder| files(folder, ".sh"));
    for (path, text) in scripts.chain([("Makefile".to_owned(), makefile)]) {
        for line in text.replace("\\\n", " ").lines().filter(|line| resolves_dependencies(line)) {
            // Nothing is locked where nothing is depended on: std, for guests.
            assert!(line.contains("--locked") || line.contains("build-std"), "{path} does without --locked: {line}");
        }
    }
}

/// Whether a line of a script runs a command of cargo's that may choose versions.
fn resolves_dependencies(line: &str) -> bool {
    let commands = ["build", "test", "clippy", "doc", "nextest run", "run", "bench", "tree", "metadata", "install"];
    let runs = |command: &str| ["cargo", "$(CARGO)"].iter().any(|cargo| line.contains(&format!("{cargo} {command} ")));
    !line.trim_start().starts_with('#') && !line.contains("install --list") && commands.into_iter().any(runs)
}

#[test]
fn every_source_says_at_its_top_what_it_is() {
    for folder in SOURCES {
        for (path, text) in files(folder, ".rs") {
            // Next to the file that they test, the name says it.
            let header = text.starts_with("//!") || path.ends_with("/tests.rs");
            assert!(header, "{path} does not open with `//!`");
        }
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_left_out() {
    // Put together here, so that this file does not find itself.
    let words =
        [["TO", "DO"].concat(), ["XX", "X"].concat(), ["#[ign", "ore"].concat(), ["#[should_", "panic"].concat()];
    for folder in SOURCES {
        for (path, text) in files(folder, ".rs") {
            for word in &words {
                assert!(!names(&text, word), "{path} has {word}");
            }
        }
    }
}

#[test]
fn every_module_of_the_integration_tests_is_declared() {
    let declared = declared_modules();
    for (path, _) in files("tests/it", ".rs") {
        let below = Path::new(&path).strip_prefix("tests/it").unwrap().with_extension("");
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if let [name] = parts.as_slice()
            && name != "main"
        {
            assert!(declared.contains(name), "{path} is not declared in main.rs and never runs");
        }
    }
}

#[test]
fn tests_wait_for_conditions_and_not_for_times() {
    let sleep = ["thread::", "sleep"].concat();
    for (path, text) in files("tests/it", ".rs") {
        assert!(!text.contains(&sleep), "{path} sleeps: use `eventually`");
    }
}

#[test]
fn every_example_is_whole_and_listed() {
    let examples = repository().join("guest-examples");
    let readme = fs::read_to_string(examples.join("README.md")).unwrap();
    for name in example_folders() {
        for file in ["README.md", "policy.json", "expected.json", "Cargo.toml", "src/lib.rs"] {
            assert!(examples.join(&name).join(file).is_file(), "{name} has no {file}");
        }
        assert!(readme.contains(&format!("]({name})")), "{name} is not in the list of guest-examples/README.md");
    }
}

/// The folders of `guest-examples` that hold a crate.
pub(crate) fn example_folders() -> BTreeSet<String> {
    let entries = fs::read_dir(repository().join("guest-examples")).unwrap().map(|entry| entry.unwrap().path());
    let crates = entries.filter(|path| path.join("Cargo.toml").is_file());
    crates.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn declared_modules() -> BTreeSet<String> {
    let main = fs::read_to_string(repository().join("tests/it/main.rs")).unwrap();
    main.lines().filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_invariant_of_the_architecture_names_a_test_that_exists() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Invariants").nth(1).expect("ARCHITECTURE.md has a section Invariants");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(10 <= rows.len(), "{rows:#?}");
    for row in rows {
        let held_by = row.trim_end_matches(['|', ' ']).rsplit_once(" | ").map_or("", |(_, held_by)| held_by);
        let tests: Vec<_> = quoted(held_by).filter(|name| name.contains("::") && exists(name)).collect();
        let missing: Vec<_> = quoted(held_by).filter(|name| name.starts_with("it::") && !exists(name)).collect();
        assert!(!tests.is_empty() && missing.is_empty(), "{row}: {missing:?} do not exist");
    }
}

/// Whether `it::module`, `it::module::test` or `crate::module` has tests.
fn exists(name: &str) -> bool {
    let parts: Vec<_> = name.split("::").collect();
    let source = |folder: &str, module: &str| -> Option<String> {
        let path: PathBuf = repository().join(folder).join(module);
        fs::read_to_string(path.with_extension("rs")).ok()
    };
    match parts.as_slice() {
        ["it", module] => declared_modules().contains(*module) && source("tests/it", module).is_some(),
        ["it", module, test] => {
            let text = source("tests/it", module).unwrap_or_default();
            declared_modules().contains(*module) && text.contains(&format!("fn {test}("))
        }
        [layer @ ("model" | "sandbox" | "loader" | "server"), module, ..] => {
            source(&format!("executor/{layer}/src"), module).is_some_and(|text| text.contains("#[cfg(test)]"))
        }
        _ => false,
    }
}
