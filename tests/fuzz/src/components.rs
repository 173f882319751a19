//! Code for policies.

use std::sync::{Arc, LazyLock};

use lictor_model::{Outcome, StopKind, json};
use lictor_sandbox::{Bounds, Compiler, Facts, Instance, Module, Op, OpenError, RunError, Sandbox};
use lictor_tests::sandbox::{Cell, sandbox};
use serde_json::json as value;

use crate::RUNTIME;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| sandbox(4));
static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new(false).expect("a compiler"));

/// Any file. It is refused, or it is a policy that runs as one.
pub(crate) fn component(data: &[u8]) {
    let (surveyed, read) = (Facts::survey(data, &Bounds::default()), Facts::read(data, &Bounds::default()));
    assert!(surveyed.is_ok() || read.is_err(), "what cannot be surveyed was read");
    if let Some(module) = read.ok().and_then(|facts| open(&facts, data)) {
        runs(module);
    }
}

/// What is compiled and linked of it, unless it is refused then.
fn open(facts: &Facts, component: &[u8]) -> Option<Module> {
    let made = COMPILER.compile(facts, component).and_then(|artifact| SANDBOX.open(&artifact, false));
    match made {
        Ok(module) => Some(module),
        Err(OpenError::Refused(_)) => None,
        Err(OpenError::Internal(why)) => panic!("a component that was read cannot be opened: {why}"),
    }
}

/// Runs a policy in every way. Each call comes to an outcome, alone or in an instance that stays it is the same one, a
/// second time too, and no instance is left.
fn runs(module: Module) {
    let limits = value!({"timeout_ms": 10, "memory_mb": 4, "output_kb": 64, "log_kb": 1});
    let cell = Cell::of_module(&SANDBOX, module).deterministic().limits(&limits);
    let first = call(&cell, &mut Instance::once(cell.policy.clone()));
    // What the clock ended is not worth more of it.
    if !by_the_clock(&first) {
        let mut stays = cell.instance();
        for again in [call(&cell, &mut Instance::once(cell.policy.clone())), call(&cell, &mut stays)] {
            assert!(by_the_clock(&again) || told(&again) == told(&first), "{again:?} and {first:?}");
        }
        // Whatever the first call left behind in it, the next one ends too.
        drop(call(&cell, &mut stays));
    }
    assert_eq!(SANDBOX.live_instances(), 0, "an instance is left");
}

fn by_the_clock(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stopped(stop) if stop.kind == StopKind::Timeout)
}

/// An outcome without the words about where it was.
fn told(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match outcome {
        Outcome::Finished(output) => ("", Some(output)),
        Outcome::Failed(failure) => ("policy_error", Some(&failure.message)),
        Outcome::Stopped(stop) => (stop.kind.code(), None),
    }
}

fn call(cell: &Cell, instance: &mut Instance) -> Outcome {
    // What an earlier call kept is not there for this one.
    let cell = Cell { context: Arc::default(), ..cell.clone() };
    let asked = RUNTIME.block_on(cell.ask(instance, Op::Eval { parameters: None, input: "{\"a\": [1, 2]}" }));
    let run = match asked {
        Ok(run) => run,
        Err(error @ (RunError::Busy | RunError::Internal(_))) => panic!("a call came to no outcome: {error}"),
    };
    if let Outcome::Finished(output) = &run.outcome {
        assert!(json::check(output).is_ok() && output.len() <= 64 << 10, "it is no answer: {output}");
    }
    assert!(run.usage.peak_memory_bytes <= 4 << 20, "{:?}", run.usage);
    run.outcome
}
