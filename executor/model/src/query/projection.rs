//! Which fields of a document a query answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pairs::{Number, Pairs};
use crate::{
    field::{FieldError, shorten},
    path::Part,
};

/// Fields that are kept, or fields that are left out.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    keep: bool,
    fields: Fields,
}

/// Fields by name.
type Fields = BTreeMap<String, Field>;

#[derive(Clone, Debug)]
enum Field {
    /// All of it.
    Whole,
    /// These fields of it.
    Parts(Fields),
}

impl Projection {
    pub(super) fn parse(pairs: &Pairs) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new("projection", message);
        let mut fields = Fields::new();
        for (path, number) in &pairs.0 {
            if *number == Number::MinusOne {
                return Err(wrong(format!("has `{}` with -1: 1 keeps, 0 leaves out", shorten(path.as_str(), 40))));
            }
            if !add(&mut fields, path.parts()) {
                return Err(wrong(format!("names `{}` twice, or a field within it", shorten(path.as_str(), 40))));
            }
        }
        let kept = |number: &Number| *number == Number::One;
        let first = pairs.0.first().is_some_and(|(_, number)| kept(number));
        let other = pairs.0.iter().find(|(_, number)| kept(number) != first);
        if let Some((path, _)) = other {
            let given = shorten(path.as_str(), 40);
            return Err(wrong(format!("both keeps fields and leaves fields out (`{given}`): it must do one")));
        }
        Ok(Self { keep: first, fields })
    }

    /// The top-level fields of which something is kept, if all others go.
    pub(super) fn keeps(&self) -> Option<impl Iterator<Item = &str>> {
        self.keep.then(|| self.fields.keys().map(String::as_str))
    }

    pub(super) fn apply(&self, document: Map<String, Value>) -> Map<String, Value> {
        if self.keep { keep(document, &self.fields) } else { leave_out(document, &self.fields) }
    }
}

/// Whether `parts` could be added: neither they nor anything around or within them are there.
fn add(fields: &mut Fields, parts: &[Part]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return false };
    let known = fields.contains_key(&first.name);
    if rest.is_empty() {
        fields.insert(first.name.clone(), Field::Whole);
        return !known;
    }
    match fields.entry(first.name.clone()).or_insert_with(|| Field::Parts(Fields::new())) {
        Field::Whole => false,
        Field::Parts(inner) => add(inner, rest),
    }
}

fn keep(document: Map<String, Value>, fields: &Fields) -> Map<String, Value> {
    let kept = |(name, value): (String, Value)| {
        let value = match fields.get(&name)? {
            Field::Whole => value,
            Field::Parts(fields) => keep_parts(value, fields)?,
        };
        Some((name, value))
    };
    document.into_iter().filter_map(kept).collect()
}

/// What is left of a value of which only parts are kept: nothing, if it has no parts.
fn keep_parts(value: Value, fields: &Fields) -> Option<Value> {
    match value {
        Value::Object(document) => Some(Value::Object(keep(document, fields))),
        Value::Array(all) => Some(all.into_iter().filter_map(|element| keep_parts(element, fields)).collect()),
        _ => None,
    }
}

fn leave_out(mut document: Map<String, Value>, fields: &Fields) -> Map<String, Value> {
    for (name, field) in fields {
        match (field, document.get_mut(name)) {
            (Field::Whole, _) => drop(document.shift_remove(name)),
            (Field::Parts(fields), Some(value)) => leave_out_parts(value, fields),
            (Field::Parts(_), None) => {}
        }
    }
    document
}

fn leave_out_parts(value: &mut Value, fields: &Fields) {
    match value {
        Value::Object(document) => *document = leave_out(std::mem::take(document), fields),
        Value::Array(all) => all.iter_mut().for_each(|element| leave_out_parts(element, fields)),
        _ => {}
    }
}
