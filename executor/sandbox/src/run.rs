//! The one door: every call of a guest, from wherever it comes, is a [`run`].
//!
//! An [`Instance`] is a policy that may be alive. `run` brings it to life if it is not (`init`), makes one call, and
//! lets it live only if the call ended cleanly: after a trap, a time-out, a refused answer or a caller that went
//! away, the store is dropped and the next call begins with a fresh one. A stateless call is an instance that is
//! dropped after one run.
//!
//! Two clocks bound a run. Epochs interrupt guest code, to see whether the deadline has passed and to let other
//! tasks have the thread; a timer drops a call that waits for the host.

mod ending;
mod interpreter;

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Instant, SystemTime},
};

use futures_util::FutureExt as _;
use lictor_model::{Capabilities, Failure, Limits, Outcome, Usage};
use wasmtime::{
    AsContextMut as _, Store, StoreContextMut, UpdateDeadline,
    component::{self, ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower},
};

pub(crate) use self::ending::{WitFailure, bounded, finish};
use self::ending::{classify, interpreted, timed_out};
pub use self::interpreter::{Frozen, Uncompiled, compile, freeze, instrumented};
use crate::{
    attempt,
    context::Bucket,
    engine::Sandbox,
    host::HostFunctions,
    module::{Linked, Module},
    recorder::Recorder,
    state::{Clock, State, Surroundings},
    tape::{TapeMode, Transcript},
};

/// Ticks between two looks at the clock while a guest computes.
const SLICE: u64 = 1;
/// What a guest may hand to the host in one call beside its answer: log lines, request bodies, values.
pub(crate) const HOSTCALL_BYTES: usize = 2 << 20;
/// Live handles of one instance.
const MAX_HANDLES: usize = 1000;

/// A policy as it is run: code, settings and grants.
#[derive(Clone)]
pub struct Policy {
    /// The code.
    pub module: Module,
    /// Its identity, given to `init` as the rule id.
    pub uri: Arc<str>,
    /// `policy_settings` as JSON text.
    pub settings: Arc<str>,
    /// `policy_parameters` as JSON text.
    pub parameters: Arc<str>,
    /// What it may reach.
    pub grant: Arc<Capabilities>,
    /// Whether its clocks stand still.
    pub deterministic: bool,
}

/// One call.
pub struct Call<'a> {
    /// What is asked.
    pub op: Op<'a>,
    /// What it may use.
    pub limits: Limits,
    /// Facts that the policy is told.
    pub facts: CallFacts<'a>,
    /// Its context, if it has one.
    pub context: Option<Arc<Bucket>>,
    /// Whether nothing outside may be changed: of its requests, only those of a safe method are sent.
    pub dry_run: bool,
    /// What is to become of what it is told.
    pub tape: TapeMode,
    /// Is told what happens.
    pub recorder: Arc<dyn Recorder>,
}

/// What is asked of a policy.
#[derive(Clone, Copy)]
pub enum Op<'a> {
    /// Only come to life, with the stored parameters; the answer is `null`.
    Init,
    /// Decide about `input`.
    Eval {
        /// The parameters of the call, if it brought some.
        parameters: Option<&'a str>,
        /// JSON text.
        input: &'a str,
    },
    /// Carry out a management command.
    Management {
        /// Which.
        action: &'a str,
        /// JSON text.
        data: &'a str,
    },
    /// Hand over what a successor needs; the answer is `null`, and the state is in [`Run::state`].
    Save,
    /// Continue from what an instance saved; the answer is `null`.
    Restore {
        /// The policy of the instance that saved it.
        from_policy_uri: &'a str,
        /// What it saved.
        state: &'a [u8],
    },
}

