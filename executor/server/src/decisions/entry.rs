//! A call from when it begins: whatever becomes of it, it is recorded.

use std::sync::Arc;

use lictor_model::Usage;

use super::{Decision, Decisions, Version};
use crate::{access::Asker, checked::Checked, error::Error};

/// A call that is being made.
///
/// CANCEL: one that is dropped is recorded as abandoned: nobody learns what came of it, but it may have done something.
pub struct Entry<'a> {
    decisions: &'a Decisions,
    /// What is known of it already; none where it is not recorded.
    decision: Option<Decision<'a>>,
    asker: Option<&'a Asker>,
}

impl<'a> Entry<'a> {
    /// A call that is recorded as made by this version; by none, it is not recorded.
    pub fn begin(
        decisions: &'a Decisions,
        version: Option<&'a Arc<Version>>,
        asker: Option<&'a Asker>,
        decision: impl FnOnce(&'a Arc<Version>) -> Decision<'a>,
    ) -> Self {
        Self { decisions, decision: version.map(decision), asker }
    }

    /// Records what came of it. What could not be run was not decided.
    pub async fn end(mut self, ran: Result<Checked, Error>) -> Result<Checked, Error> {
        let begun = self.decision.take();
        let checked = ran?;
        if let Some(decision) = begun {
            let run = &checked.run;
            let decision = Decision {
                outcome: Some(&run.outcome),
                usage: run.usage,
                transcript: run.transcript.as_deref(),
                ..decision
            };
            self.decisions.record(&decision).await?;
            if let Some(asker) = self.asker {
                asker.decision.set(decision.begun.id).ok();
            }
        }
        Ok(checked)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(decision) = self.decision.take() {
            self.decisions.record_abandoned(&Decision { outcome: None, usage: Usage::default(), ..decision });
        }
    }
}
