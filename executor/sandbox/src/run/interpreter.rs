//! What an interpreter is asked beside the calls of its policies: to compile one, and to load one for a copy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lictor_model::{Capabilities, Failure, Limits, field::shorten};
use wasmtime::{
    Store,
    component::{self, ComponentNamedList, ComponentType, Lift, Lower, WasmList},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::{Call, CallFacts, Instance, Live, Op, Policy, RunError, classify, cut_at, timed_out};
use crate::{
    engine::Sandbox,
    log::LogLine,
    module::{Linked, Module, OpenError, SourceExports},
    recorder::Recorder,
    source::Source,
    state::State,
    tape::TapeMode,
};

/// The interface through which the state of an instrumented component is read.
const ACCESS: &str = "wasmtime:wizer/access";

/// A package with nothing in it that anybody needs.
const NOTHING: &[u8] = br#"{"files":{"function.py":""}}"#;
/// The most that is kept of what a guest was told: that it was told anything is enough.
const MAX_TOLD: usize = 64 << 10;

/// Why there is nothing that could be loaded.
#[derive(Debug)]
pub enum Uncompiled {
    /// The interpreter says what is wrong with the files; its codes are those of a load that failed.
    Refused(Failure),
    /// It was stopped.
    Stopped(String),
    /// Our own failure.
    Internal(String),
}

/// What became of an attempt to make a component that begins where loading ends.
#[derive(Debug)]
pub enum Frozen {
    /// The component.
    Made(Vec<u8>),
    /// What was loaded would not be the same if it were loaded again, or loading fails.
    Unfit(String),
}

/// Has an interpreter compile an author's files.
pub async fn compile(
    sandbox: &Sandbox,
    interpreter: &Module,
    files: &[u8],
    limits: Limits,
) -> Result<Vec<u8>, Uncompiled> {
    let mut asked =
        Asked::new(sandbox, interpreter, limits).map_err(|error| Uncompiled::Internal(error.to_string()))?;
    let done = asked.ask::<_, Vec<u8>>(|source| source.compile, (files,)).await;
    done.map_err(|told| match told {
        Told::Stopped(why) => Uncompiled::Stopped(why),
        Told::Failed(failure) => Uncompiled::Refused(failure),
        Told::Internal(why) => Uncompiled::Internal(why),
    })
}

/// An interpreter's component with exports through which [`freeze`] reads its state.
pub fn instrumented(interpreter: &[u8]) -> Result<Vec<u8>, OpenError> {
    let made = Wizer::new().instrument_component(interpreter);
    made.map(|(_, instrumented)| instrumented).map_err(|error| OpenError::internal(format!("{error:#}")))
}

/// Makes a component whose instances begin where loading `source` ended.
///
/// `interpreter` is the component, and `instrumented` the module of what [`instrumented`] made of it. It is not made if
/// loading asks the host for anything: what it was told, such as the time, would be the same in all copies.
pub async fn freeze(
    sandbox: &Sandbox,
    interpreter: &[u8],
    instrumented: &Module,
    source: &Source,
    limits: Limits,
) -> Result<Frozen, RunError> {
    let mut asked = Asked::new(sandbox, instrumented, limits)?;
    // In its first call an interpreter sets itself up, and asks for chance and for streams of its own.
    drop(asked.ask::<_, Vec<u8>>(|source| source.compile, (NOTHING,)).await);
    asked.begin()?;
    match asked.ask::<_, ()>(|source| source.freeze, (source.compiled(),)).await {
        Ok(()) => {}
        Err(Told::Failed(failure)) => return Ok(Frozen::Unfit(failure.message)),
        Err(Told::Stopped(why)) => return Ok(Frozen::Unfit(why)),
        Err(Told::Internal(why)) => return Err(RunError::Internal(why)),
    }
    if let Some(why) = asked.would_differ() {
        return Ok(Frozen::Unfit(why));
    }
    let failed = |why: String| RunError::Internal(format!("the interpreter's state cannot be read: {why}"));
    let (wizer, instance) = (Wizer::new(), asked.live.ready.ok_or_else(|| failed("it is gone".into()))?);
    let (cx, _) = wizer.instrument_component(interpreter).map_err(|error| failed(format!("{error:#}")))?;
    // Reading is one call for each memory and global, of code that was added to the component.
    asked.live.store.set_hostcall_fuel(usize::MAX);
    asked.live.store.set_epoch_deadline(u64::MAX >> 1);
    let mut state = Accessible { store: &mut asked.live.store, instance, failed: None };
    let snapshot = wizer.snapshot_component(&cx, &mut state).await;
    if let Some(why) = state.failed {
        return Err(failed(why));
    }
    snapshot.map(Frozen::Made).map_err(|error| failed(format!("{error:#}")))
}

/// An interpreter that was asked something.
struct Asked {
    policy: Arc<Policy>,
    said: Arc<Said>,
    limits: Limits,
    deadline: Instant,
    live: Live,
}

/// The call that an interpreter believes to be in: it may reach nothing.
fn call(limits: Limits, said: &Arc<Said>) -> Call<'static> {
    Call {
        op: Op::Init,
        limits,
        facts: CallFacts::now("load", "load", &limits),
        context: None,
        dry_run: true,
        tape: TapeMode::Record { max_bytes: MAX_TOLD },
        recorder: Arc::clone(said) as Arc<dyn Recorder>,
    }
}

