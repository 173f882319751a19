//! Nothing of one run is visible to the next: every stateless call finds exactly what a new instance begins with.
//!
//! The guest (`tests/guests/fresh.wat`) first reads all that it has, each byte of its memory, its size, its globals and
//! tables, and answers a digest of it; then it leaves behind as much as it can. What a call must answer is what the
//! first call of an instance answers that is made in the component, in a slot that nothing ever ran in. The same is
//! asked of stateless calls after every way to leave something behind, between modules of other sizes that use the
//! same slots, after traps, time-outs, callers that went away and constructions that failed, and from several threads.
//!
//! That the guest would notice is shown too: in an instance that stays, it does notice each of them.

use std::{
    collections::BTreeMap,
    future::Future as _,
    pin::pin,
    task::{Context, Waker},
};

use lictor_model::{Outcome, StopKind};
use lictor_sandbox::{Instance, Sandbox};
use lictor_tests::sandbox::{Cell, Guest, finished, sandbox, stopped};
use serde_json::json;

/// What is left behind by a call that is answered, in one attempt and where it stays.
const ANSWERED: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "r", "p", "m"];
/// What is left behind by a call that does not end well where it is first tried.
const ENDED_BADLY: [&str; 3] = ["k", "o", "q"];
/// Calls that go straight to the component after one that its twin could not answer, and some more.
const UNTIL_TRIED_AGAIN: usize = 110;

const NO_MORE: &str = "(func $more) (func $more_seen (param $h i64) (result i64) (local.get $h))";

/// Calls the host in `p`, after it has left everything behind: what was done in the attempt must not have been.
const CALLS: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $now (result i64)))"#;
const MORE_CALLS: &str = "(func $more (drop (call $now))) (func $more_seen (param $h i64) (result i64) (local.get $h))";

/// Has tables too, and segments that can be used up. That they are not is seen by using them.
const TABLES: &str = r#"
    (table $t 4 20 funcref)
    (table $u 2 20 funcref)
    (elem (table $t) (i32.const 1) func $begin $work)
    (elem $passive func $begin $work)
    (data $once "used up")
    (func $nulls (param $h i64) (result i64)
        (local $at i32)
        (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (table.size $t))))
        (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (table.size $u))))
        (loop $next
            (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (ref.is_null (table.get $t (local.get $at))))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (table.size $t))))
        (local.get $h))
    (func $more_seen (param $h i64) (result i64)
        (local.set $h (call $nulls (local.get $h)))
        (table.init $t $passive (i32.const 3) (i32.const 1) (i32.const 1))
        (memory.init $once (i32.const 30000) (i32.const 0) (i32.const 7))
        (call $mix (local.get $h) (i64.load (i32.const 30000))))
    (func $more
        (drop (table.grow $t (ref.func $begin) (i32.const 9)))
        (drop (table.grow $u (ref.null func) (i32.const 3)))
        (table.fill $t (i32.const 0) (ref.null func) (i32.const 4))
        (table.set $t (i32.const 0) (ref.func $work))
        (elem.drop $passive)
        (data.drop $once))"#;

/// The guests, by name: of sizes that fit into one another's slots, and of every kind that is treated in its own way.
fn guests() -> Vec<(&'static str, Guest)> {
    let looks = Guest::named("fresh");
    let with = |more: &str, memory: &str| looks.clone().and(more).memory(memory);
    let calls = Guest::new(format!("{CALLS}\n{}", looks.fields())).and(MORE_CALLS).memory("3");
    vec![
        ("small", with(NO_MORE, "3")),
        ("large", with(NO_MORE, "40")),
        ("bounded", with(NO_MORE, "3 5")),
        ("calls the host", calls),
        ("tables", with(TABLES, "3")),
    ]
}

/// Such a guest in this sandbox: its clock stands still, so that nothing of a call differs but its input.
fn cell(sandbox: &Sandbox, guest: &Guest) -> Cell {
    Cell::within(sandbox, guest).limits(&json!({"memory_mb": 4})).deterministic()
}

/// The input for this; only some have a use for a number.
fn input(how: &str, n: usize) -> String {
    let n = if matches!(how, "i" | "r") { n } else { 0 };
    format!("\"{how}{}\"", char::from(b'0' + u8::try_from(n).unwrap()))
}

/// A guest, and what each input is answered by an instance that is the first in its slot.
struct Watched {
    name: &'static str,
    cell: Cell,
    expected: BTreeMap<String, Outcome>,
}

impl Watched {
    async fn all(sandbox: &Sandbox) -> Vec<Self> {
        let mut all = Vec::new();
        for (name, guest) in guests() {
            all.push(Self { name, cell: cell(sandbox, &guest), expected: expected(&guest).await });
        }
        all
    }

    /// One stateless call, which must find what a new instance begins with.
    async fn call(&self, how: &str, n: usize) {
        let input = input(how, n);
        let outcome = self.cell.eval(&input).await.outcome;
        assert_eq!(Some(&outcome), self.expected.get(&input), "{}: {input}", self.name);
    }
}

