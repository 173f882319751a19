//! JSON over HTTP, asked of another server: an executor, or the system that this one belongs to.
//!
//! The answer is read within bounds, whoever gives it: a deadline for everything together, and a number of bytes.
//! Connections are kept and used again. A redirect is an answer like any other. Never tries again.

mod upload;

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lictor_model::{HostUri, address::AllowPrivate};
pub use reqwest::Method;
use reqwest::{
    RequestBuilder, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER},
};
use tokio::time;
use url::Url;

use crate::{
    error::{LoadCode, LoadError, quoted, size},
    reach::{Reach, Trouble},
};

pub use self::upload::Upload;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections to one host that are kept while nobody uses them.
const IDLE_CONNECTIONS: usize = 64;

/// Asks other servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    reach: Reach,
    /// What everybody who is asked is shown. It is marked as not to be printed.
    authorization: Option<HeaderValue>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// How.
    pub method: Method,
    /// Where.
    pub url: &'a str,
    /// Names and values of more headers.
    pub headers: &'a [(&'static str, &'a str)],
    /// JSON, if it has a body.
    pub body: Option<Bytes>,
    /// When everything must be over.
    pub deadline: Instant,
    /// The most bytes of an answer.
    pub max_bytes: usize,
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `ETag`, if it has one.
    pub etag: Option<String>,
    /// `Retry-After`, if it has one.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why nothing usable came back: a fragment that follows the name of who was asked.
#[derive(Clone, Debug)]
pub struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unanswered {}

impl From<Trouble> for Unanswered {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.to_string())
    }
}

impl Client {
    /// For places that a record names: public addresses, and those that an operator listed.
    pub fn new(allow: &AllowPrivate) -> Result<Self, LoadError> {
        Ok(Self { reach: Reach::new(allow, CONNECT, IDLE_CONNECTIONS)?, authorization: None })
    }

    /// For the one place that an operator named, at whatever address it is.
    pub fn of_operator(host: &HostUri) -> Result<Self, LoadError> {
        let allow = AllowPrivate::parse([host.host()]).map_err(|error| {
            LoadError::new(
                LoadCode::InvalidInput,
                format!("the host of {} cannot be used: {error}", quoted(host.as_str())),
            )
        })?;
        Self::new(&allow)
    }

    /// The same, which shows this token, if there is one, to everybody that it asks.
    pub fn with_token(mut self, token: Option<&str>) -> Result<Self, LoadError> {
        let Some(token) = token else { return Ok(self) };
        let unfit = |_| LoadError::new(LoadCode::InvalidInput, "the token has characters that no token has");
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(unfit)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Begins a request.
    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Unanswered> {
        let request = self.reach.request(method, url)?;
        Ok(match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        })
    }

    /// Asks, and reads the whole answer.
    ///
    /// Dropping the future closes the connection.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Unanswered> {
        let left = ask.deadline.saturating_duration_since(Instant::now());
        match time::timeout(left, self.ask_patiently(ask)).await {
            Ok(res) => res,
            Err(_) => Err(Trouble::Slow.into()),
        }
    }

    async fn ask_patiently(&self, ask: Ask<'_>) -> Result<Answer, Unanswered> {
        let url = Url::parse(ask.url).map_err(|error| Unanswered(format!("is no URL: {error}")))?;
        let mut request = self.request(ask.method, &url)?;
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| Unanswered::from(Trouble::of(&error)))?;
        receive(response, ask.max_bytes).await
    }
}

async fn receive(mut response: Response, max_bytes: usize) -> Result<Answer, Unanswered> {
    let header =
        |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, etag, retry_after) = (response.status().as_u16(), header(ETAG), header(RETRY_AFTER));
    let mut body = Vec::new();
    let broke_off = |error: reqwest::Error| match Trouble::of(&error) {
        Trouble::Other(cause) => Unanswered(format!("broke off its answer: {}", quoted(&cause))),
        known => known.into(),
    };
    while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
        body.extend_from_slice(&chunk);
        if max_bytes < body.len() {
            let most = u64::try_from(max_bytes).unwrap_or(u64::MAX);
            return Err(Unanswered(format!("answered with more than {}", size(most))));
        }
    }
    Ok(Answer { status, etag, retry_after, body: body.into() })
}