/// Facts about a call that the policy is told.
#[derive(Clone, Copy)]
pub struct CallFacts<'a> {
    /// Unique to this call. Plain characters only.
    pub id: &'a str,
    /// Where the call comes from: `http`, `cli`, `test`. Plain characters only.
    pub origin: &'a str,
    /// When it is stopped, in milliseconds since the Unix epoch, as the policy is told.
    pub deadline_ms: u64,
}

/// What came of a call, and what it used.
#[derive(Clone, Debug)]
pub struct Run {
    /// What came of it.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// What [`Op::Save`] handed over.
    pub state: Option<Vec<u8>>,
    /// What it was told, if that was to be recorded; none if it asked for nothing.
    pub transcript: Option<Box<Transcript>>,
    /// Of a replay: where it left the record.
    pub strayed: Option<String>,
}

impl Run {
    /// A run of an instance of its own that asked for nothing.
    pub fn new(outcome: Outcome, usage: Usage) -> Self {
        Self { outcome, usage, state: None, transcript: None, strayed: None }
    }
}

/// Why nothing was run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// Every instance is in use.
    #[error("every sandbox of this executor is in use")]
    Busy,
    /// Our own failure.
    #[error("{0}")]
    Internal(String),
}

/// A policy that may be alive.
pub struct Instance {
    policy: Arc<Policy>,
    live: Option<Live>,
    functions: HostFunctions,
    /// Whether it is dropped after one run, so that nothing it remembers matters.
    once: bool,
}

/// A store, and the instance in it once `init` has accepted its settings.
struct Live {
    /// What it is an instance of.
    module: Module,
    store: Store<State>,
    ready: Option<component::Instance>,
}

impl<'a> CallFacts<'a> {
    /// Of a call that begins now.
    pub fn now(id: &'a str, origin: &'a str, limits: &Limits) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let deadline_ms = u64::try_from((now + limits.timeout()).as_millis()).unwrap_or(u64::MAX);
        Self { id, origin, deadline_ms }
    }
}

impl Instance {
    /// A resident instance: comes to life with its first run and lives on.
    pub fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self { policy: policy.into(), live: None, functions: HostFunctions::default(), once: false }
    }

    /// An instance for one run.
    pub fn once(policy: impl Into<Arc<Policy>>) -> Self {
        Self { policy: policy.into(), live: None, functions: HostFunctions::default(), once: true }
    }

    /// The same with functions of the host application, of which the policy may call those that it was granted.
    #[must_use]
    pub fn with_functions(mut self, functions: HostFunctions) -> Self {
        self.functions = functions;
        self
    }

    /// Whether it is initialised and would keep its memory into the next run.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }
}

/// Makes one call. `Err` only if nothing could be run.
pub async fn run(sandbox: &Sandbox, instance: &mut Instance, call: Call<'_>) -> Result<Run, RunError> {
    let started = Instant::now();
    let deadline = started + call.limits.timeout();
    if instance.once
        && instance.live.is_none()
        && let Some(run) = attempt::in_twin(&instance.policy, &call, started, deadline)
    {
        return Ok(run);
    }
    // PERF: boxed, so that the future of a call that ends in the twin stays small.
    Box::pin(run_in_component(sandbox, instance, call, started, deadline)).await
}

