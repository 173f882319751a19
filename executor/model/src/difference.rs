//! Where two documents differ: numbers are compared by value, and the order of an object's members has no meaning.

use serde_json::Value;

use crate::compare::equal;

/// A place where two documents differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<'a> {
    /// How to get there, `.a[0].b`; empty at the top.
    pub path: String,
    /// What the left one has there, if it has something.
    pub left: Option<&'a Value>,
    /// What the right one has there, if it has something.
    pub right: Option<&'a Value>,
}

/// Whether two documents say the same: `1` and `1.0` do.
pub fn same(left: &Value, right: &Value) -> bool {
    equal(left, right)
}

/// Up to `most` places where the documents differ, from the top down.
pub fn places<'a>(left: &'a Value, right: &'a Value, most: usize) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    collect(&mut found, most, Place { path: String::new(), left: Some(left), right: Some(right) });
    found
}

/// Goes down both as long as they have the same shape. A document is no deeper than the parser's own bound.
fn collect<'a>(found: &mut Vec<Place<'a>>, most: usize, at: Place<'a>) {
    if found.len() == most {
        return;
    }
    match (at.left, at.right) {
        (Some(left), Some(right)) if equal(left, right) => {}
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let only_right = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(only_right) {
                let path = format!("{}.{key}", at.path);
                collect(found, most, Place { path, left: left.get(key), right: right.get(key) });
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for idx in 0..left.len().max(right.len()) {
                let path = format!("{}[{idx}]", at.path);
                collect(found, most, Place { path, left: left.get(idx), right: right.get(idx) });
            }
        }
        _ => found.push(at),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (left, right, expected) in [
            (json!(1), json!(1.0), true),
            (json!({"a": 1, "b": [1]}), json!({"b": [1.0], "a": 1}), true),
            (json!(1), json!(1.5), false),
            (json!(1), json!("1"), false),
            (json!({"a": null}), json!({}), false),
            (json!([1, 2]), json!([1]), false),
        ] {
            assert_eq!(same(&left, &right), expected, "{left} {right}");
            assert_eq!(places(&left, &right, 5).is_empty(), expected, "{left} {right}");
        }
    }

    #[test]
    fn the_first_places_are_named() {
        let (left, right) = (json!({"a": 1, "b": [1, {"c": "x"}], "d": 0}), json!({"b": [1, {"c": "y"}, 3], "a": 1.0}));
        let paths = |most| places(&left, &right, most).into_iter().map(|place| place.path).collect::<Vec<_>>();
        assert_eq!(paths(10), [".b[1].c", ".b[2]", ".d"]);
        assert_eq!(paths(2), [".b[1].c", ".b[2]"]);
        assert_eq!(places(&json!(1), &json!([]), 3)[0].path, "");
    }
}
