//! Guests made from a few lines of WebAssembly text.
//!
//! A test writes only what its guest does; `tests/guests/policy.wat` has the rest. Longer guests are files beside it.

use std::{fmt::Write as _, path::Path, sync::LazyLock};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// What every guest has in common.
const TEMPLATE: &str = include_str!("../../guests/policy.wat");

/// Everything that a policy, or a language's library in it, may import.
const WORLD: &str = "
    package lictor:guests;
    world guest {
        include lictor:policy/policy@1.0.0;
        include wasi:cli/imports@0.2.12;
        include wasi:http/imports@0.2.12;
    }
";

static WIT: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).expect("the contract");
    let package = resolve.push_str("guest.wit", WORLD).expect("the world of guests");
    let world = resolve.select_world(&[package], Some("guest")).expect("the world");
    (resolve, world)
});

/// A policy in WebAssembly text.
#[derive(Clone, Debug)]
pub struct Guest {
    fields: String,
    memory: String,
    encoding: StringEncoding,
}

impl Guest {
    /// A guest with these fields: imports first, then functions, among them the hooks that `policy.wat` names.
    pub fn new(fields: impl Into<String>) -> Self {
        Self { fields: fields.into(), memory: "2".into(), encoding: StringEncoding::UTF8 }
    }

    /// The guest in a file of `tests/guests`.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(format!("{name}.wat"));
        Self::new(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// A guest that answers what this hook of it gives: `$in` and `$n` are the input.
    pub fn eval(body: &str) -> Self {
        Self::new(format!("(func $on_eval (param $in i32) (param $n i32) (result i32) {body})"))
    }

    /// A guest that answers `null` to everything.
    pub fn good() -> Self {
        Self::new("")
    }

    /// A guest that answers its input.
    pub fn echo() -> Self {
        Self::eval("(call $ok (local.get $in) (local.get $n))")
    }

    /// A guest that answers `1` after some work, as much as its input, a digit, says: about as much as fits into a
    /// millisecond, and less, and more.
    pub fn works() -> Self {
        Self::eval(
            "(local $left i64)
            (local.set $left (i64.mul (i64.const 100000) (i64.extend_i32_u (i32.sub (i32.load8_u (local.get $in)) (i32.const 48)))))
            (loop $work
                (local.set $left (i64.sub (local.get $left) (i64.const 1)))
                (br_if $work (i64.gt_s (local.get $left) (i64.const 0))))
            (call $number (i64.const 1))",
        )
    }

    /// Adds fields. Not imports: those come first.
    #[must_use]
    pub fn and(mut self, fields: &str) -> Self {
        self.fields.push('\n');
        self.fields.push_str(fields);
        self
    }

    /// The fields that it was made of.
    pub fn fields(&self) -> &str {
        &self.fields
    }

    /// The limits of its memory in pages, as text: `2`, or `2 10`.
    #[must_use]
    pub fn memory(mut self, limits: &str) -> Self {
        self.memory = limits.into();
        self
    }

    /// Has its strings in UTF-16.
    #[must_use]
    pub fn utf16(mut self) -> Self {
        self.encoding = StringEncoding::UTF16;
        self
    }

    /// The core module's text.
    pub fn text(&self) -> String {
        let mut fields = self.fields.clone();
        let Self { memory, .. } = self;
        writeln!(fields, "\n(memory (export \"memory\") {memory})").expect("a string takes all");
        let input = "(param $in i32) (param $n i32) (result i32)";
        for (hook, rest) in [
            ("$on_init", format!("{input} (call $null)")),
            ("$on_eval", format!("{input} (call $null)")),
            ("$on_management", format!("{input} (call $null)")),
            ("$on_realloc", String::new()),
            ("$on_post", String::new()),
        ] {
            if !fields.contains(&format!("(func {hook} ")) {
                writeln!(fields, "(func {hook} {rest})").expect("a string takes all");
            }
        }
        if fields.contains("(func $on_start") {
            fields.push_str("(start $on_start)");
        }
        TEMPLATE.replace(";;GUEST;;", &fields)
    }

    /// The component.
    #[track_caller]
    pub fn component(&self) -> Vec<u8> {
        self.encode(&self.text())
    }

    /// The component, with `old` in the text of all that guests have in common replaced.
    #[track_caller]
    pub fn component_with(&self, old: &str, new: &str) -> Vec<u8> {
        let text = self.text();
        assert!(text.contains(old), "{text}");
        self.encode(&text.replace(old, new))
    }

    #[track_caller]
    fn encode(&self, text: &str) -> Vec<u8> {
        let module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        component_of(module, self.encoding).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// The component that a core module makes which exports what a policy must, the way the wasm32-wasip2 linker makes one.
pub fn component_of(mut module: Vec<u8>, encoding: StringEncoding) -> Result<Vec<u8>, String> {
    let (resolve, world) = &*WIT;
    embed_component_metadata(&mut module, resolve, *world, encoding, false).map_err(|error| format!("{error:#}"))?;
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).and_then(ComponentEncoder::encode).map_err(|error| format!("{error:#}"))
}