async fn run_in_component(
    sandbox: &Sandbox,
    instance: &mut Instance,
    call: Call<'_>,
    started: Instant,
    deadline: Instant,
) -> Result<Run, RunError> {
    let policy = Arc::clone(&instance.policy);
    // CANCEL: the live instance is out of `instance` while it runs, so a call that is dropped takes it along.
    let mut live = match instance.live.take() {
        Some(live) => live,
        None => Live::new(sandbox, instance, &call, deadline)?,
    };
    let module = live.module.clone();
    let linked = module.linked().map_err(|error| RunError::Internal(error.to_string()))?;
    live.begin(&call, deadline)?;
    let mut saved = None;
    let made = live.call(&policy, linked, &call, &mut saved);
    let ended = AssertUnwindSafe(cut_at(deadline, made)).catch_unwind().await;
    let usage = live.usage(started, &call.limits);
    let tape = &mut live.store.data_mut().tape;
    let strayed = tape.strayed();
    let transcript =
        tape.transcript().filter(|transcript| transcript.cut || !transcript.events.is_empty()).map(Box::new);
    let outcome = match ended {
        Ok(Some(Ok(Err(failure)))) if policy.module.source().is_some() => interpreted(failure),
        Ok(Some(Ok(answer))) => finish(answer, &call.limits),
        Ok(Some(Err(error))) => Outcome::Stopped(classify(&error, live.store.data(), &call.limits)?),
        Ok(None) => Outcome::Stopped(timed_out(&call.limits)),
        Err(_panic) => return Err(RunError::Internal("the host side of a call panicked".into())),
    };
    if !instance.once && !matches!(outcome, Outcome::Stopped(_)) && live.ready.is_some() {
        instance.live = Some(live);
    }
    let state = if matches!(outcome, Outcome::Finished(_)) { saved } else { None };
    Ok(Run { outcome, usage, state, transcript, strayed })
}

