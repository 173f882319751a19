//! The record of a job: one run of a policy, and what came of it.
//!
//! The original keeps five fields and its document queries by two that it does not keep, so a record here also says
//! under which name, with which inputs and on which executor the job was submitted; `policy_rule_uri` and
//! `job_policy_rule_uri` are the same.

use serde_json::Value;

use crate::{
    document::{Entry, Field, Shape, complete, object, optional, required, text, unknown},
    field::FieldError,
};

/// Every field of the original, and those that its document's own query needs.
const FIELDS: [Field; 9] = [
    required("job_id", Shape::Text),
    optional("job_output_data", Shape::Any),
    required("job_status", Shape::Text),
    optional("node_id", Shape::Text),
    required("policy_rule_uri", Shape::Text),
    required("job_policy_rule_uri", Shape::Text),
    optional("inputs", Shape::Any),
    optional("name", Shape::Text),
    optional("executor_id", Shape::Text),
];

/// Reads the record of a job. Either of the two fields that hold the policy's uri fills in the other.
pub fn parse(body: Value) -> Result<Entry, FieldError> {
    let mut document = object(body, "a job")?;
    let warnings = unknown(&document, |name| FIELDS.iter().any(|field| field.name == name));
    let (ours, original) = ("policy_rule_uri", "job_policy_rule_uri");
    if let Some(uri) = document.get(ours).or_else(|| document.get(original)).cloned() {
        document.entry(ours).or_insert_with(|| uri.clone());
        if *document.entry(original).or_insert_with(|| uri.clone()) != uri {
            return Err(FieldError::new(original, format!("must be the same as `{ours}`")));
        }
    }
    complete(&mut document, &FIELDS)?;
    let id = text(&document, "job_id")?.to_owned();
    Ok(Entry { id, document, warnings })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_can_be_found_by_what_it_was_asked() {
        let body =
            json!({"job_id": "1a2b", "job_status": "completed", "policy_rule_uri": "a:1-b", "inputs": {"ip": "::1"}});
        let entry = parse(body.clone()).unwrap();
        assert_eq!(entry.id, "1a2b");
        for name in ["policy_rule_uri", "job_policy_rule_uri"] {
            assert_eq!(entry.document[name], "a:1-b");
        }
        for name in ["job_output_data", "node_id", "name", "executor_id", "inputs"] {
            assert!(entry.document.contains_key(name), "{name}");
        }
        for (field, value) in
            [("job_id", json!("")), ("job_status", json!(1)), ("node_id", json!({})), ("policy_rule_uri", json!(5))]
        {
            let mut body = body.clone();
            body[field] = value;
            assert_eq!(parse(body).unwrap_err().field(), field);
        }
        let mut two = body.clone();
        two["job_policy_rule_uri"] = json!("b:1-b");
        assert_eq!(parse(two).unwrap_err().field(), "job_policy_rule_uri");
        let mut none = body;
        none.as_object_mut().unwrap().remove("policy_rule_uri");
        assert_eq!(parse(none).unwrap_err().field(), "policy_rule_uri");
    }
}
