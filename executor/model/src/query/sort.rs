//! The order of a query's documents.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::pairs::{Number, Pairs};
use crate::{
    compare::compare,
    field::{FieldError, shorten},
    path::{AtList, Holder, Path},
};

/// Paths to order by, the most important first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sort(Vec<(Path, Direction)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// What a document is ordered by, at one path; none is an empty list, which is less than everything.
type Key<'a> = Option<&'a Value>;

/// What a document is ordered by, at each path.
#[derive(Clone, Debug)]
pub struct Rank(Vec<Option<Value>>);

impl Rank {
    /// How many bytes it takes, about.
    pub fn weight(&self) -> usize {
        self.0.iter().flatten().map(|value| value.to_string().len().saturating_add(size_of::<Value>())).sum()
    }
}

impl Sort {
    pub(super) fn parse(pairs: &Pairs) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new("sort", message);
        let mut res: Vec<(Path, Direction)> = Vec::with_capacity(pairs.0.len());
        for (path, number) in &pairs.0 {
            let given = shorten(path.as_str(), 40);
            let direction = match number {
                Number::One => Direction::Up,
                Number::MinusOne | Number::Dash => Direction::Down,
                Number::Zero => return Err(wrong(format!("has `{given}` with 0: 1 is ascending, -1 descending"))),
            };
            if res.iter().any(|(earlier, _)| earlier == path) {
                return Err(wrong(format!("names `{given}` twice")));
            }
            res.push((path.clone(), direction));
        }
        Ok(Self(res))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, _)| path.top())
    }

    pub(super) fn rank(&self, document: &Map<String, Value>) -> Rank {
        Rank(self.0.iter().map(|(path, direction)| key(document, path, *direction).cloned()).collect())
    }

    pub(super) fn compare(&self, left: &Rank, right: &Rank) -> Ordering {
        let pairs = left.0.iter().zip(&right.0).zip(&self.0);
        let mut orders =
            pairs.map(|((left, right), (_, direction))| direction.of(compare_keys(left.as_ref(), right.as_ref())));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Puts documents in order; those that are equal stay as they are.
    pub(super) fn order(&self, documents: &mut Vec<Map<String, Value>>) {
        if self.is_empty() {
            return;
        }
        // PERF: each path is followed once for each document, not once for each comparison.
        let ranked = std::mem::take(documents).into_iter().map(|document| (self.rank(&document), document));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by(|(left, _), (right, _)| self.compare(left, right));
        documents.extend(ranked.into_iter().map(|(_, document)| document));
    }
}

impl Direction {
    fn of(self, order: Ordering) -> Ordering {
        match self {
            Self::Up => order,
            Self::Down => order.reverse(),
        }
    }
}

fn compare_keys(left: Key<'_>, right: Key<'_>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare(left, right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// The least or the greatest value that a path leads to.
fn key<'a>(document: &'a Map<String, Value>, path: &Path, direction: Direction) -> Key<'a> {
    static NULL: Value = Value::Null;
    let mut res: Option<Key<'a>> = None;
    let mut take = |key: Key<'a>| {
        if res.is_none_or(|best| direction.of(compare_keys(key, best)).is_lt()) {
            res = Some(key);
        }
    };
    path.any(Holder::Fields(document), AtList::Whole, &mut |value: Option<&'a Value>| {
        match value {
            Some(Value::Array(all)) if all.is_empty() => take(None),
            Some(Value::Array(all)) => all.iter().for_each(|element| take(Some(element))),
            value => take(value.or(Some(&NULL))),
        }
        false
    });
    res.unwrap_or(Some(&NULL))
}
