//! Documents.

use lictor_model::json::{self, JsonError, MAX_DEPTH};
use serde_json::Value;

/// What is read was JSON of no more than the depth that is allowed, and is the same when it is written and read again.
pub(crate) fn json(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (checked, parsed) = (json::check(text), json::parse(text));
    assert_eq!(checked == Err(JsonError::TooDeep), parsed == Err(JsonError::TooDeep));
    if let Ok(value) = parsed {
        assert_eq!(checked, Ok(()));
        assert!(depth(&value) <= MAX_DEPTH);
        assert_eq!(json::parse(&value.to_string()), Ok(value));
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
