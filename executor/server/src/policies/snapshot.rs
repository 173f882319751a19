//! Policies as they were when something took them: loaded from that record, whatever became of the one in the registry.

use std::sync::Arc;

use lictor_model::{Digest, Draft, Limits, LimitsSpec};
use lictor_sandbox::Policy;
use serde_json::{Map, Value, json};

use super::{Policies, Ready, schemas};
use crate::error::{Error, ErrorKind};

/// How often a record is read again that changes all the time.
const TRIES: usize = 5;

impl Policies {
    /// The record of a policy that is loaded, with the component that it is.
    pub async fn snapshot(&self, uri: &str) -> Result<Map<String, Value>, Error> {
        for _ in 0..TRIES {
            let ready = self.ready(uri).await?;
            match &self.parts.borrowed {
                None => {
                    let record = self.parts.registry.read(uri).await?;
                    // It may have been changed after it was loaded.
                    if record.get("component_digest").is_some_and(Value::is_string) {
                        return Ok(record);
                    }
                }
                Some(borrowed) => {
                    if let Some(mut record) = borrowed.record(uri) {
                        let digest = ready.policy.module.digest().to_string();
                        record.insert("component_digest".into(), digest.into());
                        record.insert("load".into(), json!({"state": "ready"}));
                        return Ok(record);
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, "the policy is being changed again and again"))
    }

    /// The policy of such a record, with these parameters (JSON text) in the place of its own.
    pub async fn of_snapshot(&self, record: Map<String, Value>, parameters: Option<String>) -> Result<Ready, Error> {
        let component = component(&record);
        let draft = Draft::parse(Value::Object(record))?;
        let ready = self.load_module(&draft, component).await?;
        let Some(parameters) = parameters else { return Ok(ready) };
        let policy = Policy { parameters: parameters.into(), ..Policy::clone(&ready.policy) };
        let version = self.parts.decisions.version(&policy, &ready.limits, schemas(&draft).as_ref());
        Ok(Ready { policy: Arc::new(policy), version, ..ready })
    }

    /// What a call of the policy of such a record may use.
    pub fn limits_of(&self, record: Map<String, Value>) -> Limits {
        let limits =
            Draft::parse(Value::Object(record)).map_or_else(|_| LimitsSpec::default(), |draft| draft.spec.limits);
        limits.within(&self.parts.bounds.ceiling)
    }
}

fn component(record: &Map<String, Value>) -> Option<Digest> {
    record.get("component_digest")?.as_str()?.parse().ok()
}
