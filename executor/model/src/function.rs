//! The record of a function: a policy deployed to stay.

use serde_json::Value;

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

/// Reads the record of a function. Its id is the name that it is deployed under.
pub fn parse(body: Value) -> Result<Entry, FieldError> {
    let mut document = object(body, "a function")?;
    let warnings = unknown(&document, |name| FIELDS.iter().any(|field| field.name == name));
    complete(&mut document, &FIELDS)?;
    let id = text(&document, "function_id")?.to_owned();
    Ok(Entry { id, document, warnings })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_has_the_fields_of_the_original() {
        let body = json!({
            "function_id": "check-ip-fn", "function_executor_id": "executor-001", "function_executor_uri": "",
            "function_policy_rule_uri": "a:1-b", "function_policy_data": {"name": "a"}
        });
        let entry = parse(body.clone()).unwrap();
        assert_eq!(entry.id, "check-ip-fn");
        assert_eq!((&entry.document["function_tags"], &entry.document["function_metadata"]), (&json!([]), &json!({})));
        for (field, value) in [
            ("function_id", json!("")),
            ("function_executor_id", json!(1)),
            ("function_tags", json!("a,b")),
            ("function_metadata", json!([])),
            ("function_policy_data", json!("a:1-b")),
        ] {
            let mut body = body.clone();
            body[field] = value;
            assert_eq!(parse(body).unwrap_err().field(), field);
        }
    }
}
