//! Policies with a candidate beside them: every change is in force with the next call.

use lictor_model::ShadowSpec;
use serde_json::{Map, Value};

use super::Policies;
use crate::error::Error;

impl Policies {
    /// Puts a candidate beside a policy, as `body` says; answers how it stands.
    pub async fn set_shadow(&self, uri: &str, body: Value) -> Result<Map<String, Value>, Error> {
        let spec = ShadowSpec::parse(body, uri)?;
        let (policies, uri) = (self.clone(), uri.to_owned());
        self.to_the_end(async move {
            let set = policies.parts.shadows.set(&uri, &spec).await;
            // Also where that failed: the database may have done it and only not said so.
            policies.forget(Some(&uri));
            set?;
            policies.parts.shadows.read(&uri).await
        })
        .await
    }

    /// The candidate beside a policy, and what came of it.
    pub async fn shadow(&self, uri: &str) -> Result<Map<String, Value>, Error> {
        self.parts.shadows.read(uri).await
    }

    /// Takes the candidate beside a policy away.
    pub async fn remove_shadow(&self, uri: &str) -> Result<(), Error> {
        let (policies, uri) = (self.clone(), uri.to_owned());
        self.to_the_end(async move {
            let removed = policies.parts.shadows.remove(&uri).await;
            policies.forget(Some(&uri));
            removed
        })
        .await
    }

    /// Ends what runs beside calls, and stores what was counted.
    pub async fn stop(&self) {
        self.parts.shadows.stop().await;
    }
}
