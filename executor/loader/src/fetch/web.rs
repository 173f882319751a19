//! Code over HTTP and HTTPS, from a server that may be hostile, on behalf of a record that may be too.
//!
//! A URL must not become a way into the network this runs in: `reach` judges each address that is connected to.
//! Redirects are followed by hand and each is judged like a new reference. Neither cookies, nor credentials, nor a
//! referrer are sent, and no encoding is undone but the archive's own.

use std::time::Duration;

use bytes::Bytes;
use lictor_model::{code::CodeRef, digest::Digest};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION},
};
use sha2::{Digest as _, Sha256};
use tokio::time;
use url::Url;

use super::{FetchRules, Fetched, unreachable};
use crate::{
    error::{LoadError, quoted, size},
    reach::{Reach, Trouble},
};

/// The HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Web {
    reach: Reach,
}

impl Web {
    pub(super) fn new(rules: &FetchRules) -> Result<Self, LoadError> {
        // Fetches are rare: a connection kept would be one more thing that was judged some time ago.
        let reach = Reach::new(&rules.allow_private, rules.connect_timeout, 0)?;
        Ok(Self { reach })
    }

    /// What `url` answers, after redirects.
    pub(super) async fn fetch(&self, url: &Url, rules: &FetchRules) -> Result<Fetched, LoadError> {
        let mut url = url.clone();
        for _ in 0..=rules.max_redirects {
            let code = CodeRef::Http(url.clone());
            let response = self.send(&url, &code, rules).await?;
            url = match response.status() {
                StatusCode::OK => return receive(response, &code, rules).await,
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    next_hop(&url, response.headers().get(LOCATION).map(|value| value.as_bytes()))?
                }
                status => return Err(unreachable(&code, format!("answered with status {}", status.as_u16()))),
            };
        }
        Err(unreachable(&CodeRef::Http(url), format!("comes after more than {} redirects", rules.max_redirects)))
    }

    async fn send(&self, url: &Url, code: &CodeRef, rules: &FetchRules) -> Result<Response, LoadError> {
        let request = self.reach.get(url).map_err(|trouble| unreachable(code, trouble))?;
        let sending = request.header(ACCEPT_ENCODING, "identity").send();
        let patience = rules.connect_timeout.saturating_add(rules.idle_timeout);
        within(patience, code, sending).await
    }
}

/// Where a redirect goes, if it is a place that could have been asked for in the first place.
fn next_hop(from: &Url, location: Option<&[u8]>) -> Result<Url, LoadError> {
    let code = CodeRef::Http(from.clone());
    let refuse = |why: String| unreachable(&code, format!("redirects to a place that {why}"));
    let location = location.ok_or_else(|| unreachable(&code, "redirects without saying where"))?;
    let location = str::from_utf8(location).map_err(|_| refuse("is not a valid URL".into()))?;
    let target = from.join(location).map_err(|error| refuse(format!("is not a valid URL: {error}")))?;
    match target.as_str().parse::<CodeRef>() {
        Ok(CodeRef::Http(target)) if from.scheme() == "https" && target.scheme() == "http" => {
            Err(refuse("is `http`, from `https`".into()))
        }
        Ok(CodeRef::Http(target)) => Ok(target),
        Ok(_) => Err(refuse("is not on the web".into())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// Takes the body, hashing it as it comes, up to the cap: what the server says of its length is only good for an
/// early refusal.
async fn receive(mut response: Response, code: &CodeRef, rules: &FetchRules) -> Result<Fetched, LoadError> {
    let encoded = response
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if let Some(encoding) = encoded {
        let encoding = quoted(&String::from_utf8_lossy(encoding.as_bytes()));
        return Err(unreachable(
            code,
            format!("answered with the content encoding {encoding}, which was not asked for"),
        ));
    }
    let too_large = || unreachable(code, format!("answered with more than {}", size(rules.max_bytes)));
    if response.content_length().is_some_and(|len| len > rules.max_bytes) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut hasher = Sha256::new();
    while let Some(chunk) = within(rules.idle_timeout, code, response.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > rules.max_bytes {
            return Err(too_large());
        }
        hasher.update(&chunk);
    }
    Ok(Fetched { bytes: Bytes::from(bytes), digest: Digest::from_bytes(hasher.finalize().into()) })
}

async fn within<T>(
    patience: Duration,
    code: &CodeRef,
    step: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, LoadError> {
    match time::timeout(patience, step).await {
        Ok(Ok(res)) => Ok(res),
        // The error would show the whole URL, and with it what a signed one must keep secret.
        Ok(Err(error)) => Err(failed(code, error.without_url())),
        Err(_) => Err(unreachable(code, "did not answer in time")),
    }
}

fn failed(code: &CodeRef, error: reqwest::Error) -> LoadError {
    let res = match Trouble::of(&error) {
        Trouble::Other(cause) => unreachable(code, format!("cannot be fetched: {}", quoted(&cause))),
        known => unreachable(code, known),
    };
    res.caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hop(from: &str, location: &str) -> Result<String, String> {
        let from = from.parse().unwrap();
        next_hop(&from, Some(location.as_bytes()))
            .map(|url| url.to_string())
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_redirect_may_go_where_a_reference_may() {
        let rows = [
            ("https://a.com/x/y?sig=1", "z", "https://a.com/x/z"),
            ("https://a.com/x", "//b.com/z", "https://b.com/z"),
            ("http://a.com/", "https://b.com/", "https://b.com/"),
            ("http://a.com/", "http://0x7f.1/", "http://127.0.0.1/"),
        ];
        for (from, location, expected) in rows {
            assert_eq!(hop(from, location).as_deref(), Ok(expected), "{from} {location}");
        }
    }

    #[test]
    fn a_redirect_may_not_go_elsewhere() {
        let rows = [
            ("http://b.com/", "is `http`, from `https`"),
            ("file:///etc/passwd", "not on the web"),
            ("asset://1", "not on the web"),
            ("gopher://a.com/", "`gopher`"),
            ("data:,x", "`data`"),
            ("javascript:x", "`javascript`"),
            ("https://u:s3cret@b.com/", "user name or password"),
            ("https://b.com:99999/s3cret", "not a valid URL"),
        ];
        for (location, expected) in rows {
            let message = hop("https://a.com/", location).unwrap_err();
            assert!(message.contains(expected) && !message.contains("s3cret"), "{location}: {message}");
        }
        assert!(next_hop(&"https://a.com/".parse().unwrap(), Some(b"\xff")).is_err());
        assert!(next_hop(&"https://a.com/".parse().unwrap(), None).is_err());
    }
}
