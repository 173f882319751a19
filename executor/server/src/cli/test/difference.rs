//! Where two answers differ.

use serde_json::Value;

/// Differences that are shown of one answer.
const MAX_SHOWN: usize = 20;
/// Characters of one value that are shown.
const MAX_CHARS: usize = 300;

/// Equal as JSON: numbers by value, objects whatever the order of their members.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// A diff in lines: each place that differs, `-` what was expected there, `+` what was found.
pub(super) fn lines(expected: &Value, found: &Value) -> Vec<String> {
    let mut places = Vec::new();
    collect(&mut places, String::new(), Some(expected), Some(found));
    let n_places = places.len();
    let mut res = Vec::new();
    for (path, expected, found) in places.into_iter().take(MAX_SHOWN) {
        res.push(format!("  at {}", if path.is_empty() { "the top" } else { &path }));
        res.extend(expected.map(|value| format!("  - {}", short(value))));
        res.extend(found.map(|value| format!("  + {}", short(value))));
    }
    if MAX_SHOWN < n_places {
        res.push(format!("  and {} more places", n_places - MAX_SHOWN));
    }
    res
}

type Place<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// Goes down both as long as they have the same shape. A document is no deeper than the parser's own bound.
fn collect<'a>(places: &mut Vec<Place<'a>>, path: String, expected: Option<&'a Value>, found: Option<&'a Value>) {
    match (expected, found) {
        (Some(expected), Some(found)) if same(expected, found) => {}
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let only_right = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(only_right) {
                collect(places, format!("{path}.{key}"), left.get(key), right.get(key));
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for idx in 0..left.len().max(right.len()) {
                collect(places, format!("{path}[{idx}]"), left.get(idx), right.get(idx));
            }
        }
        _ => places.push((path, expected, found)),
    }
}

/// A value on one line.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
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
        }
    }

    #[test]
    fn a_diff_names_each_place() {
        let diff = lines(&json!({"a": 1, "b": [1, {"c": "x"}], "d": 0}), &json!({"a": 1.0, "b": [1, {"c": "y"}, 3]}));
        let expected = ["  at .b[1].c", "  - \"x\"", "  + \"y\"", "  at .b[2]", "  + 3", "  at .d", "  - 0"];
        assert_eq!(diff, expected);
        assert_eq!(lines(&json!(1), &json!("é".repeat(400)))[2].chars().count(), 4 + MAX_CHARS + 1);
        let many: Vec<_> = (0..100).collect();
        assert_eq!(lines(&json!(many), &json!([])).last().unwrap(), "  and 80 more places");
    }
}
