//! Components that are refused before anything of them runs: named, in bounded time, with nothing compiled.

use lictor_model::StopKind;
use lictor_sandbox::{Bounds, Compiler, Facts, RefusalCode};
use lictor_tests::{
    component,
    sandbox::{Cell, Guest, finished, limits, open, refusal, sandbox, stopped},
};
use proptest::prelude::*;
use serde_json::json;

/// An unsigned LEB128.
fn leb(mut n: usize) -> Vec<u8> {
    let mut res = Vec::new();
    loop {
        let low = u8::try_from(n & 0x7f).unwrap();
        n >>= 7;
        if n == 0 {
            res.push(low);
            return res;
        }
        res.push(low | 0x80);
    }
}

/// A good policy with one more section.
fn with_section(id: u8, content: &[u8]) -> Vec<u8> {
    with_sections([(id, content)])
}

fn with_sections<'a>(sections: impl IntoIterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let mut res = Guest::good().component();
    for (id, content) in sections {
        res.push(id);
        res.extend(leb(content.len()));
        res.extend(content);
    }
    res
}

const CORE_MODULE: u8 = 1;
const CORE_INSTANCES: u8 = 2;
const COMPONENT: u8 = 4;

/// A good policy that carries a core module with these fields, too.
pub(super) fn with_module(fields: &str) -> Vec<u8> {
    with_section(CORE_MODULE, &component(&format!("(module {fields})")))
}

#[track_caller]
fn refused(component: &[u8], code: RefusalCode, said: &str) {
    let refusal = refusal(component);
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.message.contains(said), "{refusal}");
    assert!(refusal.message.len() < 500, "{refusal}");
}

/// What the refusals below are measured against.
#[test]
fn a_good_policy_with_a_harmless_module_more_is_accepted() {
    refused(&[], RefusalCode::NotAComponent, "empty");
    let facts = Facts::read(&with_module("(func)"), &Bounds::default()).unwrap();
    assert_eq!(facts.exports, ["lictor:policy/rule@1.0.0"]);
    // Types only: nothing that a host would have to give.
    assert_eq!(facts.imports, ["lictor:policy/types@1.0.0"]);
}

// attack 15
#[tokio::test]
async fn more_initial_memory_than_the_limit_is_known_at_load() {
    let cell = Cell::of(&Guest::good().memory("33"));
    assert_eq!(cell.policy.module.initial_memory_bytes(), 33 << 16);
    // And if somebody runs it all the same.
    let cell = cell.limits(&json!({"memory_mb": 2}));
    stopped(&cell.eval("{}").await, StopKind::OutOfMemory);
    let cell = cell.limits(&json!({"memory_mb": 3}));
    finished(&cell.eval("{}").await);
    // More than any policy may have is not even compiled.
    refused(&Guest::good().memory("8193").component(), RefusalCode::TooComplex, "initial memory");
}

// attack 16
#[test]
fn memories_of_other_kinds_are_refused() {
    for fields in ["(memory i64 1)", "(memory 1) (memory 1)", "(memory 1 1 shared)"] {
        refused(&with_module(fields), RefusalCode::NotAComponent, "not a valid component");
    }
}

// attack 16: many memories, each small, in modules that each have one.
#[test]
fn a_second_memory_in_a_second_module_is_refused() {
    let module = component("(module (memory 1))");
    let component = with_sections([(CORE_MODULE, &*module), (CORE_INSTANCES, &[1, 0, 1, 0])]);
    refused(&component, RefusalCode::TooComplex, "memor");
}

// attack 99
/// Every proposal that is switched off, and one that is on.
#[test]
fn proposals_that_no_policy_needs_are_refused() {
    for fields in [
        "(func (result i32) (return_call 0))",
        "(tag (param i32))",
        "(type (struct))",
        "(func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
        "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
        "(memory 1 (pagesize 1))",
    ] {
        refused(&with_module(fields), RefusalCode::NotAComponent, "not a valid component");
    }
    Facts::read(&with_module("(func (param v128) (result v128) (i8x16.neg (local.get 0)))"), &Bounds::default())
        .unwrap();
}

// attack 17
#[test]
fn a_table_of_ten_million_elements_is_refused() {
    refused(&with_module("(table 10000000 funcref)"), RefusalCode::TooComplex, "elements in one table");
    refused(&Guest::good().and("(table 20001 funcref)").component(), RefusalCode::TooComplex, "elements");
}

