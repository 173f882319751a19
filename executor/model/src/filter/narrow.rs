//! What an index can use of a filter: bounds that every match meets.
//!
//! Taken only from what all of the filter depends on: the fields of the filter itself and of `$and` in it, never from
//! under `$or`, `$nor`, `$not` or `$elemMatch`; and only from strings, since numbers and `null` have no place in an
//! index of text. Each operator is a bound of its own: on a field that holds a list, `{"$gte": "a", "$lt": "b"}` may be
//! met by two different elements.

use std::ops::Bound as End;

use serde_json::{Map, Value};

use super::condition::{Clause, Condition, Relation};
use crate::path::{AtList, Holder, Path};

/// More values than these are taken as the range that they lie in, so that no statement grows without bounds.
const MAX_VALUES: usize = 500;

/// Bounds that every match meets: what an index can use. Without any, every document is a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// All of them hold for a match.
    pub bounds: Vec<Bound>,
}

/// One bound: some string at `field`, be it the field's value or an element of it, passes `test`.
///
/// Two bounds on one field may be met by different elements of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The dotted path in the document.
    pub field: String,
    /// What one of its strings passes.
    pub test: Test,
}

/// What a string is compared with, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is one of these, of which there is at least one.
    OneOf(Vec<String>),
    /// It lies between these; the flag says whether the end itself is included.
    Range {
        /// The lower end.
        low: Option<(String, bool)>,
        /// The upper end.
        high: Option<(String, bool)>,
    },
}

impl Narrow {
    /// Whether a document is a candidate of which `strings` gives the strings at a field: what a database does with
    /// the bounds.
    pub fn admits(&self, strings: impl Fn(&str) -> Vec<String>) -> bool {
        self.bounds.iter().all(|bound| strings(&bound.field).iter().any(|text| bound.test.admits(text)))
    }
}

impl Test {
    /// Whether `text` passes.
    pub fn admits(&self, text: &str) -> bool {
        match self {
            Self::OneOf(all) => all.iter().any(|wanted| wanted == text),
            Self::Range { low, high } => {
                let end = |end: &Option<(String, bool)>| match end {
                    None => End::Unbounded,
                    Some((end, true)) => End::Included(end.clone()),
                    Some((end, false)) => End::Excluded(end.clone()),
                };
                std::ops::RangeBounds::contains(&(end(low), end(high)), &text.to_owned())
            }
        }
    }
}

/// The strings that `document` has at a dotted path, as a filter sees them: what an index must hold of it.
pub fn strings<'a>(document: &'a Map<String, Value>, field: &str) -> Vec<&'a str> {
    let mut res = Vec::new();
    if let Ok(path) = Path::parse(field) {
        path.any(Holder::Fields(document), AtList::Elements, &mut |value: Option<&'a Value>| {
            res.extend(value.and_then(Value::as_str));
            false
        });
    }
    res
}

pub(super) fn of_clause(clause: &Clause, bounds: &mut Vec<Bound>) {
    match clause {
        Clause::All(all) => all.iter().for_each(|clause| of_clause(clause, bounds)),
        Clause::At(path, condition) => of_condition(path, condition, bounds),
        Clause::Any(_) | Clause::Neither(_) => {}
    }
}

fn of_condition(path: &Path, condition: &Condition, bounds: &mut Vec<Bound>) {
    let test = match condition {
        Condition::All(all) => {
            all.iter().for_each(|condition| of_condition(path, condition, bounds));
            None
        }
        Condition::Equal(Value::String(text)) => Some(Test::OneOf(vec![text.clone()])),
        Condition::In(all) => one_of(all),
        Condition::Compare(relation, Value::String(text)) => Some(range(*relation, text.clone())),
        Condition::Regex(pattern) => pattern.prefix().map(beginning),
        _ => None,
    };
    bounds.extend(test.map(|test| Bound { field: path.as_str().to_owned(), test }));
}

/// The values of `$in`, which are in order.
fn one_of(all: &[Value]) -> Option<Test> {
    let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
    let texts = texts?;
    let (first, last) = (texts.first()?, texts.last()?);
    Some(if texts.len() <= MAX_VALUES {
        Test::OneOf(texts.into_iter().map(str::to_owned).collect())
    } else {
        Test::Range { low: Some(((*first).to_owned(), true)), high: Some(((*last).to_owned(), true)) }
    })
}

