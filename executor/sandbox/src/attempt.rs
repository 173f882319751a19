//! A stateless call made in the twin of a component: on the caller's own stack, without a fiber, an import or a timer.
//!
//! Only an answer counts (see `twin`). A call that outlives its slice, asks for anything outside, traps, or gives an
//! answer that is not accepted has no effect at all, and is made again in the component itself.

use std::{panic::AssertUnwindSafe, time::Instant};

use lictor_model::{Failure, Outcome, Usage};
use wasmtime::{
    Store,
    component::{self, ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower},
};

use crate::{
    module::Twin,
    run::{self, Call, Op, Policy, Run, WitFailure},
    state::MemoryMeter,
};

/// Ticks after which a call is no longer held on the thread of its caller.
const SLICE: u64 = 2;

/// The call's answer, if the twin has one.
pub(crate) fn in_twin(policy: &Policy, call: &Call<'_>, started: Instant, deadline: Instant) -> Option<Run> {
    let twin = policy.module.twin().filter(|twin| twin.is_worth_a_try())?;
    let attempt = || Attempt::new(twin, call).answer(policy, call, started, deadline);
    let run = std::panic::catch_unwind(AssertUnwindSafe(attempt)).ok().flatten();
    if run.is_none() {
        twin.failed();
    }
    run
}

struct Attempt<'a> {
    twin: &'a Twin,
    store: Store<MemoryMeter>,
}

impl<'a> Attempt<'a> {
    fn new(twin: &'a Twin, call: &Call<'_>) -> Self {
        let mut store = Store::new(twin.linked.pre.engine(), MemoryMeter::new(call.limits.memory_bytes()));
        store.limiter(|memory| memory);
        store.set_epoch_deadline(SLICE);
        Self { twin, store }
    }

    fn answer(mut self, policy: &Policy, call: &Call<'_>, started: Instant, deadline: Instant) -> Option<Run> {
        self.store.set_hostcall_fuel(call.limits.output_bytes().max(run::HOSTCALL_BYTES));
        let outcome = run::finish(self.call(policy, call, deadline)?, &call.limits);
        if matches!(outcome, Outcome::Stopped(_)) || deadline <= Instant::now() {
            return None;
        }
        let usage = Usage {
            wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            fuel: None,
            peak_memory_bytes: self.store.data().peak as u64,
            host_calls: 0,
            log_truncated: false,
        };
        Some(Run::new(outcome, usage))
    }

    fn call(&mut self, policy: &Policy, call: &Call<'_>, deadline: Instant) -> Option<Result<String, Failure>> {
        let linked = &self.twin.linked;
        let instance = linked.pre.instantiate(&mut self.store).ok()?;
        let effective = run::effective_parameters(policy, call);
        let arguments: (&str, &str, &str) = (&policy.uri, &policy.settings, effective);
        if let Err(failure) = self.invoke::<_, ()>(&instance, &linked.init, arguments)? {
            return Some(Err(failure));
        }
        match call.op {
            Op::Init => Some(Ok("null".into())),
            Op::Eval { parameters, input } => {
                let facts = run::facts(policy, call, deadline);
                self.invoke(&instance, &linked.eval, (parameters, input, facts.as_str()))
            }
            Op::Management { action, data } => self.invoke(&instance, &linked.management, (action, data)),
            // Of an instance that nobody keeps there is nothing to save or to continue.
            Op::Save | Op::Restore { .. } => None,
        }
    }

    fn invoke<P, R>(
        &mut self,
        instance: &component::Instance,
        function: &ComponentExportIndex,
        arguments: P,
    ) -> Option<Result<R, Failure>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentType + Lift + 'static,
    {
        let function = instance.get_typed_func::<P, (Result<R, WitFailure>,)>(&mut self.store, function).ok()?;
        let (result,) = function.call(&mut self.store, arguments).ok()?;
        Some(result.map_err(WitFailure::bounded))
    }
}
