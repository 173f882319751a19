//! What a JSON Schema costs to check, told before it is.
//!
//! Schemas refer to schemas, so a small one can stand for an endless one, and two references to the same thing in each
//! of thirty steps for a billion. This finds how many parts of a schema look at one value, and how many patterns are
//! matched with one text, by how deeply the document is nested. Two members of an object are two values, so of what is
//! said about different ones only the most counts; what is said about elements does not add to what is said about
//! members, since no value has both.

mod graph;

use jsonschema::Draft;
use serde_json::Value;

use self::graph::{Graph, Part};
use crate::{field::FieldError, json::MAX_DEPTH};

/// Parts of a schema that look at one value in one place.
const MAX_IN_PLACE: u64 = 10_000;

/// What a schema costs.
#[derive(Debug)]
pub(super) struct Cost {
    parts: Table,
    patterns: Table,
    /// Patterns that stand in it.
    pub(super) n_patterns: usize,
}

/// How many things look at one value.
#[derive(Debug)]
struct Table {
    /// By levels below, at most; the last holds for all further ones.
    at: Vec<u64>,
    /// At most, where the results for lists and objects are kept, as they are when it is only asked whether a document
    /// matches.
    remembered: u64,
}

impl Cost {
    /// Finds it. Refuses what cannot be told, or is too much.
    pub(super) fn of(schema: &Value, draft: Draft) -> Result<Self, FieldError> {
        let mut graph = Graph::survey(schema, draft)?;
        let root = graph.part(schema, "", 0)?;
        let order = graph.order()?;
        let parts = Table::of(&graph.parts, &order, root, |part| part.own)?;
        let patterns = Table::of(&graph.parts, &order, root, |part| part.patterns)?;
        Ok(Self { parts, patterns, n_patterns: graph.n_patterns })
    }

    /// Parts that look at a value when every violation is looked for, in a document that is nested so deeply.
    pub(super) fn detailed(&self, height: usize) -> u64 {
        self.parts.at(height)
    }

    /// Parts that look at a value when it is only asked whether it matches.
    pub(super) fn plain(&self, height: usize) -> u64 {
        self.parts.at(height).min(self.parts.remembered)
    }

    /// Patterns that are matched with a text then.
    pub(super) fn matched(&self, height: usize) -> u64 {
        self.patterns.at(height).min(self.patterns.remembered)
    }
}

impl Table {
    fn of(parts: &[Part], order: &[usize], root: usize, own: impl Fn(&Part) -> u64) -> Result<Self, FieldError> {
        let mut row = vec![0; parts.len()];
        for &idx in order {
            let cost = parts.get(idx).map_or(0, |part| sum(&part.in_place, &row).saturating_add(own(part)));
            set(&mut row, idx, cost);
        }
        let in_place = row.iter().copied().max().unwrap_or(0);
        if MAX_IN_PLACE < in_place {
            let why = format!("has references that put more than {MAX_IN_PLACE} schemas in one place");
            return Err(FieldError::new("", why));
        }
        let mut at = vec![get(&row, root)];
        while at.len() <= MAX_DEPTH {
            let next = below(parts, &row, order);
            if next == row {
                break;
            }
            let most = at.last().copied().unwrap_or(0).max(get(&next, root));
            at.push(most);
            row = next;
        }
        Ok(Self { at, remembered: in_place.saturating_mul(parts.len() as u64) })
    }

    fn at(&self, height: usize) -> u64 {
        self.at.get(height).or(self.at.last()).copied().unwrap_or(1)
    }
}

/// From what the parts cost at one depth to what they cost one level further down.
fn below(parts: &[Part], row: &[u64], order: &[usize]) -> Vec<u64> {
    let (mut members, mut elements) = (vec![0; row.len()], vec![0; row.len()]);
    for &idx in order {
        let Some(part) = parts.get(idx) else { continue };
        let of_members = sum(&part.in_place, &members).saturating_add(most(&part.of_each, row));
        set(&mut members, idx, of_members.saturating_add(sum(&part.of_all, row)));
        let of_elements = sum(&part.in_place, &elements).saturating_add(most(&part.of_each_element, row));
        set(&mut elements, idx, of_elements.saturating_add(sum(&part.of_all_elements, row)));
    }
    members.iter().zip(&elements).map(|(members, elements)| *members.max(elements)).collect()
}

fn get(row: &[u64], idx: usize) -> u64 {
    row.get(idx).copied().unwrap_or(0)
}

fn set(row: &mut [u64], idx: usize, cost: u64) {
    if let Some(place) = row.get_mut(idx) {
        *place = cost;
    }
}

fn sum(parts: &[usize], row: &[u64]) -> u64 {
    parts.iter().fold(0, |total, idx| total.saturating_add(get(row, *idx)))
}

fn most(parts: &[usize], row: &[u64]) -> u64 {
    parts.iter().map(|idx| get(row, *idx)).max().unwrap_or(0)
}
