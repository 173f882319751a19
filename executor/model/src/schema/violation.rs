//! What a document has that its schema does not allow.

use std::fmt;

use serde::Serialize;

use crate::field::shorten;

/// Violations that one check names; further ones are counted.
pub const MAX_VIOLATIONS: usize = 100;
/// Characters of a member's name that a path shows.
const MAX_NAME: usize = 60;

/// One thing about a document that does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where, as a dotted path with list positions; empty for the document itself.
    pub path: String,
    /// What is wrong there. Never what is there.
    pub message: String,
}

impl Violation {
    /// The same violation, seen from the document that holds this one under `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.path = if self.path.is_empty() { parent.into() } else { format!("{parent}.{}", self.path) };
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the document {}", self.message),
            path => write!(f, "`{path}` {}", self.message),
        }
    }
}

/// What a check has found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    violations: Vec<Violation>,
    more: usize,
}

impl Found {
    /// Notes one more.
    pub(super) fn add(&mut self, path: impl FnOnce() -> String, message: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { path: path(), message: message.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// All of them, the last one saying how many are left out.
    pub(super) fn into_list(mut self) -> Vec<Violation> {
        if 0 < self.more {
            let message = format!("has {} more violations", self.more);
            self.violations.push(Violation { path: String::new(), message });
        }
        self.violations
    }
}

/// Where a check is. Lives on the stack, and is written out only for a violation.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parent, name) = match self {
            Self::Root => return Ok(()),
            Self::Member(parent, name) => (parent, shorten(name, MAX_NAME)),
            Self::Element(parent, idx) => (parent, idx.to_string()),
        };
        if !matches!(parent, Self::Root) {
            write!(f, "{parent}.")?;
        }
        f.write_str(&name)
    }
}
