//! What a hostile policy tries once it runs, and the outcome that it meets. Section A and B of the list of attacks.
//!
//! Most of it needs no server: `sandbox::run` is the one door. What is claimed of the others, that they are answered
//! meanwhile, is asked of the real server in `meanwhile`; what is refused before it runs is in `refused`, and what a
//! component does before it is called in `starts`. What hostile clients, documents and disks try is in the other ones.

mod answers;
mod clients;
pub(crate) mod disk;
mod meanwhile;
mod patterns;
mod refused;
mod starts;

use std::{
    future::Future as _,
    pin::pin,
    task::{Context, Waker},
};

use lictor_model::{Outcome, StopKind};
use lictor_sandbox::{Op, RunError};
use lictor_tests::sandbox::{Cell, Guest, finished, sandbox, stopped};
use serde_json::json;

/// Computes for ever.
const SPIN: &str = "(loop $for_ever (br $for_ever))";

/// A hook that computes for ever, with the parameters that it has.
fn spins_in(hook: &str) -> Guest {
    let signature = match hook {
        "$on_start" | "$on_realloc" | "$on_post" => "",
        _ => "(param $in i32) (param $n i32) (result i32)",
    };
    let rest = if signature.is_empty() { "" } else { "(unreachable)" };
    Guest::new(format!("(func {hook} {signature} {SPIN} {rest})"))
}

fn brief() -> serde_json::Value {
    json!({"timeout_ms": 30})
}

// attacks 1, 2
#[tokio::test]
async fn a_loop_without_end_meets_the_timeout_wherever_it_is() {
    for hook in ["$on_start", "$on_init", "$on_eval", "$on_realloc", "$on_post"] {
        let cell = Cell::of(&spins_in(hook)).limits(&brief());
        let mut instance = cell.instance();
        let run = cell.eval_in(&mut instance, "{}").await;
        assert_eq!(stopped(&run, StopKind::Timeout), "the policy did not finish within 30 ms", "{hook}");
        assert!(!instance.is_live(), "{hook}");
        assert_eq!(cell.sandbox.live_instances(), 0, "{hook}");
    }
}

// attack 2: `_initialize` is called by the component itself, from the start function of a module of its own.
#[tokio::test]
async fn a_loop_without_end_in_initialize_meets_the_timeout() {
    let guest = Guest::good().and(&format!("(func (export \"_initialize\") {SPIN})"));
    let run = Cell::of(&guest).limits(&brief()).eval("{}").await;
    stopped(&run, StopKind::Timeout);
}

// attack 3
#[tokio::test]
async fn a_loop_without_end_in_management_leaves_an_instance_that_begins_afresh() {
    let guest = spins_in("$on_management").and(
        "(global $calls (mut i64) (i64.const 0))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
            (call $number (global.get $calls)))",
    );
    let cell = Cell::of(&guest);
    let mut resident = cell.instance();
    for calls in ["1", "2"] {
        assert_eq!(finished(&cell.eval_in(&mut resident, "{}").await), calls);
    }
    stopped(&cell.clone().limits(&brief()).manage_in(&mut resident, "spin", "{}").await, StopKind::Timeout);
    assert!(!resident.is_live());
    assert_eq!(finished(&cell.eval_in(&mut resident, "{}").await), "1");
}

// attack 4
#[tokio::test]
async fn deep_recursion_is_a_stack_overflow() {
    let guest = Guest::new(
        "(func $deep (param $n i64) (result i64)
            (i64.add (i64.const 1) (call $deep (i64.add (local.get $n) (i64.const 1)))))
        (func $on_eval (param $in i32) (param $n i32) (result i32) (call $number (call $deep (i64.const 0))))
        (func $on_management (param $in i32) (param $n i32) (result i32)
            (call $on_management (local.get $in) (local.get $n)) (drop) (call $null))",
    );
    let cell = Cell::of(&guest);
    stopped(&cell.eval("{}").await, StopKind::StackOverflow);
    let mut instance = cell.instance();
    stopped(&cell.manage_in(&mut instance, "a", "{}").await, StopKind::StackOverflow);
    assert!(!instance.is_live());
}

