//! What a policy's schemas say of what goes in and of what comes out.

use std::sync::Arc;

use lictor_model::{SchemaMode, Schemas, Stop, StopKind, Violation, schema::LARGE};

use crate::Error;

/// Violations that a line of the log names.
const LOGGED: usize = 5;

/// The schemas of one policy, under its name in the log.
pub(crate) struct Checks {
    schemas: Arc<Schemas>,
    policy: Arc<str>,
}

impl Checks {
    pub(crate) fn new(schemas: Arc<Schemas>, policy: Arc<str>) -> Self {
        Self { schemas, policy }
    }

    /// The settings and parameters that an instance is constructed with.
    pub(crate) fn construction(&self, settings: &str, parameters: &str) -> Result<(), Error> {
        let mut wrong = self.schemas.settings(settings);
        wrong.extend(self.schemas.parameters(parameters));
        self.judge(StopKind::InputSchema, "what the policy is constructed with", wrong)
    }

    pub(crate) async fn input(&self, input: &str) -> Result<(), Error> {
        let wrong = self.of(input, |schemas, input| schemas.question(input, None)).await;
        self.judge(StopKind::InputSchema, "what the call brings", wrong)
    }

    pub(crate) async fn command(&self, action: &str, data: &str) -> Result<(), Error> {
        let action = action.to_owned();
        let wrong = self.of(data, move |schemas, data| schemas.command(&action, data)).await;
        self.judge(StopKind::InputSchema, "what the command brings", wrong)
    }

    pub(crate) async fn output(&self, output: &str) -> Result<(), Error> {
        let wrong = self.of(output, Schemas::answer).await;
        self.judge(StopKind::OutputSchema, "the policy's answer", wrong)
    }

    /// Checks on this thread what is small, and what is large on one where it holds up nobody.
    async fn of(
        &self,
        text: &str,
        check: impl FnOnce(&Schemas, &str) -> Vec<Violation> + Send + 'static,
    ) -> Vec<Violation> {
        if self.schemas.is_empty() {
            return Vec::new();
        }
        if text.len() <= LARGE {
            return check(&self.schemas, text);
        }
        let (schemas, text) = (Arc::clone(&self.schemas), text.to_owned());
        let failed = |_| vec![Violation { path: "document".into(), message: "could not be checked".into() }];
        tokio::task::spawn_blocking(move || check(&schemas, &text)).await.unwrap_or_else(failed)
    }

    /// What does not match is refused under `enforce`, and is otherwise a line of the log.
    fn judge(&self, kind: StopKind, what: &str, wrong: Vec<Violation>) -> Result<(), Error> {
        if wrong.is_empty() {
            return Ok(());
        }
        if self.schemas.mode() == SchemaMode::Enforce {
            return Err(Error::Stopped { stop: Stop::violating(kind, what, wrong), state_lost: false });
        }
        let shown = wrong.iter().take(LOGGED).map(Violation::to_string).collect::<Vec<_>>().join("; ");
        tracing::warn!(policy = &*self.policy, n = wrong.len(), "{what} does not match the policy's schema: {shown}");
        Ok(())
    }
}