fn range(relation: Relation, text: String) -> Test {
    match relation {
        Relation::Less => Test::Range { low: None, high: Some((text, false)) },
        Relation::LessOrEqual => Test::Range { low: None, high: Some((text, true)) },
        Relation::Greater => Test::Range { low: Some((text, false)), high: None },
        Relation::GreaterOrEqual => Test::Range { low: Some((text, true)), high: None },
    }
}

/// The texts that begin with `prefix`.
fn beginning(prefix: &str) -> Test {
    Test::Range { low: Some((prefix.to_owned(), true)), high: after(prefix).map(|text| (text, false)) }
}

/// The first text that comes after all those that begin with `prefix`, if there is one.
fn after(prefix: &str) -> Option<String> {
    let mut res = prefix.to_owned();
    while let Some(last) = res.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            res.push(next);
            return Some(res);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Filter;

    fn bounds(filter: &Value) -> Vec<(String, Test)> {
        let narrow = Filter::parse(filter).unwrap().narrow();
        narrow.bounds.into_iter().map(|bound| (bound.field, bound.test)).collect()
    }

    fn one(text: &str) -> Test {
        Test::OneOf(vec![text.to_owned()])
    }

    fn low(text: &str) -> Test {
        Test::Range { low: Some((text.to_owned(), true)), high: None }
    }

    #[test]
    fn takes_strings_that_every_match_depends_on() {
        let filter = json!({"a": "x", "$and": [{"b": {"$gte": "1"}}, {"$and": [{"c": {"$in": ["p", "q"]}}]}]});
        let expected = [
            ("a".to_owned(), one("x")),
            ("b".to_owned(), low("1")),
            ("c".to_owned(), Test::OneOf(vec!["p".into(), "q".into()])),
        ];
        assert_eq!(bounds(&filter), expected);
        let all = json!({"a": {"$all": ["x", "y"]}});
        assert_eq!(bounds(&all), [("a".to_owned(), one("x")), ("a".to_owned(), one("y"))]);
        let prefix = Test::Range { low: Some(("se".into(), true)), high: Some(("sf".into(), false)) };
        assert_eq!(bounds(&json!({"a": {"$regex": "^se."}})), [("a".to_owned(), prefix)]);
    }

    #[test]
    fn both_ends_of_a_range_are_bounds_of_their_own() {
        let below = Test::Range { low: None, high: Some(("b".into(), false)) };
        let expected = [("a".to_owned(), low("a")), ("a".to_owned(), below)];
        assert_eq!(bounds(&json!({"a": {"$gte": "a", "$lt": "b"}})), expected);
    }

    #[test]
    fn many_values_are_a_range() {
        let values: Vec<String> = (0..501).map(|n| format!("{n:04}")).collect();
        let range = Test::Range { low: Some(("0000".into(), true)), high: Some(("0500".into(), true)) };
        assert_eq!(bounds(&json!({"a": {"$in": values}})), [("a".to_owned(), range)]);
    }

    #[test]
    fn takes_nothing_from_what_a_match_may_do_without() {
        let table = [
            json!({}),
            json!({"a": 1}),
            json!({"a": null}),
            json!({"a": {"$in": ["x", null]}}),
            json!({"a": {"$in": []}}),
            json!({"a": {"$ne": "x"}}),
            json!({"a": {"$nin": ["x"]}}),
            json!({"a": {"$not": {"$eq": "x"}}}),
            json!({"a": {"$elemMatch": {"$eq": "x"}}}),
            json!({"$or": [{"a": "x"}, {"a": "y"}]}),
            json!({"$nor": [{"a": "x"}]}),
            json!({"a": {"$regex": "x"}}),
        ];
        for filter in table {
            assert_eq!(bounds(&filter), [], "{filter}");
        }
    }

    #[test]
    fn the_text_after_a_prefix() {
        let table = [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("\u{d7ff}", Some("\u{e000}")),
        ];
        for (prefix, expected) in table {
            assert_eq!(after(prefix).as_deref(), expected, "{prefix}");
        }
    }

    #[test]
    fn an_index_holds_strings_and_the_strings_of_lists() {
        let document = json!({"a": "x", "b": ["y", 1, ["z"]], "c": {"d": "w"}, "e": [{"f": "v"}]});
        let document = document.as_object().unwrap();
        let table: [(&str, &[&str]); 6] =
            [("a", &["x"]), ("b", &["y"]), ("c", &[]), ("c.d", &["w"]), ("e.f", &["v"]), ("missing", &[])];
        for (field, expected) in table {
            assert_eq!(strings(document, field), expected, "{field}");
        }
    }
}
