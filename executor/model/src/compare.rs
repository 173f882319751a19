//! The order of JSON values that queries and updates go by: MongoDB's, across types too.
//!
//! `null`, then numbers, strings, objects, lists, booleans. Numbers compare by their exact value, whether they are
//! written as integers or not; strings byte by byte, which is by code point; lists element by element. Two values are
//! equal when neither comes first. Other than in MongoDB the order of an object's keys has no meaning: objects compare
//! as if their keys were sorted.
//!
//! Source: MongoDB manual, "BSON Types: Comparison/Sort Order".

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// Which of two values comes first.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => lists(left, right),
        (Value::Object(left), Value::Object(right)) => objects(left, right),
        _ => bracket(left).cmp(&bracket(right)),
    }
}

/// Whether two values are the same: `1` and `1.0` are.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    compare(left, right) == Ordering::Equal
}

/// The place of a value's type in the order; ranges stay within one.
pub(crate) fn bracket(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::Bool(_) => 5,
    }
}

/// What a value is, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::Bool(_) => "a boolean",
    }
}

/// The value of a number that is written as an integer.
pub(crate) fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// A value as an element of ordered collections.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a>(pub(crate) &'a Value);

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0)
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Ordered<'_> {}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

fn lists(left: &[Value], right: &[Value]) -> Ordering {
    let unlike = left.iter().zip(right).map(|(left, right)| compare(left, right)).find(|order| order.is_ne());
    unlike.unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// Pair by pair: the types of the values decide before the keys do, and the keys before the values.
fn objects(left: &Map<String, Value>, right: &Map<String, Value>) -> Ordering {
    let (left, right) = (sorted(left), sorted(right));
    let pairs = left.iter().zip(&right).map(|((left_key, left), (right_key, right))| {
        bracket(left).cmp(&bracket(right)).then_with(|| left_key.cmp(right_key)).then_with(|| compare(left, right))
    });
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = fields.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    pairs
}

fn numbers(left: &Number, right: &Number) -> Ordering {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(left), None) => integer_with_float(left, float(right)),
        (None, Some(right)) => integer_with_float(right, float(left)).reverse(),
        (None, None) => float(left).partial_cmp(&float(right)).unwrap_or(Ordering::Equal),
    }
}

/// JSON has no numbers but integers and finite floats, so there is always one.
fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Exact: neither is converted to the other where that would lose digits.
fn integer_with_float(integer: i128, float: f64) -> Ordering {
    // Every integer here has at most 64 bits; a float within these bounds has an exact whole part in 128.
    const BEYOND: f64 = 1e30;
    if BEYOND <= float {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    integer.cmp(&(whole as i128)).then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_all_types_are_in_one_order() {
        let ordered = [
            json!(null),
            json!(-1e300),
            json!(i64::MIN),
            json!(-1.5),
            json!(-1),
            json!(0),
            json!(0.5),
            json!(1),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_994.0),
            json!(i64::MAX),
            json!(9_223_372_036_854_775_808.0),
            json!(u64::MAX),
            json!(18_446_744_073_709_551_616.0),
            json!(1e300),
            json!(""),
            json!("a"),
            json!("a\u{ff5e}"),
            json!("a\u{1f600}"),
            json!("b"),
            json!({}),
            json!({"b": 1}),
            json!({"a": "x"}),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([2]),
            json!(["a"]),
            json!(false),
            json!(true),
        ];
        for (left_idx, left) in ordered.iter().enumerate() {
            for (right_idx, right) in ordered.iter().enumerate() {
                assert_eq!(compare(left, right), left_idx.cmp(&right_idx), "{left} {right}");
            }
        }
    }

    #[test]
    fn equality_looks_at_values_and_not_at_how_they_are_written() {
        assert!(equal(&json!({"a": 1, "b": [1.0, 2]}), &json!({"b": [1, 2.0], "a": 1.0})));
        assert!(equal(&json!(0.0), &json!(-0.0)));
        assert!(!equal(&json!(u64::MAX), &json!(18_446_744_073_709_551_616.0)));
        assert!(!equal(&json!([1, 2]), &json!([2, 1])));
        assert!(!equal(&json!(0), &json!(false)));
    }
}
