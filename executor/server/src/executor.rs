//! The embedded executor: runs one call of one policy.
//!
//! There are two ways in, and every way to run a policy takes one of them. [`Executor::execute`] is for calls that each
//! have an instance of their own: it finds the policy, takes a slot, and drops the instance with the answer.
//! [`Executor::drive`] makes one call of an instance that somebody keeps. Both wait for their turn on this executor,
//! check schemas, run in the sandbox, commit what the call wrote to its context, and count it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use lictor_model::{Limits, Outcome};
use lictor_sandbox::{
    Call, CallFacts, HostFunctions, Instance, Op, Policy, Recorder, Run, Sandbox, TracingRecorder, context::Bucket, run,
};

use crate::{
    access::Asker,
    checked::{self, Checked},
    contexts::Contexts,
    decisions::{Begun, Decision, DecisionId, Decisions, Entry, Version, timeout_ms},
    error::{Error, ErrorKind},
    executors::{Gate, Place},
    policies::{Policies, Ready},
    shadows::Shadow,
    telemetry::Metrics,
};

/// Runs policies in this process. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    parts: Arc<Parts>,
}

struct Parts {
    gate: Gate,
    policies: Policies,
    contexts: Contexts,
    sandbox: Sandbox,
    metrics: Metrics,
    decisions: Decisions,
    recorder: Arc<dyn Recorder>,
}

/// Where a call comes from, as the policy is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A request to run a policy.
    #[default]
    Http,
    /// A call of a function, or a management command.
    Function,
    /// A node of a graph.
    Graph,
    /// A job.
    Job,
    /// A candidate that runs beside the policy in force.
    Shadow,
    /// This server, which asks a policy where something is to run.
    System,
}

impl Origin {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Function => "function",
            Self::Graph => "graph",
            Self::Job => "job",
            Self::Shadow => "shadow",
            Self::System => "system",
        }
    }
}

/// One call as it was asked for.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// Which policy.
    pub policy_rule_uri: &'a str,
    /// JSON text.
    pub input: &'a str,
    /// JSON text, if the call brings its own.
    pub parameters: Option<&'a str>,
    /// A time-out lower than the policy's.
    pub timeout_ms: Option<u64>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether nothing of it is to last.
    pub dry_run: bool,
    /// Whether it waits for its turn for as long as that takes, where others would be told that there is no room.
    pub waits: bool,
    /// What it has that other calls of the policy have not.
    pub with: Option<&'a With>,
    /// In the place of the policy's own context, which is then neither read nor written.
    pub context: Option<&'a Arc<Bucket>>,
    /// Who asks, if anybody does.
    pub asker: Option<&'a Asker>,
}

/// What a call of the server itself adds to a policy.
#[derive(Clone, Default)]
pub struct With {
    /// In the place of the stored settings, JSON text.
    pub settings: Option<Arc<str>>,
    /// Functions that the policy may call where it asks for them.
    pub functions: HostFunctions,
}

/// What of a call is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// Everything.
    All,
    /// Only what the instance remembers: the call was made before, so the context has it already.
    Memory,
    /// Nothing: a dry run.
    None,
}

impl Effects {
    /// Those of a call that may be a dry run.
    pub fn of(dry_run: bool) -> Self {
        if dry_run { Self::None } else { Self::All }
    }
}

/// One call of an instance that somebody keeps.
pub struct Drive<'a> {
    /// The policy of the instance.
    pub ready: &'a Ready,
    /// What it may use.
    pub limits: Limits,
    /// What is asked.
    pub op: Op<'a>,
    /// Whose context it has; a name that no policy has.
    pub context: &'a str,
    /// Where the call comes from.
    pub origin: Origin,
    /// What of it is to last. The instance is the caller's to throw away.
    pub effects: Effects,
    /// Is told what happens.
    pub recorder: Arc<dyn Recorder>,
    /// Who asks, if anybody does.
    pub asker: Option<&'a Asker>,
    /// The life that the instance has.
    pub life: &'a mut Life,
}

/// The life of an instance that is kept: from when it is made until it is thrown away, which a trap does too.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// The id of the first call of it.
    id: Option<DecisionId>,
    /// Calls that came before.
    calls: u64,
}

/// One call of the sandbox.
struct One<'a> {
    ready: &'a Ready,
    limits: Limits,
    op: Op<'a>,
    context: &'a str,
    origin: Origin,
    effects: Effects,
    recorder: &'a Arc<dyn Recorder>,
    /// In the place of the context that it would have.
    given: Option<&'a Arc<Bucket>>,
    begun: Begun,
}

