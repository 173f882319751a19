//! `${field}` in a template becomes the field's value.
//!
//! A text that is nothing but `${field}` becomes the value, whatever its type; inside a longer text the value is
//! written out. A path goes into objects and lists by dots: `${ports.0}`. `$${` stands for `${`.

use lictor_policy::Failure;
use serde_json::{Map, Value};

/// The template with every placeholder replaced. Fails as `unknown_field` if one names nothing.
pub(crate) fn substitute(template: Value, spec: &Map<String, Value>) -> Result<Value, Failure> {
    match template {
        Value::String(text) => in_text(&text, spec),
        Value::Array(elements) => {
            elements.into_iter().map(|element| substitute(element, spec)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| Ok((name, substitute(value, spec)?)))
            .collect::<Result<_, Failure>>()
            .map(Value::Object),
        other => Ok(other),
    }
}

fn in_text(text: &str, spec: &Map<String, Value>) -> Result<Value, Failure> {
    if let Some(path) = whole_placeholder(text) {
        return find(path, spec).cloned();
    }
    let mut res = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            res.push_str(before);
            res.push_str("${");
            rest = after;
            continue;
        }
        let unclosed = || Failure::new("invalid_template", format!("`{text}` has a `${{` without its `}}`"));
        let (path, after) = after.split_once('}').ok_or_else(unclosed)?;
        res.push_str(before);
        match find(path, spec)? {
            Value::String(text) => res.push_str(text),
            other => res.push_str(&other.to_string()),
        }
        rest = after;
    }
    res.push_str(rest);
    Ok(Value::String(res))
}

fn whole_placeholder(text: &str) -> Option<&str> {
    let path = text.strip_prefix("${")?.strip_suffix('}')?;
    (!path.contains(['{', '}'])).then_some(path)
}

fn find<'a>(path: &str, spec: &'a Map<String, Value>) -> Result<&'a Value, Failure> {
    let unknown = || Failure::new("unknown_field", format!("the template asks for `{path}`, which is not there"));
    let mut steps = path.split('.');
    let mut found = steps.next().and_then(|name| spec.get(name)).ok_or_else(unknown)?;
    for step in steps {
        found = match found {
            Value::Array(elements) => step.parse::<usize>().ok().and_then(|idx| elements.get(idx)),
            other => other.get(step),
        }
        .ok_or_else(unknown)?;
    }
    Ok(found)
}
