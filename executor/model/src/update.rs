//! The update language of the registries' `PUT` routes: a whole document, or MongoDB's update operators.
//!
//! A body of which a key begins with `$` is an update, any other takes the place of the document. The keys of an update
//! are operators, each with an object of dotted paths and operands:
//!
//! | operator | does |
//! |---|---|
//! | `$set` `$unset` | puts a value; takes it away (in a list, leaves `null` in its place) |
//! | `$inc` `$mul` | adds, multiplies; a missing number counts as 0 |
//! | `$min` `$max` | puts the value if it is less, or greater, in the order of queries |
//! | `$rename` | moves a field to another path; neither may lead through a list |
//! | `$push` `$addToSet` | appends a value, or each of `{"$each": […]}`; the second only what the list lacks |
//! | `$pull` | takes out of a list what equals a value, meets operators, or matches a filter |
//!
//! Objects that a path needs are made; in a list a part is a position, and a list that is too short is filled up with
//! `null`. Integers stay integers, and one that would not fit 64 bits is an error, as is a float that would be infinite.
//! No two paths of an update may be the same, or one lead into the other, so that the order of operators has no
//! meaning. `_id` is not there to be changed.
//!
//! Not available, and refused by name: the positional `$`, `$[]` and `$[name]`, `$push` with `$position`, `$slice` or
//! `$sort`, and all other operators.
//!
//! Source: MongoDB manual, "Update Operators".

mod apply;
mod parse;

use std::fmt;

use serde_json::{Map, Number, Value};

use self::{apply::Applying, parse::check_paths};
use crate::{field::FieldError, filter::Elements, json::MAX_DEPTH, path::Path};

/// How long a document may become by updates, in bytes of JSON: as long as MongoDB's. What is sent whole is bounded by
/// whoever takes it in.
const MAX_BYTES: usize = 16 << 20;

/// What a `PUT` asks for.
#[derive(Clone, Debug)]
pub enum Update {
    /// Put this document in the place of the old one.
    Replace(Value),
    /// Change these fields of the old one.
    Change(Changes),
}

/// Changes of fields, none of which is within another; in the order of their paths.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<Change>);

#[derive(Clone, Debug)]
struct Change {
    path: Path,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Set(Value),
    Unset,
    Add(Number),
    Multiply(Number),
    Least(Value),
    Greatest(Value),
    Rename(Path),
    Push(Vec<Value>),
    AddToSet(Vec<Value>),
    Pull(Elements),
}

impl Update {
    /// Reads the body of a `PUT`: an update if any of its keys begins with `$`, otherwise a document.
    ///
    /// # Errors
    /// For an operator that is unknown or mixed with fields, an operand that is not what its operator takes, and paths
    /// that are malformed or in each other's way; at the operator or the path.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        match body {
            Value::Object(fields) if fields.keys().any(|name| name.starts_with('$')) => {
                Ok(Self::Change(Changes(parse::changes(fields)?)))
            }
            document => Ok(Self::Replace(document)),
        }
    }

    /// The document that comes of applying this to `document`.
    ///
    /// # Errors
    /// For a value that an operator cannot be applied to, a path that leads through what is neither an object nor a
    /// list, a position far beyond the end of a list, and a document that would be nested too deeply; at the path.
    pub fn apply(&self, document: Map<String, Value>) -> Result<Value, FieldError> {
        match self {
            Self::Replace(new) => Ok(new.clone()),
            Self::Change(changes) => changes.apply(document),
        }
    }

    /// The same update with other paths: `rename` is asked about each and gives the one that is meant, if it is another.
    ///
    /// # Errors
    /// For paths that the new names bring in each other's way.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, FieldError> {
        match self {
            Self::Replace(new) => Ok(Self::Replace(new)),
            Self::Change(changes) => Ok(Self::Change(changes.renamed(rename)?)),
        }
    }
}

impl Changes {
    fn apply(&self, document: Map<String, Value>) -> Result<Value, FieldError> {
        let mut applying = Applying::new(document);
        for change in &self.0 {
            applying.apply(change)?;
        }
        let res = applying.finish();
        if MAX_DEPTH < depth(&res) {
            return Err(FieldError::new("", format!("the document would be nested deeper than {MAX_DEPTH}")));
        }
        if MAX_BYTES < length(&res) {
            return Err(FieldError::new("", format!("the document would be longer than {} MiB", MAX_BYTES >> 20)));
        }
        Ok(res)
    }

    fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, FieldError> {
        for change in &mut self.0 {
            let target = if let Action::Rename(target) = &mut change.action { Some(target) } else { None };
            for path in [Some(&mut change.path), target].into_iter().flatten() {
                if let Some(other) = rename(path.as_str()) {
                    *path = parse::path(&other)?;
                }
            }
        }
        check_paths(&mut self.0)?;
        Ok(self)
    }
}

/// How deeply a value is nested. Without a bound of its own: what it is made of has one.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Object(fields) => fields.values().map(depth).max().unwrap_or(0),
        Value::Array(all) => all.iter().map(depth).max().unwrap_or(0),
        _ => return 0,
    };
    inner.saturating_add(1)
}

/// How many bytes a value takes as JSON.
fn length(value: &Value) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither a value nor a counter can fail.
    fmt::write(&mut count, format_args!("{value}")).map_or(usize::MAX, |()| count.0)
}

#[cfg(test)]
mod tests;
