//! A job as it is submitted: the original's fields, and those of ours that Kubernetes' jobs have too.

use serde_json::{Map, Value};

use crate::{
    document::{object, text},
    field::{FieldError, shorten},
};

/// Bytes of a name, and of an id that somebody chose.
pub const MAX_NAME: usize = 200;
/// How often a failed run may be tried again.
const MAX_BACKOFF_LIMIT: u64 = 10;
/// A year, in seconds.
const MAX_TTL: u64 = 31_536_000;

/// Every field; `alloc` is for whoever picks the executor.
const FIELDS: [&str; 9] = [
    "name",
    "policy_rule_uri",
    "policy_rule_parameters",
    "node_selector",
    "inputs",
    "backoff_limit",
    "timeout_ms",
    "ttl_seconds_after_finished",
    "alloc",
];

/// What a job is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    /// What its author calls it; many may be called so.
    pub name: String,
    /// Which policy.
    pub policy_rule_uri: String,
    /// In the place of the stored parameters; none stands for those.
    pub policy_rule_parameters: Option<Map<String, Value>>,
    /// Which nodes it may run on. Kept, and told to executors that have nodes.
    pub node_selector: Map<String, Value>,
    /// What the policy is asked.
    pub inputs: Value,
    /// How often it is tried again when the policy fails.
    pub backoff_limit: u64,
    /// A time-out of each attempt, lower than the policy's.
    pub timeout_ms: Option<u64>,
    /// How long its record is kept after its end, if it says so.
    pub ttl_seconds_after_finished: Option<u64>,
    /// The id of the token that it was submitted with, if one was needed.
    pub submitted_by: Option<String>,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

impl Submit {
    /// Reads the body of a submission.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let mut body = object(body, "a job")?;
        let warnings = unknown(&body);
        let submit = Self {
            name: name(&body)?,
            policy_rule_uri: required(&body, "policy_rule_uri")?,
            policy_rule_parameters: optional_object(&mut body, "policy_rule_parameters")?,
            node_selector: optional_object(&mut body, "node_selector")?.unwrap_or_default(),
            inputs: body.shift_remove("inputs").unwrap_or_else(|| Value::Object(Map::new())),
            backoff_limit: number(&body, "backoff_limit", 0, MAX_BACKOFF_LIMIT)?.unwrap_or(0),
            timeout_ms: number(&body, "timeout_ms", 1, u64::MAX)?,
            ttl_seconds_after_finished: number(&body, "ttl_seconds_after_finished", 0, MAX_TTL)?,
            submitted_by: None,
            warnings,
        };
        Ok(submit)
    }

    /// The same, submitted with this token.
    #[must_use]
    pub fn by(mut self, token: Option<&str>) -> Self {
        self.submitted_by = token.map(str::to_owned);
        self
    }

    /// The same with a time-out that is not higher than this one.
    #[must_use]
    pub fn within(mut self, timeout_ms: Option<u64>) -> Self {
        self.timeout_ms = [self.timeout_ms, timeout_ms].into_iter().flatten().min();
        self
    }

    /// As the executor's own API takes it, without the id.
    pub fn to_body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("name".into(), self.name.as_str().into());
        body.insert("policy_rule_uri".into(), self.policy_rule_uri.as_str().into());
        body.insert("policy_rule_parameters".into(), parameters(self.policy_rule_parameters.as_ref()));
        body.insert("node_selector".into(), Value::Object(self.node_selector.clone()));
        body.insert("inputs".into(), self.inputs.clone());
        body.insert("backoff_limit".into(), self.backoff_limit.into());
        body.extend(self.timeout_ms.map(|ms| ("timeout_ms".to_owned(), ms.into())));
        body
    }
}

/// Checks an id that somebody chose for a job: it must be one segment of a path.
pub fn check_id(id: &str) -> Result<(), FieldError> {
    let wrong = |why: String| Err(FieldError::new("job_id", why));
    match id {
        "" => wrong("must not be empty".into()),
        "." | ".." | "query" | "submit" => wrong(format!("cannot be `{id}`: choose another one")),
        _ if MAX_NAME < id.len() => wrong(format!("must be at most {MAX_NAME} bytes")),
        _ if id.contains('/') || id.contains(char::is_control) => {
            wrong("must have no slash and no control characters: it is a part of a path".into())
        }
        _ => Ok(()),
    }
}

/// Parameters as documents say them.
pub(super) fn parameters(parameters: Option<&Map<String, Value>>) -> Value {
    parameters.map_or(Value::Null, |parameters| Value::Object(parameters.clone()))
}

fn unknown(body: &Map<String, Value>) -> Vec<String> {
    let warning = |name: &String| format!("unknown field `{}` is not used", shorten(name, 60));
    body.keys().filter(|name| !FIELDS.contains(&name.as_str())).take(100).map(warning).collect()
}

/// The original says of either field that one of the two is missing.
fn required(body: &Map<String, Value>, field: &str) -> Result<String, FieldError> {
    match body.get(field) {
        None | Some(Value::Null) => {
            let why = "is required. Missing required parameters: 'name' or 'policy_rule_uri'";
            Err(FieldError::new(field, why))
        }
        Some(_) => Ok(text(body, field)?.to_owned()),
    }
}

