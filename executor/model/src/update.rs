//! The update language of the registries' `PUT` routes: a whole document, or `$set` and `$unset` of dotted paths.

use serde_json::{Map, Value};

use crate::field::{FieldError, shorten};

/// What a `PUT` asks for.
#[derive(Clone, Debug)]
pub enum Update {
    /// Put this document in the place of the old one.
    Replace(Value),
    /// Change these fields of the old one.
    Change {
        /// Dotted paths and their new values.
        set: Vec<(String, Value)>,
        /// Dotted paths that go.
        unset: Vec<String>,
    },
}

impl Update {
    /// Reads the body of a `PUT`: an update if any of its keys is an operator, otherwise a document.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let operators = body.as_object().is_some_and(|fields| fields.keys().any(|name| name.starts_with('$')));
        if !operators {
            return Ok(Self::Replace(body));
        }
        let Value::Object(fields) = body else { return Ok(Self::Replace(body)) };
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("$set", Value::Object(paths)) => set.extend(paths),
                ("$unset", Value::Object(paths)) => unset.extend(paths.into_iter().map(|(path, _)| path)),
                ("$set" | "$unset", _) => return Err(FieldError::new(name, "must be an object of dotted paths")),
                _ => {
                    let why = format!("`{}` is not an available operator: use `$set` or `$unset`", shorten(&name, 30));
                    return Err(FieldError::new(name, why));
                }
            }
        }
        Ok(Self::Change { set, unset })
    }

    /// The document that comes of applying this to `document`.
    pub fn apply(self, document: Map<String, Value>) -> Result<Value, FieldError> {
        match self {
            Self::Replace(new) => Ok(new),
            Self::Change { set, unset } => {
                let mut document = document;
                for (path, value) in set {
                    assign(&mut document, &path, value)?;
                }
                for path in unset {
                    remove(&mut document, &path);
                }
                Ok(Value::Object(document))
            }
        }
    }
}

fn assign(document: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), FieldError> {
    let mut at = document;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(FieldError::new(path, "is not a dotted path: a part is empty"));
        }
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = at.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(fields) = next else {
            return Err(FieldError::new(path, format!("cannot be set: `{}` is not an object", shorten(part, 40))));
        };
        at = fields;
    }
    Ok(())
}

fn remove(document: &mut Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => drop(document.remove(path)),
        Some((first, rest)) => {
            if let Some(Value::Object(fields)) = document.get_mut(first) {
                remove(fields, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(update: Value) -> Result<Value, FieldError> {
        let document = json!({"a": 1, "b": {"c": 2, "d": 3}});
        Update::parse(update)?.apply(document.as_object().unwrap().clone())
    }

    #[test]
    fn changes_what_it_names_and_nothing_else() {
        assert_eq!(
            apply(json!({"$set": {"b.c": 9, "e.f": 1}})).unwrap(),
            json!({"a": 1, "b": {"c": 9, "d": 3}, "e": {"f": 1}})
        );
        assert_eq!(apply(json!({"$unset": {"b.c": "", "x.y": ""}})).unwrap(), json!({"a": 1, "b": {"d": 3}}));
        assert_eq!(apply(json!({"z": 1})).unwrap(), json!({"z": 1}));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!(apply(json!({"$inc": {"a": 1}})).unwrap_err().field(), "$inc");
        assert_eq!(apply(json!({"$set": 1})).unwrap_err().field(), "$set");
        assert_eq!(apply(json!({"$set": {"a.b": 1}})).unwrap_err().field(), "a.b");
        assert_eq!(apply(json!({"$set": {"a..b": 1}})).unwrap_err().field(), "a..b");
    }
}
