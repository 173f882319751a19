//! Whether a request may come in at all.
//!
//! Without tokens the API is open to everybody on this machine, and a browser on this machine runs pages of
//! everybody else. Two things give such a page away: it cannot leave out `Origin`, and a name that was made to point
//! here is in `Host`. Neither is ever needed by a program that calls the API. Where a token is needed, the name does not
//! matter any more: no page has one by itself.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Request,
    header::{self, HeaderValue},
};

use super::cors::Cors;
use crate::error::{Error, ErrorKind};

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    loopback: bool,
    cors: Cors,
}

impl Guard {
    pub(super) fn new(loopback: bool, cors: Cors) -> Self {
        Self { loopback, cors }
    }

    /// Admits a request, with the place of the page that sends it, if one does. `closed` says that it needs a token.
    pub(super) fn admit<B>(&self, request: &Request<B>, closed: bool) -> Result<Option<HeaderValue>, Error> {
        let page = self.cors.admit(request.headers())?;
        if self.loopback && !closed && !names_this_machine(request) {
            let why = "`Host` must be an IP address or localhost: without tokens, this server is for this machine only";
            return Err(Error::new(ErrorKind::Forbidden, why));
        }
        Ok(page)
    }
}

fn names_this_machine<B>(request: &Request<B>) -> bool {
    let in_target = request.uri().host().is_none_or(is_local_name);
    in_target && host(request.headers()).is_none_or(is_local_name)
}

/// The `Host` header without its port; one that cannot be read is a name that is not ours.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::HOST).iter();
    let first = all.next()?;
    if all.next().is_some() {
        return Some("");
    }
    let text = first.to_str().unwrap_or("");
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => Some(host),
        _ => Some(text),
    }
}

fn is_local_name(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/policy/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: bool) {
        let guard = Guard::new(true, Cors::default());
        assert_eq!(guard.admit(&request(headers), false).is_ok(), expected, "{headers:?}");
    }

    #[test]
    fn a_page_that_is_named_comes_in_and_no_other() {
        let guard = Guard::new(true, Cors::new(&["https://a.example".into()]));
        let admitted = |origins: &[&str]| {
            let headers: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
            guard.admit(&request(&headers), true).map_err(|error| error.kind())
        };
        assert_eq!(admitted(&["https://a.example"]), Ok(Some(HeaderValue::from_static("https://a.example"))));
        for origins in [&["https://a.example.evil"][..], &["null"], &["*"], &["https://a.example", "https://b.example"]]
        {
            assert_eq!(admitted(origins), Err(ErrorKind::Forbidden), "{origins:?}");
        }
        assert_eq!(admitted(&[]), Ok(None));
    }

    #[test]
    fn with_tokens_the_name_does_not_matter() {
        let guard = Guard::new(true, Cors::default());
        assert!(guard.admit(&request(&[("host", "lictor.example")]), true).is_ok());
    }

    #[test]
    fn lets_programs_in_and_pages_not() {
        check(&[("host", "127.0.0.1:10000")], true);
        check(&[("host", "localhost")], true);
        check(&[("host", "LocalHost:80")], true);
        check(&[("host", "[::1]:10000")], true);
        check(&[("host", "[::1]")], true);
        check(&[], true);
        check(&[("host", "evil.example:10000")], false);
        check(&[("host", "localhost.evil.example")], false);
        check(&[("host", "127.0.0.1.evil.example")], false);
        check(&[("host", "")], false);
        check(&[("host", "127.0.0.1"), ("host", "evil.example")], false);
        check(&[("host", "127.0.0.1"), ("origin", "http://127.0.0.1")], false);
        check(&[("host", "127.0.0.1"), ("origin", "null")], false);
    }
}
