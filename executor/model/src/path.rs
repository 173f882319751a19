//! Dotted paths into documents, and where they lead.
//!
//! As in MongoDB a path leads through the elements of lists: `a.b` is the `b` of every object in the list `a`, and
//! `a.0` the list's first element (also the field `0` of each object in it). A path may therefore lead to several
//! values; where it leads to nothing, that counts as a missing value, but not for elements of a list that are no
//! objects.
//!
//! Source: MongoDB manual, "Query an Array of Embedded Documents", and the behaviour of its server.

use serde_json::{Map, Value};

use crate::field::{FieldError, shorten};

/// No document is nested deeper, so a longer path leads nowhere.
const MAX_PARTS: usize = 128;

/// A dotted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    parts: Vec<Part>,
}

/// What stands between two dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// As the name of a field.
    pub(crate) name: String,
    /// As a position in a list, if it is one.
    pub(crate) position: Option<usize>,
}

/// What a path starts from.
#[derive(Clone, Copy)]
pub(crate) enum Holder<'a> {
    /// An object.
    Fields(&'a Map<String, Value>),
    /// A list taken as an object whose fields are named by position.
    Elements(&'a [Value]),
}

/// What is looked at when a path ends at a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtList {
    /// Each element, then the list.
    Both,
    /// The list alone.
    Whole,
    /// Each element alone.
    Elements,
}

impl Path {
    /// Reads a path.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let wrong = |message: &str| Err(FieldError::new(shown(text), message));
        let parts: Vec<Part> = text.split('.').map(Part::new).collect();
        if parts.iter().any(|part| part.name.is_empty()) {
            return wrong("is not a dotted path: a part of it is empty");
        }
        if MAX_PARTS < parts.len() {
            return wrong("leads deeper than any document is nested");
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands between the dots; there is at least one part.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The first part: a field of the document.
    pub(crate) fn top(&self) -> &str {
        self.parts.first().map_or("", |part| &part.name)
    }

    /// Whether any value that this leads to passes `test`, which gets none for a missing value.
    pub(crate) fn any<'a, F>(&self, from: Holder<'a>, at_list: AtList, test: &mut F) -> bool
    where
        F: FnMut(Option<&'a Value>) -> bool,
    {
        in_holder(from, &self.parts, at_list, test)
    }
}

impl Part {
    fn new(text: &str) -> Self {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        Self { name: text.to_owned(), position: plain.then(|| text.parse().ok()).flatten() }
    }
}

impl<'a> Holder<'a> {
    fn get(self, part: &Part) -> Option<&'a Value> {
        match self {
            Self::Fields(fields) => fields.get(&part.name),
            Self::Elements(all) => all.get(part.position?),
        }
    }
}

/// A path as the field of an error: whole unless it is of unreasonable length.
pub(crate) fn shown(path: &str) -> String {
    const LONG: usize = 200;
    if path.chars().nth(LONG).is_some() { shorten(path, LONG) } else { path.to_owned() }
}

/// Whether a value that a path ends at passes `test`, itself or by its elements.
pub(crate) fn reached<'a, F>(value: &'a Value, at_list: AtList, test: &mut F) -> bool
where
    F: FnMut(Option<&'a Value>) -> bool,
{
    match value {
        Value::Array(all) if at_list != AtList::Whole => {
            all.iter().any(|element| test(Some(element))) || (at_list == AtList::Both && test(Some(value)))
        }
        _ => test(Some(value)),
    }
}

fn in_holder<'a, F>(from: Holder<'a>, parts: &[Part], at_list: AtList, test: &mut F) -> bool
where
    F: FnMut(Option<&'a Value>) -> bool,
{
    let Some((first, rest)) = parts.split_first() else { return false };
    match from.get(first) {
        Some(value) if rest.is_empty() => reached(value, at_list, test),
        Some(Value::Array(all)) => in_list(all, rest, at_list, test),
        Some(Value::Object(fields)) => in_holder(Holder::Fields(fields), rest, at_list, test),
        _ => test(None),
    }
}

fn in_list<'a, F>(all: &'a [Value], parts: &[Part], at_list: AtList, test: &mut F) -> bool
where
    F: FnMut(Option<&'a Value>) -> bool,
{
    let Some((first, rest)) = parts.split_first() else { return false };
    all.iter().enumerate().any(|(idx, element)| {
        if let Value::Object(fields) = element
            && in_holder(Holder::Fields(fields), parts, at_list, test)
        {
            return true;
        }
        match element {
            _ if first.position != Some(idx) => false,
            // A list that is named by its position is looked at as a whole.
            _ if rest.is_empty() => test(Some(element)),
            Value::Object(fields) => in_holder(Holder::Fields(fields), rest, at_list, test),
            Value::Array(inner) => in_list(inner, rest, at_list, test),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn check(document: Value, path: &str, at_list: AtList, expected: &[Value]) {
        let (path, mut found) = (Path::parse(path).unwrap(), Vec::new());
        path.any(Holder::Fields(document.as_object().unwrap()), at_list, &mut |value: Option<&Value>| {
            found.push(value.cloned().unwrap_or(json!("(missing)")));
            false
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn leads_through_objects_and_lists() {
        let missing = json!("(missing)");
        check(json!({"a": {"b": 1}}), "a.b", AtList::Both, &[json!(1)]);
        check(json!({"a": 4}), "a.b", AtList::Both, std::slice::from_ref(&missing));
        check(json!({}), "a.b", AtList::Both, std::slice::from_ref(&missing));
        check(json!({"a": []}), "a.b", AtList::Both, &[]);
        check(json!({"a": [1, {"b": 2}, {}]}), "a.b", AtList::Both, &[json!(2), missing.clone()]);
        check(json!({"a": [1, 2]}), "a", AtList::Both, &[json!(1), json!(2), json!([1, 2])]);
        check(json!({"a": [1, 2]}), "a", AtList::Whole, &[json!([1, 2])]);
        check(json!({"a": [1, 2]}), "a", AtList::Elements, &[json!(1), json!(2)]);
        check(json!({"a": [5, [6]]}), "a.1", AtList::Both, &[json!([6])]);
        check(json!({"a": [5, [6]]}), "a.1.0", AtList::Both, &[json!(6)]);
        check(json!({"a": [5, [6]]}), "a.01", AtList::Both, &[]);
        check(json!({"a": [{"0": 7}]}), "a.0", AtList::Both, &[json!(7), json!({"0": 7})]);
        check(json!({"a": [{"b": [1, {"c": 2}]}]}), "a.b.c", AtList::Both, &[json!(2)]);
    }

    #[test]
    fn refuses_what_is_no_path() {
        let long = vec!["a"; 200].join(".");
        for text in ["", ".", "a.", ".a", "a..b", &long] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
