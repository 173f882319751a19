//! Policies in Python: packages of a few lines, and the interpreter, which is compiled once for all tests.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use lictor_loader::{CompileIn, DiskCache, FetchRules, Loader, Package};
use lictor_sandbox::{Module, Sandbox, SandboxConfig};
use serde_json::{Value, json};

use crate::{
    guests_dir, repository,
    sandbox::{Cell, sandbox},
    server::Builder,
};

/// What an evaluation returns, as the body of a class.
pub fn class(eval: &str) -> String {
    let body = eval.trim_end().replace('\n', "\n        ");
    format!(
        "class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id, self.settings, self.parameters = rule_id, settings, parameters
    def eval(self, parameters, input_data, context):
        {body}
"
    )
}

/// The record of a policy whose code is this Python.
pub fn python_record(name: &str, code: &str) -> Value {
    json!({"name": name, "version": "1.0", "release_tag": "test", "type": "python_class_v1", "code": code})
}

/// Where the component is that runs them.
#[track_caller]
pub fn python_host() -> PathBuf {
    let path = guests_dir().join("python_host.wasm");
    assert!(path.is_file(), "there is no {}: `make guests` builds it where Python is installed", path.display());
    path
}

/// A cache in which it is compiled: the first that asks does it, and all others wait.
#[track_caller]
pub fn python_cache() -> PathBuf {
    let dir = repository().join("target/python-cache");
    fs::create_dir_all(&dir).expect("a folder can be made");
    let lock = File::create(dir.join("lock")).expect("a lock can be made");
    lock.lock().expect("a lock can be had");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let nothing = Package::of([("function.py".to_owned(), class("return 0").into())]).expect("a package");
        let loader = loader(&sandbox(2), &dir);
        loader.load_bytes(nothing.into_bytes().to_vec(), false).await.expect("the interpreter compiles");
    });
    dir
}

fn loader(sandbox: &Sandbox, cache: &std::path::Path) -> Loader {
    let disk = DiskCache::open(cache).expect("a cache");
    let loader = Loader::new(sandbox.clone(), FetchRules::default(), Some(disk), CompileIn::Process).expect("a loader");
    loader.with_python(Some(python_host()))
}

/// The module of a policy with these files, or why there is none.
#[track_caller]
pub fn python_module(sandbox: &Sandbox, files: &[(&str, &str)]) -> Result<Module, lictor_loader::LoadError> {
    let cache = python_cache();
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.to_string().into()));
    let package = Package::of(files)?.into_bytes().to_vec();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(loader(sandbox, &cache).load_bytes(package, false))
}

/// A policy with these files, in a sandbox of its own.
#[track_caller]
pub fn python_cell(files: &[(&str, &str)]) -> Cell {
    python_cell_in(&sandbox(4), files)
}

/// The same, from where these private addresses are reached.
#[track_caller]
pub fn python_cell_reaching(files: &[(&str, &str)], hosts: &[&str]) -> Cell {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let allow_private = lictor_model::address::AllowPrivate::parse(&hosts).expect("hosts");
    let config = SandboxConfig { max_instances: 4, allow_private, ..SandboxConfig::default() };
    python_cell_in(&Sandbox::new(config).expect("a sandbox"), files)
}

#[track_caller]
fn python_cell_in(sandbox: &Sandbox, files: &[(&str, &str)]) -> Cell {
    let module = python_module(sandbox, files).unwrap_or_else(|error| panic!("no module: {error}"));
    Cell::of_module(sandbox, module)
}

/// A policy that is one evaluation.
#[track_caller]
pub fn python(eval: &str) -> Cell {
    python_cell(&[("function.py", &class(eval))])
}

impl Builder {
    /// Runs policies in Python, which no other test pays for.
    #[must_use]
    #[track_caller]
    pub fn with_python(self) -> Self {
        let (host, cache) = (python_host(), python_cache());
        self.env("LICTOR_PYTHON_HOST", &host.to_string_lossy())
            .env("LICTOR_CACHE_DIR", &cache.to_string_lossy())
            .env("LICTOR_PYTHON_SNAPSHOTS_MB", "0")
    }
}
