//! Web pages that may use the API: none but those that the configuration names.
//!
//! A browser sends `Origin` with what a page of another place asks, and first asks with OPTIONS whether it may. Nothing of
//! this lets anybody in: a page needs a token like every other caller.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{self, HeaderValue},
};

use super::Reply;
use crate::error::{Error, ErrorKind};

/// What a page may send and read beside what browsers allow by themselves.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, if-none-match");
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, retry-after");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The places whose pages may use the API. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Cors {
    origins: Arc<[HeaderValue]>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect() }
    }

    /// The place that the request says it is from, if that is one of them; any other is refused.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Error> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        if self.origins.contains(origin) && headers.get_all(header::ORIGIN).iter().count() == 1 {
            return Ok(Some(origin.clone()));
        }
        let why = "requests from web pages are refused: this one carries `Origin`, which is none of `cors_origins`";
        Err(Error::new(ErrorKind::Forbidden, why))
    }
}

/// The answer to a browser that asks whether a page may send a request.
pub(super) fn preflight<B>(request: &Request<B>) -> Option<Reply> {
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let mut reply = Response::new(Full::<Bytes>::default());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let headers = reply.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        reply
    })
}

/// Lets the page at `origin` read the answer.
pub(super) fn show(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
