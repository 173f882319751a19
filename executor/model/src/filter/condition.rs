//! What a filter asks of one document, and of the values at one path.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{kind::Kinds, pattern::Pattern};
use crate::{
    compare::{bracket, compare, equal, integer},
    path::{AtList, Holder, Path, reached},
};

/// What is asked of a document.
#[derive(Clone, Debug)]
pub(super) enum Clause {
    /// All of these.
    All(Vec<Clause>),
    /// One of these at least.
    Any(Vec<Clause>),
    /// None of these.
    Neither(Vec<Clause>),
    /// This, of the values that the path leads to.
    At(Path, Condition),
}

/// What is asked of the values at a path: some value meets it, but for [`Condition::Not`], which no value may.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// Equals this; `null` also where nothing is.
    Equal(Value),
    /// Stands in this relation to a value of the same type.
    Compare(Relation, Value),
    /// Equals one of these, which are in order.
    In(Vec<Value>),
    /// Is there.
    Exists,
    /// Is of one of these types.
    Type(Kinds),
    /// Is a string in which the pattern is found.
    Regex(Pattern),
    /// Is a number whose whole part leaves this remainder.
    Remainder {
        /// What it is divided by; never 0.
        divisor: i64,
        /// What remains, with the sign of the dividend.
        remainder: i64,
    },
    /// Is a list of this length.
    Size(u64),
    /// Is a list with an element that meets this.
    Element(Box<Condition>),
    /// Is a list with an object or list in it that this matches.
    ElementMatches(Box<Clause>),
    /// Each of these is met, be it by different values.
    All(Vec<Condition>),
    /// This is met by no value.
    Not(Box<Condition>),
}

/// How a value stands to the one it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// `$lt`
    Less,
    /// `$lte`
    LessOrEqual,
    /// `$gt`
    Greater,
    /// `$gte`
    GreaterOrEqual,
}

impl Clause {
    pub(super) fn matches(&self, document: Holder<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|clause| clause.matches(document)),
            Self::Any(any) => any.iter().any(|clause| clause.matches(document)),
            Self::Neither(none) => !none.iter().any(|clause| clause.matches(document)),
            Self::At(path, condition) => condition.holds_at(path, document),
        }
    }
}

impl Condition {
    /// Whether the values that `path` leads to are as asked.
    pub(super) fn holds_at(&self, path: &Path, document: Holder<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds_at(path, document)),
            Self::Not(inner) => !inner.holds_at(path, document),
            _ => path.any(document, self.at_list(), &mut |value| self.meets(value)),
        }
    }

    /// The same for one value, as if a path ended at it.
    pub(super) fn holds_for(&self, value: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds_for(value)),
            Self::Not(inner) => !inner.holds_for(value),
            _ => reached(value, self.at_list(), &mut |value| self.meets(value)),
        }
    }

    fn at_list(&self) -> AtList {
        match self {
            Self::Size(_) | Self::Element(_) | Self::ElementMatches(_) => AtList::Whole,
            _ => AtList::Both,
        }
    }

    /// Whether one value, not its elements, is as asked; none is a missing one.
    fn meets(&self, value: Option<&Value>) -> bool {
        match self {
            Self::All(all) => return all.iter().all(|condition| condition.meets(value)),
            Self::Not(inner) => return !inner.meets(value),
            _ => {}
        }
        let Some(value) = value else { return self.admits_missing() };
        match self {
            Self::Equal(wanted) => equal(value, wanted),
            Self::Compare(relation, bound) => {
                bracket(value) == bracket(bound) && relation.admits(compare(value, bound))
            }
            Self::In(all) => all.binary_search_by(|wanted| compare(wanted, value)).is_ok(),
            Self::Exists => true,
            Self::Type(kinds) => kinds.admit(value),
            Self::Regex(pattern) => value.as_str().is_some_and(|text| pattern.found_in(text)),
            Self::Remainder { divisor, remainder } => value
                .as_number()
                .and_then(whole)
                .is_some_and(|number| number % i128::from(*divisor) == (*remainder).into()),
            Self::Size(size) => value.as_array().is_some_and(|all| all.len() as u64 == *size),
            Self::Element(condition) => {
                value.as_array().is_some_and(|all| all.iter().any(|element| condition.meets(Some(element))))
            }
            Self::ElementMatches(clause) => {
                value.as_array().is_some_and(|all| all.iter().filter_map(holder).any(|inner| clause.matches(inner)))
            }
            Self::All(_) | Self::Not(_) => false,
        }
    }

    /// `null`, also as the end of a range that includes it, stands for a missing value too.
    fn admits_missing(&self) -> bool {
        match self {
            Self::Equal(wanted) => wanted.is_null(),
            Self::Compare(relation, bound) => bound.is_null() && relation.admits(Ordering::Equal),
            Self::In(all) => all.first().is_some_and(Value::is_null),
            _ => false,
        }
    }
}

impl Relation {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

fn holder(element: &Value) -> Option<Holder<'_>> {
    match element {
        Value::Object(fields) => Some(Holder::Fields(fields)),
        Value::Array(all) => Some(Holder::Elements(all)),
        _ => None,
    }
}

/// The whole part of a number, if it is within 64 bits.
pub(super) fn whole(number: &Number) -> Option<i128> {
    /// The first float that is too large.
    const END: f64 = 9_223_372_036_854_775_808.0;
    integer(number).or_else(|| {
        let float = number.as_f64().filter(|float| (-END..END).contains(float))?;
        Some(float.trunc() as i128)
    })
}
