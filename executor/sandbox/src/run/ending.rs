//! What came of a call: from an answer, or from the error that wasmtime gave, to an outcome.

use lictor_model::{Failure, Limits, Outcome, Stop, StopKind, field::shorten, json};
use wasmtime::{
    Trap,
    component::{self, ComponentType, Lift},
};

use super::RunError;
use crate::state::{State, Stopped};

/// Bytes of a failure's texts that are passed on.
const MAX_FAILURE: usize = 4096;

/// The outcome of a call that gave an answer.
pub(crate) fn finish(answer: Result<String, Failure>, limits: &Limits) -> Outcome {
    let output = match answer {
        Ok(output) => output,
        Err(failure) => return Outcome::Failed(failure),
    };
    let stopped = |kind, message| Outcome::Stopped(Stop::new(kind, message));
    if limits.output_bytes() < output.len() {
        return stopped(StopKind::OutputTooLarge, too_large(limits));
    }
    match json::check(&output) {
        Ok(()) => Outcome::Finished(output),
        Err(error) => stopped(StopKind::BadOutput, format!("the policy's answer {error}")),
    }
}

fn too_large(limits: &Limits) -> String {
    format!("the policy's answer is larger than its {} bytes", limits.output_bytes())
}

/// The outcome of a failure that an interpreter told: it sees why the policy stopped where the sandbox cannot.
pub(super) fn interpreted(failure: Failure) -> Outcome {
    let told = [StopKind::OutOfMemory, StopKind::StackOverflow, StopKind::BadOutput];
    match told.into_iter().find(|kind| kind.code() == failure.code) {
        Some(kind) => Outcome::Stopped(Stop::new(kind, failure.message)),
        None => Outcome::Failed(failure),
    }
}

pub(super) fn timed_out(limits: &Limits) -> Stop {
    Stop::new(StopKind::Timeout, format!("the policy did not finish within {} ms", limits.timeout().as_millis()))
}

/// What stopped a guest, from the error that wasmtime gave.
pub(super) fn classify(error: &wasmtime::Error, state: &State, limits: &Limits) -> Result<Stop, RunError> {
    if let Some(Stopped(stop)) = error.downcast_ref() {
        return Ok(stop.clone());
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Err(RunError::Busy);
    }
    if error.is::<component::ResourceTableError>() {
        return Ok(Stop::new(StopKind::HostcallLimit, "the policy holds too many resources of the host"));
    }
    let cause = error.root_cause().to_string();
    let in_guest = error.is::<wasmtime::WasmBacktrace>();
    let trap = error.downcast_ref::<Trap>();
    let stop = match trap {
        Some(Trap::Interrupt) => timed_out(limits),
        Some(Trap::OutOfFuel) => Stop::new(
            StopKind::OutOfFuel,
            format!("the policy used up its {} units of fuel", limits.fuel().unwrap_or(0)),
        ),
        Some(Trap::StackOverflow) => Stop::new(StopKind::StackOverflow, "the policy recursed too deeply"),
        Some(Trap::UnreachableCodeReached) if state.memory.refused => out_of_memory(limits),
        Some(trap) => Stop::new(StopKind::Trap, format!("the policy trapped: {}", plain(&trap.to_string()))),
        None if cause.contains("too much data") && in_guest => {
            Stop::new(StopKind::HostcallLimit, "the policy handed too much data to the host in one call")
        }
        None if cause.contains("total size of fields") => {
            Stop::new(StopKind::HostcallLimit, "the policy made headers larger than a request may have")
        }
        None if cause.contains("exceeds memory limits") => out_of_memory(limits),
        None if cause.contains("too much data") => Stop::new(StopKind::OutputTooLarge, too_large(limits)),
        None if in_guest => Stop::new(StopKind::Trap, format!("the policy was stopped: {}", shorten(&cause, 200))),
        // More than it may answer, since it is more than it has, or an address that is none.
        None if cause.contains("string pointer/length out of bounds") => {
            let claimed = format!("{}, or than all its memory", too_large(limits));
            Stop::new(StopKind::OutputTooLarge, claimed)
        }
        None if cause.contains("realloc return") => {
            Stop::new(StopKind::Trap, "the policy's allocator gave an address that cannot be used")
        }
        None => Stop::new(StopKind::BadOutput, format!("the policy's answer cannot be read: {}", shorten(&cause, 200))),
    };
    Ok(stop)
}

fn out_of_memory(limits: &Limits) -> Stop {
    Stop::new(StopKind::OutOfMemory, format!("the policy needed more memory than its {} bytes", limits.memory_bytes()))
}

/// A trap's own words, without wasmtime's prefix.
fn plain(trap: &str) -> &str {
    trap.strip_prefix("wasm trap: ").unwrap_or(trap)
}

/// `failure` of the WIT package.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitFailure {
    code: String,
    message: String,
    details: Option<String>,
}

impl WitFailure {
    pub(crate) fn bounded(self) -> Failure {
        bounded(Failure { code: self.code, message: self.message, details: self.details })
    }
}

/// A failure cut to what is passed on; details that are no document are left out.
pub(crate) fn bounded(failure: Failure) -> Failure {
    let cut = |text: String| match text.get(..text.floor_char_boundary(MAX_FAILURE)) {
        Some(cut) if cut.len() < text.len() => cut.to_owned(),
        _ => text,
    };
    let details = failure.details.filter(|details| details.len() <= MAX_FAILURE && json::check(details).is_ok());
    Failure { code: cut(failure.code), message: cut(failure.message), details }
}
