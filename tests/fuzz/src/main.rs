//! One target under libFuzzer: the one that `FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lictor_fuzz::{ONLY_FUZZED, TARGETS};

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: CHECK.get_or_init(chosen),
    |data: &[u8]| if let Some(check) = CHECK.get() { check(data) }
);

#[expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "libFuzzer reads the arguments, and there is no more to do"
)]
fn chosen() -> fn(&[u8]) {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().chain(ONLY_FUZZED).find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target `{name}`")).1
}
