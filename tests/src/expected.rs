//! Comparing a whole answer with what is expected, but for parts that nobody can foretell.

use serde_json::Value;

/// Where `actual` is not what `expected` says, one line for each place. Strings of `expected` stand for many:
///
/// | string | stands for |
/// |---|---|
/// | `<uuid>` | a UUID |
/// | `<digest>` | `sha256:` and 64 hexadecimal digits |
/// | `<url>` | an `http` or `https` URL |
/// | `<text>` | any text but the empty one |
/// | `<number>` | any number |
/// | `<any>` | anything that is there |
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, "$", &mut found);
    found
}

fn compare(expected: &Value, actual: &Value, path: &str, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                match actual.get(key) {
                    Some(actual) => compare(value, actual, &format!("{path}.{key}"), found),
                    None => found.push(format!("{path}.{key} is missing")),
                }
            }
            for (key, value) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                found.push(format!("{path}.{key} is there and was not expected: {value}"));
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (idx, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(expected, actual, &format!("{path}[{idx}]"), found);
            }
        }
        (Value::String(pattern), actual) if stands_for(pattern, actual) => {}
        (expected, actual) if expected == actual => {}
        (expected, actual) => found.push(format!("{path} is {actual}, not {expected}")),
    }
}

fn stands_for(pattern: &str, actual: &Value) -> bool {
    let text = actual.as_str().unwrap_or_default();
    match pattern {
        "<uuid>" => is_uuid(text),
        "<digest>" => text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && is_hex(hex)),
        "<url>" => text.starts_with("http://") || text.starts_with("https://"),
        "<text>" => !text.is_empty(),
        "<number>" => actual.is_number(),
        "<any>" => true,
        _ => false,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn an_answer_is_compared_whole() {
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (expected, actual, n) in [
            (json!({"a": 1}), json!({"a": 1}), 0),
            (json!({"a": 1}), json!({"a": 2}), 1),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), 1),
            (json!({"a": 1, "b": 2}), json!({"a": 1}), 1),
            (json!([1, 2]), json!([1]), 1),
            (json!([1, [2]]), json!([3, [4]]), 2),
            (json!("<uuid>"), json!(uuid), 0),
            (json!("<uuid>"), json!("x"), 1),
            (json!("<digest>"), json!(format!("sha256:{}", "0".repeat(64))), 0),
            (json!("<digest>"), json!("sha256:0"), 1),
            (json!("<url>"), json!("http://127.0.0.1:1/x"), 0),
            (json!("<url>"), json!("ftp://x"), 1),
            (json!("<text>"), json!(""), 1),
            (json!("<number>"), json!(1.5), 0),
            (json!("<number>"), json!("1"), 1),
        ] {
            assert_eq!(differences(&expected, &actual).len(), n, "{expected} {actual}");
        }
    }
}
