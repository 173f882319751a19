//! One instance in this process, kept between calls.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lictor_model::{FieldError, Limits, Outcome, Schemas, json};
use lictor_sandbox::{
    Call, CallFacts, Checked, Instance, Op, Recorder, Run, Sandbox, TapeMode, checked, context::Bucket, run,
};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{Builder, Error, code::Prepared};

pub(crate) struct Local {
    sandbox: Sandbox,
    policy: Arc<str>,
    limits: Limits,
    schemas: Arc<Schemas>,
    context: Arc<Bucket>,
    recorder: Arc<dyn Recorder>,
    instance: Mutex<Instance>,
    calls: AtomicU64,
}

impl Local {
    /// Prepares the policy and constructs it.
    pub(crate) async fn make(builder: Builder) -> Result<Self, Error> {
        let Prepared { sandbox, policy, functions, limits, schemas } = Prepared::of(&builder).await?;
        let local = Self {
            sandbox,
            policy: Arc::clone(&policy.uri),
            limits,
            schemas,
            context: builder.context.unwrap_or_default(),
            recorder: builder.recorder,
            instance: Mutex::new(Instance::new(policy).with_functions(functions)),
            calls: AtomicU64::new(0),
        };
        local.ask(Op::Init).await?;
        Ok(local)
    }

    pub(crate) async fn eval(&self, input: &Value) -> Result<Value, Error> {
        let input = text("input_data", input)?;
        // No parameters of its own: the instance uses those that it was constructed with, as management left them.
        document(&self.ask(Op::Eval { parameters: None, input: &input }).await?)
    }

    pub(crate) async fn manage(&self, action: &str, data: &Value) -> Result<Value, Error> {
        let data = text("mgmt_data", data)?;
        document(&self.ask(Op::Management { action, data: &data }).await?)
    }

    /// One call, between the checks of the policy's schemas.
    async fn ask(&self, op: Op<'_>) -> Result<String, Error> {
        let mut state_lost = false;
        let Checked { run, warnings } = checked::run(&self.schemas, op, self.call(op, &mut state_lost)).await?;
        if !warnings.is_empty() {
            tracing::warn!(policy = &*self.policy, "does not match the schemas: {}", checked::line(&warnings));
        }
        match run.outcome {
            Outcome::Finished(output) => Ok(output),
            Outcome::Failed(failure) => Err(Error::Policy(failure)),
            Outcome::Stopped(stop) => Err(Error::Stopped { stop, state_lost }),
        }
    }

    /// Calls are made one after the other, in the order in which they came.
    async fn call(&self, op: Op<'_>, state_lost: &mut bool) -> Result<Run, Error> {
        let id = format!("local-{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let mut instance = self.instance.lock().await;
        let was_live = instance.is_live();
        let call = Call {
            op,
            limits: self.limits,
            facts: CallFacts::now(&id, "local", &self.limits),
            context: Some(Arc::clone(&self.context)),
            dry_run: false,
            tape: TapeMode::Off,
            recorder: Arc::clone(&self.recorder),
        };
        let run = run(&self.sandbox, &mut instance, call).await?;
        *state_lost = was_live && !instance.is_live();
        Ok(run)
    }
}

/// A document as the policy gets it.
pub(crate) fn text(argument: &str, document: &Value) -> Result<String, Error> {
    let text = document.to_string();
    json::check_depth(text.as_bytes()).map_err(|error| FieldError::new(argument, error.to_string()))?;
    Ok(text)
}

fn document(output: &str) -> Result<Value, Error> {
    json::parse(output).map_err(|error| Error::Internal(format!("the policy's answer {error}")))
}
