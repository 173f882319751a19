//! Policies that do something: a few statements each, in an order that no author would think of.

use std::fmt::Write as _;

use arbitrary::{Arbitrary as _, Result, Unstructured};
use lictor_tests::sandbox::Guest;

use crate::components::component;

/// Statements. Whatever they do, it is a policy, and it runs.
pub(crate) fn guest(data: &[u8]) {
    if let Ok(body) = body(&mut Unstructured::new(data)) {
        let fields = format!(
            "(global $g (mut i32) (i32.const 0))
            (func $on_eval (param $in i32) (param $n i32) (result i32) (local $a i32) {body} (call $null))"
        );
        component(&Guest::new(fields).memory("2 40").component());
    }
}

fn body(bytes: &mut Unstructured<'_>) -> Result<String> {
    let mut body = String::new();
    for _ in 0..bytes.int_in_range(0..=12)? {
        statement(bytes, &mut body)?;
    }
    Ok(body)
}

fn statement(bytes: &mut Unstructured<'_>, body: &mut String) -> Result<()> {
    let (k, here) = (number(bytes)?, body.len());
    let a = "(local.get $a)";
    let written = match bytes.int_in_range(0..=22)? {
        0 => write!(body, "(local.set $a (i32.const {k}))"),
        1 => write!(body, "(local.set $a (i32.load {a}))"),
        2 => write!(body, "(local.set $a (i32.add {a} (i32.const {k})))"),
        3 => write!(body, "(i32.store {a} (i32.const {k}))"),
        4 => write!(body, "(i64.store (i32.const {k}) (i64.extend_i32_u {a}))"),
        5 => write!(body, "(local.set $a (memory.grow (i32.const {})))", k % 64),
        6 => write!(body, "(global.set $g (i32.add (global.get $g) (i32.const {k})))"),
        7 => write!(body, "(if (i32.eq (global.get $g) {a}) (then unreachable))"),
        8 => write!(body, "(local.set $a (i32.div_s (i32.const {k}) {a}))"),
        9 => write!(body, "(memory.fill {a} (i32.const 120) (i32.const {k}))"),
        10 => write!(body, "(memory.copy {a} (local.get $in) (i32.const {k}))"),
        11 => write!(body, "(drop (call $on_eval (local.get $in) {a}))"),
        12 => write!(body, "(local.set $a (call $alloc (i32.const {k})))"),
        13 => write!(body, "(global.set $heap (i32.const {k}))"),
        14 => write!(body, "(if {a} (then (return (call $ok (local.get $in) (local.get $n)))))"),
        15 => write!(body, "(return (call $ok {a} (i32.const {k})))"),
        16 => write!(body, "(return (call $err {a} (i32.const {k})))"),
        17 => write!(body, "(return (call $number (i64.extend_i32_u (global.get $g))))"),
        18 => write!(body, "(return (call $number (i64.load (i32.const {k}))))"),
        19 => write!(body, "(return {a})"),
        20 => write!(body, "(loop $l{here} (local.set $a (i32.sub {a} (i32.const 1))) (br_if $l{here} {a}))"),
        21 => write!(body, "(return (call $number (i64.extend_i32_u {a})))"),
        _ => write!(body, "(global.set $g (memory.size))"),
    };
    written.expect("a string takes all");
    Ok(())
}

/// Small numbers, places in the memory, and any.
fn number(bytes: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => bytes.int_in_range(0..=8)?,
        1 => bytes.int_in_range(1000..=1200)?,
        2 => bytes.int_in_range(65_000..=132_000)?,
        _ => u32::arbitrary(bytes)?,
    })
}
