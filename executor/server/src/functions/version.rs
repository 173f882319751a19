//! One version of a function: the policy as it was when it was deployed, loaded.

use std::{collections::HashSet, sync::Arc};

use lictor_model::FunctionSpec;
use serde_json::{Map, Value};

use crate::{
    error::Error,
    policies::{Policies, Ready},
};

/// What the replicas of a function run.
pub(super) struct Version {
    /// Which policy.
    pub(super) uri: String,
    pub(super) ready: Ready,
    /// Whether replicas hand over what they remember.
    pub(super) stateful: bool,
    /// The management commands that change nothing.
    read_only: HashSet<String>,
}

impl Version {
    /// Loads what `spec` says.
    pub(super) async fn load(policies: &Policies, spec: &FunctionSpec) -> Result<Arc<Self>, Error> {
        let parameters = spec.parameters.clone().map(|parameters| Value::Object(parameters).to_string());
        let ready = policies.of_snapshot(spec.policy.clone(), parameters).await?;
        Ok(Arc::new(Self {
            uri: spec.policy_rule_uri.clone(),
            stateful: ready.policy.module.is_stateful(),
            read_only: read_only(&spec.policy),
            ready,
        }))
    }

    /// Whether this command must be kept for replicas that come later.
    pub(super) fn keeps(&self, action: &str) -> bool {
        !self.read_only.contains(action)
    }

    /// What a replica that comes later begins with.
    pub(super) fn state_from(&self) -> &'static str {
        if self.stateful { "saved_state" } else { "management_commands" }
    }
}

/// The commands that the policy's record declares with `"read_only": true`.
fn read_only(policy: &Map<String, Value>) -> HashSet<String> {
    let declared = policy.get("management_commands_schema").and_then(Value::as_array).into_iter().flatten();
    let read_only = declared.filter(|command| command.get("read_only") == Some(&Value::Bool(true)));
    read_only.filter_map(|command| Some(command.get("name")?.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_declared_so_is_read_only() {
        let policy = json!({"management_commands_schema": [
            {"name": "get", "read_only": true}, {"name": "set"}, {"name": "x", "read_only": "true"}, 5
        ]});
        let found = read_only(policy.as_object().unwrap());
        assert_eq!(found, HashSet::from(["get".to_owned()]));
        assert!(read_only(&Map::new()).is_empty());
    }
}