// attack 18
#[test]
fn ten_thousand_modules_are_refused() {
    let module = component("(module)");
    refused(&with_sections((0..10_000).map(|_| (CORE_MODULE, &*module))), RefusalCode::TooComplex, "core modules");
}

// attack 18
#[test]
fn ten_thousand_instances_are_refused() {
    let module = component("(module)");
    let one = [0, 1, 0];
    let instances = [leb(10_000), one.repeat(10_000)].concat();
    let component = with_sections([(CORE_MODULE, &*module), (CORE_INSTANCES, &*instances)]);
    refused(&component, RefusalCode::TooComplex, "instances");
}

// attack 18
#[test]
fn components_in_components_are_refused() {
    for depth in [8, 10_000] {
        let nested = (0..depth).fold(component("(component)"), |inner, _| {
            [b"\0asm\x0d\0\x01\0".as_slice(), &[COMPONENT], &leb(inner.len()), &inner].concat()
        });
        refused(&with_section(COMPONENT, &nested), RefusalCode::TooComplex, "levels of nesting");
    }
}

// attack 18: no instance is nested, but each component doubles those before it.
#[test]
fn components_that_double_are_refused_or_bounded() {
    let mut text = String::from("(component (component $c0 (core module $m) (core instance (instantiate $m)))");
    for i in 1..12 {
        let (a, mut body) = (i - 1, String::new());
        for _ in 0..2 {
            body.push_str(&format!("(instance (instantiate $c{a}))"));
        }
        text.push_str(&format!("(component $c{i} (alias outer 1 $c{a} (component $c{a})) {body})"));
    }
    text.push_str("(instance (instantiate $c11)))");
    let nested = component(&text);
    let whole = with_section(COMPONENT, &nested);
    // Carried and not used it may be; what is made of it is counted when it is linked.
    let used = with_sections([(COMPONENT, &*nested), (5, &[1, 0, 0, 0])]);
    for component in [whole, used] {
        drop(Facts::read(&component, &Bounds::default()));
        let opened = open(&sandbox(1), &component, false);
        assert!(!matches!(opened, Err(lictor_sandbox::OpenError::Internal(_))), "{:?}", opened.err());
    }
}

// attack 19
#[test]
fn seventy_thousand_functions_are_refused() {
    let functions = "(func)".repeat(70_000);
    refused(&with_module(&functions), RefusalCode::TooComplex, "functions");
}

// attack 19
#[test]
fn a_hundred_thousand_locals_are_refused() {
    let locals = "i32 ".repeat(100_000);
    refused(&with_module(&format!("(func (local {locals}))")), RefusalCode::NotAComponent, "locals");
}

// attack 19
#[test]
fn types_and_imports_without_end_are_refused() {
    let types = "(type (func))".repeat(50_001);
    refused(&with_module(&types), RefusalCode::TooComplex, "types");
    let imports = "(import \"\" \"\" (func))".repeat(50_001);
    refused(&with_module(&imports), RefusalCode::TooComplex, "imports");
}

