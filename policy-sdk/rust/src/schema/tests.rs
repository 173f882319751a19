use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Schemas, schema_of, section, section_length};
use crate::{Context, Empty, Failure, Policy, Raw, Schema};

#[track_caller]
fn check<T: Schema>(expected: &Value) {
    let text = schema_of::<T>();
    assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(expected), "{text}");
}

#[derive(Deserialize, Serialize, Schema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "described, never read")]
struct Everything<'a> {
    /// Says "what" it is,
    /// on two lines.
    #[schema(pattern = r"^\d+$", max_length = 3)]
    some_text: String,
    #[schema(min = -1.5, max = 10)]
    ratio: f64,
    #[schema(description = "how often")]
    count: u8,
    offset: i32,
    #[serde(borrow)]
    borrowed: &'a str,
    #[serde(default)]
    on: bool,
    maybe: Option<Vec<u64>>,
    #[schema(pattern = "^a", max_length = 2)]
    names: Vec<String>,
    weights: BTreeMap<String, f32>,
    anything: Value,
    #[serde(rename = "kind")]
    shade: Shade,
    maybe_shade: Option<Shade>,
    nested: Box<Inner>,
    #[serde(skip)]
    hidden: Vec<u8>,
    #[schema(as = Option<String>)]
    passed_on: Raw<Inner>,
}

#[derive(Deserialize, Serialize, Schema)]
#[serde(rename_all = "kebab-case")]
enum Shade {
    DarkRed,
    #[serde(rename = "BLUE")]
    Blue,
}

#[derive(Default, Deserialize, Serialize, Schema)]
#[serde(default)]
struct Inner {
    depth: usize,
}

#[derive(Deserialize, Serialize, Schema)]
struct Wrapped(Inner);

#[test]
fn describes_everything_that_can_be_derived() {
    check::<Everything<'_>>(&json!({
        "type": "object",
        "properties": {
            "someText": {"description": "Says \"what\" it is,\non two lines.", "type": "string", "pattern": "^\\d+$", "maxLength": 3},
            "ratio": {"type": "number", "minimum": -1.5, "maximum": 10},
            "count": {"description": "how often", "type": "integer", "minimum": 0},
            "offset": {"type": "integer"},
            "borrowed": {"type": "string"},
            "on": {"type": "boolean"},
            "maybe": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
            "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^a"}},
            "weights": {"type": "object", "additionalProperties": {"type": "number"}},
            "anything": {},
            "kind": {"enum": ["dark-red", "BLUE"]},
            "maybeShade": {"enum": ["dark-red", "BLUE", null]},
            "nested": {"type": "object", "properties": {"depth": {"type": "integer", "minimum": 0}}},
            "passedOn": {"type": ["string", "null"]},
        },
        "required": ["someText", "ratio", "count", "offset", "borrowed", "names", "weights", "anything", "kind", "nested"],
        "additionalProperties": false,
    }));
}

#[test]
fn describes_wrappers_as_what_they_hold() {
    check::<Wrapped>(&json!({"type": "object", "properties": {"depth": {"type": "integer", "minimum": 0}}}));
    check::<Raw<Shade>>(&json!({"enum": ["dark-red", "BLUE"]}));
    check::<Empty>(&json!({"type": "object", "properties": {}}));
}

struct Nothing;

impl Policy for Nothing {
    type Settings = Empty;
    type Parameters = Empty;
    type Input = Value;
    type Output = bool;

    fn new(_: &str, _: Empty, _: Empty) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn eval(&mut self, _: Option<Empty>, _: Value, _: &mut Context) -> Result<bool, Failure> {
        Ok(true)
    }
}

crate::export!(Nothing);

#[test]
fn section_holds_the_four_schemas() {
    const LENGTH: usize = section_length(&Schemas::of::<Nothing>());
    const SECTION: [u8; LENGTH] = section(&Schemas::of::<Nothing>());
    assert_eq!(
        str::from_utf8(&SECTION),
        Ok(
            r#"{"settings":{"type":"object","properties":{}},"parameters":{"type":"object","properties":{}},"input":{},"output":{"type":"boolean"}}"#
        )
    );
}
