//! Who picks an executor, and what that policy is asked and answers.

use serde_json::{Map, Value};

use crate::field::{FieldError, shorten};

/// The `alloc` of a request that names no executor: the policy that is to pick one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alloc {
    /// Which policy.
    pub policy_rule_uri: String,
    /// In the place of its stored settings.
    pub settings: Option<Map<String, Value>>,
    /// In the place of its stored parameters.
    pub parameters: Option<Map<String, Value>>,
}

/// Every field, all of which the original wants.
const FIELDS: [&str; 3] = ["resource_allocator_policy_uri", "settings", "parameters"];

impl Alloc {
    /// Reads `alloc`. Settings and parameters must be said; `null` stands for the stored ones.
    pub fn parse(value: &Value) -> Result<Self, FieldError> {
        let Value::Object(fields) = value else {
            return Err(FieldError::new("alloc", "must be an object"));
        };
        if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let why = format!("is no field of `alloc`: there are {}", FIELDS.join(", "));
            return Err(FieldError::new(format!("alloc.{}", shorten(name, 60)), why));
        }
        let policy_rule_uri = match required(fields, "resource_allocator_policy_uri")? {
            Value::String(uri) if !uri.is_empty() => uri.clone(),
            _ => {
                return Err(FieldError::new("alloc.resource_allocator_policy_uri", "must be the uri of a policy"));
            }
        };
        Ok(Self {
            policy_rule_uri,
            settings: object_or_null(fields, "settings")?,
            parameters: object_or_null(fields, "parameters")?,
        })
    }
}

fn required<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value, FieldError> {
    fields.get(name).ok_or_else(|| FieldError::new(format!("alloc.{name}"), "is required where there is an `alloc`"))
}

fn object_or_null(fields: &Map<String, Value>, name: &str) -> Result<Option<Map<String, Value>>, FieldError> {
    match required(fields, name)? {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(object.clone())),
        _ => Err(FieldError::new(format!("alloc.{name}"), "must be an object, or null for what is stored")),
    }
}

/// The cluster that the record of an executor says it is: one that says nothing is one by itself.
pub fn cluster_id(record: &Map<String, Value>) -> Option<&str> {
    let hardware = record.get("executor_hardware_info");
    let named = |name: &str| hardware?.get(name)?.as_str().filter(|id| !id.is_empty());
    named("clusterId").or_else(|| named("id")).or_else(|| record.get("executor_id")?.as_str())
}

/// What an allocator answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The cluster, or the executor itself.
    pub cluster_id: String,
    /// How many replicas, if it says so.
    pub replica_count: Option<u64>,
}

impl Allocation {
    /// Reads an allocator's answer; fails with what is wrong with it.
    pub fn parse(answer: &Value) -> Result<Self, String> {
        let named = ["clusterId", "cluster_id", "executor_id"].iter().find_map(|name| answer.get(name));
        let cluster_id = match named {
            Some(Value::String(id)) => id.clone(),
            Some(_) => return Err("a `clusterId` that is no string".into()),
            None => return Err("no `clusterId`".into()),
        };
        let replica_count = match answer.get("replica_count") {
            None | Some(Value::Null) => None,
            Some(count) => {
                let whole = count.as_u64().filter(|count| 0 < *count);
                Some(whole.ok_or("a `replica_count` that is no whole number of at least 1")?)
            }
        };
        Ok(Self { cluster_id, replica_count })
    }
}

/// What an estimator answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Whether it fits.
    pub allowed: bool,
    /// The node that it fits on.
    pub node_id: Value,
    /// Why, if it says so.
    pub reason: Option<String>,
}

impl Estimate {
    /// Reads an estimator's answer; fails with what is wrong with it.
    pub fn parse(answer: &Value) -> Result<Self, String> {
        let allowed = answer.get("allowed").and_then(Value::as_bool).ok_or("no `allowed` that is true or false")?;
        let node_id = answer.get("node_id").ok_or("no `node_id`")?.clone();
        let reason = answer.get("reason").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { allowed, node_id, reason })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_three_fields_are_required() {
        let whole = json!({"resource_allocator_policy_uri": "a:1-b", "settings": {"s": 1}, "parameters": null});
        let alloc = Alloc::parse(&whole).unwrap();
        assert_eq!((alloc.policy_rule_uri.as_str(), alloc.parameters), ("a:1-b", None));
        assert_eq!(alloc.settings.map(Value::Object), Some(json!({"s": 1})));
        for field in FIELDS {
            for value in [None, Some(json!(5)), Some(json!([])), Some(json!(""))] {
                let mut body = whole.clone();
                match value {
                    Some(value) => body[field] = value,
                    None => drop(body.as_object_mut().unwrap().shift_remove(field)),
                }
                assert_eq!(Alloc::parse(&body).unwrap_err().field(), format!("alloc.{field}"), "{body}");
            }
        }
        let mut more = whole.clone();
        more["colour"] = json!(1);
        assert_eq!(Alloc::parse(&more).unwrap_err().field(), "alloc.colour");
        for body in [json!(null), json!("a:1-b"), json!([])] {
            assert_eq!(Alloc::parse(&body).unwrap_err().field(), "alloc");
        }
    }

    #[test]
    fn a_cluster_has_a_name_in_one_of_three_places() {
        for (hardware, id) in [
            (json!({"clusterId": "c", "id": "i"}), "c"),
            (json!({"id": "i"}), "i"),
            (json!({"clusterId": "", "id": 5}), "e"),
            (json!({}), "e"),
            (json!(null), "e"),
        ] {
            let record = json!({"executor_id": "e", "executor_hardware_info": hardware});
            assert_eq!(cluster_id(record.as_object().unwrap()), Some(id));
        }
        assert_eq!(cluster_id(&Map::new()), None);
    }

    #[test]
    fn an_answer_is_understood_or_said_to_be_wrong() {
        for (answer, expected) in [
            (json!({"clusterId": "c", "replica_count": 2}), Ok(("c", Some(2)))),
            (json!({"cluster_id": "c", "replica_count": null}), Ok(("c", None))),
            (json!({"executor_id": "e"}), Ok(("e", None))),
            (json!({"clusterId": 5}), Err("no string")),
            (json!({}), Err("no `clusterId`")),
            (json!("c"), Err("no `clusterId`")),
            (json!({"clusterId": "c", "replica_count": 0}), Err("replica_count")),
            (json!({"clusterId": "c", "replica_count": 1.5}), Err("replica_count")),
        ] {
            match (Allocation::parse(&answer), expected) {
                (Ok(one), Ok((id, count))) => assert_eq!((one.cluster_id.as_str(), one.replica_count), (id, count)),
                (Err(why), Err(part)) => assert!(why.contains(part), "{answer}: {why}"),
                (read, _) => panic!("{answer}: {read:?}"),
            }
        }
        let estimate = Estimate::parse(&json!({"allowed": false, "node_id": null, "reason": "full"})).unwrap();
        assert_eq!(
            (estimate.allowed, estimate.node_id, estimate.reason.as_deref()),
            (false, Value::Null, Some("full"))
        );
        for (answer, part) in [(json!({"node_id": "n"}), "`allowed`"), (json!({"allowed": true}), "`node_id`")] {
            assert!(Estimate::parse(&answer).unwrap_err().contains(part), "{answer}");
        }
    }
}