impl Executor {
    /// An executor of these policies.
    pub fn new(
        policies: Policies,
        contexts: Contexts,
        sandbox: Sandbox,
        (metrics, decisions): (Metrics, Decisions),
    ) -> Self {
        let recorder = Arc::new(TracingRecorder);
        let gate = Gate::default();
        Self { parts: Arc::new(Parts { gate, policies, contexts, sandbox, metrics, decisions, recorder }) }
    }

    /// How many calls run at the same time.
    pub fn gate(&self) -> &Gate {
        &self.parts.gate
    }

    /// Runs one stateless call: a fresh instance, constructed, asked and dropped.
    pub async fn execute(&self, request: &Request<'_>) -> Result<Checked, Error> {
        let ready = match self.parts.policies.in_memory(request.policy_rule_uri) {
            Some(ready) => ready,
            None => self.parts.policies.ready(request.policy_rule_uri).await?,
        };
        self.execute_ready(&ready, request).await
    }

    /// See [`Executor::execute`], of a policy that was found already.
    pub async fn execute_ready(&self, ready: &Ready, request: &Request<'_>) -> Result<Checked, Error> {
        match ready.shadow.as_ref().filter(|shadow| shadow.follows(request)) {
            None => self.execute_alone(ready, request).await,
            // PERF: boxed, so that the future of a call without a candidate beside it stays small.
            Some(shadow) => Box::pin(self.execute_beside(shadow, ready, request)).await,
        }
    }

    /// Answers as ever, and has the candidate asked the same afterwards.
    async fn execute_beside(
        &self,
        shadow: &Arc<Shadow>,
        ready: &Ready,
        request: &Request<'_>,
    ) -> Result<Checked, Error> {
        let context = match wants_context(ready) {
            true => Some(self.parts.contexts.open(request.policy_rule_uri).await?),
            false => None,
        };
        let noted = shadow.note(request, context.as_deref());
        let checked = self.execute_alone(ready, request).await?;
        if let Some(noted) = noted {
            shadow.ask(self, request, noted, &checked);
        }
        Ok(checked)
    }

    async fn execute_alone(&self, ready: &Ready, request: &Request<'_>) -> Result<Checked, Error> {
        let limits = match request.timeout_ms {
            Some(timeout_ms) => ready.limits.with_timeout_at_most(timeout_ms),
            None => ready.limits,
        };
        let _turn = self.take_turn(ready, &limits, request).await?;
        let op = Op::Eval { parameters: request.parameters, input: request.input };
        let begun = self.parts.decisions.begin()?;
        let version = self.version(ready, request);
        let entry = Entry::begin(&self.parts.decisions, version.as_deref(), request.asker, |version| Decision {
            policy_rule_uri: request.policy_rule_uri,
            timeout_ms: timeout_ms(&limits),
            dry_run: request.dry_run,
            ..Decision::new(begun, version, op, request.origin.name(), request.asker)
        });
        let ran = checked::run(&ready.schemas, op, self.run(ready, limits, request, begun)).await;
        let checked = entry.end(ran).await?;
        if !request.dry_run {
            self.count(request.policy_rule_uri, &checked);
        }
        Ok(checked)
    }

    /// What a call is recorded as made by.
    fn version<'a>(&self, ready: &'a Ready, request: &Request<'_>) -> Option<Cow<'a, Arc<Version>>> {
        match request.with.filter(|with| with.settings.is_some()) {
            None => ready.version.as_ref().map(Cow::Borrowed),
            Some(with) => {
                let policy = with.policy(&ready.policy);
                self.parts.decisions.version(&policy, &ready.limits, None).map(Cow::Owned)
            }
        }
    }

    /// Takes a place among the calls on this executor, and among those of the policy.
    async fn take_turn(&self, ready: &Ready, limits: &Limits, request: &Request<'_>) -> Result<(Place, Slot), Error> {
        if request.origin == Origin::Shadow {
            // Candidates have a bound of their own, so that no call waits for one.
            return Ok((None, take_slot(ready)?));
        }
        if request.waits {
            // PERF: boxed, so that the future of a call that does not wait stays small.
            return Box::pin(self.wait_for_turn(ready)).await;
        }
        // Before the policy's own slot, which a call that waits does not need.
        let place = self.parts.gate.enter(limits.timeout()).await?;
        Ok((place, take_slot(ready)?))
    }

    /// The other way round: whoever waits long for its policy takes no place meanwhile from calls of others.
    async fn wait_for_turn(&self, ready: &Ready) -> Result<(Place, Slot), Error> {
        let slot = match &ready.slots {
            None => None,
            // It is never closed.
            Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
        };
        Ok((self.parts.gate.enter(Duration::MAX).await?, slot))
    }

