//! HTTP clients that connect only where they may.
//!
//! Each address is judged when it is about to be connected to: the resolver given to the client drops what the rules
//! do not permit, and the connection is made to what is left of that very answer, so a name cannot change its meaning
//! in between. Addresses written as hosts never reach a resolver and are judged before. Redirects are never followed
//! here. Proxies named in the environment are not used: a proxy would resolve the name itself, and make all of this
//! void.

use std::{error::Error, fmt, io, net::IpAddr, time::Duration};

use lictor_model::address::AllowPrivate;
use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use tokio::net;
use url::{Host, Url};

use crate::error::{LoadCode, LoadError, quoted};

const USER_AGENT: &str = concat!("lictor/", env!("CARGO_PKG_VERSION"));

/// How long a connection that nobody uses is kept; servers close theirs later than that.
const IDLE: Duration = Duration::from_secs(10);

/// A client that connects to public addresses, and to those that an operator listed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    client: Client,
    allow: AllowPrivate,
    /// Whether this machine has CA certificates, without which no `https` server can be known.
    has_roots: bool,
}

/// Why there is no answer, as far as whoever asked may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A host was found, and may not be reached. Does not say at which address: that may be a secret of the network.
    Refused,
    /// `https`, and nothing to know the server by.
    NoRoots,
    /// Nothing came in time.
    Slow,
    /// Anything else, by its innermost cause.
    Other(String),
}

impl Reach {
    /// A client under `allow` that keeps up to `idle` connections to each host. Reads the machine's CA certificates;
    /// does not connect.
    pub(crate) fn new(allow: &AllowPrivate, connect_timeout: Duration, idle: usize) -> Result<Self, LoadError> {
        // The provider is one for the process; whoever came first has chosen the same.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let allow = allow.clone();
        let builder = || builder(&allow, connect_timeout, idle);
        if let Ok(client) = builder().build() {
            return Ok(Self { client, allow, has_roots: true });
        }
        // A container without CA certificates: plain HTTP, files and uploads work all the same.
        let client = builder().tls_certs_only([]).build();
        let client = client
            .map_err(|error| LoadError::new(LoadCode::Internal, "cannot set up the HTTP client").caused_by(error))?;
        tracing::warn!("this machine has no CA certificates: nothing can be reached over https");
        Ok(Self { client, allow, has_roots: false })
    }

    /// A GET of `url`, unless it is known already that it cannot be sent.
    pub(crate) fn get(&self, url: &Url) -> Result<RequestBuilder, Trouble> {
        self.request(Method::GET, url)
    }

    /// A request for `url`, unless it is known already that it cannot be sent.
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Trouble> {
        if url.scheme() == "https" && !self.has_roots {
            return Err(Trouble::NoRoots);
        }
        let host = url.host_str().unwrap_or_default();
        if literal(url).is_some_and(|ip| !self.allow.permits(host, ip)) {
            return Err(Trouble::Refused);
        }
        Ok(self.client.request(method, url.clone()))
    }
}

fn builder(allow: &AllowPrivate, connect_timeout: Duration, idle: usize) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .no_proxy()
        .referer(false)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .pool_max_idle_per_host(idle)
        .pool_idle_timeout(IDLE)
        .dns_resolver(CheckedResolver { allow: allow.clone() })
}

/// The address that is the host of `url`, however it was spelled: parsing made `0x7f.1` the address it means.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

impl Trouble {
    /// What `error` comes down to: the layers above its innermost cause only say that something failed.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut cause: &dyn Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if cause.is::<AddressRefused>() {
            Self::Refused
        } else if error.is_timeout() {
            Self::Slow
        } else {
            Self::Other(cause.to_string())
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => AddressRefused.fmt(f),
            Self::NoRoots => f.write_str("cannot be trusted: this machine has no CA certificates"),
            Self::Slow => f.write_str("did not answer in time"),
            Self::Other(cause) => write!(f, "cannot be reached: {}", quoted(cause)),
        }
    }
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

/// The error of a resolver that found only what may not be reached.
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
