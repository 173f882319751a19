//! The filter language of the registries' `query` routes.
//!
//! A filter is an object of dotted paths and values; a document matches when each path leads to an equal value,
//! or to a list that has an equal element, as in MongoDB. `null` matches a field that is missing. Operators
//! (`$gt`, …) are refused by name.

use serde_json::{Map, Value};

use crate::field::{FieldError, shorten};

/// A query over documents, parsed once.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    equal: Vec<(Vec<String>, Value)>,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(body: &Value) -> Result<Self, FieldError> {
        let Value::Object(fields) = body else {
            return Err(FieldError::new("", "the body must be a JSON object: a filter"));
        };
        let equal = fields.iter().map(|(path, value)| condition(path, value)).collect::<Result<_, _>>()?;
        Ok(Self { equal })
    }

    /// Whether `document` matches.
    pub fn matches(&self, document: &Map<String, Value>) -> bool {
        self.equal.iter().all(|(path, wanted)| match path.split_first() {
            Some((first, rest)) => reaches(document.get(first), rest, wanted),
            None => false,
        })
    }

    /// The value that the top-level field `name` must have, if the filter says so: what an index can narrow by.
    pub fn exact(&self, name: &str) -> Option<&str> {
        let found = self.equal.iter().find(|(path, _)| matches!(path.as_slice(), [only] if only == name));
        found.and_then(|(_, value)| value.as_str())
    }
}

fn condition(path: &str, value: &Value) -> Result<(Vec<String>, Value), FieldError> {
    let operator = |name: &str| {
        FieldError::new(path, format!("uses the operator `{}`, which is not available", shorten(name, 30)))
    };
    if path.starts_with('$') {
        return Err(operator(path));
    }
    if let Some(name) = value.as_object().and_then(|fields| fields.keys().find(|name| name.starts_with('$'))) {
        return Err(operator(name));
    }
    Ok((path.split('.').map(str::to_owned).collect(), value.clone()))
}

/// Whether following `path` from `at` leads to `wanted`, through any element of a list on the way.
fn reaches(at: Option<&Value>, path: &[String], wanted: &Value) -> bool {
    match (path.split_first(), at) {
        (None, None) => wanted.is_null(),
        (None, Some(value)) => value == wanted || value.as_array().is_some_and(|all| all.contains(wanted)),
        (Some((first, rest)), Some(Value::Object(fields))) => reaches(fields.get(first), rest, wanted),
        (Some((first, rest)), Some(Value::Array(all))) => {
            let indexed = first.parse().ok().and_then(|idx: usize| all.get(idx));
            indexed.is_some_and(|value| reaches(Some(value), rest, wanted))
                || all.iter().any(|value| value.is_object() && reaches(Some(value), path, wanted))
        }
        (Some(_), _) => wanted.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn check(filter: Value, expected: bool) {
        let document = json!({"name": "a", "tags": ["x", "y"], "m": {"n": 1, "list": [{"k": 1}, {"k": 2}]}, "z": null});
        let matches = Filter::parse(&filter).unwrap().matches(document.as_object().unwrap());
        assert_eq!(matches, expected, "{filter}");
    }

    #[test]
    fn equality_follows_paths_and_looks_into_lists() {
        check(json!({}), true);
        check(json!({"name": "a", "m.n": 1}), true);
        check(json!({"name": "b"}), false);
        check(json!({"tags": "x"}), true);
        check(json!({"tags": ["x", "y"]}), true);
        check(json!({"tags": ["x"]}), false);
        check(json!({"m.list.k": 2}), true);
        check(json!({"m.list.1.k": 2}), true);
        check(json!({"m.list.k": 3}), false);
        check(json!({"missing": null, "z": null}), true);
        check(json!({"name.deeper": "a"}), false);
    }

    #[test]
    fn an_operator_is_refused_by_name() {
        for filter in [json!({"$where": "1"}), json!({"a": {"$where": "1"}})] {
            assert!(Filter::parse(&filter).unwrap_err().message().contains("$where"));
        }
        assert!(Filter::parse(&json!([])).is_err());
    }
}