// attack 5
#[tokio::test]
async fn a_trap_says_what_it_was_and_nothing_of_the_host() {
    let table = "(table 4 funcref) (elem (i32.const 1) func $null)";
    for (body, said) in [
        ("(unreachable)", "unreachable"),
        ("(call $number (i64.div_u (i64.const 1) (i64.const 0)))", "divide by zero"),
        ("(call $number (i64.load (i32.const -16)))", "out of bounds memory access"),
        ("(call $number (i64.trunc_f64_u (f64.const nan)))", "invalid conversion to integer"),
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const -1)) (call $null)", "out of bounds memory access"),
        ("(call_indirect (result i32) (i32.const 0))", "uninitialized element"),
        ("(call_indirect (result i32) (i32.const 99))", "undefined element"),
        ("(drop (call_indirect (result i64) (i32.const 1))) (call $null)", "indirect call type mismatch"),
    ] {
        let run = Cell::of(&Guest::eval(body).and(table)).eval("{}").await;
        let message = stopped(&run, StopKind::Trap);
        assert!(message.contains(said), "{body}: {message}");
        for leak in ["/", "0x", "wasm backtrace", "wasm trap", ".rs", "<unknown>", "\n"] {
            assert!(!message.contains(leak), "{body}: {message}");
        }
    }
}

// attack 6
#[tokio::test]
async fn sleeping_until_far_in_the_future_meets_the_timeout() {
    let cell = Cell::of(&Guest::named("sleeps")).limits(&brief());
    for how in ["0", "1"] {
        stopped(&cell.eval(how).await, StopKind::Timeout);
        assert_eq!(cell.sandbox.live_instances(), 0);
    }
}

// attack 7
#[tokio::test]
async fn a_million_log_calls_meet_the_limit_of_host_calls() {
    let cell = Cell::of(&Guest::named("logs"));
    let run = cell.eval("1000000").await;
    stopped(&run, StopKind::HostcallLimit);
    assert!(run.usage.log_truncated);
    assert_eq!(run.usage.host_calls, 100_001);
    assert!(cell.heard.lines().len() <= 64 * 1024 / 16, "{}", cell.heard.lines().len());
}

// attack 9
#[tokio::test]
async fn a_caller_that_goes_away_takes_the_instance_along() {
    let spin = format!("(if (i32.eq (i32.load8_u (local.get $in)) (i32.const 49)) (then {SPIN}))");
    let cell = Cell::of(&Guest::eval(&format!("{spin} (call $null)")));
    let mut resident = cell.instance();
    finished(&cell.eval_in(&mut resident, "0").await);
    for _ in 0..20 {
        {
            let mut call = pin!(cell.eval_in(&mut resident, "1"));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(cell.sandbox.live_instances(), 1);
        }
        assert!(!resident.is_live());
        assert_eq!(cell.sandbox.live_instances(), 0);
        finished(&cell.eval_in(&mut resident, "0").await);
    }
}

// attack 9: while it waits for the host.
#[tokio::test]
async fn a_caller_that_goes_away_from_a_sleeping_policy_leaves_nothing_behind() {
    let cell = Cell::of(&Guest::named("sleeps"));
    for _ in 0..20 {
        let task = tokio::spawn({
            let cell = cell.clone();
            async move { cell.eval("0").await }
        });
        while cell.sandbox.live_instances() == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(cell.sandbox.live_instances(), 0);
    }
}

// attack 10
#[tokio::test]
async fn memory_does_not_survive_a_trap() {
    let guest = Guest::eval(
        "(local $seen i64)
        (local.set $seen (i64.load (i32.const 8192)))
        (i64.store (i32.const 8192) (i64.const 7))
        (memory.fill (i32.const 16384) (i32.const 1) (i32.const 32768))
        ;; Part of the fill has happened when it finds that it cannot go on.
        (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 49))
            (then (memory.copy (i32.const 32768) (i32.const 0) (i32.const 0x7fffffff))))
        (call $number (local.get $seen))",
    );
    let cell = Cell::of(&guest);
    let mut resident = cell.instance();
    assert_eq!(finished(&cell.eval_in(&mut resident, "0").await), "0");
    assert_eq!(finished(&cell.eval_in(&mut resident, "0").await), "7");
    stopped(&cell.eval_in(&mut resident, "1").await, StopKind::Trap);
    assert!(!resident.is_live());
    assert_eq!(finished(&cell.eval_in(&mut resident, "0").await), "0");
}

