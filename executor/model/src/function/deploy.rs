//! What the author of a function asks for.

use serde_json::{Map, Value, json};

use super::Autoscaling;
use crate::{
    document::{object, text},
    field::{FieldError, shorten},
};

/// Bytes of a function's name.
pub const MAX_NAME: usize = 200;
/// Replicas of one function.
pub const MAX_REPLICAS: u32 = 100;

/// Every field. Those who pick an executor have taken out what is theirs.
const FIELDS: [&str; 8] = [
    "name",
    "policy_rule_uri",
    "policy_rule_parameters",
    "replicas",
    "autoscaling",
    "function_metadata",
    "function_tags",
    "node_selector",
];

/// A policy that is to stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// The name that it is called by.
    pub name: String,
    /// Which policy.
    pub policy_rule_uri: String,
    /// In the place of the policy's stored parameters.
    pub policy_rule_parameters: Option<Map<String, Value>>,
    /// How many replicas there are at first.
    pub replicas: u32,
    /// How that number changes by itself.
    pub autoscaling: Option<Autoscaling>,
    /// The same as its author said it.
    pub autoscaling_as_given: Value,
    /// Anything its author wants to say of it.
    pub function_metadata: Map<String, Value>,
    /// What it is found by.
    pub function_tags: Vec<Value>,
    /// Which nodes it may run on. Kept, and told to executors that have nodes.
    pub node_selector: Map<String, Value>,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

impl Deploy {
    /// Reads the body of a deployment.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let body = object(body, "a deployment")?;
        let (name, policy_rule_uri) = (text(&body, "name")?.to_owned(), text(&body, "policy_rule_uri")?.to_owned());
        check_name(&name)?;
        let autoscaling = Autoscaling::parse(body.get("autoscaling"))?;
        let mut warnings = unused(&body);
        let asked = replicas(&body)?;
        let replicas = autoscaling.as_ref().map_or(asked, |autoscaling| autoscaling.within(asked));
        if replicas != asked && body.contains_key("replicas") {
            warnings.push(format!("`replicas` is {asked}, and `autoscaling` makes it {replicas}"));
        }
        let object = |name: &str| Ok(optional_object(&body, name)?.unwrap_or_default());
        Ok(Self {
            policy_rule_parameters: parameters(&body, "policy_rule_parameters")?,
            function_metadata: object("function_metadata")?,
            function_tags: tags(&body)?,
            node_selector: object("node_selector")?,
            name,
            policy_rule_uri,
            autoscaling_as_given: body.get("autoscaling").cloned().unwrap_or_default(),
            replicas,
            autoscaling,
            warnings,
        })
    }

    /// The same with another number of replicas, as far as it may have that.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u64) -> Self {
        let replicas = u32::try_from(replicas).unwrap_or(MAX_REPLICAS).clamp(1, MAX_REPLICAS);
        self.replicas = self.autoscaling.as_ref().map_or(replicas, |autoscaling| autoscaling.within(replicas));
        self
    }

    /// As the executor's own API takes it.
    pub fn to_body(&self) -> Value {
        json!({
            "name": self.name,
            "policy_rule_uri": self.policy_rule_uri,
            "policy_rule_parameters": self.policy_rule_parameters,
            "replicas": self.replicas,
            "autoscaling": self.autoscaling_as_given,
            "function_metadata": self.function_metadata,
            "function_tags": self.function_tags,
            "node_selector": self.node_selector,
        })
    }

    /// The record of the function that it makes on this executor, of `policy` as it is now.
    pub fn record(&self, executor_id: &str, executor_uri: &str, policy: &Map<String, Value>) -> Map<String, Value> {
        let record = json!({
            "function_id": self.name,
            "function_executor_id": executor_id,
            "function_executor_uri": executor_uri,
            "function_metadata": self.function_metadata,
            "function_tags": self.function_tags,
            "function_policy_rule_uri": self.policy_rule_uri,
            "function_policy_data": policy,
            "function_policy_rule_parameters": self.policy_rule_parameters,
            "replicas": self.replicas,
            "autoscaling": self.autoscaling_as_given,
            "node_selector": self.node_selector,
        });
        match record {
            Value::Object(record) => record,
            _ => Map::new(),
        }
    }

    /// Whether `record` is of a function on this executor that was deployed just so. The number of replicas does not
    /// count where it changes by itself.
    pub fn made(&self, executor_id: &str, record: &Map<String, Value>) -> bool {
        let own = self.record(executor_id, "", &Map::new());
        let counts = |name: &str| match name {
            "function_executor_uri" | "function_policy_data" => false,
            "replicas" => self.autoscaling.is_none(),
            _ => true,
        };
        own.iter().filter(|(name, _)| counts(name)).all(|(name, value)| record.get(name) == Some(value))
    }
}

/// Names under which a function could not be reached.
const TAKEN: [&str; 5] = ["query", "deployments", "call_function", "management", "get_logs"];

/// A name is one segment of a path.
fn check_name(name: &str) -> Result<(), FieldError> {
    let wrong = |why: String| Err(FieldError::new("name", why));
    if MAX_NAME < name.len() {
        return wrong(format!("must be at most {MAX_NAME} bytes long"));
    }
    if name.contains('/') || name.contains(char::is_control) || name == "." || name == ".." {
        return wrong(format!("must be usable as one segment of a path, unlike `{}`", shorten(name, 60)));
    }
    if TAKEN.contains(&name) {
        return wrong(format!("cannot be `{name}`, which is part of the address of a route of functions"));
    }
    Ok(())
}

/// The parameters at `name`, if there are some.
pub(super) fn parameters(document: &Map<String, Value>, name: &str) -> Result<Option<Map<String, Value>>, FieldError> {
    optional_object(document, name)
}

