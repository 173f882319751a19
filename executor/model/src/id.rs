//! Names of things: parsed once at the door, trusted everywhere else.

use std::{fmt, str::FromStr};

use crate::field::{FieldError, shorten};

/// The longest part of an id, in bytes.
const MAX_PART: usize = 128;

/// Whether `text` is a plain name: 1 to `max` ASCII letters, digits, `.`, `_`, `-` or `+`.
///
/// ASCII only, so that two ids that look alike are alike.
fn plain(text: &str, max: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    !text.is_empty() && text.len() <= max && text != "." && text != ".." && text.bytes().all(allowed)
}

fn check_plain(field: &str, text: &str) -> Result<(), FieldError> {
    if plain(text, MAX_PART) {
        return Ok(());
    }
    let shown = shorten(text, 40);
    Err(FieldError::new(
        field,
        format!("must be 1 to {MAX_PART} ASCII letters, digits, `.`, `_`, `-` or `+`, not `{shown}`"),
    ))
}

/// The uri `name:version-tag` of three plain parts, each given with the field that it comes from.
fn versioned(parts: [(&str, &str); 3]) -> Result<Box<str>, FieldError> {
    for (field, part) in parts {
        check_plain(field, part)?;
    }
    let [(_, name), (_, version), (_, tag)] = parts;
    Ok(format!("{name}:{version}-{tag}").into())
}

/// Names one version of a policy: `{name}:{version}-{release_tag}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyUri(Box<str>);

impl PolicyUri {
    /// The uri of a policy with this name, version and release tag.
    pub fn of(name: &str, version: &str, release_tag: &str) -> Result<Self, FieldError> {
        versioned([("name", name), ("version", version), ("release_tag", release_tag)]).map(Self)
    }

    /// The uri as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyUri {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let whole =
            |(name, rest): &(&str, &str)| plain(name, MAX_PART) && plain(rest, 2 * MAX_PART + 1) && rest.contains('-');
        match text.split_once(':').filter(whole) {
            Some(_) => Ok(Self(text.into())),
            None => Err(FieldError::new(
                "policy_rule_uri",
                format!("must have the form `name:version-tag`, not `{}`", shorten(text, 60)),
            )),
        }
    }
}

impl fmt::Display for PolicyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one version of a graph: `{graph_name}:{graph_version}-{graph_release_tag}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GraphUri(Box<str>);

impl GraphUri {
    /// The uri of a graph with this name, version and release tag.
    pub fn of(name: &str, version: &str, release_tag: &str) -> Result<Self, FieldError> {
        versioned([("graph_name", name), ("graph_version", version), ("graph_release_tag", release_tag)]).map(Self)
    }

    /// The uri as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one executor: a plain name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorId(Box<str>);

impl ExecutorId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExecutorId {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        check_plain("executor_id", text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_uri_is_made_of_three_plain_parts() {
        let uri = PolicyUri::of("ip_allowlist", "1.0", "beta").unwrap();
        assert_eq!(uri.as_str(), "ip_allowlist:1.0-beta");
        assert_eq!("ip_allowlist:1.0-beta".parse::<PolicyUri>().unwrap(), uri);
        assert_eq!(PolicyUri::of("a", "1/0", "b").unwrap_err().field(), "version");
        assert_eq!(GraphUri::of("a", "1.0", "b").unwrap().as_str(), "a:1.0-b");
        assert_eq!(GraphUri::of("a", "1/0", "b").unwrap_err().field(), "graph_version");
    }

    #[test]
    fn refuses_uris_that_are_not_plain() {
        for text in ["", "a", "a:b", ":1-b", "a:", "а:1-b", "a:1-b:c", "a/b:1-c", "a:1-\0", "a:1-b c", "..:1-b"] {
            assert!(text.parse::<PolicyUri>().is_err(), "{text:?}");
        }
    }
}