// attack 11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ends_about_at_its_deadline_has_one_outcome() {
    let guest = Guest::works();
    let cell = Cell::of(&guest).limits(&json!({"timeout_ms": 1}));
    for i in 0..500 {
        let mut instance = cell.instance();
        let run = cell.eval_in(&mut instance, &(i % 10).to_string()).await;
        match &run.outcome {
            Outcome::Finished(output) => assert_eq!((output.as_str(), instance.is_live()), ("1", true)),
            Outcome::Stopped(stop) => assert_eq!((stop.kind, instance.is_live()), (StopKind::Timeout, false)),
            Outcome::Failed(failure) => panic!("{failure:?}"),
        }
    }
}

// attack 12
#[tokio::test]
async fn calling_the_host_from_the_allocator_is_a_trap() {
    let guest = Guest::new(
        "(import \"wasi:clocks/monotonic-clock@0.2.12\" \"now\" (func $now (result i64)))
        (func $on_realloc (drop (call $now)))",
    );
    stopped(&Cell::of(&guest).eval("{}").await, StopKind::Trap);
}

// attack 20
#[tokio::test]
async fn an_answer_of_a_gigabyte_is_refused_before_it_is_copied() {
    for (length, kind) in [
        // What it claims and does not have.
        ("(i32.const 0x40000000)", StopKind::OutputTooLarge),
        ("(i32.const -1)", StopKind::OutputTooLarge),
        ("(i32.const 0x7fffffff)", StopKind::OutputTooLarge),
        // What it has.
        ("(i32.const 0x2000000)", StopKind::OutputTooLarge),
        ("(i32.const 0x100001)", StopKind::OutputTooLarge),
    ] {
        let grown = "(drop (memory.grow (i32.const 600)))";
        let run = Cell::of(&Guest::eval(&format!("{grown} (call $ok (i32.const 4096) {length})"))).eval("{}").await;
        assert!(stopped(&run, kind).contains("1048576 bytes"), "{length}: {run:?}");
    }
}

// attack 20: the texts of a failure are no way around it.
#[tokio::test]
async fn a_failure_of_a_gigabyte_is_no_answer_either() {
    for hook in ["$on_init", "$on_eval"] {
        let guest = Guest::new(format!(
            "(func {hook} (param $in i32) (param $n i32) (result i32) (call $err (i32.const 4096) (i32.const 0x40000000)))"
        ));
        stopped(&Cell::of(&guest).eval("{}").await, StopKind::OutputTooLarge);
    }
    let guest = Guest::eval(
        "(memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 30000)) (call $err (i32.const 8192) (i32.const 30000))",
    );
    match Cell::of(&guest).eval("{}").await.outcome {
        Outcome::Failed(failure) => assert_eq!((failure.code.len(), failure.message.len()), (4096, 4096)),
        other => panic!("{other:?}"),
    }
}

// attack 21
#[tokio::test]
async fn a_list_whose_items_overlap_is_not_copied_item_by_item() {
    // A thousand fields whose values are all the same megabyte.
    let guest = Guest::new(
        "(import \"wasi:http/types@0.2.12\" \"[static]fields.from-list\" (func $from_list (param i32 i32 i32)))
        (data (i32.const 4096) \"name\")
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (local $at i32)
            (drop (memory.grow (i32.const 20)))
            (local.set $at (i32.const 8192))
            (loop $more
                (i32.store (local.get $at) (i32.const 4096))
                (i32.store offset=4 (local.get $at) (i32.const 4))
                (i32.store offset=8 (local.get $at) (i32.const 131072))
                (i32.store offset=12 (local.get $at) (i32.const 0x100000))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 24192))))
            (call $from_list (i32.const 8192) (i32.const 1000) (i32.const 16))
            (call $null))",
    );
    stopped(&Cell::of(&guest).eval("{}").await, StopKind::HostcallLimit);
}

