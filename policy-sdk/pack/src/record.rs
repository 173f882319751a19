//! The policy record that goes with a package.
//!
//! The author's `policy.json` is kept as it was written, member by member and in its order; only what the package
//! knows better is set, and what the author left out is added. A schema that the author wrote is never replaced.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::Schemas;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The author's record is not a JSON object.
    #[error("policy.json: {0}")]
    Syntax(#[source] serde_json::Error),
    /// The author's record is of another kind of policy.
    #[error("policy.json: `type` is {0}, and this package is a `{1}`")]
    Type(String, String),
}

/// What is known about a policy without its author's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name, where the author's record has none.
    pub name: String,
    /// The version, where the author's record has none.
    pub version: String,
    /// The description, where the author's record has none.
    pub description: String,
}

/// Returns the record of the archive `code`, a file name, of a policy of this kind, whose digest is `code_digest`, as JSON.
///
/// `author` is the text of `policy.json`, if there is one. From `schemas`, those are taken that it lacks.
pub fn record(
    author: Option<&str>,
    identity: &Identity,
    schemas: Option<&Schemas>,
    (kind, code): (&str, &str),
    code_digest: &str,
) -> Result<String, RecordError> {
    let mut members: Members = match author {
        Some(text) => serde_json::from_str(text).map_err(RecordError::Syntax)?,
        None => Members::default(),
    };
    let text = |text: &str| Value::String(text.to_owned());
    members.default_to("name", &text(&identity.name));
    members.default_to("version", &text(&identity.version));
    members.default_to("release_tag", &text("dev"));
    members.default_to("description", &text(&identity.description));
    members.default_to("type", &text(kind));
    match members.get("type") {
        Some(Value::String(said)) if said == kind => {}
        other => return Err(RecordError::Type(other.unwrap_or_default().to_string(), kind.to_owned())),
    }
    members.set("code", &text(code));
    members.set("code_digest", &text(code_digest));
    for (name, schema) in schemas.iter().flat_map(|schemas| schemas.named()) {
        let key = format!("policy_{name}_schema");
        match members.get(&key) {
            None | Some(Value::Null) => members.set(&key, &labelled(schema)),
            Some(Value::Object(map)) if map.is_empty() => members.set(&key, &labelled(schema)),
            Some(_) => {}
        }
    }
    Ok(members.render())
}

/// The schema as an object that says it is JSON Schema, because a record may also hold schemas in another language.
fn labelled(schema: &Value) -> Value {
    let mut object = match schema {
        Value::Object(object) => object.clone(),
        Value::Bool(false) => Map::from_iter([("not".to_owned(), Value::Object(Map::new()))]),
        _ => Map::new(),
    };
    object.entry("$schema").or_insert_with(|| Value::String(DIALECT.to_owned()));
    Value::Object(object)
}

/// The members of a JSON object in their order, each value as the text it was written as.
#[derive(Default)]
struct Members(Vec<(String, String)>);

impl Members {
    /// The value of `key`, if it is there. What nests too deep to read counts as there and as nothing in particular.
    fn get(&self, key: &str) -> Option<Value> {
        let (_, text) = self.0.iter().find(|(name, _)| name == key)?;
        Some(serde_json::from_str(text).unwrap_or(Value::Bool(true)))
    }

    fn set(&mut self, key: &str, value: &Value) {
        // A newline in pretty JSON is never inside a string, so this indents and changes nothing.
        let text = format!("{value:#}").replace('\n', "\n  ");
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = text,
            None => self.0.push((key.to_owned(), text)),
        }
    }

    fn default_to(&mut self, key: &str, value: &Value) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    fn render(&self) -> String {
        let line = |(key, text): &(String, String)| format!("  {}: {text}", Value::String(key.clone()));
        format!("{{\n{}\n}}\n", self.0.iter().map(line).collect::<Vec<_>>().join(",\n"))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy record: an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut seen = HashSet::new();
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Two values for one key, and each reader would believe another.
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("`{key}` is there twice")));
                    }
                    members.push((key, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TYPE: &str = "wasm_component_v1";

    fn identity() -> Identity {
        Identity { name: "geo".into(), version: "1.0.0".into(), description: "Fences.".into() }
    }

    fn sample() -> Schemas {
        Schemas {
            settings: json!({"type": "object"}),
            parameters: json!(true),
            input: json!({"$schema": "https://json-schema.org/draft/2019-09/schema"}),
            output: json!(false),
        }
    }

    fn make(author: &str) -> Result<String, RecordError> {
        record(Some(author), &identity(), Some(&sample()), (TYPE, "geo.zip"), "sha256:00")
    }

    #[test]
    fn without_an_author_it_is_complete() {
        let text = record(None, &identity(), Some(&sample()), (TYPE, "geo.zip"), "sha256:00").unwrap();
        let expected = json!({
            "name": "geo", "version": "1.0.0", "release_tag": "dev", "description": "Fences.",
            "type": TYPE, "code": "geo.zip", "code_digest": "sha256:00",
            "policy_settings_schema": {"$schema": DIALECT, "type": "object"},
            "policy_parameters_schema": {"$schema": DIALECT},
            "policy_input_schema": {"$schema": "https://json-schema.org/draft/2019-09/schema"},
            "policy_output_schema": {"$schema": DIALECT, "not": {}},
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        let bare = record(None, &identity(), None, (TYPE, "geo.zip"), "sha256:00").unwrap();
        assert!(!bare.contains("schema"), "{bare}");
    }

    #[test]
    fn keeps_what_the_author_wrote_and_its_order() {
        let text = make(
            r#"{"zeta": 1.50, "code": "https://example.com/old.zip", "alpha": {"b": 1,
                "a": [1e2]}, "policy_input_schema": {"ip": {"type": "string"}}, "policy_output_schema": {},
                "policy_settings_schema": null, "release_tag": "beta"}"#,
        )
        .unwrap();
        let places: Vec<_> = ["zeta", "code", "alpha", "policy_input", "policy_output", "release_tag", "name"]
            .iter()
            .map(|key| text.find(&format!("\"{key}")).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains("\"zeta\": 1.50,\n") && text.contains("[1e2]"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["code"], "geo.zip");
        assert_eq!(value["release_tag"], "beta");
        assert_eq!(value["policy_input_schema"], json!({"ip": {"type": "string"}}));
        assert_eq!(value["policy_output_schema"], json!({"$schema": DIALECT, "not": {}}));
        assert_eq!(value["policy_settings_schema"]["type"], "object");
    }

    #[test]
    fn making_it_again_changes_nothing() {
        let once = make(r#"{"name": "other", "tags": "a\nb \u0000 \"q\" {"}"#).unwrap();
        assert_eq!(make(&once).unwrap(), once);
    }

    #[test]
    fn refuses_records_that_are_not_ours() {
        let deep = format!(r#"{{"type": {}{}}}"#, "[".repeat(200), "]".repeat(200));
        for (author, says) in [
            ("", "EOF"),
            ("[]", "a policy record"),
            ("{\"name\": }", "expected value"),
            ("{} {}", "trailing"),
            (r#"{"name": "a", "name": "b"}"#, "`name` is there twice"),
            (r#"{"type": "python_class_v1"}"#, "python_class_v1"),
            (r#"{"type": null}"#, "null"),
            (&deep, "`type`"),
        ] {
            let error = make(author).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
