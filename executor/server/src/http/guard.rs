//! Whether a request may come in at all.
//!
//! Without tokens the API is open to everybody on this machine, and a browser on this machine runs pages of
//! everybody else. Two things give such a page away: it cannot leave out `Origin`, and a name that was made to point
//! here is in `Host`. Neither is ever needed by a program that calls the API.

use std::net::IpAddr;

use hyper::{HeaderMap, Request, header};

use crate::error::{Error, ErrorKind};

/// The rules of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    loopback: bool,
}

impl Guard {
    pub(super) fn new(loopback: bool) -> Self {
        Self { loopback }
    }

    pub(super) fn admit<B>(self, request: &Request<B>) -> Result<(), Error> {
        let forbidden = |why: &str| Err(Error::new(ErrorKind::Forbidden, why));
        if request.headers().contains_key(header::ORIGIN) {
            return forbidden("requests from web pages are refused: this one carries `Origin`");
        }
        if self.loopback && !names_this_machine(request) {
            return forbidden(
                "`Host` must be an IP address or localhost: without tokens, this server is for this machine only",
            );
        }
        Ok(())
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

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: bool) {
        let mut request = Request::get("/policy/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(Guard::new(true).admit(&request.body(()).unwrap()).is_ok(), expected, "{headers:?}");
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
