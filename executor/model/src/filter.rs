//! The filter language of the registries' `query` routes: MongoDB's, over JSON documents.
//!
//! A filter is an object. Its keys are dotted paths, each with a value that the document has there or with an object of
//! operators; or `$and`, `$or`, `$nor` with lists of filters. All of its keys must hold.
//!
//! | operator | asks for |
//! |---|---|
//! | `$eq` `$ne` `$in` `$nin` | equality, by value: `1` and `1.0` are equal, and `null` is also a field that is missing |
//! | `$gt` `$gte` `$lt` `$lte` | a range, within one type only |
//! | `$exists` `$type` | presence; types by name or number |
//! | `$regex` with `$options` | a pattern in a string, unanchored, in linear time; letters i, m, s, x |
//! | `$all` `$elemMatch` `$size` | lists |
//! | `$mod` | `[divisor, remainder]` of the whole part of a number |
//! | `$not` | negates the operators under it |
//!
//! A path that ends at a list is matched by each of its elements and by the list as a whole, and each operator by
//! itself: `{"a": {"$gt": 1, "$lt": 3}}` matches `{"a": [0, 5]}`. `$ne`, `$nin` and `$not` negate the whole, so they
//! match where the field is missing. How paths lead through lists stands in `path.rs`, the order of values in
//! `compare.rs`.
//!
//! Differences from MongoDB: the order of an object's keys has no meaning; patterns are those of the `regex` crate; a key
//! that begins with `$` within a value that is compared with is an error, where MongoDB takes it for the name of a field;
//! `$where`, `$expr` and what else runs code or searches texts and places is unknown.
//!
//! Source: MongoDB manual, "Query Predicates"; where that leaves something open, the behaviour of its server.

mod condition;
mod elements;
mod kind;
mod narrow;
mod parse;
mod pattern;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(crate) use self::elements::Elements;
pub use self::narrow::{Bound, Narrow, Test, strings};
use self::{condition::Clause, parse::Parser};
use crate::{compare::type_name, field::FieldError, path::Holder};

/// A query over documents, parsed once.
#[derive(Clone, Debug)]
pub struct Filter {
    clause: Clause,
    fields: BTreeSet<String>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// For a body that is no object, an operator that is unknown or misplaced, an operand that is not what its
    /// operator takes, and more than 1000 conditions; at the dotted path within the filter.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        let Value::Object(fields) = body else {
            let message = format!("the body must be a JSON object, a filter, not {}", type_name(body));
            return Err(FieldError::new("", message));
        };
        let clause = Parser::default().filter(fields)?;
        let mut fields = BTreeSet::new();
        collect_fields(&clause, &mut fields);
        Ok(Self { clause, fields })
    }

    /// Whether `document` matches.
    pub fn matches(&self, document: &Map<String, Value>) -> bool {
        self.clause.matches(Holder::Fields(document))
    }

    /// The top-level fields that the verdict depends on: a scan need not read the others.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    /// What an index can use. Never loses a match.
    pub fn narrow(&self) -> Narrow {
        let mut bounds = Vec::new();
        narrow::of_clause(&self.clause, &mut bounds);
        Narrow { bounds }
    }
}

impl Default for Filter {
    /// The filter that every document matches.
    fn default() -> Self {
        Self { clause: Clause::All(Vec::new()), fields: BTreeSet::new() }
    }
}

fn collect_fields(clause: &Clause, fields: &mut BTreeSet<String>) {
    match clause {
        Clause::All(inner) | Clause::Any(inner) | Clause::Neither(inner) => {
            inner.iter().for_each(|clause| collect_fields(clause, fields));
        }
        Clause::At(path, _) => {
            fields.insert(path.top().to_owned());
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