// attack 19
#[test]
fn a_giant_jump_table_is_refused_or_compiled() {
    let jumps = |n: usize| format!("(func (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(n));
    refused(&with_module(&jumps(1_200_000)), RefusalCode::TooComplex, "bytes in one function");
    open(&sandbox(1), &with_module(&jumps(60_000)), false).unwrap();
}

// attack 40
#[test]
fn what_is_no_component_is_called_what_it_is() {
    let good = Guest::good().component();
    let facts = Facts::read(&good, &Bounds::default()).unwrap();
    let compiler = Compiler::new(false).unwrap();
    let native = compiler.code(&facts, &good).unwrap();
    let sealed = compiler.compile(&facts, &good).unwrap().seal(&lictor_sandbox::aot::Key::new([0; 32])).unwrap();
    let module = component("(module)");
    let zip = [b"PK\x03\x04".as_slice(), &good].concat();
    for (bytes, said) in [
        (&*module, "core WebAssembly module"),
        (&native.component, "native code"),
        (&sealed, "not a WebAssembly component"),
        (b"(component)", "text"),
        (b" \n (module)", "text"),
        (b"", "empty"),
        (b"\0", "not a WebAssembly component"),
        (b"\0asm", "not a WebAssembly component"),
        (&zip, "not a WebAssembly component"),
        (b"#!/bin/sh\n", "not a WebAssembly component"),
        (&good[..good.len() - 1], ""),
        (&good[..good.len() / 2], ""),
    ] {
        let refusal = refusal(bytes);
        assert_eq!(refusal.code, RefusalCode::NotAComponent, "{refusal}");
        assert!(refusal.message.contains(said), "{refusal}");
    }
}

// attack 40: wherever it is cut.
#[tokio::test]
async fn a_component_that_is_cut_is_never_taken_for_the_whole() {
    let good = Guest::good().component();
    let whole = Facts::read(&good, &Bounds::default()).unwrap();
    let accepted = (0..good.len()).filter_map(|at| Some((at, Facts::read(&good[..at], &Bounds::default()).ok()?)));
    // Only the custom sections at its end can be missing, and then it is another component.
    for (at, facts) in accepted {
        assert_ne!(facts.digest, whole.digest);
        assert_eq!(good[at], 0, "cut at {at} of {}", good.len());
        finished(&Cell::of_component(&sandbox(1), &good[..at]).eval("{}").await);
    }
}

// attack 41
#[test]
fn a_component_without_the_interface_is_told_what_a_policy_exports() {
    refused(&component("(component)"), RefusalCode::MissingExport, "lictor:policy/rule@1.0.0");
    let other = component("(component (instance $i) (export \"acme:rules/rule@1.0.0\" (instance $i)))");
    refused(&other, RefusalCode::MissingExport, "acme:rules/rule@1.0.0");
    let empty = component("(component (instance $i) (export \"lictor:policy/rule@1.0.0\" (instance $i)))");
    refused(&empty, RefusalCode::MissingExport, "`init`");
}

// attack 41
#[test]
fn a_function_of_another_type_is_told_the_type() {
    let component = component(include_str!("../../guests/wrong_types.wat"));
    refused(&component, RefusalCode::MissingExport, "func(string, string, string) -> result<_, failure>");
}

// attack 43
#[test]
fn what_a_component_says_of_itself_is_not_its_identity() {
    let name = |name: &str| {
        let section = [leb(14), b"component-name".to_vec(), vec![0], leb(name.len() + 1), leb(name.len()), name.into()];
        with_section(0, &section.concat())
    };
    let read = |bytes: &[u8]| Facts::read(bytes, &Bounds::default()).unwrap();
    let (one, other) = (read(&name("one")), read(&name("other")));
    assert_ne!(one.digest, other.digest);
    assert_eq!((one.exports, one.imports), (other.exports, other.imports));
}

// attack 101
/// Limits cannot be had above the ceiling, however they are asked for.
#[test]
fn no_limit_is_above_the_ceiling() {
    let most = limits(&json!({
        "timeout_ms": u64::MAX, "memory_mb": u64::MAX, "output_kb": u64::MAX, "log_kb": u64::MAX,
        "http_requests": u64::MAX, "context_kb": u64::MAX,
    }));
    assert_eq!(most.timeout().as_millis(), 60_000);
    assert_eq!(most.memory_bytes(), 512 << 20);
    assert_eq!(most.output_bytes(), 16 << 20);
    assert_eq!(most.log_bytes(), 1 << 20);
    assert_eq!(most.http_requests(), 100);
    assert_eq!(most.context_bytes(), 16 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    // attack 91
    /// Whatever it is, it is looked at and judged.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        drop(Facts::read(&bytes, &Bounds::default()));
        let component = [b"\0asm\x0d\0\x01\0".as_slice(), &bytes].concat();
        drop(Facts::read(&component, &Bounds::default()));
    }

    // attack 91
    /// A good component with a few bytes changed is refused, or is a component still: then it compiles or is refused,
    /// and nothing panics on the way.
    #[test]
    fn a_component_with_changed_bytes_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut component = GOOD.clone();
        for (at, byte) in changes {
            let at = at.index(component.len());
            component[at] = byte;
        }
        if Facts::read(&component, &Bounds::default()).is_ok() {
            drop(open(&SANDBOX, &component, false));
        }
    }
}

static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| Guest::named("fetches").component());
static SANDBOX: std::sync::LazyLock<lictor_sandbox::Sandbox> = std::sync::LazyLock::new(|| sandbox(1));