async fn expected(guest: &Guest) -> BTreeMap<String, Outcome> {
    let numbered = (1..16).flat_map(|n| ["i", "r"].map(|how| input(how, n)));
    let inputs: Vec<String> = ["j", "n"]
        .into_iter()
        .chain(ANSWERED)
        .map(|how| input(how, 0))
        .chain(numbered)
        .chain(ENDED_BADLY.map(|how| input(how, 0)))
        .collect();
    let cell = cell(&sandbox(u32::try_from(inputs.len()).unwrap()), guest);
    // All stay alive, so that none gets the slot of another; those that end badly come last, and give theirs back.
    let mut alive: Vec<Instance> = Vec::new();
    let mut res = BTreeMap::new();
    for input in inputs {
        let mut instance = cell.instance();
        res.insert(input.clone(), cell.eval_in(&mut instance, &input).await.outcome);
        alive.push(instance);
    }
    res
}

/// Numbers without an order, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

#[tokio::test]
async fn what_is_left_behind_is_noticed_where_it_stays() {
    for (name, guest) in guests() {
        let cell = cell(&sandbox(64), &guest);
        let after = async |how: &str| {
            let mut resident = cell.instance();
            cell.eval_in(&mut resident, &input(how, 3)).await;
            assert!(resident.is_live(), "{name}: {how}");
            let second = cell.eval_in(&mut resident, &input("j", 3)).await;
            match second.outcome {
                Outcome::Finished(digest) => digest,
                // A segment that was used up cannot be used.
                Outcome::Stopped(stop) if name == "tables" => stop.message,
                other => panic!("{name}: {how}: {other:?}"),
            }
        };
        let nothing = after("j").await;
        for how in ANSWERED {
            assert_ne!(after(how).await, nothing, "{name}: {how}");
        }
    }
}

// attack 90
#[tokio::test]
async fn a_stateless_call_finds_what_a_new_instance_begins_with() {
    // Four instances at most: each call gets a slot that others used before.
    let sandbox = sandbox(4);
    let all = Watched::all(&sandbox).await;
    for watched in &all {
        assert_eq!(watched.cell.policy.module.has_twin(), watched.name != "tables", "{}", watched.name);
        // One after the other, and each twice: by the second time all is as in a server that has run for long.
        for how in ["j"].into_iter().chain(ANSWERED).cycle().take(2 * ANSWERED.len() + 2) {
            for n in 0..16 {
                watched.call(how, n).await;
            }
        }
    }
    let mut chance = Chance(1);
    for _ in 0..1000 {
        // Also several calls in a row of which none looks at its memory.
        let watched = &all[chance.below(all.len())];
        for _ in 0..chance.below(4) {
            watched.call("r", chance.below(16)).await;
        }
        watched.call("j", 0).await;
        all[chance.below(all.len())].call(ANSWERED[chance.below(ANSWERED.len())], chance.below(16)).await;
        all[chance.below(all.len())].call("j", 0).await;
    }
}

// attack 90
#[tokio::test]
async fn also_after_calls_that_ended_badly() {
    let sandbox = sandbox(4);
    let all = Watched::all(&sandbox).await;
    for how in ["trap", "bad answer", "stack", "long", "time-out", "gone", "refused", "refused growth"] {
        for watched in &all {
            watched.call("i", 1).await;
            end_badly(watched, how).await;
            for other in &all {
                other.call("j", 2).await;
            }
            // By the end, calls are made in the twin again.
            for n in 0..UNTIL_TRIED_AGAIN {
                watched.call(["j", "i", "e"][n % 3], n % 16).await;
            }
        }
    }
    assert_eq!(sandbox.live_instances(), 0);
}

/// Leaves everything behind in a call that comes to such an end.
async fn end_badly(watched: &Watched, how: &str) {
    let cell = &watched.cell;
    match how {
        "trap" => watched.call("k", 0).await,
        "bad answer" => watched.call("o", 0).await,
        "stack" => watched.call("q", 0).await,
        "long" => watched.call("n", 0).await,
        "time-out" => {
            let brief = cell.clone().limits(&json!({"memory_mb": 4, "timeout_ms": 10})).deterministic();
            stopped(&brief.eval(&input("l", 0)).await, StopKind::Timeout);
        }
        "gone" => {
            let endless = input("l", 0);
            let mut call = pin!(cell.eval(&endless));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        "refused" => {
            let mut refused = cell.clone();
            refused.policy.settings = "\"\"".into();
            for _ in 0..3 {
                let run = refused.eval(&input("j", 0)).await;
                assert!(matches!(&run.outcome, Outcome::Failed(failure) if failure.code == "AAAA"), "{run:?}");
            }
        }
        // Less memory than the others may have: what may grow is of the call, not of the instance.
        _ => {
            let tight = cell.clone().limits(&json!({"memory_mb": 3})).deterministic();
            finished(&tight.eval(&input("h", 0)).await);
            watched.call("h", 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn also_from_several_threads() {
    let sandbox = sandbox(16);
    let all: std::sync::Arc<[Watched]> = Watched::all(&sandbox).await.into();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let all = std::sync::Arc::clone(&all);
            tokio::spawn(async move {
                let mut chance = Chance(n);
                for _ in 0..400 {
                    let watched = &all[chance.below(all.len())];
                    match chance.below(100) {
                        0 => watched.call(ENDED_BADLY[chance.below(ENDED_BADLY.len())], 0).await,
                        1..40 => watched.call("j", chance.below(16)).await,
                        _ => watched.call(ANSWERED[chance.below(ANSWERED.len())], chance.below(16)).await,
                    }
                    // To whichever thread is free.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
