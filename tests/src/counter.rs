//! A policy that remembers, for what is resident: `tests/guests/counter.wat` says what it does.

use crate::guests::Guest;

const TEXT: &str = include_str!("../guests/counter.wat");

/// A component without imports that counts its calls and keeps a value. Only a stateful one exports `state`.
#[track_caller]
pub fn counter(stateful: bool) -> Vec<u8> {
    counter_version(stateful, 1)
}

/// See [`counter`]. It takes no state but that of its own version. Two versions are two components.
#[track_caller]
pub fn counter_version(stateful: bool, version: u8) -> Vec<u8> {
    let (always, state) = TEXT.split_once(";;STATE;;").expect("the guest has its marker");
    let state = if stateful { state } else { "" };
    let data = format!("(global $version i32 (i32.const {version}))\n{always}\n{state}");
    let guest = Guest {
        data: &data,
        eval: "(call $counter_eval (local.get $input) (local.get $inputn))",
        management: "(call $counter_management (local.get $action) (local.get $actionn) (local.get $data) (local.get $datan))",
        ..Guest::default()
    };
    if stateful { guest.build_stateful() } else { guest.build() }
}
