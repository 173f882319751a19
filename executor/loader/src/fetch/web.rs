//! Code over HTTP and HTTPS, from a server that may be hostile, on behalf of a record that may be too.
//!
//! A URL must not become a way into the network this runs in. So each address is judged when it is about to be
//! connected to: the resolver given to the client drops what the rules do not permit, and the connection is made to
//! what is left of that very answer, so a name cannot change its meaning in between. Addresses written as hosts never
//! reach a resolver and are judged before. Redirects are followed by hand and each is judged like a new reference.
//! Proxies named in the environment are not used: a proxy would resolve the name itself, and make all of this void.
//! Neither cookies, nor credentials, nor a referrer are sent, and no encoding is undone but the archive's own.

use std::{error::Error, fmt, io, net::IpAddr, time::Duration};

use bytes::Bytes;
use lictor_model::{address::AllowPrivate, code::CodeRef, digest::Digest};
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION},
    redirect,
};
use sha2::{Digest as _, Sha256};
use tokio::{net, time};
use url::{Host, Url};

use super::{FetchRules, Fetched, unreachable};
use crate::error::{LoadCode, LoadError, quoted, size};

const USER_AGENT: &str = concat!("lictor/", env!("CARGO_PKG_VERSION"));

/// The HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Web {
    client: Client,
    /// Whether this machine has CA certificates, without which no `https` server can be known.
    has_roots: bool,
}

impl Web {
    pub(super) fn new(rules: &FetchRules) -> Result<Self, LoadError> {
        // The provider is one for the process; whoever came first has chosen the same.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        if let Ok(client) = builder(rules).build() {
            return Ok(Self { client, has_roots: true });
        }
        // A container without CA certificates: plain HTTP, files and uploads work all the same.
        let client = builder(rules).tls_certs_only([]).build();
        let client = client
            .map_err(|error| LoadError::new(LoadCode::Internal, "cannot set up the HTTP client").caused_by(error))?;
        tracing::warn!("this machine has no CA certificates: code cannot be fetched over https");
        Ok(Self { client, has_roots: false })
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
        if url.scheme() == "https" && !self.has_roots {
            return Err(unreachable(code, "cannot be trusted: this machine has no CA certificates"));
        }
        if let Some(ip) = literal(url)
            && !rules.allow_private.permits(url.host_str().unwrap_or_default(), ip)
        {
            return Err(unreachable(code, AddressRefused));
        }
        let sending = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity").send();
        let patience = rules.connect_timeout.saturating_add(rules.idle_timeout);
        within(patience, code, sending).await
    }
}

fn builder(rules: &FetchRules) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .no_proxy()
        .referer(false)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(rules.connect_timeout)
        // Fetches are rare: a connection kept would be one more thing that was judged some time ago.
        .pool_max_idle_per_host(0)
        .dns_resolver(CheckedResolver { allow: rules.allow_private.clone() })
}

/// The address that is the host of `url`, however it was spelled: parsing made `0x7f.1` the address it means.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
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

/// Says the innermost cause: the layers above it only say that something failed.
fn failed(code: &CodeRef, error: reqwest::Error) -> LoadError {
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let res = if cause.is::<AddressRefused>() {
        unreachable(code, AddressRefused)
    } else if error.is_timeout() {
        unreachable(code, "did not answer in time")
    } else {
        unreachable(code, format!("cannot be fetched: {}", quoted(&cause.to_string())))
    };
    res.caused_by(error)
}

/// Resolves names, and answers only with addresses that the rules permit.
struct CheckedResolver {
    allow: AllowPrivate,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let found: Vec<_> = net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let permitted: Vec<_> = found.into_iter().filter(|addr| allow.permits(name.as_str(), addr.ip())).collect();
            if permitted.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// A host was found, and may not be reached. Does not say at which address: that may be a secret of the network.
#[derive(Debug)]
struct AddressRefused;

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has no public address, and `--allow-private` does not admit it")
    }
}

impl Error for AddressRefused {}

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

    #[tokio::test]
    async fn a_name_is_connected_to_at_permitted_addresses_only() {
        let resolve = async |allow: &[&str]| {
            let resolver = CheckedResolver { allow: AllowPrivate::parse(allow).unwrap() };
            resolver
                .resolve("localhost".parse().unwrap())
                .await
                .map(|addrs| addrs.map(|addr| addr.ip()).collect::<Vec<_>>())
        };
        assert!(resolve(&[]).await.unwrap_err().is::<AddressRefused>());
        assert!(resolve(&["10.0.0.0/8", "other"]).await.unwrap_err().is::<AddressRefused>());
        let only_v4 = resolve(&["127.0.0.1"]).await.unwrap();
        assert!(!only_v4.is_empty() && only_v4.iter().all(IpAddr::is_ipv4), "{only_v4:?}");
        assert!(!resolve(&["localhost"]).await.unwrap().is_empty());
    }
}
