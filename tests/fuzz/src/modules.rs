//! Any modules: those that wasm-smith makes of bytes. What they find is kept as a component, which needs no wasm-smith.

use arbitrary::Unstructured;
use lictor_tests::sandbox::{Guest, component_of};
use wasm_smith::{Config, Module};
use wit_component::StringEncoding;

use crate::components::component;

/// Any module that exports what a policy does. As a component it is a policy, and it runs.
pub(crate) fn module(data: &[u8]) {
    let Ok(made) = Module::new(smith(), &mut Unstructured::new(data)) else { return };
    // The tools refuse some that the format allows, such as tables without bounds.
    if let Ok(policy) = component_of(made.to_bytes(), StringEncoding::UTF8) {
        component(&policy);
    }
}

/// Modules of what policies may use, with the exports of a policy.
fn smith() -> Config {
    let exports = wat::parse_str(Guest::good().text()).expect("the module of a guest");
    Config {
        exports: Some(exports),
        available_imports: Some(b"\0asm\x01\0\0\0".to_vec()),
        max_memories: 1,
        max_memory32_bytes: 4 << 20,
        max_tables: 2,
        max_table_elements: 1000,
        allow_floats: false,
        simd_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        tail_call_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        ..Config::default()
    }
}