/// Whether a guest said anything.
#[derive(Default)]
struct Said(AtomicBool);

impl Recorder for Said {
    fn log(&self, _line: LogLine<'_>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why there is no answer.
enum Told {
    Failed(Failure),
    Stopped(String),
    Internal(String),
}

impl Asked {
    fn new(sandbox: &Sandbox, interpreter: &Module, limits: Limits) -> Result<Self, RunError> {
        let policy = Arc::new(Policy {
            module: interpreter.clone(),
            uri: "".into(),
            settings: "{}".into(),
            parameters: "{}".into(),
            grant: Arc::new(Capabilities { context: false, ..Capabilities::default() }),
            deterministic: false,
        });
        let said = Arc::<Said>::default();
        let deadline = Instant::now() + limits.timeout();
        let instance = Instance::once(Arc::clone(&policy));
        let live = Live::new(sandbox, &instance, &call(limits, &said), deadline)?;
        let mut asked = Self { policy, said, limits, deadline, live };
        asked.begin()?;
        Ok(asked)
    }

    /// Forgets what it was told and what it said.
    fn begin(&mut self) -> Result<(), RunError> {
        self.said.0.store(false, Ordering::Relaxed);
        self.live.begin(&call(self.limits, &self.said), self.deadline)
    }

    /// Why what was done would not be the same another time, if it was told something of the world, or told it something.
    fn would_differ(&mut self) -> Option<String> {
        if self.said.0.load(Ordering::Relaxed) {
            return Some("it writes to its log when it is loaded".into());
        }
        let told = self.live.store.data_mut().tape.transcript()?;
        let first = told.events.first()?;
        Some(format!("it asks the host when it is loaded: {}", shorten(&format!("{first:?}"), 60)))
    }

    /// Makes one call of `source`.
    async fn ask<P, R>(
        &mut self,
        function: fn(&SourceExports) -> component::ComponentExportIndex,
        arguments: P,
    ) -> Result<R, Told>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentType + Lift + Send + Sync + 'static,
    {
        let module = self.policy.module.clone();
        let linked = module.linked().map_err(|error| Told::Internal(error.to_string()))?;
        let Some(source) = &linked.source else { return Err(Told::Internal("it is no interpreter".into())) };
        let function = function(source);
        let made = invoke::<P, R>(&mut self.live, linked, &function, arguments);
        match cut_at(self.deadline, made).await {
            Some(Ok(answer)) => answer.map_err(Told::Failed),
            Some(Err(error)) => match classify(&error, self.live.store.data(), &self.limits) {
                Ok(stop) => Err(Told::Stopped(stop.message)),
                Err(error) => Err(Told::Internal(error.to_string())),
            },
            None => Err(Told::Stopped(timed_out(&self.limits).message)),
        }
    }
}

async fn invoke<P, R>(
    live: &mut Live,
    linked: &Linked<State>,
    function: &component::ComponentExportIndex,
    arguments: P,
) -> wasmtime::Result<Result<R, Failure>>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentType + Lift + Send + Sync + 'static,
{
    let instance = match live.ready {
        Some(instance) => instance,
        None => *live.ready.insert(linked.pre.instantiate_async(&mut live.store).await?),
    };
    live.invoke(&instance, function, arguments).await
}

/// An instance of an instrumented component, read function by function. What fails is told afterwards: the trait has no
/// place for it.
struct Accessible<'a> {
    store: &'a mut Store<State>,
    instance: component::Instance,
    failed: Option<String>,
}

impl Accessible<'_> {
    async fn read<R: Lift + Send + Sync + 'static>(&mut self, interface: &str, function: &str) -> Option<R> {
        let read = self.try_read(interface, function).await;
        read.map_err(|error| self.failed = Some(format!("{function}: {error:#}"))).ok()
    }

    async fn try_read<R: Lift + Send + Sync + 'static>(
        &mut self,
        interface: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        debug_assert_eq!(interface, ACCESS);
        let missing = || wasmtime::Error::msg("is not exported");
        let index = self.instance.get_export_index(&mut *self.store, None, interface).ok_or_else(missing)?;
        let index = self.instance.get_export_index(&mut *self.store, Some(&index), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut *self.store, index)?;
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }
}

impl ComponentInstanceState for Accessible<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.read::<WasmList<u8>>(instance, func).await {
            Some(list) => contents(list.as_le_slice(&*self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read(instance, func).await.map_or(0, f32::to_bits)
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read(instance, func).await.map_or(0, f64::to_bits)
    }
}
