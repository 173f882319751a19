//! Policies as records of a registry.

use lictor_model::{Digest, Draft, Entry, FieldError};
use serde_json::{Map, Value, json};

use super::Bounds;
use crate::{
    error::Error,
    registry::Entity,
    store::{Candidate, Kind, LoadState, Store},
};

/// What a policy's record is.
pub(super) struct PolicyEntity {
    bounds: Bounds,
}

impl PolicyEntity {
    /// Records of which no more than `bounds` has an effect.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    fn warnings(&self, draft: &Draft) -> Vec<String> {
        let mut res = draft.warnings.clone();
        res.extend(draft.spec.limits.cut_by(&self.bounds.ceiling));
        let grant = self.bounds.grant(&draft.spec.capabilities);
        for origin in draft.spec.capabilities.http.iter().filter(|origin| !grant.http.contains(origin)) {
            res.push(format!("`capabilities.http` with `{origin}` is above what this server grants and has no effect"));
        }
        res
    }
}

impl Entity for PolicyEntity {
    const KIND: Kind = Kind::Policy;
    const NOUN: &'static str = "policy";
    const ID: &'static str = "policy_rule_uri";
    const COMPUTED: &'static [&'static str] = &["component_digest", "load"];

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        let draft = Draft::parse(body)?;
        let warnings = self.warnings(&draft);
        Ok(Entry { id: draft.spec.uri.as_str().into(), document: draft.document, warnings })
    }

    fn not_found(&self, _id: &str) -> String {
        "Policy not found.".into()
    }

    fn computed(&self, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        let (component, load) = candidate.load()?;
        Ok(computed(component, load))
    }

    async fn read(&self, store: &Store, id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let Some(row) = store.policy(id).await? else { return Ok(None) };
        let mut document = row.document;
        document.extend(computed(row.component, row.load));
        Ok(Some(document))
    }
}

/// How loading stands, as clients read it.
fn computed(component: Option<Digest>, load: LoadState) -> Map<String, Value> {
    let load = match load {
        LoadState::Pending => json!({"state": "pending"}),
        LoadState::Ready => json!({"state": "ready"}),
        LoadState::Failed { code, message } => json!({"state": "failed", "code": code, "message": message}),
    };
    let component = component.map_or(Value::Null, |digest| json!(digest.to_string()));
    [("component_digest".into(), component), ("load".into(), load)].into_iter().collect()
}
