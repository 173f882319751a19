//! Code for policies: the examples as `make guests` built them, and small ones made on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a folder of the repository").to_owned()
}

/// Where the example policies are, built: `target/guests`, or `LICTOR_GUESTS`.
pub fn guests_dir() -> PathBuf {
    std::env::var_os("LICTOR_GUESTS").map_or_else(|| repository().join("target/guests"), PathBuf::from)
}

#[track_caller]
fn built(file: String) -> PathBuf {
    let path = guests_dir().join(file);
    assert!(path.exists(), "there is no `{}`: run `make guests`", path.display());
    path
}

/// The component of an example.
#[track_caller]
pub fn guest(name: &str) -> PathBuf {
    built(format!("{name}.wasm"))
}

/// The package of an example.
#[track_caller]
pub fn guest_zip(name: &str) -> PathBuf {
    built(format!("{name}.zip"))
}

/// The bytes of the component of an example.
#[track_caller]
pub fn guest_bytes(name: &str) -> Vec<u8> {
    fs::read(guest(name)).expect("a built guest can be read")
}

/// The record that an example was packed with, its `code` pointing at its package.
#[track_caller]
pub fn guest_record(name: &str) -> Value {
    let text = fs::read_to_string(built(format!("{name}.json"))).expect("a packed record can be read");
    let mut record: Value = serde_json::from_str(&text).expect("a packed record is JSON");
    record["code"] = json!(file_url(&guest_zip(name)));
    record
}

/// The `file://` URL of a path.
pub fn file_url(path: &Path) -> String {
    let path = path.canonicalize().expect("the file is there");
    format!("file://{}", path.to_str().expect("the path is UTF-8"))
}

/// The smallest record: `name:1.0-test`, running the component behind `code`.
pub fn record(name: &str, code: &str) -> Value {
    json!({"name": name, "version": "1.0", "release_tag": "test", "type": "wasm_component_v1", "code": code})
}

/// The binary form of WebAssembly text.
#[track_caller]
pub fn component(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"))
}

/// A policy in a few lines of WebAssembly text. What is not said is a policy that answers `null`.
///
/// Each body is that of a core function that returns the address of its result, as the canonical ABI wants it.
/// The module around them has
/// - `$ok (ptr, len) -> result` and `$err (ptr, len) -> result`, a failure with that code, as its message too;
/// - `$quote (ptr, len) -> result`, that text as a JSON string, which must have nothing to escape;
/// - `$alloc (len) -> ptr`, from a heap that only grows, after the first page.
///
/// The first 1024 bytes are for these functions; `data` may use 1024 to 65535.
#[derive(Clone, Debug)]
pub struct Guest<'a> {
    /// Imports, in core form: `(import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $now (result i64)))`.
    pub imports: &'a str,
    /// Other definitions, such as `(data (i32.const 1024) "…")` or helper functions.
    pub data: &'a str,
    /// Parameters: `$id $idn $settings $settingsn $parameters $parametersn`, addresses and lengths.
    pub init: &'a str,
    /// Parameters: `$has $parameters $parametersn $input $inputn $call $calln`.
    pub eval: &'a str,
    /// Parameters: `$action $actionn $data $datan`.
    pub management: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        let null = "(call $ok (i32.const 1000) (i32.const 4))";
        Self { imports: "", data: "", init: "(i32.const 960)", eval: null, management: null }
    }
}

impl Guest<'_> {
    /// The component.
    #[track_caller]
    pub fn build(&self) -> Vec<u8> {
        self.build_for("policy")
    }

    /// The component, of a policy whose `data` exports `state` too.
    #[track_caller]
    pub fn build_stateful(&self) -> Vec<u8> {
        self.build_for("stateful-policy")
    }

    /// The component of this world of `wit/`.
    #[track_caller]
    fn build_for(&self, world: &str) -> Vec<u8> {
        let Self { imports, data, init, eval, management } = self;
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 2)
                (global $top (mut i32) (i32.const 65536))
                (data (i32.const 1000) "null")
                {data}
                (func $alloc (param $n i32) (result i32)
                    (local $at i32)
                    (local.set $at (global.get $top))
                    (global.set $top
                        (i32.and (i32.add (i32.add (local.get $at) (local.get $n)) (i32.const 15)) (i32.const -16)))
                    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
                        (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $n) (i32.const 16)))))))
                    (local.get $at))
                (func (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $n i32)
                    (result i32)
                    (local $at i32)
                    (local.set $at (call $alloc (local.get $n)))
                    (memory.copy (local.get $at) (local.get $old) (local.get $was))
                    (local.get $at))
                (func $ok (param $ptr i32) (param $len i32) (result i32)
                    (i32.store8 (i32.const 896) (i32.const 0))
                    (i32.store (i32.const 900) (local.get $ptr))
                    (i32.store (i32.const 904) (local.get $len))
                    (i32.const 896))
                (func $err (param $ptr i32) (param $len i32) (result i32)
                    (i32.store8 (i32.const 896) (i32.const 1))
                    (i32.store (i32.const 900) (local.get $ptr))
                    (i32.store (i32.const 904) (local.get $len))
                    (i32.store (i32.const 908) (local.get $ptr))
                    (i32.store (i32.const 912) (local.get $len))
                    (i32.store (i32.const 916) (i32.const 0))
                    (i32.const 896))
                (func $quote (param $ptr i32) (param $len i32) (result i32)
                    (local $at i32)
                    (local.set $at (call $alloc (i32.add (local.get $len) (i32.const 2))))
                    (i32.store8 (local.get $at) (i32.const 34))
                    (memory.copy (i32.add (local.get $at) (i32.const 1)) (local.get $ptr) (local.get $len))
                    (i32.store8 (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 1)) (i32.const 34))
                    (call $ok (local.get $at) (i32.add (local.get $len) (i32.const 2))))
                (func (export "lictor:policy/rule@1.0.0#init")
                    (param $id i32) (param $idn i32) (param $settings i32) (param $settingsn i32)
                    (param $parameters i32) (param $parametersn i32) (result i32)
                    {init})
                (func (export "lictor:policy/rule@1.0.0#eval")
                    (param $has i32) (param $parameters i32) (param $parametersn i32)
                    (param $input i32) (param $inputn i32) (param $call i32) (param $calln i32) (result i32)
                    {eval})
                (func (export "lictor:policy/rule@1.0.0#management")
                    (param $action i32) (param $actionn i32) (param $data i32) (param $datan i32) (result i32)
                    {management}))"#
        );
        encode(component(&text), world)
    }
}

/// The core module `module` as a component of this world.
#[track_caller]
fn encode(mut module: Vec<u8>, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap_or_else(|error| panic!("wit/: {error:#}"));
    let world = resolve.select_world(&[package], Some(world)).expect("there is such a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata fits");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap_or_else(|error| panic!("{error:#}"));
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// A policy that answers `answer`, always.
#[track_caller]
pub fn policy(answer: &str) -> Vec<u8> {
    let escaped: String = answer.bytes().map(|b| format!("\\{b:02x}")).collect();
    let data = format!("(data (i32.const 1024) \"{escaped}\")");
    let eval = format!("(call $ok (i32.const 1024) (i32.const {}))", answer.len());
    Guest { data: &data, eval: &eval, ..Guest::default() }.build()
}
