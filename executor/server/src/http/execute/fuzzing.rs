//! What must hold for any body of a call.

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::{Request, header::CONTENT_TYPE};
use lictor_model::json;
use serde_json::Value;

use super::{super::body, Body};

/// What is taken for JSON is JSON, what is taken as an object is one, and where a call finds its fields, whoever reads a
/// whole body finds the same.
pub fn body(data: &[u8]) {
    if let Ok(text) = body::any(data) {
        assert!(json::check(text).is_ok());
    }
    let value = value(data);
    let Ok(text) = body::object(data) else { return assert_eq!(value, None) };
    let Ok(call) = serde_json::from_str::<Body<'_>>(text) else { return };
    assert!(json::check(text).is_ok());
    // What is left as text may hold what a value cannot, a number that is too large.
    let Some(value) = value else { return };
    for (name, raw) in
        [("policy_rule_uri", call.policy_rule_uri), ("input_data", call.input_data), ("parameters", call.parameters)]
    {
        assert_eq!(
            raw.map(|raw| json::parse(raw.get()).ok()),
            value.get(name).map(|value| Some(value.clone())),
            "{name}"
        );
    }
    if let Ok(uri) = call.uri() {
        assert_eq!(value.get("policy_rule_uri").and_then(Value::as_str), Some(&*uri));
    }
    if let Ok(parameters) = call.parameters() {
        assert_eq!(parameters.is_some(), value.get("parameters").is_some_and(Value::is_object));
    }
}

/// The body as those routes read it whose fields are all ours.
pub(in super::super) fn value(data: &[u8]) -> Option<Value> {
    let body = Full::new(Bytes::copy_from_slice(data));
    let request = Request::builder().header(CONTENT_TYPE, "application/json").body(body).ok()?;
    let value = body::read_value(request, data.len()).now_or_never()?.ok()?;
    assert!(value.is_object() && json::parse(&value.to_string()).as_ref() == Ok(&value));
    Some(value)
}
