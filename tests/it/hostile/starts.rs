//! What a component does before anything was asked of it.

use lictor_model::StopKind;
use lictor_tests::sandbox::{Cell, Guest, finished, stopped};
use serde_json::json;

// attack 42
#[tokio::test]
async fn what_a_start_function_takes_is_counted_and_bounded() {
    let guest = Guest::new(
        "(global $pages (mut i32) (i32.const 0))
        (func $on_start
            (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (global.set $pages (memory.size)))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $number (i64.extend_i32_u (global.get $pages))))",
    );
    let cell = Cell::of(&guest).limits(&json!({"memory_mb": 2}));
    for _ in 0..3 {
        let run = cell.eval("0").await;
        assert_eq!((finished(&run), run.usage.peak_memory_bytes), ("32", 2 << 20));
    }
}

// attack 42: calls of the host, made while the component is instantiated.
#[tokio::test]
async fn a_start_function_calls_the_host_under_the_limits_of_a_call() {
    let forever = "(loop $ever (call $act) (br $ever))";
    for (imports, act, kind) in [
        (
            "(import \"wasi:http/types@0.2.12\" \"[constructor]fields\" (func $make (result i32)))",
            "(drop (call $make))",
            StopKind::HostcallLimit,
        ),
        (
            "(import \"wasi:clocks/monotonic-clock@0.2.12\" \"subscribe-duration\" (func $make (param i64) (result i32)))
            (import \"wasi:io/poll@0.2.12\" \"[method]pollable.block\" (func $block (param i32)))",
            "(call $block (call $make (i64.const -1)))",
            StopKind::Timeout,
        ),
        (
            "(import \"wasi:random/random@0.2.12\" \"get-random-u64\" (func $make (result i64)))",
            "(drop (call $make))",
            StopKind::HostcallLimit,
        ),
    ] {
        let guest = Guest::new(format!("{imports} (func $act {act}) (func $on_start {forever})"));
        let limits = if kind == StopKind::Timeout { json!({"timeout_ms": 50}) } else { json!({}) };
        let cell = Cell::of(&guest).limits(&limits);
        stopped(&cell.eval("{}").await, kind);
        assert_eq!(cell.sandbox.live_instances(), 0);
    }
}

// attack 42: and what it changed of itself is there for its own call only.
#[tokio::test]
async fn a_start_function_leaves_nothing_for_the_next_call() {
    let guest = Guest::new(
        "(func $on_start (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1))))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1)))
            (call $number (i64.load32_u (i32.const 8192))))",
    );
    let cell = Cell::of(&guest);
    for _ in 0..5 {
        assert_eq!(finished(&cell.eval("{}").await), "2");
    }
}