impl Live {
    fn new(sandbox: &Sandbox, instance: &Instance, call: &Call<'_>, deadline: Instant) -> Result<Self, RunError> {
        let policy = &instance.policy;
        let module = policy.module.for_new_instance(&call.limits);
        let engine = module.linked().map_err(|error| RunError::Internal(error.to_string()))?.pre.engine().clone();
        let around = Surroundings {
            policy_rule_uri: Arc::clone(&policy.uri),
            grant: Arc::clone(&policy.grant),
            functions: instance.functions.clone(),
            recorder: Arc::clone(&call.recorder),
            clock: if policy.deterministic { Clock::Frozen } else { Clock::Real },
            hooks: sandbox.http().hooks(&call.limits, Arc::clone(&call.recorder)),
        };
        let state = State::new(around, &call.limits, deadline);
        let mut store = Store::new(&engine, state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(at_tick);
        store.set_max_component_handles(MAX_HANDLES);
        Ok(Self { module, store, ready: None })
    }

    /// Sets everything that is counted per call.
    fn begin(&mut self, call: &Call<'_>, deadline: Instant) -> Result<(), RunError> {
        let limits = &call.limits;
        self.store.data_mut().begin(call, deadline);
        self.store.set_epoch_deadline(SLICE);
        let largest = match call.op {
            // How large a state may be is for whoever keeps it: an instance that says too much lives on.
            Op::Save => limits.memory_bytes(),
            _ => limits.output_bytes().max(limits.context_bytes()),
        };
        self.store.set_hostcall_fuel(largest.max(HOSTCALL_BYTES));
        if let Some(fuel) = limits.fuel() {
            self.store.set_fuel(fuel).map_err(|error| RunError::Internal(format!("fuel cannot be set: {error}")))?;
        }
        Ok(())
    }

    async fn call(
        &mut self,
        policy: &Policy,
        linked: &Linked<State>,
        call: &Call<'_>,
        saved: &mut Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<String, Failure>> {
        let instance = match self.ready {
            Some(instance) => instance,
            None => match self.start(policy, linked, call).await? {
                Ok(instance) => *self.ready.insert(instance),
                Err(failure) => return Ok(Err(failure)),
            },
        };
        match call.op {
            Op::Init => Ok(Ok("null".into())),
            Op::Eval { parameters, input } => {
                let facts = facts(policy, call);
                self.invoke(&instance, &linked.eval, (parameters, input, facts.as_str())).await
            }
            Op::Management { action, data } => self.invoke(&instance, &linked.management, (action, data)).await,
            Op::Save => {
                let Some(state) = &linked.state else { return Ok(Err(stateless())) };
                let answer = self.invoke::<_, Vec<u8>>(&instance, &state.save, ()).await?;
                Ok(answer.map(|state| {
                    *saved = Some(state);
                    "null".into()
                }))
            }
            Op::Restore { from_policy_uri, state: from } => {
                let Some(state) = &linked.state else { return Ok(Err(stateless())) };
                let answer = self.invoke::<_, ()>(&instance, &state.restore, (from_policy_uri, from)).await?;
                Ok(answer.map(|()| "null".into()))
            }
        }
    }

    async fn start(
        &mut self,
        policy: &Policy,
        linked: &Linked<State>,
        call: &Call<'_>,
    ) -> wasmtime::Result<Result<component::Instance, Failure>> {
        let instance = linked.pre.instantiate_async(&mut self.store).await?;
        if let (Some(source), Some(exports)) = (self.module.source().cloned(), &linked.source)
            && let Err(failure) = self.invoke::<_, ()>(&instance, &exports.load, (source.compiled(),)).await?
        {
            return Ok(Err(failure));
        }
        let arguments: (&str, &str, &str) = (&policy.uri, &policy.settings, effective_parameters(policy, call));
        Ok(self.invoke::<_, ()>(&instance, &linked.init, arguments).await?.map(|()| instance))
    }

    /// Calls one function of `rule` or `state`.
    async fn invoke<P, R>(
        &mut self,
        instance: &component::Instance,
        function: &ComponentExportIndex,
        arguments: P,
    ) -> wasmtime::Result<Result<R, Failure>>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentType + Lift + Send + Sync + 'static,
    {
        let function = instance.get_typed_func::<P, (Result<R, WitFailure>,)>(&mut self.store, function)?;
        let (result,) = function.call_async(self.store.as_context_mut(), arguments).await?;
        Ok(result.map_err(WitFailure::bounded))
    }

    fn usage(&self, started: Instant, limits: &Limits) -> Usage {
        let state = self.store.data();
        let left = limits.fuel().and_then(|_| self.store.get_fuel().ok());
        Usage {
            wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            fuel: limits.fuel().zip(left).map(|(given, left)| given.saturating_sub(left)),
            peak_memory_bytes: state.memory.peak as u64,
            host_calls: state.host_calls,
            log_truncated: state.log.truncated(),
        }
    }
}

/// What a policy that does not export `state` says when it is asked for some.
fn stateless() -> Failure {
    Failure { code: "not_available".into(), message: "the policy does not export `state`".into(), details: None }
}

/// Looks at the clock in the middle of guest code, then lets other tasks have the thread.
#[expect(clippy::needless_pass_by_value, reason = "is the signature of an epoch callback")]
fn at_tick(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    state.check_host_calls()?;
    if state.deadline <= Instant::now() {
        return Ok(UpdateDeadline::Interrupt);
    }
    Ok(UpdateDeadline::YieldCustom(SLICE, Box::pin(tokio::task::yield_now())))
}

/// Drives `call` to its end, or drops it at `deadline`.
///
/// The timer is made only when the call first waits: most calls never do.
async fn cut_at<T>(deadline: Instant, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let first = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => tokio::time::timeout_at(deadline.into(), call).await.ok(),
    }
}

/// What `init` gets: the parameters of the call, which replace the stored ones, or else those.
pub(crate) fn effective_parameters<'a>(policy: &'a Policy, call: &Call<'a>) -> &'a str {
    match call.op {
        Op::Eval { parameters: Some(parameters), .. } => parameters,
        _ => &policy.parameters,
    }
}

/// The facts of a call as JSON. Every text in it is made of plain characters.
pub(crate) fn facts(policy: &Policy, call: &Call<'_>) -> String {
    let CallFacts { id, origin, deadline_ms } = call.facts;
    let deadline_ms = if policy.deterministic { 0 } else { deadline_ms };
    let uri = &policy.uri;
    format!(r#"{{"id":"{id}","policy_rule_uri":"{uri}","origin":"{origin}","deadline_ms":{deadline_ms}}}"#)
}
