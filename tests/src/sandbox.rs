//! A sandbox in this process, with one policy in it: what a test of limits or capabilities needs and no more.

mod guest;

use std::sync::{Arc, Mutex, PoisonError};

use lictor_model::{Capabilities, Limits, LimitsSpec, Outcome, StopKind, address::AllowPrivate, limits::Ceiling};
use lictor_sandbox::{
    Bounds, Call, CallFacts, Compiler, Facts, Instance, Level, LogLine, Module, Op, OpenError, Policy, Recorder,
    Refusal, Run, RunError, Sandbox, SandboxConfig, TapeMode, context::Bucket, run,
};
use serde_json::Value;

pub use guest::{Guest, component_of};
pub use lictor_sandbox::Canned;

/// Instances of a sandbox of tests: each reserves address space.
const INSTANCES: u32 = 4;

/// A policy, what it may use, and who listens.
#[derive(Clone)]
pub struct Cell {
    /// Where it runs.
    pub sandbox: Sandbox,
    /// What is run.
    pub policy: Policy,
    /// What it may use.
    pub limits: Limits,
    /// Its context.
    pub context: Arc<Bucket>,
    /// What was said.
    pub heard: Arc<Heard>,
}

/// A sandbox of `max_instances`.
pub fn sandbox(max_instances: u32) -> Sandbox {
    Sandbox::new(SandboxConfig { max_instances, ..SandboxConfig::default() }).expect("a sandbox")
}

/// Inspects, compiles and opens a component.
pub fn open(sandbox: &Sandbox, component: &[u8], metered: bool) -> Result<Module, OpenError> {
    let facts = Facts::read(component, &Bounds::default())?;
    let artifact = Compiler::new(metered)?.compile(&facts, component)?;
    sandbox.open(&artifact, metered)
}

/// Why a component is not accepted, before or after it was compiled.
#[track_caller]
pub fn refusal(component: &[u8]) -> Refusal {
    match open(&sandbox(1), component, false) {
        Err(OpenError::Refused(refusal)) => refusal,
        Err(OpenError::Internal(message)) => panic!("our own failure: {message}"),
        Ok(_) => panic!("the component was accepted"),
    }
}

/// Limits as a record has them. A time-out that is not said is a long one, which no slow machine meets.
#[track_caller]
pub fn limits(asked: &Value) -> Limits {
    let mut spec = LimitsSpec::parse(asked).expect("limits");
    spec.timeout_ms.get_or_insert(u64::MAX);
    spec.within(&Ceiling::default())
}

impl Cell {
    /// `guest` in a sandbox of its own.
    #[track_caller]
    pub fn of(guest: &Guest) -> Self {
        Self::within(&sandbox(INSTANCES), guest)
    }

    /// `guest` in a sandbox from which these private addresses are reached.
    #[track_caller]
    pub fn reaching(guest: &Guest, hosts: &[&str]) -> Self {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let allow_private = AllowPrivate::parse(&hosts).expect("hosts");
        let config = SandboxConfig { max_instances: INSTANCES, allow_private, ..SandboxConfig::default() };
        Self::within(&Sandbox::new(config).expect("a sandbox"), guest)
    }

    /// `guest` in this sandbox.
    #[track_caller]
    pub fn within(sandbox: &Sandbox, guest: &Guest) -> Self {
        Self::of_component(sandbox, &guest.component())
    }

    /// A policy that is there already as a component, in this sandbox.
    #[track_caller]
    pub fn of_component(sandbox: &Sandbox, component: &[u8]) -> Self {
        let module = open(sandbox, component, false).unwrap_or_else(|error| panic!("no module: {error}"));
        Self::of_module(sandbox, module)
    }

    /// `guest` in a sandbox of its own, counting fuel.
    #[track_caller]
    pub fn metered(guest: &Guest, fuel: u64) -> Self {
        let sandbox = sandbox(INSTANCES);
        let module = open(&sandbox, &guest.component(), true).expect("a module");
        Self::of_module(&sandbox, module).limits(&serde_json::json!({ "fuel": fuel }))
    }

