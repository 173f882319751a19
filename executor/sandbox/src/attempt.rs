//! A stateless call made in the twin of a component: on the caller's own stack, without a fiber, an import or a timer.
//!
//! Only an answer counts (see `twin`). A call that outlives its slice, asks for anything outside, traps, or gives an
//! answer that is not accepted has no effect at all, and is made again in the component itself.
//!
//! PERF: the functions of the core module are called here, with strings lowered and answers lifted as the canonical
//! ABI says, since most of what a call through a component costs is bookkeeping for what a twin has not: imports,
//! resources, other instances. Anything that the ABI does not allow ends the attempt; what is wrong is told by the
//! call in the component.

use std::{panic::AssertUnwindSafe, time::Instant};

use lictor_model::{Failure, Outcome, Usage};
use wasmtime::TypedFunc;

use crate::{
    run::{self, Call, Op, Policy, Run},
    spare::{Functions, Spare},
};

/// The size of `result<string, failure>` and of `result<_, failure>` in memory, and their alignment.
const RESULT: (usize, usize) = (32, 4);

/// The call's answer, if the twin has one.
pub(crate) fn in_twin(policy: &Policy, call: &Call<'_>, started: Instant, deadline: Instant) -> Option<Run> {
    let twin = policy.module.twin().filter(|twin| twin.is_worth_a_try())?;
    let attempt = || {
        let mut spare = twin.stock.take(call.limits.memory_bytes(), deadline)?;
        let run = answer(&mut spare, policy, call, started, deadline)?;
        twin.stock.put_back(spare);
        Some(run)
    };
    let run = std::panic::catch_unwind(AssertUnwindSafe(attempt)).ok().flatten();
    match run {
        Some(_) => twin.answered(),
        None => twin.failed(),
    }
    run
}

fn answer(spare: &mut Spare, policy: &Policy, call: &Call<'_>, started: Instant, deadline: Instant) -> Option<Run> {
    let most = call.limits.output_bytes().max(run::HOSTCALL_BYTES);
    let outcome = run::finish(Guest { spare, most }.call(policy, call)?, &call.limits);
    let now = Instant::now();
    if matches!(outcome, Outcome::Stopped(_)) || deadline <= now {
        return None;
    }
    let usage = Usage {
        wall_us: u64::try_from(now.duration_since(started).as_micros()).unwrap_or(u64::MAX),
        fuel: None,
        peak_memory_bytes: spare.store.data().memory.peak as u64,
        host_calls: 0,
        log_truncated: false,
    };
    Some(Run::new(outcome, usage))
}

/// An instance as it is called.
struct Guest<'a> {
    spare: &'a mut Spare,
    /// Bytes that it may answer.
    most: usize,
}

/// A string in the memory of a guest: where it is and how long.
type Text = (u32, u32);

impl Guest<'_> {
    fn call(&mut self, policy: &Policy, call: &Call<'_>) -> Option<Result<String, Failure>> {
        if let Err(failure) = self.init(policy, run::effective_parameters(policy, call))? {
            return Some(Err(failure));
        }
        match call.op {
            Op::Init => Some(Ok("null".into())),
            Op::Eval { parameters, input } => {
                let (given, parameters) = match parameters {
                    Some(parameters) => (1, self.lower(parameters)?),
                    None => (0, (0, 0)),
                };
                let (input, facts) = (self.lower(input)?, self.lower(&run::facts(policy, call))?);
                let arguments = (given, parameters.0, parameters.1, input.0, input.1, facts.0, facts.1);
                let Spare { functions, store, .. } = &mut *self.spare;
                let at = functions.eval.call(&mut *store, arguments).ok()?;
                let answer = self.result(at, Self::text)?;
                self.clean_up(at, |functions| functions.after_eval.as_ref())?;
                Some(answer)
            }
            Op::Management { action, data } => {
                let (action, data) = (self.lower(action)?, self.lower(data)?);
                let arguments = (action.0, action.1, data.0, data.1);
                let Spare { functions, store, .. } = &mut *self.spare;
                let at = functions.management.call(&mut *store, arguments).ok()?;
                let answer = self.result(at, Self::text)?;
                self.clean_up(at, |functions| functions.after_management.as_ref())?;
                Some(answer)
            }
            // Of an instance that nobody keeps there is nothing to save or to continue.
            Op::Save | Op::Restore { .. } => None,
        }
    }

    fn init(&mut self, policy: &Policy, parameters: &str) -> Option<Result<(), Failure>> {
        let [uri, settings, parameters] =
            [self.lower(&policy.uri)?, self.lower(&policy.settings)?, self.lower(parameters)?];
        let arguments = (uri.0, uri.1, settings.0, settings.1, parameters.0, parameters.1);
        let Spare { functions, store, .. } = &mut *self.spare;
        let at = functions.init.call(&mut *store, arguments).ok()?;
        let accepted = self.result(at, |_, _| Some(()))?;
        self.clean_up(at, |functions| functions.after_init.as_ref())?;
        Some(accepted)
    }

    /// Tells the guest that its result was read.
    fn clean_up(&mut self, at: u32, after: impl Fn(&Functions) -> Option<&TypedFunc<u32, ()>>) -> Option<()> {
        let Spare { functions, store, .. } = &mut *self.spare;
        match after(functions) {
            None => Some(()),
            Some(after) => after.call(&mut *store, at).ok(),
        }
    }

    /// Puts a string where the guest wants it.
    fn lower(&mut self, text: &str) -> Option<Text> {
        let Spare { functions, store, memory, .. } = &mut *self.spare;
        let len = u32::try_from(text.len()).ok()?;
        let realloc: &TypedFunc<_, u32> = &functions.realloc;
        let at = realloc.call(&mut *store, (0, 0, 1, len)).ok()?;
        let to = memory.data_mut(&mut *store).get_mut(usize::try_from(at).ok()?..)?.get_mut(..text.len())?;
        to.copy_from_slice(text.as_bytes());
        Some((at, len))
    }

    /// Reads the result at `at`, and what it says if the guest succeeded by `accepted`, from four bytes further.
    fn result<T>(&self, at: u32, accepted: impl Fn(&Self, &[u8]) -> Option<T>) -> Option<Result<T, Failure>> {
        let (size, align) = RESULT;
        let at = usize::try_from(at).ok().filter(|at| at.is_multiple_of(align))?;
        let bytes = self.memory().get(at..)?.get(..size)?;
        let (kind, rest) = bytes.split_at_checked(align)?;
        match kind.first()? {
            0 => accepted(self, rest).map(Ok),
            1 => self.failure(rest).map(Err),
            _ => None,
        }
    }

    fn failure(&self, bytes: &[u8]) -> Option<Failure> {
        let (code, message) = (self.text(bytes)?, self.text(bytes.get(8..)?)?);
        let details = match bytes.get(16)? {
            0 => None,
            1 => Some(self.text(bytes.get(20..)?)?),
            _ => return None,
        };
        let said = code.len().saturating_add(message.len()).saturating_add(details.as_ref().map_or(0, String::len));
        (said <= self.most).then(|| run::bounded(Failure { code, message, details }))
    }

    /// The string whose address and length are the first of `bytes`.
    fn text(&self, bytes: &[u8]) -> Option<String> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (at, len) = (u32::from_le_bytes(*at), u32::from_le_bytes(*rest.first_chunk()?));
        let len = usize::try_from(len).ok().filter(|len| *len <= self.most)?;
        let bytes = self.memory().get(usize::try_from(at).ok()?..)?.get(..len)?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn memory(&self) -> &[u8] {
        self.spare.memory.data(&self.spare.store)
    }
}