/// The replicas of a deployment or a record.
pub(super) fn replicas(document: &Map<String, Value>) -> Result<u32, FieldError> {
    let Some(value) = document.get("replicas").filter(|value| !value.is_null()) else { return Ok(1) };
    let n = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=MAX_REPLICAS).contains(n));
    n.ok_or_else(|| FieldError::new("replicas", format!("must be a whole number from 1 to {MAX_REPLICAS}")))
}

fn optional_object(document: &Map<String, Value>, name: &str) -> Result<Option<Map<String, Value>>, FieldError> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) => Ok(Some(fields.clone())),
        Some(_) => Err(FieldError::new(name, "must be an object or null")),
    }
}

fn tags(body: &Map<String, Value>) -> Result<Vec<Value>, FieldError> {
    match body.get("function_tags") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(tags)) if tags.iter().all(Value::is_string) => Ok(tags.clone()),
        Some(_) => Err(FieldError::new("function_tags", "must be a list of strings")),
    }
}

fn unused(body: &Map<String, Value>) -> Vec<String> {
    let warning = |name: &String| format!("`{}` is no field of a deployment and has no effect", shorten(name, 60));
    body.keys().filter(|name| !FIELDS.contains(&name.as_str())).map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(field: &str, value: Value) -> Result<Deploy, FieldError> {
        let mut body = json!({"name": "check-ip-fn", "policy_rule_uri": "a:1-b"});
        body[field] = value;
        Deploy::parse(body)
    }

    #[test]
    fn the_smallest_deployment_is_one_replica_with_the_stored_parameters() {
        let deploy = Deploy::parse(json!({"name": "f", "policy_rule_uri": "a:1-b"})).unwrap();
        assert_eq!((deploy.replicas, &deploy.autoscaling, &deploy.policy_rule_parameters), (1, &None, &None));
        assert_eq!(Deploy::parse(deploy.to_body()).unwrap(), deploy);
        let nulls = json!({"name": "f", "policy_rule_uri": "a:1-b", "policy_rule_parameters": null, "replicas": null,
            "autoscaling": null, "function_metadata": null, "function_tags": null, "node_selector": null});
        assert_eq!(Deploy::parse(nulls).unwrap(), deploy);
    }

    #[test]
    fn each_wrong_field_is_named() {
        let long = "x".repeat(MAX_NAME + 1);
        for (field, value, says) in [
            ("name", json!(""), "empty"),
            ("name", json!(5), "string"),
            ("name", json!("a/b"), "segment"),
            ("name", json!(".."), "segment"),
            ("name", json!(long), "200 bytes"),
            ("policy_rule_uri", json!(""), "empty"),
            ("policy_rule_uri", json!({}), "string"),
            ("policy_rule_parameters", json!([]), "object or null"),
            ("replicas", json!(0), "1 to 100"),
            ("replicas", json!(101), "1 to 100"),
            ("replicas", json!(1.5), "1 to 100"),
            ("replicas", json!("2"), "1 to 100"),
            ("function_metadata", json!("x"), "object"),
            ("function_tags", json!("a,b"), "list of strings"),
            ("function_tags", json!([1]), "list of strings"),
            ("node_selector", json!([]), "object"),
        ] {
            let error = with(field, value.clone()).unwrap_err();
            assert!(error.field() == field && error.message().contains(says), "{field} {value}: {error}");
        }
        for field in ["name", "policy_rule_uri"] {
            let mut body = json!({"name": "f", "policy_rule_uri": "a:1-b"});
            body.as_object_mut().unwrap().shift_remove(field);
            assert_eq!(Deploy::parse(body).unwrap_err().to_string(), format!("`{field}` is required"));
        }
        assert_eq!(
            with("colour", json!(1)).unwrap().warnings,
            ["`colour` is no field of a deployment and has no effect"]
        );
    }

    #[test]
    fn autoscaling_bounds_the_replicas() {
        let autoscaling =
            json!({"enabled": true, "min_replicas": 2, "max_replicas": 5, "target_cpu_utilization_percentage": 10});
        let mut body = json!({"name": "f", "policy_rule_uri": "a:1-b", "replicas": 9, "autoscaling": autoscaling});
        let deploy = Deploy::parse(body.clone()).unwrap();
        assert_eq!((deploy.replicas, deploy.warnings.len()), (5, 1));
        assert_eq!((deploy.clone().with_replicas(3).replicas, deploy.with_replicas(u64::MAX).replicas), (3, 5));
        body["autoscaling"]["enabled"] = json!(false);
        assert_eq!(Deploy::parse(body).unwrap().replicas, 9);
    }

    #[test]
    fn the_same_deployment_is_known_again() {
        let deploy = with("policy_rule_parameters", json!({"a": 1})).unwrap();
        let record = deploy.record("e", "http://h:1", &Map::new());
        assert!(deploy.made("e", &record) && !deploy.made("f", &record));
        for (field, value) in
            [("policy_rule_parameters", json!({"a": 2})), ("replicas", json!(2)), ("function_tags", json!(["x"]))]
        {
            assert!(!with(field, value).unwrap().made("e", &record), "{field}");
        }
        let scaled =
            with("autoscaling", json!({"min_replicas": 1, "max_replicas": 3, "target_cpu_utilization_percentage": 50}));
        let scaled = scaled.unwrap();
        let mut record = scaled.record("e", "", &Map::new());
        record["replicas"] = json!(3);
        assert!(scaled.made("e", &record));
        assert!(super::super::parse(Value::Object(record)).unwrap().warnings.is_empty());
    }
}