    async fn run(&self, ready: &Ready, limits: Limits, request: &Request<'_>, begun: Begun) -> Result<Run, Error> {
        let mut instance = match request.with {
            None => Instance::once(Arc::clone(&ready.policy)),
            Some(with) => Instance::once(with.policy(&ready.policy)).with_functions(with.functions.clone()),
        };
        let one = One {
            ready,
            limits,
            op: Op::Eval { parameters: request.parameters, input: request.input },
            context: request.policy_rule_uri,
            origin: request.origin,
            effects: Effects::of(request.dry_run),
            recorder: &self.parts.recorder,
            given: request.context,
            begun,
        };
        self.call(&mut instance, one).await
    }

    /// Makes one call of an instance that somebody keeps, or begins to keep with it.
    pub async fn drive(&self, instance: &mut Instance, call: Drive<'_>) -> Result<Checked, Error> {
        let Drive { ready, limits, op, context, origin, effects, recorder, asker, life } = call;
        let _place = self.parts.gate.enter(limits.timeout()).await?;
        let begun = self.parts.decisions.begin()?;
        // What the instance does next is the first thing of a life, unless it is alive.
        if !instance.is_live() {
            *life = Life::default();
        }
        let (id, sequence) = (*life.id.get_or_insert(begun.id), life.calls);
        life.calls = life.calls.saturating_add(1);
        let entry = Entry::begin(&self.parts.decisions, ready.version.as_ref(), asker, |version| Decision {
            policy_rule_uri: &ready.policy.uri,
            timeout_ms: timeout_ms(&limits),
            dry_run: effects == Effects::None,
            instance: Some((id.as_str(), sequence)),
            ..Decision::new(begun, version, op, origin.name(), asker)
        });
        let one = One { ready, limits, op, context, origin, effects, recorder: &recorder, given: None, begun };
        let ran = checked::run(&ready.schemas, op, self.call(instance, one)).await;
        if ran.is_err() {
            // Nothing was asked of it, and nothing is recorded.
            life.calls = sequence;
        }
        let checked = entry.end(ran).await?;
        if effects != Effects::None {
            self.count(&ready.policy.uri, &checked);
        }
        Ok(checked)
    }

    async fn call(&self, instance: &mut Instance, one: One<'_>) -> Result<Run, Error> {
        let Parts { contexts, sandbox, decisions, .. } = &*self.parts;
        let One { ready, limits, op, context, origin, effects, recorder, given, begun } = one;
        let wanted = wants_context(ready) && given.is_none();
        let context = if wanted { Some(contexts.open(context).await?) } else { None };
        let deadline_ms = begun.at_ms.saturating_add(timeout_ms(&limits));
        let call = Call {
            op,
            limits,
            facts: CallFacts { id: begun.id.as_str(), origin: origin.name(), deadline_ms },
            context: match &context {
                Some(context) if effects != Effects::All => Some(context.copy()),
                Some(context) => Some(context.bucket()),
                None => given.filter(|_| wants_context(ready)).cloned(),
            },
            dry_run: effects == Effects::None,
            tape: decisions.tape(),
            recorder: Arc::clone(recorder),
        };
        let run = run(sandbox, instance, call).await?;
        if let Some(context) = context.filter(|_| effects == Effects::All) {
            contexts.commit(&context).await?;
        }
        Ok(run)
    }

    fn count(&self, policy: &str, checked: &Checked) {
        self.parts.metrics.evaluation(&checked.run.outcome, checked.run.usage.wall_us);
        tell(policy, checked);
    }
}

fn wants_context(ready: &Ready) -> bool {
    ready.policy.module.uses_context() && ready.policy.grant.context
}

impl With {
    fn policy(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        match &self.settings {
            None => Arc::clone(policy),
            Some(settings) => Arc::new(Policy { settings: Arc::clone(settings), ..Policy::clone(policy) }),
        }
    }
}

/// One line of the log for a call that was stopped, or of which something did not match.
fn tell(policy: &str, checked: &Checked) {
    let Checked { run, warnings } = checked;
    if let Outcome::Stopped(stop) = &run.outcome {
        let code = stop.kind.code();
        match stop.violations.as_slice() {
            [] => tracing::info!(policy, code, "{}", stop.message),
            violations => tracing::info!(policy, code, "refused by schema: {}", checked::line(violations)),
        }
    } else if !warnings.is_empty() {
        tracing::info!(policy, "does not match the schemas: {}", checked::line(warnings));
    }
}

/// A place among the running calls of a policy; dropping it makes room.
type Slot = Option<tokio::sync::OwnedSemaphorePermit>;

fn take_slot(ready: &Ready) -> Result<Slot, Error> {
    let Some(slots) = &ready.slots else { return Ok(None) };
    let busy = |_| {
        Error::new(
            ErrorKind::Busy,
            "the policy is already running as often at the same time as its limit `max_concurrency` allows",
        )
    };
    Arc::clone(slots).try_acquire_owned().map(Some).map_err(busy)
}
