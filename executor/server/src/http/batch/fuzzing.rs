//! What must hold for any body of a batch.

use lictor_model::json;
use serde_json::Value;

use super::{
    super::{body, execute::fuzzing::value},
    inputs::Batch,
};

/// Its inputs are those that a parser finds.
pub fn batch(data: &[u8]) {
    let Ok(text) = body::object(data) else { return };
    let Ok(batch) = Batch::parse(text.to_owned()) else { return };
    let Some(value) = value(data) else { return };
    let inputs: Vec<_> = (0..batch.len()).filter_map(|at| json::parse(batch.input(at)).ok()).collect();
    assert_eq!(value.get("inputs"), Some(&inputs.into()));
    assert_eq!(value.get("policy_rule_uri").and_then(Value::as_str), Some(batch.uri()));
    let parameters = batch.parameters().and_then(|text| json::parse(text).ok()).unwrap_or_default();
    assert_eq!(value.get("parameters").cloned().unwrap_or_default(), parameters);
}
