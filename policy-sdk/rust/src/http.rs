//! Requests to other services, to the origins granted in `capabilities.http`.
//!
//! Sending blocks until the whole answer is there; the call's deadline bounds it in any case.
//!
//! ```no_run
//! # use lictor_policy::{Failure, http};
//! # fn fetch() -> Result<(), Failure> {
//! let allowlist: Vec<String> = http::get("https://example.com/api/allowlist")?.error_for_status()?.json()?;
//! let answer = http::Request::post("https://example.com/audit").json(&allowlist).timeout(500).send()?;
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, platform};

/// How large an answer may be unless the request says otherwise, in bytes: 8 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Sends a GET request to `url`.
pub fn get(url: &str) -> Result<Response, Error> {
    Request::get(url).send()
}

/// A request that has not been sent.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_body_bytes: usize,
    not_json: Option<String>,
}

impl Request {
    /// A request with any method, such as `PATCH`.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            not_json: None,
        }
    }

    /// A GET request.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// A PUT request.
    pub fn put(url: &str) -> Self {
        Self::new("PUT", url)
    }

    /// A DELETE request.
    pub fn delete(url: &str) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header. The host refuses those that are its own business, such as `Host`.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to `value` as JSON, and the content type to match.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(err) => {
                self.not_json = Some(err.to_string());
                self
            }
        }
    }

    /// How long to wait, in milliseconds, for the connection, for the first byte of the answer, and between bytes.
    pub fn timeout(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// How large the answer's body may be, in bytes. A larger one is an error. By default
    /// [`DEFAULT_MAX_BODY_BYTES`].
    pub fn max_body(mut self, max_body_bytes: usize) -> Self {
        self.max_body_bytes = max_body_bytes;
        self
    }

    /// Sends the request and waits for the whole answer. Any status is an answer: see
    /// [`Response::error_for_status`].
    pub fn send(self) -> Result<Response, Error> {
        match &self.not_json {
            Some(why) => Err(Error::new("body-not-JSON", why.clone())),
            None => platform::send(&self),
        }
        .map_err(|err| err.about(&self.url))
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The headers, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, if its value is text. Names match whatever their case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|err| Error::new("body-not-JSON", err.to_string()))
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).map_err(|err| Error::new("body-not-text", err.to_string()))
    }

    /// This answer, unless its status is 400 or above.
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.status < 400 { Ok(self) } else { Err(Error::new("status", format!("status {}", self.status))) }
    }
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Cow<'static, str>,
    message: String,
}

impl Error {
    /// An error with the given name, which should be one of `wasi:http`'s.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// Its name in `wasi:http`: `HTTP-request-denied`, `connection-refused`, `DNS-error`, …; or one of ours:
    /// `status`, `body-not-JSON`, `body-not-text`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether the host refused because the policy was not granted this origin.
    pub fn is_denied(&self) -> bool {
        self.code == "HTTP-request-denied"
    }

    fn about(mut self, url: &str) -> Self {
        self.message = if self.message.is_empty() { url.to_owned() } else { format!("{url}: {}", self.message) };
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        let details = serde_json::json!({ "error": err.code() });
        Self::new("http_error", err.to_string()).with_details(details)
    }
}