fn name(body: &Map<String, Value>) -> Result<String, FieldError> {
    let name = required(body, "name")?;
    if MAX_NAME < name.len() {
        return Err(FieldError::new("name", format!("must be at most {MAX_NAME} bytes")));
    }
    Ok(name)
}

/// An object; `null` stands for none, as in the original.
fn optional_object(body: &mut Map<String, Value>, field: &str) -> Result<Option<Map<String, Value>>, FieldError> {
    match body.shift_remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(FieldError::new(field, "must be an object or null")),
    }
}

fn number(body: &Map<String, Value>, field: &str, least: u64, most: u64) -> Result<Option<u64>, FieldError> {
    let value = match body.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64(),
    };
    let within = value.filter(|n| (least..=most).contains(n));
    let bounds = if most == u64::MAX { format!("of at least {least}") } else { format!("from {least} to {most}") };
    within.map(Some).ok_or_else(|| FieldError::new(field, format!("must be a whole number {bounds}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn least() -> Value {
        json!({"name": "n", "policy_rule_uri": "a:1-b"})
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let submit = Submit::parse(least()).unwrap();
        assert_eq!((submit.name.as_str(), submit.policy_rule_uri.as_str()), ("n", "a:1-b"));
        assert_eq!((&submit.policy_rule_parameters, &submit.inputs), (&None, &json!({})));
        assert_eq!((submit.backoff_limit, submit.timeout_ms, submit.ttl_seconds_after_finished), (0, None, None));
        assert_eq!((submit.node_selector.len(), submit.warnings.len()), (0, 0));
    }

    #[test]
    fn null_parameters_are_the_stored_ones_and_empty_ones_are_empty() {
        for (sent, parameters) in
            [(json!(null), None), (json!({}), Some(json!({}))), (json!({"a": 1}), Some(json!({"a": 1})))]
        {
            let mut body = least();
            body["policy_rule_parameters"] = sent;
            let submit = Submit::parse(body).unwrap();
            assert_eq!(submit.policy_rule_parameters.map(Value::Object), parameters);
        }
    }

    #[test]
    fn any_inputs_are_taken() {
        for inputs in [json!(null), json!(0), json!([]), json!("x"), json!({"a": {}})] {
            let mut body = least();
            body["inputs"] = inputs.clone();
            let submit = Submit::parse(body).unwrap();
            assert_eq!(submit.inputs, inputs);
            assert_eq!(Submit::parse(Value::Object(submit.to_body())).unwrap(), submit);
        }
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        for (field, value, says) in [
            ("name", None, "'name' or 'policy_rule_uri'"),
            ("name", Some(json!(null)), "'name' or 'policy_rule_uri'"),
            ("name", Some(json!("")), "empty"),
            ("name", Some(json!(5)), "string"),
            ("name", Some(json!("é".repeat(101))), "200 bytes"),
            ("policy_rule_uri", None, "'name' or 'policy_rule_uri'"),
            ("policy_rule_uri", Some(json!([])), "string"),
            ("policy_rule_parameters", Some(json!([])), "object or null"),
            ("node_selector", Some(json!("zone")), "object or null"),
            ("backoff_limit", Some(json!(11)), "from 0 to 10"),
            ("backoff_limit", Some(json!(-1)), "from 0 to 10"),
            ("backoff_limit", Some(json!(1.5)), "whole number"),
            ("timeout_ms", Some(json!(0)), "at least 1"),
            ("timeout_ms", Some(json!("1")), "whole number"),
            ("ttl_seconds_after_finished", Some(json!(31_536_001)), "from 0 to 31536000"),
        ] {
            let mut body = least();
            match value.clone() {
                Some(value) => body[field] = value,
                None => drop(body.as_object_mut().unwrap().shift_remove(field)),
            }
            let error = Submit::parse(body).unwrap_err();
            assert!(error.field() == field && error.message().contains(says), "{value:?}: {error}");
        }
        assert_eq!(Submit::parse(json!([])).unwrap_err().field(), "");
    }

    #[test]
    fn what_is_not_known_is_told() {
        let mut body = least();
        body["alloc"] = json!(1);
        body["replicas"] = json!(1);
        assert_eq!(Submit::parse(body).unwrap().warnings, ["unknown field `replicas` is not used"]);
    }

    #[test]
    fn the_lower_time_out_counts() {
        let mut body = least();
        body["timeout_ms"] = json!(50);
        let submit = Submit::parse(body).unwrap();
        for (other, timeout) in [(None, 50), (Some(40), 40), (Some(60), 50)] {
            assert_eq!(submit.clone().within(other).timeout_ms, Some(timeout));
        }
        assert_eq!(Submit::parse(least()).unwrap().within(Some(7)).timeout_ms, Some(7));
    }

    #[test]
    fn an_id_is_a_segment_of_a_path() {
        for id in ["a", "1a2b3c4d-5678-9012-efgh-1234567890ab", "a b?c#d%e", "ü"] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["", ".", "..", "query", "a/b", "a\0", "a\n", &"x".repeat(201)] {
            assert_eq!(check_id(id).unwrap_err().field(), "job_id", "{id}");
        }
    }
}
