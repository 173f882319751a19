//! Checking a document against a template, while it is read: nothing is built, and nothing allocated for a document
//! that matches.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    template::{Fields, Kind, Node, Number},
    violation::{Found, Path},
};

/// What one check may spend on patterns, in bytes of text matched with a usual one.
const MATCHING: usize = 4 << 20;

/// Checks a document.
pub(super) fn value(node: &Node, document: &Value, found: &mut Found) {
    let done = run(node, document, found);
    note(done, found);
}

/// Checks a document that is JSON text.
pub(super) fn text(node: &Node, text: &str, found: &mut Found) {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Recursion is as deep as the template is, and a template has a bound; what it does not name is skipped without.
    deserializer.disable_recursion_limit();
    let done = run(node, &mut deserializer, found).and_then(|()| deserializer.end());
    note(done, found);
}

fn run<'de, D: Deserializer<'de>>(node: &Node, document: D, found: &mut Found) -> Result<(), D::Error> {
    At { node, path: &Path::Root, state: &mut State { found, matching: MATCHING } }.deserialize(document)
}

/// Notes that a document cannot be read to its end: it has a number that none of ours can hold, for one.
fn note(done: serde_json::Result<()>, found: &mut Found) {
    if let Err(error) = done {
        found.add(String::new, format!("cannot be checked: {error}"));
    }
}

/// What a check has found, and what it may still spend.
struct State<'a> {
    found: &'a mut Found,
    matching: usize,
}

/// A place in the document, and what is expected there.
struct At<'a, 's> {
    node: &'a Node,
    path: &'a Path<'a>,
    state: &'a mut State<'s>,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.node.is_anything() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl At<'_, '_> {
    fn violation(&mut self, message: impl Into<String>) {
        let path = self.path;
        self.state.found.add(|| path.to_string(), message);
    }

    /// Whether a value that is `kind`, or `None` for null, has the right type; notes it if not.
    fn admits(&mut self, kind: Option<Kind>) -> bool {
        let expected = self.node.kind;
        let fits = expected == Kind::Any || kind == Some(expected);
        if !fits {
            let got = match kind {
                None => "null",
                Some(Kind::Boolean) => "a boolean",
                Some(kind) => kind.expected(),
            };
            self.violation(format!("must be {}, not {got}", expected.expected()));
        }
        fits
    }

    fn chosen(&mut self, is_choice: bool) {
        if let Some(choices) = self.node.choices.as_ref().filter(|_| !is_choice) {
            self.violation(choices.message());
        }
    }

    fn string(&mut self, text: &str) {
        if !self.admits(Some(Kind::String)) {
            return;
        }
        if let Some(max) = self.node.max_chars
            // A character has at least one byte.
            && max < text.len()
            && max < text.chars().count()
        {
            self.violation(format!("must have at most {max} characters"));
        }
        if let Some(pattern) = &self.node.pattern {
            let cost = text.len().saturating_mul(pattern.weight as usize);
            match self.state.matching.checked_sub(cost) {
                None => self.violation("cannot be checked: there is too much text to match with patterns"),
                Some(left) => {
                    self.state.matching = left;
                    if !pattern.is_in(text) {
                        self.violation(pattern.message());
                    }
                }
            }
        }
        self.chosen(self.node.choices.as_ref().is_none_or(|choices| choices.has_text(text)));
    }

    fn number(&mut self, number: Number) {
        if !self.admits(Some(Kind::Number)) {
            return;
        }
        if let Some(min) = self.node.min.filter(|min| number.compare(*min).is_lt()) {
            self.violation(format!("must be at least {min}"));
        }
        if let Some(max) = self.node.max.filter(|max| number.compare(*max).is_gt()) {
            self.violation(format!("must be at most {max}"));
        }
        self.chosen(self.node.choices.as_ref().is_none_or(|choices| choices.has_number(number)));
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        if self.admits(Some(Kind::Boolean)) {
            self.chosen(self.node.choices.as_ref().is_none_or(|choices| choices.has_bool(value)));
        }
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.number(Number::Whole(value.into()));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.number(Number::Whole(value.into()));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.number(Number::Float(value));
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.string(value);
        Ok(())
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        if self.admits(None) {
            self.chosen(self.node.choices.as_ref().is_none_or(super::template::Choices::has_null));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let fits = self.admits(Some(Kind::Array));
        if fits {
            // The choices of a field that is a list are those of its elements.
            self.chosen(false);
        }
        let mut n = 0_usize;
        let node = self.node.items.as_deref().filter(|_| fits);
        loop {
            let path = Path::Element(self.path, n);
            let more = match node {
                Some(node) => elements.next_element_seed(At { node, path: &path, state: self.state })?.is_some(),
                None => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
            n = n.saturating_add(1);
        }
        if let Some(max) = self.node.max_elements.filter(|max| fits && *max < n) {
            self.violation(format!("must have at most {max} elements"));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let fits = self.admits(Some(Kind::Object));
        if fits {
            self.chosen(false);
        }
        let mut seen = Seen::default();
        while let Some(place) = members.next_key_seed(Name { fields: &self.node.fields, seen: &mut seen })? {
            let Some(field) = place.filter(|_| fits) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let path = Path::Member(self.path, &field.name);
            members.next_value_seed(At { node: &field.node, path: &path, state: self.state })?;
        }
        if fits {
            self.missing(&seen);
        }
        Ok(())
    }
}

impl At<'_, '_> {
    /// Notes the required fields that were not there.
    fn missing(&mut self, seen: &Seen) {
        let fields = &self.node.fields;
        if seen.n == fields.n_required {
            return;
        }
        for field in fields.required() {
            if !field.required.is_some_and(|position| seen.has(position)) {
                let path = Path::Member(self.path, &field.name);
                self.state.found.add(|| path.to_string(), "is required");
            }
        }
    }
}

/// A member's name on its way to the field that specifies it.
struct Name<'a, 's> {
    fields: &'a Fields,
    seen: &'s mut Seen,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a, '_> {
    type Value = Option<&'a super::template::Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a, '_> {
    type Value = Option<&'a super::template::Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let field = self.fields.get(name);
        if let Some(position) = field.and_then(|field| field.required) {
            self.seen.add(position);
        }
        Ok(field)
    }
}

/// Which of the required fields were there. Allocates only past the first 64.
#[derive(Default)]
struct Seen {
    n: usize,
    first: u64,
    rest: Vec<bool>,
}

impl Seen {
    fn has(&self, position: usize) -> bool {
        match position.checked_sub(64) {
            None => self.first & (1 << position) != 0,
            Some(position) => self.rest.get(position).copied().unwrap_or(false),
        }
    }

    fn add(&mut self, position: usize) {
        if self.has(position) {
            return;
        }
        self.n = self.n.saturating_add(1);
        match position.checked_sub(64) {
            None => self.first |= 1 << position,
            Some(position) => {
                self.rest.resize(self.rest.len().max(position.saturating_add(1)), false);
                if let Some(seen) = self.rest.get_mut(position) {
                    *seen = true;
                }
            }
        }
    }
}
