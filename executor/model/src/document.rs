//! What the records of the registries have in common: named fields of known shapes, and others that are kept.
//!
//! A record is kept as the document its author wrote, completed with the defaults of the fields it leaves out. What it
//! must hold is a table of [`Field`]s; what has no row there is kept and named in a warning.

use serde_json::{Map, Value, json};

use crate::field::{FieldError, shorten};

/// A document that passed every check, under the id that it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What names it in its registry.
    pub id: String,
    /// The whole document, normalised.
    pub document: Map<String, Value>,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// A string, or a list of strings.
    TextOrList,
    /// A list of strings.
    Texts,
    /// An object.
    Object,
    /// A list.
    List,
    /// Any value.
    Any,
}

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether a record without it is refused; otherwise it is filled in, empty.
    pub required: bool,
}

/// A field that a record must have.
pub const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

/// A field that a record may leave out.
pub const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

impl Shape {
    /// Checks that `value`, which stands at `path`, is one.
    pub fn check(self, path: &str, value: &Value) -> Result<(), FieldError> {
        if self.admits(value) { Ok(()) } else { Err(FieldError::new(path, format!("must be {}", self.expected()))) }
    }

    fn admits(self, value: &Value) -> bool {
        let texts = || value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
        match self {
            Self::Text => value.is_string(),
            Self::TextOrList => value.is_string() || texts(),
            Self::Texts => texts(),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
            Self::Any => true,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::TextOrList => "a string or a list of strings",
            Self::Texts => "a list of strings",
            Self::Object => "an object",
            Self::List => "a list",
            Self::Any => "any value",
        }
    }

    /// What is read back where the field was left out.
    pub fn default(self) -> Value {
        match self {
            Self::Text | Self::TextOrList => json!(""),
            Self::Object | Self::Any => json!({}),
            Self::List | Self::Texts => json!([]),
        }
    }
}

/// The object that `body` must be; `what` says of what.
pub fn object(body: Value, what: &str) -> Result<Map<String, Value>, FieldError> {
    match body {
        Value::Object(document) => Ok(document),
        _ => Err(FieldError::new("", format!("the body must be a JSON object: {what}"))),
    }
}

/// Checks the fields of `table` and fills in those that may be left out.
pub fn complete(document: &mut Map<String, Value>, table: &[Field]) -> Result<(), FieldError> {
    for field in table {
        match document.get(field.name) {
            Some(value) => field.shape.check(field.name, value)?,
            None if field.required => return Err(FieldError::new(field.name, "is required")),
            None => drop(document.insert(field.name.into(), field.shape.default())),
        }
    }
    Ok(())
}

/// A warning for each field that `known` does not know.
pub fn unknown(document: &Map<String, Value>, known: impl Fn(&str) -> bool) -> Vec<String> {
    let warning = |name: &String| format!("unknown field `{}` is kept and not used", shorten(name, 60));
    document.keys().filter(|name| !known(name)).map(warning).collect()
}

/// The string at `name`, which must be there and not be empty.
pub fn text<'a>(document: &'a Map<String, Value>, name: &str) -> Result<&'a str, FieldError> {
    match document.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) => Err(FieldError::new(name, "must not be empty")),
        Some(_) => Err(FieldError::new(name, "must be a string")),
        None => Err(FieldError::new(name, "is required")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_admits_what_it_says() {
        let values = [json!("a"), json!(["a"]), json!([1]), json!({}), json!(1), json!(null)];
        for (shape, admitted) in [
            (Shape::Text, [true, false, false, false, false, false]),
            (Shape::TextOrList, [true, true, false, false, false, false]),
            (Shape::Texts, [false, true, false, false, false, false]),
            (Shape::List, [false, true, true, false, false, false]),
            (Shape::Object, [false, false, false, true, false, false]),
            (Shape::Any, [true; 6]),
        ] {
            assert!(shape.check("x", &shape.default()).is_ok(), "{shape:?}");
            for (value, admitted) in values.iter().zip(admitted) {
                assert_eq!(shape.check("x", value).is_ok(), admitted, "{shape:?} {value}");
            }
        }
        assert_eq!(Shape::Texts.check("x", &json!({})).unwrap_err().to_string(), "`x` must be a list of strings");
    }

    #[test]
    fn a_record_is_completed_or_refused() {
        let table = [required("a", Shape::Text), optional("b", Shape::List)];
        let mut document = object(json!({"a": "", "c": 1}), "a record").unwrap();
        complete(&mut document, &table).unwrap();
        assert_eq!(Value::Object(document.clone()), json!({"a": "", "b": [], "c": 1}));
        assert_eq!(unknown(&document, |name| name != "c"), ["unknown field `c` is kept and not used"]);
        assert_eq!(complete(&mut Map::new(), &table).unwrap_err().to_string(), "`a` is required");
        assert_eq!(object(json!([]), "a record").unwrap_err().to_string(), "the body must be a JSON object: a record");
        for (body, why) in [(json!({"a": ""}), "must not be empty"), (json!({"a": 1}), "must be a string")] {
            assert_eq!(text(body.as_object().unwrap(), "a").unwrap_err().message(), why);
        }
    }
}
