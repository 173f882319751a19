//! The values that a field may have.

use serde_json::Value;

use super::Number;
use crate::field::{FieldError, shorten};

/// Choices that a message names.
const SHOWN: usize = 10;

/// Some of the values that are neither lists nor objects.
#[derive(Debug, Default)]
pub(in crate::schema) struct Choices {
    /// Sorted.
    texts: Vec<Box<str>>,
    /// Sorted.
    numbers: Vec<Number>,
    /// Whether `false` and `true` are among them.
    booleans: [bool; 2],
    null: bool,
    /// All of them, for messages.
    shown: Box<str>,
}

impl Choices {
    pub(super) fn parse(value: &Value) -> Result<Self, FieldError> {
        let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
            return Err(FieldError::new("", "must be a list of values, with at least one"));
        };
        let mut res = Self::default();
        for (idx, value) in values.iter().enumerate() {
            match value {
                Value::String(text) => res.texts.push(text.as_str().into()),
                Value::Number(_) => res.numbers.push(Number::parse(value)?),
                Value::Bool(false) => res.booleans[0] = true,
                Value::Bool(true) => res.booleans[1] = true,
                Value::Null => res.null = true,
                Value::Array(_) | Value::Object(_) => {
                    return Err(FieldError::new(idx.to_string(), "must be neither a list nor an object"));
                }
            }
        }
        res.texts.sort();
        res.numbers.sort_by(|a, b| a.compare(*b));
        res.shown = shown(values).into();
        Ok(res)
    }

    /// Leaves only what is in both, if there are `others` already.
    pub(super) fn narrow(mut self, others: &mut Option<Self>) {
        if let Some(others) = others.take() {
            self.texts.retain(|text| others.has_text(text));
            self.numbers.retain(|number| others.has_number(*number));
            self.booleans = [false, true].map(|value| self.has_bool(value) && others.has_bool(value));
            self.null &= others.null;
            self.shown = format!("{} that {}", self.shown, others.message()).into();
        }
        *others = Some(self);
    }

    pub(in crate::schema) fn has_text(&self, text: &str) -> bool {
        self.texts.binary_search_by(|choice| (**choice).cmp(text)).is_ok()
    }

    pub(in crate::schema) fn has_number(&self, number: Number) -> bool {
        self.numbers.binary_search_by(|choice| choice.compare(number)).is_ok()
    }

    pub(in crate::schema) fn has_bool(&self, value: bool) -> bool {
        let [no, yes] = self.booleans;
        if value { yes } else { no }
    }

    pub(in crate::schema) fn has_null(&self) -> bool {
        self.null
    }

    /// What a value that is not among them is told.
    pub(in crate::schema) fn message(&self) -> String {
        format!("must be one of {}", self.shown)
    }
}

/// The first of the values, as a reader finds them in the schema.
pub(in crate::schema) fn shown(values: &[Value]) -> String {
    let one = |value: &Value| match value {
        Value::String(text) => format!("`{}`", shorten(text, 40)),
        other => shorten(&other.to_string(), 40),
    };
    let mut res = values.iter().take(SHOWN).map(one).collect::<Vec<_>>().join(", ");
    if let n @ 1.. = values.len().saturating_sub(SHOWN) {
        res.push_str(&format!(" and {n} more"));
    }
    res
}
