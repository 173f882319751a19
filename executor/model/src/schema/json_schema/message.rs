//! What the library says about a document, in our words: without anything that stands in the document.

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
    paths::{Location, LocationSegment},
};
use serde_json::Value;

use crate::{
    field::shorten,
    schema::{pattern::mismatch, template::shown, violation::Found},
};

/// Notes a violation; one for each member, where it is about several.
pub(super) fn add(error: &ValidationError<'_>, found: &mut Found) {
    let path = || dotted(error.instance_path());
    let member = |name: &str| join(&path(), &shorten(name, 60));
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                found.add(|| member(name), "is not a field that may be there");
            }
        }
        Kind::Required { property } => {
            found.add(|| member(property.as_str().unwrap_or_default()), "is required");
        }
        // The library names the object, and not the field.
        Kind::FalseSchema if error.schema_path().as_str().ends_with("/additionalProperties") => {
            found.add(path, "has a field that may not be there");
        }
        kind => found.add(path, message(kind, error.instance())),
    }
}

fn message(kind: &Kind, value: &Value) -> String {
    match kind {
        Kind::Type { kind } => {
            let expected = expected(kind);
            let integers = expected.contains("integer");
            format!("must be {expected}, not {}", named(value, integers))
        }
        Kind::Pattern { pattern } => mismatch(pattern),
        Kind::Enum { options } => format!("must be one of {}", shown(options.as_array().map_or(&[], Vec::as_slice))),
        Kind::Constant { expected_value } => format!("must be {}", shown(std::slice::from_ref(&**expected_value))),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} elements"),
        Kind::MaxItems { limit } => format!("must have at most {limit} elements"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} elements"),
        Kind::MinProperties { limit } => format!("must have at least {limit} fields"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} fields"),
        Kind::UniqueItems => "must not have two equal elements".into(),
        Kind::Contains => "has too few or too many elements that match `contains`".into(),
        Kind::UnevaluatedItems { .. } => "has elements that may not be there".into(),
        Kind::PropertyNames { .. } => "has a field with a name that may not be there".into(),
        Kind::AnyOf { .. } => "must match one of the schemas of `anyOf`".into(),
        Kind::OneOfNotValid { .. } => "must match one of the schemas of `oneOf`".into(),
        Kind::OneOfMultipleValid { .. } => "must match only one of the schemas of `oneOf`".into(),
        Kind::Not { .. } => "must not match the schema of `not`".into(),
        Kind::FalseSchema => "may not be there".into(),
        other => format!("does not match `{}`", shorten(other.keyword(), 40)),
    }
}

fn expected(kind: &TypeKind) -> String {
    let one = |name: &str| match name {
        "null" => "null".to_owned(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        name @ ("integer" | "object") => format!("an {name}"),
        name => format!("a {name}"),
    };
    match kind {
        TypeKind::Single(kind) => one(kind.as_str()),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| one(kind.as_str())).collect::<Vec<_>>().join(" or "),
    }
}

fn named(value: &Value, integers: bool) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) if integers => "such a number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A location as a dotted path.
pub(super) fn dotted(location: &Location) -> String {
    let mut res = String::new();
    for segment in location.segments() {
        let name = match segment {
            LocationSegment::Property(name) => shorten(&name, 60),
            LocationSegment::Index(idx) => idx.to_string(),
        };
        res = join(&res, &name);
    }
    res
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