    /// A policy that was opened, in the sandbox that opened it.
    pub fn of_module(sandbox: &Sandbox, module: Module) -> Self {
        let policy = Policy {
            module,
            uri: "guest:1.0-test".into(),
            settings: "{}".into(),
            parameters: "{}".into(),
            grant: Arc::default(),
            deterministic: false,
        };
        let (context, heard) = (Arc::default(), Arc::default());
        Self { sandbox: sandbox.clone(), policy, limits: limits(&serde_json::json!({})), context, heard }
    }

    /// With these limits instead of the defaults.
    #[must_use]
    #[track_caller]
    pub fn limits(mut self, asked: &Value) -> Self {
        self.limits = limits(asked);
        self
    }

    /// With these capabilities instead of the defaults.
    #[must_use]
    #[track_caller]
    pub fn grant(mut self, asked: &Value) -> Self {
        self.policy.grant = Arc::new(Capabilities::parse(asked).expect("capabilities"));
        self
    }

    /// With clocks that stand still.
    #[must_use]
    pub fn deterministic(mut self) -> Self {
        self.policy.deterministic = true;
        self
    }

    /// A resident instance that is not alive yet.
    pub fn instance(&self) -> Instance {
        Instance::new(self.policy.clone())
    }

    /// One stateless call.
    pub async fn eval(&self, input: &str) -> Run {
        self.eval_in(&mut Instance::once(self.policy.clone()), input).await
    }

    /// One call of `instance`.
    pub async fn eval_in(&self, instance: &mut Instance, input: &str) -> Run {
        self.ask(instance, Op::Eval { parameters: None, input }).await.expect("the call could be made")
    }

    /// One management call of `instance`.
    pub async fn manage_in(&self, instance: &mut Instance, action: &str, data: &str) -> Run {
        self.ask(instance, Op::Management { action, data }).await.expect("the call could be made")
    }

    /// One call of `instance`, which may not be possible.
    pub async fn ask(&self, instance: &mut Instance, op: Op<'_>) -> Result<Run, RunError> {
        let call = Call {
            op,
            limits: self.limits,
            facts: CallFacts::now("call-1", "test", &self.limits),
            context: Some(Arc::clone(&self.context)),
            dry_run: false,
            tape: TapeMode::Off,
            recorder: Arc::clone(&self.heard) as Arc<dyn Recorder>,
        };
        run(&self.sandbox, instance, call).await
    }
}

/// Keeps what a guest said.
#[derive(Debug, Default)]
pub struct Heard {
    lines: Mutex<Vec<Line>>,
    answer: Mutex<Option<Canned>>,
}

/// One line of a guest's log.
#[derive(Clone, Debug)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What the guest gave as context, or the stream it wrote to.
    pub context: String,
    /// The text.
    pub message: String,
}

impl Heard {
    /// Answers every request that was granted with this, instead of sending it.
    pub fn answer_with(&self, answer: Canned) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Everything so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The texts so far.
    pub fn messages(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.message).collect()
    }
}

impl Recorder for Heard {
    fn log(&self, line: LogLine<'_>) {
        let LogLine { level, context, message, .. } = line;
        let line = Line { level, context: context.into(), message: message.into() };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn answer(&self, _method: &str, _url: &str) -> Option<Canned> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answer of a call that finished.
#[track_caller]
pub fn finished(run: &Run) -> &str {
    match &run.outcome {
        Outcome::Finished(output) => output,
        other => panic!("the call did not finish: {other:?}"),
    }
}

/// The message of a call that was stopped for this reason.
#[track_caller]
pub fn stopped(run: &Run, kind: StopKind) -> &str {
    match &run.outcome {
        Outcome::Stopped(stop) if stop.kind == kind => &stop.message,
        other => panic!("the call was not stopped with `{}`: {other:?}", kind.code()),
    }
}
