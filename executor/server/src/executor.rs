//! The embedded executor: runs one call of one policy.
//!
//! Every way to run a policy comes through [`Executor::execute`]: it finds the policy, takes a slot, runs it in the
//! sandbox, commits what the call wrote to its context, and counts it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lictor_model::{Limits, Outcome};
use lictor_sandbox::{Call, CallFacts, Instance, Op, Recorder, Run, Sandbox, run};

use crate::{
    checked::{self, Checked},
    contexts::Contexts,
    error::{Error, ErrorKind},
    executors::Gate,
    policies::{Policies, Ready},
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
    /// An executor of these policies.
    pub fn new(
        policies: Policies,
        contexts: Contexts,
        sandbox: Sandbox,
        metrics: Metrics,
        recorder: Arc<dyn Recorder>,
    ) -> Self {
        let call_ids = CallIds::new();
        let gate = Gate::default();
        Self { parts: Arc::new(Parts { gate, policies, contexts, sandbox, metrics, recorder, call_ids }) }
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
        let limits = match request.timeout_ms {
            Some(timeout_ms) => ready.limits.with_timeout_at_most(timeout_ms),
            None => ready.limits,
        };
        // Before the policy's own slot, which a call that waits does not need.
        let _place = self.parts.gate.enter(limits.timeout()).await?;
        let _slot = take_slot(&ready)?;
        let op = Op::Eval { parameters: request.parameters, input: request.input };
        let checked = checked::run(&ready.schemas, op, self.run(&ready, limits, request)).await?;
        self.parts.metrics.evaluation(&checked.run.outcome, checked.run.usage.wall_us);
        tell(request.policy_rule_uri, &checked);
        Ok(checked)
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
