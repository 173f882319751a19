//! The field language of AIOS templates: a map from names to what each field must be.
//!
//! `pattern` is read and not checked: a regular-expression engine would be most of this policy.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What the fields of an object must be.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields(BTreeMap<String, Field>);

/// What one field must be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Field {
    #[serde(rename = "type")]
    kind: Kind,
    required: Required,
    default: Option<Value>,
    choices: Option<Vec<Value>>,
    min: Option<f64>,
    max: Option<f64>,
    /// The most characters of a text.
    length: Option<usize>,
    /// The most elements of an array.
    max_length: Option<usize>,
    items: Option<Box<Field>>,
    properties: Fields,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    String,
    Number,
    Boolean,
    Array,
    Object,
    #[default]
    Any,
}

/// On a field whether it must be there; on an object also which of its fields must.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Required {
    Itself(bool),
    Names(Vec<String>),
}

impl Default for Required {
    fn default() -> Self {
        Self::Itself(false)
    }
}

/// What is wrong with a field.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The way to it, with dots.
    pub(crate) field: String,
    pub(crate) what: String,
}

impl Fields {
    /// Gives the fields that are absent their defaults.
    pub(crate) fn fill_in(&self, object: &mut Map<String, Value>) {
        for (name, field) in &self.0 {
            if let (None, Some(default)) = (object.get(name), &field.default) {
                object.insert(name.clone(), default.clone());
            }
            if let Some(Value::Object(inner)) = object.get_mut(name) {
                field.properties.fill_in(inner);
            }
        }
    }

    /// Everything that is wrong with `object`.
    pub(crate) fn check(&self, object: &Map<String, Value>, deny_unknown: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_object(object, "", &[], &mut problems);
        if deny_unknown {
            let unknown = object.keys().filter(|name| !self.0.contains_key(*name));
            problems.extend(unknown.map(|name| Problem { field: name.clone(), what: "is unknown".to_owned() }));
        }
        problems
    }

    fn check_object(&self, object: &Map<String, Value>, path: &str, required: &[String], problems: &mut Vec<Problem>) {
        for (name, field) in &self.0 {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match object.get(name) {
                Some(value) => field.check(value, &path, problems),
                None if field.is_required() || required.contains(name) => {
                    problems.push(Problem { field: path, what: "is missing".to_owned() });
                }
                None => {}
            }
        }
    }
}

impl Field {
    fn is_required(&self) -> bool {
        matches!(self.required, Required::Itself(true))
    }

    fn check(&self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        if let Some(what) = self.problem(value) {
            problems.push(Problem { field: path.to_owned(), what });
            return;
        }
        match value {
            Value::Array(elements) => {
                for (idx, element) in elements.iter().enumerate() {
                    if let Some(items) = &self.items {
                        items.check(element, &format!("{path}.{idx}"), problems);
                    }
                }
            }
            Value::Object(object) => {
                let required = match &self.required {
                    Required::Names(names) => names.as_slice(),
                    Required::Itself(_) => &[],
                };
                self.properties.check_object(object, path, required, problems);
            }
            _ => {}
        }
    }

    /// What is wrong with the value itself, whatever is inside.
    fn problem(&self, value: &Value) -> Option<String> {
        if !self.kind.fits(value) {
            return Some(format!("is not {}", self.kind.name()));
        }
        self.choice_problem(value).or_else(|| match value {
            Value::Number(number) => self.bound_problem(number.as_f64()?),
            Value::String(text) => self.length.filter(|max| text.chars().count() > *max).map(too_long),
            Value::Array(elements) => self.max_length.filter(|max| elements.len() > *max).map(too_long),
            _ => None,
        })
    }

    /// On an array, `choices` are those of its elements.
    fn choice_problem(&self, value: &Value) -> Option<String> {
        let choices = self.choices.as_ref()?;
        let fits = match value {
            Value::Array(elements) => elements.iter().all(|element| choices.contains(element)),
            other => choices.contains(other),
        };
        (!fits).then(|| "is none of the choices".to_owned())
    }

    fn bound_problem(&self, number: f64) -> Option<String> {
        let below = self.min.filter(|min| number < *min).map(|min| format!("is below {min}"));
        below.or_else(|| self.max.filter(|max| number > *max).map(|max| format!("is above {max}")))
    }
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Any => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::Any => "anything",
        }
    }
}

fn too_long(max: usize) -> String {
    format!("is longer than {max}")
}
