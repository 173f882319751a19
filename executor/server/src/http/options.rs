//! What the query string of a route that runs something may ask for.

use lictor_model::{FieldError, field::shorten};

use crate::error::Error;

/// What every such route can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Whether the answer says what the call used.
    pub(super) usage: bool,
    /// Whether nothing of it is to last.
    pub(super) dry_run: bool,
    /// A time-out lower than the policy's.
    pub(super) timeout_ms: Option<u64>,
    /// Whether the answer says what each node of a graph did. Only of graphs.
    pub(super) trace: bool,
}

impl Options {
    /// Reads a query string. `more` names the options of this route that not every route has.
    pub(super) fn parse(query: Option<&str>, more: &[&str]) -> Result<Self, Error> {
        let mut res = Self::default();
        for (name, value) in
            query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()).map(split)
        {
            match name {
                "usage" => res.usage = flag(name, value)?,
                "dry_run" => res.dry_run = flag(name, value)?,
                "timeout_ms" => res.timeout_ms = Some(milliseconds(value)?),
                "trace" if more.contains(&name) => res.trace = flag(name, value)?,
                _ => return Err(unknown(name, more)),
            }
        }
        Ok(res)
    }
}

fn unknown(name: &str, more: &[&str]) -> Error {
    let more: String = more.iter().map(|name| format!(", `{name}`")).collect();
    let why = format!("is not an option of this route: there are `usage`, `dry_run`, `timeout_ms`{more}");
    FieldError::new(shorten(name, 40), why).into()
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

fn flag(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(FieldError::new(name, "must be 1 or 0").into()),
    }
}

fn milliseconds(value: &str) -> Result<u64, Error> {
    let n = value.parse().ok().filter(|n| 0 < *n);
    n.ok_or_else(|| FieldError::new("timeout_ms", "must be a whole number of milliseconds, at least 1").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_ones_with_known_values() {
        let options = Options { usage: true, timeout_ms: Some(50), ..Options::default() };
        assert_eq!(Options::parse(Some("usage=1&timeout_ms=50"), &[]).unwrap(), options);
        assert_eq!(Options::parse(None, &[]).unwrap(), Options::default());
        assert!(Options::parse(Some("dry_run=1&trace=1"), &["trace"]).unwrap().trace);
        for (query, field) in [
            ("usage=yes", "usage"),
            ("timeout_ms=-1", "timeout_ms"),
            ("timeout_ms=0", "timeout_ms"),
            ("trace=1", "trace"),
        ] {
            assert_eq!(Options::parse(Some(query), &[]).unwrap_err().field(), Some(field), "{query}");
        }
    }
}
