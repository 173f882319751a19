//! Where two answers differ.

use lictor_model::difference::{Place, places};
use serde_json::Value;

/// Differences that are shown of one answer.
const MAX_SHOWN: usize = 20;
/// Characters of one value that are shown.
const MAX_CHARS: usize = 300;

/// A diff in lines: each place that differs, `-` what was expected there, `+` what was found.
pub(super) fn lines(expected: &Value, found: &Value) -> Vec<String> {
    let places = places(expected, found, usize::MAX);
    let n_places = places.len();
    let mut res = Vec::new();
    for Place { path, left, right } in places.into_iter().take(MAX_SHOWN) {
        res.push(format!("  at {}", if path.is_empty() { "the top" } else { &path }));
        res.extend(left.map(|value| format!("  - {}", short(value))));
        res.extend(right.map(|value| format!("  + {}", short(value))));
    }
    if MAX_SHOWN < n_places {
        res.push(format!("  and {} more places", n_places - MAX_SHOWN));
    }
    res
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
    fn a_diff_names_each_place() {
        let diff = lines(&json!({"a": 1, "b": [1, {"c": "x"}], "d": 0}), &json!({"a": 1.0, "b": [1, {"c": "y"}, 3]}));
        let expected = ["  at .b[1].c", "  - \"x\"", "  + \"y\"", "  at .b[2]", "  + 3", "  at .d", "  - 0"];
        assert_eq!(diff, expected);
        assert_eq!(lines(&json!(1), &json!("é".repeat(400)))[2].chars().count(), 4 + MAX_CHARS + 1);
        let many: Vec<_> = (0..100).collect();
        assert_eq!(lines(&json!(many), &json!([])).last().unwrap(), "  and 80 more places");
    }
}
