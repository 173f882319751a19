//! Where a server of ours or of the original's is reached.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use url::{Host, Url};

use crate::field::shorten;

/// The longest, in characters.
const MAX_CHARS: usize = 2048;

/// An `http` or `https` URL without credentials, query, fragment or a slash at its end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostUri {
    text: String,
    host: String,
    ip: Option<IpAddr>,
    port: u16,
}

impl HostUri {
    /// Reads a URL. The error says what is wrong with it and never shows a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().nth(MAX_CHARS).is_some() {
            return Err(format!("is longer than {MAX_CHARS} characters"));
        }
        // What stands before an `@` may be a password.
        let not_a_url = || match text.contains('@') {
            true => "is not a URL".to_owned(),
            false => format!("must be a URL such as `http://203.0.113.7:10000`, not `{}`", shorten(text, 60)),
        };
        // Parsing would drop them silently.
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(not_a_url());
        }
        let url = Url::parse(text).map_err(|_| not_a_url())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end with its path: a query or a fragment has no meaning here".into());
        }
        let (host, port) = match (url.scheme(), url.host(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => (host, port),
            _ => return Err(format!("must be an `http` or `https` URL, not `{}`", shorten(text, 60))),
        };
        let ip = match &host {
            Host::Ipv4(ip) => Some((*ip).into()),
            Host::Ipv6(ip) => Some((*ip).into()),
            Host::Domain(_) => None,
        };
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), host: host.to_string(), ip, port })
    }

    /// `http://{host}:{port}`, if `host` is an address or a name and nothing more.
    pub fn of(host: &str, port: u16) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let host = match host.parse() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ if !host.is_empty() && host.bytes().all(plain) => host.to_owned(),
            _ => return None,
        };
        Self::parse(&format!("http://{host}:{port}")).ok()
    }

    /// `http://{address}`, or `https://`.
    pub fn of_address(address: SocketAddr, secure: bool) -> Self {
        let (ip, port) = (address.ip(), address.port());
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
        let text = if port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
        Self { text, host, ip: Some(ip), port }
    }

    /// The URL as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host as in a URL; an IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address, where the host is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The port, the scheme's own where the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What follows this URL and a slash in `url`, if that is below it.
    pub fn below<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(self.as_str())?.strip_prefix('/')
    }
}

impl fmt::Display for HostUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HostUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostUri({})", self.text)
    }
}