// attack 22
#[tokio::test]
async fn ten_million_handles_are_not_given() {
    for (import, call) in [
        ("\"wasi:http/types@0.2.12\" \"[constructor]fields\" (func $make (result i32))", "(drop (call $make))"),
        ("\"wasi:cli/stdout@0.2.12\" \"get-stdout\" (func $make (result i32))", "(drop (call $make))"),
        (
            "\"wasi:clocks/monotonic-clock@0.2.12\" \"subscribe-duration\" (func $make (param i64) (result i32))",
            "(drop (call $make (i64.const 0)))",
        ),
        (
            "\"wasi:keyvalue/store@0.2.0-draft\" \"open\" (func $make (param i32 i32 i32))",
            "(call $make (i32.const 0) (i32.const 0) (i32.const 16))",
        ),
    ] {
        let guest = Guest::new(format!(
            "(import {import})
            (func $on_eval (param $in i32) (param $n i32) (result i32)
                (local $left i32)
                (local.set $left (i32.const 10000000))
                (loop $more {call} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $null))"
        ));
        let run = Cell::of(&guest).eval("{}").await;
        stopped(&run, StopKind::HostcallLimit);
        assert!(run.usage.host_calls < 2000, "{import}: {run:?}");
    }
}

// attack 22: and those that are given back count no longer.
#[tokio::test]
async fn handles_that_are_dropped_can_be_had_again() {
    let guest = Guest::new(
        "(import \"wasi:http/types@0.2.12\" \"[constructor]fields\" (func $make (result i32)))
        (import \"wasi:http/types@0.2.12\" \"[resource-drop]fields\" (func $drop (param i32)))
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (local $left i32)
            (local.set $left (i32.const 10000))
            (loop $more
                (call $drop (call $make))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $null))",
    );
    finished(&Cell::of(&guest).eval("{}").await);
}

// attack 23
#[tokio::test]
async fn random_bytes_without_measure_are_not_made() {
    for interface in ["random@0.2.12\" \"get-random-bytes", "insecure@0.2.12\" \"get-insecure-random-bytes"] {
        for (n, granted) in [("-1", false), ("0x40000000", false), ("65537", false), ("65536", true)] {
            let guest = Guest::new(format!(
                "(import \"wasi:random/{interface}\" (func $random (param i64 i32)))
                (func $on_eval (param $in i32) (param $n i32) (result i32)
                    (call $random (i64.const {n}) (i32.const 16))
                    (call $number (i64.load32_u (i32.const 20))))"
            ));
            let run = Cell::of(&guest).eval("{}").await;
            if granted {
                assert_eq!(finished(&run), n);
            } else {
                stopped(&run, StopKind::HostcallLimit);
            }
        }
    }
}

// attack 24
#[tokio::test]
async fn a_line_of_forty_megabytes_is_cut() {
    let guest = Guest::named("logs").and(
        "(func $on_management (param $in i32) (param $n i32) (result i32)
            (drop (memory.grow (i32.const 700)))
            (memory.fill (i32.const 131072) (i32.const 0x78) (i32.const 0x2800000))
            (call $log (i32.const 2) (i32.const 131072) (i32.const 0x2800000) (i32.const 131072) (i32.const 0x2800000))
            (call $null))",
    );
    let cell = Cell::of(&guest);
    let run = cell.manage_in(&mut cell.instance(), "shout", "{}").await;
    finished(&run);
    assert!(run.usage.log_truncated);
    let lines = cell.heard.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].message.len() <= 8192 && lines[0].context.len() <= 128, "{}", lines[0].message.len());
}

