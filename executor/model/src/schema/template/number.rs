//! Numbers as they were written: whole ones are compared exactly.

use std::{cmp::Ordering, fmt};

use serde_json::Value;

use crate::field::FieldError;

/// A number as it was written.
#[derive(Clone, Copy, Debug)]
pub(in crate::schema) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    pub(super) fn parse(value: &Value) -> Result<Self, FieldError> {
        let whole = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let number = whole.map(Self::Whole).or_else(|| value.as_f64().map(Self::Float));
        number.ok_or_else(|| FieldError::new("", "must be a number"))
    }

    pub(in crate::schema) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Whole(n) => n as f64,
            // Zero has one sign here.
            Self::Float(n) => n + 0.0,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
        }
    }
}
