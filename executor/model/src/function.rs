//! The record of a function: a policy deployed to stay.
//!
//! It begins as a [`Deploy`], what its author asked for; a record is that, with the policy as it then was.

mod autoscaling;
mod deploy;
mod manage;

use serde_json::{Map, Value, json};

pub use self::{
    autoscaling::{Autoscaling, Recommendations},
    deploy::{Deploy, MAX_NAME, MAX_REPLICAS},
    manage::Manage,
};
use crate::{
    document::{Entry, Field, Shape, complete, object, optional, required, text, unknown},
    field::FieldError,
};

/// Every field of the original.
const FIELDS: [Field; 7] = [
    required("function_id", Shape::Text),
    required("function_executor_id", Shape::Text),
    required("function_executor_uri", Shape::Text),
    optional("function_metadata", Shape::Object),
    optional("function_tags", Shape::Texts),
    required("function_policy_rule_uri", Shape::Text),
    required("function_policy_data", Shape::Object),
];
/// Those that are ours.
const OURS: [&str; 4] = ["function_policy_rule_parameters", "replicas", "autoscaling", "node_selector"];
/// What is computed: read back by a client, it is no part of a record.
const COMPUTED: &str = "function_status";

/// What an executor acts on.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// The name that it is deployed under.
    pub name: String,
    /// Where it runs.
    pub executor_id: String,
    /// Which policy.
    pub policy_rule_uri: String,
    /// The policy as it was when it was deployed.
    pub policy: Map<String, Value>,
    /// In the place of the policy's stored parameters.
    pub parameters: Option<Map<String, Value>>,
    /// How many replicas there are to be now.
    pub replicas: u32,
    /// How that number changes by itself.
    pub autoscaling: Option<Autoscaling>,
}

/// Reads the record of a function. Its id is the name that it is deployed under.
pub fn parse(body: Value) -> Result<Entry, FieldError> {
    let mut document = object(body, "a function")?;
    document.shift_remove(COMPUTED);
    let known = |name: &str| OURS.contains(&name) || FIELDS.iter().any(|field| field.name == name);
    let warnings = unknown(&document, known);
    complete(&mut document, &FIELDS)?;
    for (name, default) in [
        ("function_policy_rule_parameters", Value::Null),
        ("replicas", json!(1)),
        ("autoscaling", Value::Null),
        ("node_selector", json!({})),
    ] {
        document.entry(name).or_insert(default);
    }
    let id = FunctionSpec::read(&document)?.name;
    Ok(Entry { id, document, warnings })
}

impl FunctionSpec {
    /// What a record says.
    pub fn read(document: &Map<String, Value>) -> Result<Self, FieldError> {
        let name = text(document, "function_id")?.to_owned();
        let parameters = deploy::parameters(document, "function_policy_rule_parameters")?;
        Ok(Self {
            name,
            executor_id: text(document, "function_executor_id")?.to_owned(),
            policy_rule_uri: text(document, "function_policy_rule_uri")?.to_owned(),
            policy: document.get("function_policy_data").and_then(Value::as_object).cloned().unwrap_or_default(),
            parameters,
            replicas: deploy::replicas(document)?,
            autoscaling: Autoscaling::parse(document.get("autoscaling"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Value {
        json!({
            "function_id": "check-ip-fn", "function_executor_id": "executor-001", "function_executor_uri": "",
            "function_policy_rule_uri": "a:1-b", "function_policy_data": {"name": "a"}
        })
    }

    #[test]
    fn a_function_has_the_fields_of_the_original() {
        let entry = parse(record()).unwrap();
        assert_eq!(entry.id, "check-ip-fn");
        assert_eq!((&entry.document["function_tags"], &entry.document["function_metadata"]), (&json!([]), &json!({})));
        for (field, value) in [
            ("function_id", json!("")),
            ("function_executor_id", json!(1)),
            ("function_tags", json!("a,b")),
            ("function_metadata", json!([])),
            ("function_policy_data", json!("a:1-b")),
            ("function_policy_rule_parameters", json!(5)),
            ("replicas", json!(0)),
            ("autoscaling", json!("on")),
        ] {
            let mut body = record();
            body[field] = value;
            assert_eq!(parse(body).unwrap_err().field(), field);
        }
    }

    #[test]
    fn a_record_without_ours_is_one_replica() {
        let mut body = record();
        body["function_status"] = json!({"phase": "ready"});
        let entry = parse(body).unwrap();
        assert!(entry.warnings.is_empty() && !entry.document.contains_key("function_status"));
        let spec = FunctionSpec::read(&entry.document).unwrap();
        assert_eq!((spec.replicas, spec.autoscaling, spec.parameters), (1, None, None));
        assert_eq!(FunctionSpec::read(record().as_object().unwrap()).unwrap().policy["name"], "a");
    }
}