// attack 24: wherever it is cut, and what it only claims to have is no reason to stop it either.
#[tokio::test]
async fn a_line_is_cut_between_characters() {
    let cell = Cell::of(&Guest::named("logs"));
    for lead in ["", "a", "ab", "abc"] {
        let line = format!("\"{lead}{}\"", "\u{1f600}\u{e9}x".repeat(5000));
        let run = cell.eval(&line).await;
        finished(&run);
        assert!(run.usage.log_truncated);
        let said = cell.heard.messages().pop().unwrap();
        assert!(line.starts_with(&said) && 8000 < said.len() && said.len() <= 8192, "{}", said.len());
    }
    // In UTF-16 its `null` is none, but by then it has said what it says.
    let cell = Cell::of(&Guest::named("logs").utf16());
    let run = cell.eval(&format!("\"{}\"", "\u{1f600}".repeat(9000))).await;
    assert!(run.usage.log_truncated);
    stopped(&run, StopKind::BadOutput);
    assert!(cell.heard.messages().concat().starts_with("\"\u{1f600}\u{1f600}"));
    let claims = Guest::named("logs").and(
        "(func $on_management (param $in i32) (param $n i32) (result i32)
            (call $log (i32.const 2) (i32.const 4096) (i32.const 3) (i32.const 4096) (i32.const 0x40000000))
            (call $null))",
    );
    let cell = Cell::of(&claims);
    let run = cell.manage_in(&mut cell.instance(), "claim", "{}").await;
    finished(&run);
    assert!(run.usage.log_truncated);
}

// attack 24
#[tokio::test]
async fn a_line_cannot_forge_another() {
    let cell = Cell::of(&Guest::named("logs"));
    let line = "x\0\u{1b}[2J\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{2028}\u{202e}\u{85}";
    finished(&cell.eval(line).await);
    let lines = cell.heard.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].context, "ctx");
    assert!(lines[0].message.chars().all(|c| !c.is_control() && c != '\u{2028}' && c != '\u{202e}'), "{lines:?}");
    assert!(lines[0].message.contains(r"\u{a}{"), "{lines:?}");
}

// attack 25
#[tokio::test]
async fn a_flood_on_standard_output_is_bounded() {
    for how in ["0", "1"] {
        let cell = Cell::of(&Guest::named("prints"));
        let run = cell.eval(how).await;
        finished(&run);
        assert!(run.usage.log_truncated, "{how}");
        let said: usize = cell.heard.lines().iter().map(|line| line.message.len() + 16).sum();
        assert!(said <= 64 * 1024, "{how}: {said}");
        assert!(cell.heard.lines().iter().all(|line| line.context == "stdout"), "{how}");
    }
}

// attack 26
#[tokio::test]
async fn header_fields_without_end_are_refused_and_nothing_panics() {
    for how in ["0", "1", "2"] {
        let cell = Cell::of(&Guest::named("headers"));
        let run = cell.eval(how).await;
        match &run.outcome {
            Outcome::Finished(accepted) => assert!(accepted.parse::<u32>().unwrap() < 32_768, "{how}: {accepted}"),
            _ => assert!(stopped(&run, StopKind::HostcallLimit).contains("headers"), "{how}: {run:?}"),
        }
    }
}

// attack 28
#[tokio::test]
async fn an_answer_that_is_no_document_is_bad_output() {
    let cell = Cell::of(&Guest::echo());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{}1{}", "{\"a\":".repeat(129), "}".repeat(129));
    for answer in ["", " ", "NaN", "Infinity", "{", "{}{}", "01", "'a'", "{\"a\":1,}", "nul", "\u{feff}1", &deep, &wide]
    {
        let run = cell.eval(answer).await;
        let message = stopped(&run, StopKind::BadOutput);
        assert!(message.starts_with("the policy's answer") && message.len() < 200, "{message}");
    }
    // What is odd and valid passes through as it is.
    for answer in ["null", "1e400", "-0", "{\"a\":1,\"a\":2}", "\"\\u0000\"", &"9".repeat(100_000)] {
        assert_eq!(finished(&cell.eval(answer).await), answer);
    }
}

