//! What the query string of a route that runs something may ask for.

use std::sync::Arc;

use hyper::{HeaderMap, Request};
use lictor_model::{FieldError, field::shorten};

use crate::{
    access::{Asker, Caller},
    error::Error,
};

/// What every such route can be asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// Whether the answer says what the call used.
    pub(super) usage: bool,
    /// Whether nothing of it is to last.
    pub(super) dry_run: bool,
    /// A time-out lower than the policy's.
    pub(super) timeout_ms: Option<u64>,
    /// Whether the answer says what each node of a graph did. Only of graphs.
    pub(super) trace: bool,
    /// Who asks.
    pub(super) asker: Asker,
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

    /// Reads the query string of a request, and who makes it.
    pub(super) fn of<B>(request: &Request<B>, more: &[&str]) -> Result<Self, Error> {
        Ok(Self { asker: asker(request), ..Self::parse(request.uri().query(), more)? })
    }
}

/// Who makes a request that was let in.
fn asker<B>(request: &Request<B>) -> Asker {
    let caller = request.extensions().get::<Arc<Caller>>().map(Arc::clone);
    Asker { caller, trace: trace(request.headers()), ..Asker::default() }
}

/// The id of the trace that a request is part of, by its `traceparent`.
pub(super) fn trace(headers: &HeaderMap) -> Option<Box<str>> {
    let [version, trace, _] = headers.get("traceparent")?.to_str().ok()?.splitn(3, '-').collect::<Vec<_>>()[..] else {
        return None;
    };
    let good = version.len() == 2 && trace.len() == 32 && trace.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    good.then(|| trace.into())
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
    fn a_trace_is_what_its_standard_says() {
        let trace_of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value.parse().unwrap());
            trace(&headers).map(String::from)
        };
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_of(&format!("00-{id}-b7ad6b7169203331-01")).as_deref(), Some(id));
        for wrong in ["", id, "00-abc-b7ad6b7169203331-01", &format!("00-{}-b7ad6b7169203331-01", id.to_uppercase())] {
            assert_eq!(trace_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn options_are_known_ones_with_known_values() {
        let read = |query| {
            let Options { usage, dry_run, timeout_ms, trace, .. } = Options::parse(query, &[]).unwrap();
            (usage, dry_run, timeout_ms, trace)
        };
        assert_eq!(read(Some("usage=1&timeout_ms=50")), (true, false, Some(50), false));
        assert_eq!(read(None), (false, false, None, false));
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
