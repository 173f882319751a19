//! The embedded executor: runs one call of one policy.
//!
//! Every way to run a policy comes through [`Executor::execute`]: it finds the policy, takes a slot, runs it in the
//! sandbox, commits what the call wrote to its context, and counts it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lictor_model::{ExecutorId, Limits, Outcome};
use lictor_sandbox::{Call, CallFacts, Instance, Op, Recorder, Run, Sandbox, run};

use crate::{
    contexts::Contexts,
    error::{Error, ErrorKind},
    policies::{Policies, Ready},
    telemetry::Metrics,
};

/// The name under which the original's SDK knows the executor it was not told about.
const ALIAS: &str = "executor-0";

/// Runs policies in this process. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    parts: Arc<Parts>,
}

struct Parts {
    id: ExecutorId,
    policies: Policies,
    contexts: Contexts,
    sandbox: Sandbox,
    metrics: Metrics,
    recorder: Arc<dyn Recorder>,
    call_ids: CallIds,
}

/// One call as it was asked for.
pub struct Request<'a> {
    /// Which policy.
    pub policy_rule_uri: &'a str,
    /// JSON text.
    pub input: &'a str,
    /// JSON text, if the call brings its own.
    pub parameters: Option<&'a str>,
    /// A time-out lower than the policy's.
    pub timeout_ms: Option<u64>,
}

impl Executor {
    /// The executor `id`.
    pub fn new(
        id: ExecutorId,
        policies: Policies,
        contexts: Contexts,
        sandbox: Sandbox,
        metrics: Metrics,
        recorder: Arc<dyn Recorder>,
    ) -> Self {
        let call_ids = CallIds::new();
        Self { parts: Arc::new(Parts { id, policies, contexts, sandbox, metrics, recorder, call_ids }) }
    }

    /// Whether requests for the executor `id` are for this one.
    pub fn answers_to(&self, id: &str) -> bool {
        id == self.parts.id.as_str() || id == ALIAS
    }

    /// Runs one stateless call: a fresh instance, constructed, asked and dropped.
    pub async fn execute(&self, request: &Request<'_>) -> Result<Run, Error> {
        let ready = match self.parts.policies.in_memory(request.policy_rule_uri) {
            Some(ready) => ready,
            None => self.parts.policies.ready(request.policy_rule_uri).await?,
        };
        let _slot = take_slot(&ready)?;
        let limits = match request.timeout_ms {
            Some(timeout_ms) => ready.limits.with_timeout_at_most(timeout_ms),
            None => ready.limits,
        };
        let run = self.run(&ready, limits, request).await?;
        self.parts.metrics.evaluation(&run.outcome, run.usage.wall_us);
        if let Outcome::Stopped(stop) = &run.outcome {
            tracing::info!(policy = request.policy_rule_uri, code = stop.kind.code(), "{}", stop.message);
        }
        Ok(run)
    }

    async fn run(&self, ready: &Ready, limits: Limits, request: &Request<'_>) -> Result<Run, Error> {
        let Parts { contexts, sandbox, recorder, call_ids, .. } = &*self.parts;
        let wants_context = ready.policy.module.uses_context() && ready.policy.grant.context;
        let context = if wants_context { Some(contexts.open(request.policy_rule_uri).await?) } else { None };
        let id = call_ids.next();
        let call = Call {
            op: Op::Eval { parameters: request.parameters, input: request.input },
            limits,
            facts: CallFacts { id: &id, origin: "http" },
            context: context.as_ref().map(|context| context.bucket()),
            recorder: Arc::clone(recorder),
        };
        let mut instance = Instance::once(Arc::clone(&ready.policy));
        let run = run(sandbox, &mut instance, call).await?;
        if let Some(context) = context {
            contexts.commit(&context).await?;
        }
        Ok(run)
    }
}

fn take_slot(ready: &Ready) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Error> {
    let Some(slots) = &ready.slots else { return Ok(None) };
    let busy = |_| {
        Error::new(
            ErrorKind::Busy,
            "the policy is already running as often at the same time as its limit `max_concurrency` allows",
        )
    };
    Arc::clone(slots).try_acquire_owned().map(Some).map_err(busy)
}

/// Makes an id for each call: unique over processes, cheap to make.
struct CallIds {
    process: String,
    next: AtomicU64,
}

impl CallIds {
    fn new() -> Self {
        Self { process: uuid::Uuid::now_v7().simple().to_string(), next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
