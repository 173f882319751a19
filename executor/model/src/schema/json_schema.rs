//! Plain JSON Schema, drafts 4 to 2020-12, by `$schema`, or the last of them.
//!
//! Nothing is ever fetched: a `$ref` stays inside the schema. Patterns are of the linear kind, `format` says nothing, as
//! is the default of the last drafts. References by `$anchor` are known; those that move with the document
//! (`$dynamicRef`, `$recursiveRef`) and schemas with an `$id` inside others are refused, since what they cost cannot be
//! told beforehand ([`cost`](super::cost)).

mod message;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use super::{
    budget::{Budget, count},
    cost::Cost,
    pattern::{self, LARGE_WEIGHT},
    violation::{Found, Violation},
};
use crate::{
    field::{FieldError, shorten},
    json,
};

/// Values of a document that are looked at.
const MAX_VALUES: usize = 500_000;
/// What a check may cost, in pairs of a value and a part of the schema.
const MAX_COST: u64 = 1 << 26;
/// What it may cost to find every violation: this does much more than to find whether there is one.
const MAX_DETAILED: u64 = 200_000;
/// What it may cost to match patterns, in bytes of text matched with a usual one.
const MAX_MATCHED: u64 = 4 << 20;

/// Members that say nothing about a document.
const SILENT: [&str; 6] = ["$schema", "$id", "id", "$comment", "title", "description"];

/// A compiled JSON Schema.
#[derive(Debug)]
pub(super) struct JsonSchema {
    validator: Validator,
    cost: Cost,
    /// What matching a byte with a pattern costs.
    weight: u32,
}

/// Whether these are the members of a JSON Schema, and not of a template.
pub(super) fn is_one(members: &Map<String, Value>) -> bool {
    members.contains_key("$schema") || members.get("type").is_some_and(Value::is_string)
}

impl JsonSchema {
    /// Reads a schema; none if every document matches it.
    pub(super) fn parse(
        value: &Value,
        members: &Map<String, Value>,
        budget: &mut Budget,
    ) -> Result<Option<Self>, FieldError> {
        let draft = draft(members)?;
        let cost = Cost::of(value, draft)?;
        budget.take_patterns(cost.n_patterns)?;
        let (validator, weight) = match compile(value, draft, pattern::SMALL) {
            Ok(validator) => (validator, 1),
            Err(error) if !message::dotted(error.instance_path()).contains("attern") => return Err(refused(&error)),
            // A pattern may only be a large one.
            Err(_) => {
                budget.take_patterns(cost.n_patterns.saturating_mul(LARGE_WEIGHT as usize - 1))?;
                (compile(value, draft, pattern::MAX).map_err(|error| refused(&error))?, LARGE_WEIGHT)
            }
        };
        let silent = members.keys().all(|name| SILENT.contains(&name.as_str()));
        Ok((!silent).then_some(Self { validator, cost, weight }))
    }

    pub(super) fn check_text(&self, text: &str) -> Vec<Violation> {
        let separators = text.bytes().filter(|b| matches!(b, b',' | b'[' | b'{')).count();
        if MAX_VALUES < separators {
            return too_large();
        }
        match json::parse(text) {
            Ok(document) => self.check_sized(&document, text.len()),
            Err(error) => one(format!("cannot be checked: it {error}")),
        }
    }

    pub(super) fn check(&self, document: &Value) -> Vec<Violation> {
        self.check_sized(document, text_in(document))
    }

    /// Checks a document that has so many bytes of text.
    fn check_sized(&self, document: &Value, bytes: usize) -> Vec<Violation> {
        let n_values = count(document, usize::MAX);
        let height = height(document);
        let per_value = |cost: u64| cost.saturating_mul(n_values as u64);
        let matched = self.cost.matched(height).saturating_mul(bytes as u64).saturating_mul(self.weight.into());
        if MAX_COST < per_value(self.cost.plain(height)) || MAX_MATCHED < matched {
            return too_large();
        }
        if self.validator.is_valid(document) {
            return Vec::new();
        }
        if MAX_DETAILED < per_value(self.cost.detailed(height)) {
            return one("does not match the schema; it is too large to say where".into());
        }
        let mut found = Found::default();
        for error in self.validator.iter_errors(document) {
            message::add(&error, &mut found);
        }
        found.into_list()
    }
}

fn compile(schema: &Value, draft: Draft, max_pattern: usize) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::regex().size_limit(max_pattern);
    let options = jsonschema::options().offline().with_draft(draft).should_validate_formats(false);
    options.with_pattern_options(patterns).build(schema)
}

fn one(message: String) -> Vec<Violation> {
    vec![Violation { path: String::new(), message }]
}

fn too_large() -> Vec<Violation> {
    one("cannot be checked: it is too large for this schema".into())
}

/// The draft that `$schema` names.
fn draft(members: &Map<String, Value>) -> Result<Draft, FieldError> {
    let Some(uri) = members.get("$schema") else { return Ok(Draft::Draft202012) };
    let wrong = |why: String| FieldError::new("$schema", why);
    let uri = uri.as_str().ok_or_else(|| wrong("must be a string: the URI of a draft of JSON Schema".into()))?;
    let plain = uri.trim_end_matches('#').split_once("://").map_or(uri, |(_, rest)| rest);
    match plain {
        "json-schema.org/draft/2020-12/schema" => Ok(Draft::Draft202012),
        "json-schema.org/draft/2019-09/schema" => Ok(Draft::Draft201909),
        "json-schema.org/draft-07/schema" => Ok(Draft::Draft7),
        "json-schema.org/draft-06/schema" => Ok(Draft::Draft6),
        "json-schema.org/draft-04/schema" => Ok(Draft::Draft4),
        _ => Err(wrong(format!("is no draft of JSON Schema that is known: `{}`", shorten(uri, 100)))),
    }
}

/// Why a schema is none, with the path in it.
fn refused(error: &ValidationError<'_>) -> FieldError {
    let path = message::dotted(error.instance_path());
    let keyword = path.rsplit('.').next().unwrap_or_default();
    let why = match keyword {
        "pattern" => "is not a regular expression of the linear kind, without look-around and back-references, of at \
                      most 512 KiB compiled"
            .to_owned(),
        "type" => {
            "must be `string`, `number`, `integer`, `boolean`, `array`, `object` or `null`, or a list of them".into()
        }
        _ => format!("is not JSON Schema: {}", shorten(&error.to_string(), 200)),
    };
    FieldError::new(path, why)
}

/// The bytes of the strings in `document`.
fn text_in(document: &Value) -> usize {
    let (mut n, mut rest) = (0_usize, vec![document]);
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => n = n.saturating_add(text.len()),
            Value::Array(elements) => rest.extend(elements),
            Value::Object(members) => {
                n = n.saturating_add(members.keys().map(String::len).sum());
                rest.extend(members.values());
            }
            _ => {}
        }
    }
    n
}

/// How deeply `document` is nested.
fn height(document: &Value) -> usize {
    let (mut height, mut rest) = (0, vec![(document, 0_usize)]);
    while let Some((value, depth)) = rest.pop() {
        height = height.max(depth);
        let below = depth.saturating_add(1);
        match value {
            Value::Array(elements) => rest.extend(elements.iter().map(|value| (value, below))),
            Value::Object(members) => rest.extend(members.values().map(|value| (value, below))),
            _ => {}
        }
    }
    height
}