// attack 28
#[tokio::test]
async fn a_number_of_ten_megabytes_is_too_large() {
    let guest = Guest::eval(
        "(drop (memory.grow (i32.const 200)))
        (memory.fill (i32.const 131072) (i32.const 0x39) (i32.const 10000000))
        (call $ok (i32.const 131072) (i32.const 10000000))",
    );
    stopped(&Cell::of(&guest).eval("{}").await, StopKind::OutputTooLarge);
}

// attack 30
#[tokio::test]
async fn text_that_is_not_utf_8_is_bad_output() {
    let guest = Guest::new(
        "(data (i32.const 4096) \"\\22\\ff\\fe\\c0\\80\\22\")
        (func $on_eval (param $in i32) (param $n i32) (result i32) (call $ok (i32.const 4096) (i32.const 6)))
        (func $on_management (param $in i32) (param $n i32) (result i32) (call $err (i32.const 4096) (i32.const 6)))",
    );
    let cell = Cell::of(&guest);
    stopped(&cell.eval("{}").await, StopKind::BadOutput);
    let mut instance = cell.instance();
    stopped(&cell.manage_in(&mut instance, "a", "{}").await, StopKind::BadOutput);
    assert!(!instance.is_live());
}

// attack 30: the same bytes handed to the host in a call.
#[tokio::test]
async fn text_that_is_not_utf_8_stops_a_host_call() {
    let guest = Guest::named("logs").and(
        "(data (i32.const 4200) \"\\ff\\fe\")
        (func $on_management (param $in i32) (param $n i32) (result i32)
            (call $log (i32.const 2) (i32.const 4200) (i32.const 2) (i32.const 4200) (i32.const 2))
            (call $null))",
    );
    let cell = Cell::of(&guest);
    stopped(&cell.manage_in(&mut cell.instance(), "a", "{}").await, StopKind::Trap);
}

// attack 30
#[tokio::test]
async fn utf_16_is_read_as_what_it_says() {
    let cell = Cell::of(&Guest::echo().utf16());
    for text in ["\"plain\"", "\"gr\u{fc}\u{df}e \u{1f600}\"", "null"] {
        assert_eq!(finished(&cell.eval(text).await), text);
    }
    // Half of a pair.
    let guest = Guest::eval("(call $ok (i32.const 4096) (i32.const 3))")
        .and("(data (i32.const 4096) \"\\22\\00\\00\\d8\\22\\00\")");
    stopped(&Cell::of(&guest.utf16()).eval("{}").await, StopKind::BadOutput);
    // Not at an even address.
    let guest = Guest::eval("(call $ok (i32.const 4097) (i32.const 1))");
    stopped(&Cell::of(&guest.utf16()).eval("{}").await, StopKind::BadOutput);
}

// attack 88
/// What a component hands over at addresses that do not exist is refused, never read.
#[tokio::test]
async fn an_answer_at_no_address_is_bad_output() {
    for body in [
        "(i32.const -4)",
        "(i32.const 131070)",
        // Neither `ok` nor `err`.
        "(i32.store8 (i32.const 2048) (i32.const 9)) (i32.const 2048)",
        // Not aligned.
        "(drop (call $null)) (i32.const 1041)",
    ] {
        stopped(&Cell::of(&Guest::eval(body)).eval("{}").await, StopKind::BadOutput);
    }
}

// attack 88
/// An allocator that lies about where it put the arguments.
#[tokio::test]
async fn arguments_are_written_only_into_the_guests_memory() {
    for place in ["(i32.const -1)", "(i32.const 0x7fffffff)", "(i32.shl (memory.size) (i32.const 16))"] {
        let component = Guest::good().component_with(
            "(call $alloc (local.get $n)))\n\n  (func (export \"lictor:policy/rule@1.0.0#init\")",
            &format!("{place})\n\n  (func (export \"lictor:policy/rule@1.0.0#init\")"),
        );
        let cell = Cell::of_component(&sandbox(2), &component);
        let run = cell.eval("{\"some\": \"input\"}").await;
        assert!(matches!(&run.outcome, Outcome::Stopped(stop) if stop.kind == StopKind::Trap), "{place}: {run:?}");
    }
}

