//! The graph of the schemas in a JSON Schema: which look at the same value, which at what is in it.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::{Map, Value};

use crate::{
    field::{FieldError, shorten},
    schema::budget::count,
};

/// Levels of schemas and references inside each other.
const MAX_NESTING: usize = 200;

/// A schema in the graph of schemas.
#[derive(Default)]
pub(super) struct Part {
    /// Its own parts that look at a value.
    pub(super) own: u64,
    /// Its own patterns.
    pub(super) patterns: u64,
    /// Schemas for the same value.
    pub(super) in_place: Vec<usize>,
    /// Schemas for members: of different ones, and of all.
    pub(super) of_each: Vec<usize>,
    pub(super) of_all: Vec<usize>,
    /// Schemas for elements, likewise.
    pub(super) of_each_element: Vec<usize>,
    pub(super) of_all_elements: Vec<usize>,
}

pub(super) struct Graph<'a> {
    root: &'a Value,
    draft: Draft,
    anchors: HashMap<&'a str, &'a Value>,
    known: HashMap<*const Value, usize>,
    pub(super) parts: Vec<Part>,
    pub(super) n_patterns: usize,
}

impl<'a> Graph<'a> {
    /// Finds anchors and patterns wherever they are, and what would change the meaning of references.
    pub(super) fn survey(schema: &'a Value, draft: Draft) -> Result<Self, FieldError> {
        let (anchors, known) = (HashMap::new(), HashMap::new());
        let mut res = Self { root: schema, draft, anchors, known, parts: Vec::new(), n_patterns: 0 };
        let mut rest = vec![schema];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(elements) => rest.extend(elements),
                Value::Object(members) => {
                    res.survey_object(members, std::ptr::eq(value, schema))?;
                    if let Some(anchor) = members.get("$anchor").and_then(Value::as_str)
                        && res.anchors.insert(anchor, value).is_some()
                    {
                        let why = format!("there are two schemas with the `$anchor` `{}`", shorten(anchor, 60));
                        return Err(FieldError::new("", why));
                    }
                    rest.extend(members.values());
                }
                _ => {}
            }
        }
        Ok(res)
    }

    fn survey_object(&mut self, members: &Map<String, Value>, is_root: bool) -> Result<(), FieldError> {
        let has = |name: &str| members.get(name).is_some_and(Value::is_string);
        let id = if self.draft == Draft::Draft4 { "id" } else { "$id" };
        let refused = [("$dynamicRef", true), ("$recursiveRef", true), (id, !is_root)];
        if let Some((name, _)) = refused.iter().find(|(name, refused)| *refused && has(name)) {
            let why = "cannot be used here: refer with `$ref` and a path in this schema, such as `#/$defs/name`";
            return Err(FieldError::new(*name, why));
        }
        self.n_patterns = self.n_patterns.saturating_add(patterns_of(members));
        Ok(())
    }

    /// The schema `value`, which stands at `path`, with everything that it refers to.
    pub(super) fn part(&mut self, value: &'a Value, path: &str, nesting: usize) -> Result<usize, FieldError> {
        if let Some(idx) = self.known.get(&std::ptr::from_ref(value)) {
            return Ok(*idx);
        }
        if MAX_NESTING < nesting {
            return Err(FieldError::new("", format!("is nested deeper than {MAX_NESTING} schemas")));
        }
        let idx = self.parts.len();
        self.parts.push(Part::default());
        self.known.insert(std::ptr::from_ref(value), idx);
        let mut part = Part { own: 1, ..Part::default() };
        if let Value::Object(members) = value {
            part.patterns = patterns_of(members) as u64;
            for (name, value) in members {
                let path = if path.is_empty() { shorten(name, 60) } else { format!("{path}.{}", shorten(name, 60)) };
                self.keyword(&mut part, name, value, &path, nesting + 1)?;
            }
        }
        if let Some(place) = self.parts.get_mut(idx) {
            *place = part;
        }
        Ok(idx)
    }

    fn keyword(
        &mut self,
        part: &mut Part,
        name: &str,
        value: &'a Value,
        path: &str,
        nesting: usize,
    ) -> Result<(), FieldError> {
        let into = match name {
            "$ref" => {
                let target = self.target(value, path)?;
                part.in_place.push(self.part(target, path, nesting)?);
                return Ok(());
            }
            "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas" | "dependencies" => {
                &mut part.in_place
            }
            "properties" => &mut part.of_each,
            "patternProperties" | "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
                &mut part.of_all
            }
            "prefixItems" => &mut part.of_each_element,
            "items" if value.is_array() => &mut part.of_each_element,
            "items" | "additionalItems" | "unevaluatedItems" | "contains" => &mut part.of_all_elements,
            // Not looked at but by reference.
            "$defs" | "definitions" => return Ok(()),
            _ => {
                part.own = part.own.saturating_add(count(value, usize::MAX) as u64);
                return Ok(());
            }
        };
        let is_map = matches!(name, "properties" | "patternProperties" | "dependentSchemas" | "dependencies");
        let schemas: Vec<_> = match value {
            Value::Object(members) if is_map => {
                members.iter().map(|(name, value)| (shorten(name, 60), value)).collect()
            }
            Value::Array(elements) => {
                elements.iter().enumerate().map(|(idx, value)| (idx.to_string(), value)).collect()
            }
            _ => {
                into.push(self.part(value, path, nesting)?);
                return Ok(());
            }
        };
        for (name, value) in schemas {
            into.push(self.part(value, &format!("{path}.{name}"), nesting)?);
        }
        Ok(())
    }

    /// What a `$ref` refers to.
    fn target(&self, reference: &'a Value, path: &str) -> Result<&'a Value, FieldError> {
        let wrong = |why: String| FieldError::new(path, why);
        let text = reference.as_str().ok_or_else(|| wrong("must be a string".into()))?;
        let own = self.root.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#'));
        let inside = own.and_then(|id| text.strip_prefix(id)).unwrap_or(text);
        let shown = shorten(text, 100);
        if inside.is_empty() || inside == "#" {
            return Ok(self.root);
        }
        let Some(fragment) = inside.strip_prefix('#') else {
            return Err(wrong(format!(
                "must refer into the schema itself, as `#/$defs/name` does: `{shown}` is not fetched"
            )));
        };
        if fragment.contains('%') {
            return Err(wrong(format!("must be written without `%`: `{shown}`")));
        }
        let found =
            if fragment.starts_with('/') { self.root.pointer(fragment) } else { self.anchors.get(fragment).copied() };
        found.ok_or_else(|| wrong(format!("refers to `{shown}`, which is not in the schema")))
    }

    /// The parts, each after those that it applies to the same value.
    pub(super) fn order(&self) -> Result<Vec<usize>, FieldError> {
        let mut order = Vec::with_capacity(self.parts.len());
        // For each part how many of its own have been gone through; none before it was met.
        let mut progress: Vec<Option<usize>> = vec![None; self.parts.len()];
        for start in 0..self.parts.len() {
            let mut stack = vec![start];
            while let Some(&idx) = stack.last() {
                let Some((part, place)) = self.parts.get(idx).zip(progress.get_mut(idx)) else { break };
                let n = place.unwrap_or(0);
                match part.in_place.get(n) {
                    // Met before and gone through.
                    _ if n == usize::MAX => drop(stack.pop()),
                    Some(&next) => {
                        *place = Some(n + 1);
                        match progress.get(next).copied().flatten() {
                            None => stack.push(next),
                            Some(usize::MAX) => {}
                            Some(_) => {
                                return Err(FieldError::new(
                                    "",
                                    "has a `$ref` that comes back to itself at the same value",
                                ));
                            }
                        }
                    }
                    None => {
                        *place = Some(usize::MAX);
                        order.push(idx);
                        stack.pop();
                    }
                }
            }
        }
        Ok(order)
    }
}

/// The patterns in a schema itself.
fn patterns_of(members: &Map<String, Value>) -> usize {
    let names = members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    names.saturating_add(usize::from(members.get("pattern").is_some_and(Value::is_string)))
}
