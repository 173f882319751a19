//! One policy in a sandbox of this process, and its calls.

use std::{sync::Arc, time::Duration};

use lictor_model::{Limits, LimitsSpec, Outcome, limits::Ceiling};
use lictor_sandbox::{
    Bounds, Call, CallFacts, Compiler, Facts, Instance, LogLine, Op, Policy, Recorder, Run, Sandbox, TapeMode, run,
};

use crate::{INPUT, PARAMETERS, Res};

/// What is asked of the policy in every measurement.
pub const QUESTION: Op<'static> = Op::Eval { parameters: Some(PARAMETERS), input: INPUT };

/// Listens to nothing.
struct Silent;

impl Recorder for Silent {
    fn log(&self, _line: LogLine<'_>) {}
}

/// A policy that can be called.
#[derive(Clone)]
pub struct Subject {
    sandbox: Sandbox,
    policy: Arc<Policy>,
    limits: Limits,
    recorder: Arc<dyn Recorder>,
}

impl Subject {
    /// A component with settings that have no `allowlist_api`, so that `ip_allowlist` makes no host call.
    pub fn new(sandbox: &Sandbox, component: &[u8], timeout: Duration) -> Res<Self> {
        let timeout_ms = u64::try_from(timeout.as_millis())?;
        Self::within(sandbox, component, LimitsSpec { timeout_ms: Some(timeout_ms), ..LimitsSpec::default() })
    }

    /// The same, counting this much fuel at most.
    pub fn metered(sandbox: &Sandbox, component: &[u8], fuel: u64) -> Res<Self> {
        Self::within(sandbox, component, LimitsSpec { fuel: Some(fuel), ..LimitsSpec::default() })
    }

    fn within(sandbox: &Sandbox, component: &[u8], limits: LimitsSpec) -> Res<Self> {
        let limits = limits.within(&Ceiling::default());
        let metered = limits.fuel().is_some();
        let facts = Facts::read(component, &Bounds::default())?;
        let artifact = Compiler::new(metered)?.compile(&facts, component)?;
        let policy = Policy {
            module: sandbox.open(&artifact, metered)?,
            uri: "ip_allowlist:1.0-beta".into(),
            settings: "{}".into(),
            parameters: PARAMETERS.into(),
            grant: Arc::default(),
            deterministic: metered,
        };
        Ok(Self { sandbox: sandbox.clone(), policy: Arc::new(policy), limits, recorder: Arc::new(Silent) })
    }

    /// An instance that stays.
    pub fn resident(&self) -> Instance {
        Instance::new(Arc::clone(&self.policy))
    }

    /// Asks an instance.
    pub async fn ask(&self, instance: &mut Instance, op: Op<'_>) -> Res<Run> {
        let call = Call {
            op,
            limits: self.limits,
            facts: CallFacts::now("bench", "bench", &self.limits),
            context: None,
            dry_run: false,
            tape: TapeMode::Off,
            recorder: Arc::clone(&self.recorder),
        };
        Ok(run(&self.sandbox, instance, call).await?)
    }

    /// Asks an instance that is made for it and dropped.
    pub async fn ask_fresh(&self, op: Op<'_>) -> Res<Run> {
        self.ask(&mut Instance::once(Arc::clone(&self.policy)), op).await
    }

    /// Sees to it that both ways are answered with the decision: a failure would be measured as a fast call.
    pub async fn check(&self) -> Res<()> {
        for run in [self.ask_fresh(QUESTION).await?, self.ask(&mut self.resident(), QUESTION).await?] {
            match run.outcome {
                Outcome::Finished(answer) if answer.contains(r#""allowed":true"#) => {}
                other => return Err(format!("an unexpected answer: {other:?}").into()),
            }
        }
        Ok(())
    }
}