// attack 33
#[tokio::test]
async fn a_slot_that_is_used_again_is_zeros() {
    // Two instances at most: each call gets a slot that was used before.
    let sandbox = sandbox(2);
    let leaves = Cell::within(&sandbox, &Guest::named("leaves_secrets"));
    let is_cut_off = leaves.clone().limits(&brief());
    let looks = Cell::within(&sandbox, &Guest::named("looks_for_secrets"));
    let mut resident = leaves.instance();
    for round in 0..60 {
        match round % 3 {
            0 => stopped(&is_cut_off.eval("1").await, StopKind::Timeout),
            1 => stopped(&leaves.eval("2").await, StopKind::Trap),
            _ => finished(&leaves.eval_in(&mut resident, "3").await),
        };
        assert_eq!(finished(&looks.eval("{}").await), "0", "round {round}");
        if round % 7 == 0 {
            resident = leaves.instance();
        }
    }
}

// attack 89
/// The door has a short way for stateless calls: a guest must not be able to tell, nor to use it.
#[tokio::test]
async fn a_stateless_call_has_the_outcome_of_a_resident_one() {
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 7)) (i32.const -1)))) (call $number (i64.extend_i32_u (memory.size)))";
    let guests = [
        Guest::good(),
        Guest::echo(),
        Guest::eval(grow),
        Guest::eval("(call $err (local.get $in) (local.get $n))"),
        Guest::eval("(unreachable)"),
        Guest::eval("(call $on_eval (local.get $in) (local.get $n)) (drop) (call $null)"),
        Guest::eval("(call $ok (i32.const 4096) (i32.const 0x100001))"),
        Guest::eval("(call $ok (i32.const 4096) (i32.const 20))"),
        Guest::named("logs"),
        Guest::named("std"),
        Guest::named("sockets"),
        Guest::named("fetches"),
        Guest::named("context"),
        Guest::named("hoards"),
        Guest::named("prints"),
        Guest::named("headers"),
        Guest::named("looks_for_secrets"),
    ];
    for guest in guests {
        let cell = Cell::of(&guest).limits(&json!({"memory_mb": 8}));
        for input in ["0", "1", "2", "\"text\"", "{}"] {
            let (resident, stateless) = (cell.eval_in(&mut cell.instance(), input).await, cell.eval(input).await);
            assert_eq!(stateless.outcome, resident.outcome, "{input}: {guest:?}");
            let used = |run: &lictor_sandbox::Run| {
                (run.usage.peak_memory_bytes, run.usage.host_calls, run.usage.log_truncated)
            };
            if !matches!(stateless.outcome, Outcome::Stopped(_)) {
                assert_eq!(used(&stateless), used(&resident), "{input}: {guest:?}");
            }
        }
        assert_eq!(cell.sandbox.live_instances(), 0);
    }
}

// attack 89
/// And uses the same fuel.
#[tokio::test]
async fn a_stateless_call_uses_the_fuel_of_a_resident_one() {
    for guest in
        [Guest::echo(), Guest::named("logs"), Guest::named("std"), Guest::named("context"), Guest::named("fetches")]
    {
        let cell = Cell::metered(&guest, 10_000_000);
        for input in ["0", "\"g key\""] {
            let resident = cell.eval_in(&mut cell.instance(), input).await;
            for _ in 0..3 {
                assert_eq!(cell.eval(input).await.usage.fuel, resident.usage.fuel, "{input}: {guest:?}");
            }
        }
    }
}

// attack 100
/// More calls at once than there are instances: the rest is told that it is busy, and nothing is lost.
#[tokio::test]
async fn a_pool_that_is_used_up_is_busy_and_recovers() {
    let cell = Cell::within(&sandbox(2), &Guest::good());
    let mut residents: Vec<_> = (0..2).map(|_| cell.instance()).collect();
    for resident in &mut residents {
        finished(&cell.eval_in(resident, "{}").await);
    }
    let refused = cell.ask(&mut cell.instance(), Op::Eval { parameters: None, input: "{}" }).await;
    assert!(matches!(refused, Err(RunError::Busy)), "{refused:?}");
    residents.pop();
    finished(&cell.eval("{}").await);
}
