//! What a kubeconfig may not say when it comes from somebody else.

use serde_json::Value;

use crate::json;

/// Makes whoever reads the file run a program, or speak to a place, of its author's choice.
const FORBIDDEN: [&str; 2] = ["exec", "auth-provider"];

/// The dotted path of the first part of `config` that would let its author run programs here, if it has one.
///
/// Looks everywhere, also in texts that hold a document themselves: where the users of a kubeconfig stand is for a
/// client of Kubernetes to find out, and it must not find more than was looked at here.
pub fn forbidden_in_kubeconfig(config: &Value) -> Option<String> {
    // A list of what is left to look at and no recursion, so that no nesting of texts in texts is too deep.
    let mut left = vec![(String::new(), config.clone())];
    while let Some((path, value)) = left.pop() {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = below(&path, &name);
                    if FORBIDDEN.contains(&name.as_str()) {
                        return Some(path);
                    }
                    left.push((path, value));
                }
            }
            Value::Array(items) => {
                left.extend(items.into_iter().enumerate().map(|(idx, item)| (below(&path, &idx.to_string()), item)));
            }
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                left.extend(json::parse(&text).ok().map(|value| (path, value)));
            }
            _ => {}
        }
    }
    None
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
