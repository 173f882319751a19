//! Reads only some top-level fields of a document's text.
//!
//! PERF: a scan looks at a few fields of each candidate. Skipping the others builds nothing, and nothing is read behind
//! the last field that is wanted.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The fields of the document `text` whose names are in `wanted`, sorted, if it is one.
pub(super) fn read(text: &str, wanted: &[String]) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // What is stored was bounded in depth when it came in.
    deserializer.disable_recursion_limit();
    let left = Wanted { names: wanted, fields: &mut fields }.deserialize(&mut deserializer);
    // Once all are found the rest is left unread, which the parser takes for an error.
    (left.is_ok() || fields.len() == wanted.len()).then_some(fields)
}

/// What is looked for, and what of it was found.
struct Wanted<'a> {
    names: &'a [String],
    fields: &'a mut Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(name) = access.next_key_seed(Name(self.names))? {
            match name {
                None => drop(access.next_value::<IgnoredAny>()?),
                Some(name) => {
                    self.fields.insert(name.clone(), access.next_value()?);
                    if self.fields.len() == self.names.len() {
                        return Err(A::Error::custom("the rest is not read"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Finds a key among the wanted names, without making a string of it.
struct Name<'a>(&'a [String]);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|wanted| *wanted == name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn check(text: &str, wanted: &[&str], expected: Option<Value>) {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(read(text, &wanted).map(Value::Object), expected, "{text}");
    }

    #[test]
    fn reads_what_is_wanted_and_skips_the_rest() {
        let text = r#"{"a":{"b":[1,"}"]},"c":"\"x","d":[{"a":1}],"e":null}"#;
        check(text, &[], Some(json!({})));
        check(text, &["a"], Some(json!({"a": {"b": [1, "}"]}})));
        check(text, &["e", "c"], Some(json!({"c": "\"x", "e": null})));
        check(text, &["d", "x"], Some(json!({"d": [{"a": 1}]})));
        check(r#"{"\u0061":1}"#, &["a"], Some(json!({"a": 1})));
        check("{}", &["a"], Some(json!({})));
        check(&format!(r#"{{"x":{}{},"a":1}}"#, "[".repeat(127), "]".repeat(127)), &["a"], Some(json!({"a": 1})));
    }

    #[test]
    fn a_text_that_is_no_document_is_none() {
        for text in ["", "[]", "5", r#"{"a":"#, r#"{"x":1,"#] {
            check(text, &["a"], None);
        }
    }
}
