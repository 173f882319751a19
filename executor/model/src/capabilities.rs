//! What a policy may reach: denied unless granted.

use serde_json::Value;
use url::Url;

use crate::field::{FieldError, shorten};

/// The `capabilities` of a record. Absent means none but the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Origins that the policy may send requests to.
    pub http: Vec<Origin>,
    /// Whether it has its context, the key-value store of its own.
    pub context: bool,
    /// Host functions that it may call, by name.
    pub host: Vec<String>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { http: Vec::new(), context: true, host: Vec::new() }
    }
}

/// Scheme, host and port: what an HTTP grant is given for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Capabilities {
    /// Reads the `capabilities` of a record.
    pub fn parse(value: &Value) -> Result<Self, FieldError> {
        let Some(fields) = value.as_object() else {
            return Err(FieldError::new("capabilities", "must be an object"));
        };
        let mut res = Self::default();
        for (name, value) in fields {
            let wrong = |expected| FieldError::new(name, format!("must be {expected}")).within("capabilities");
            match name.as_str() {
                "http" => {
                    let texts = strings(value).ok_or_else(|| wrong("a list of origins"))?;
                    let http = texts.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>();
                    res.http = http.map_err(|error| error.within("capabilities"))?;
                }
                "context" => res.context = value.as_bool().ok_or_else(|| wrong("true or false"))?,
                "host" => res.host = strings(value).ok_or_else(|| wrong("a list of names"))?,
                _ => {
                    let why =
                        format!("has `{}`, which is no capability: there are http, context, host", shorten(name, 40));
                    return Err(FieldError::new("capabilities", why));
                }
            }
        }
        Ok(res)
    }

    /// What these permit and `before` does not, as a record would say it.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let http =
            self.http.iter().filter(|origin| !before.permits_http(origin)).map(|origin| format!("http {origin}"));
        let host = self.host.iter().filter(|name| !before.permits_host(name)).map(|name| format!("host {name}"));
        let context = (self.context && !before.context).then(|| "context".to_owned());
        http.chain(host).chain(context).collect()
    }

    /// Whether a request to `origin` is granted.
    pub fn permits_http(&self, origin: &Origin) -> bool {
        self.http.contains(origin)
    }

    /// Whether calls of the host function `name` are granted.
    pub fn permits_host(&self, name: &str) -> bool {
        self.host.iter().any(|granted| granted == name)
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

impl Origin {
    /// Reads `https://host` or `http://host:port`: nothing after the port.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let wrong = |why: &str| FieldError::new("http", format!("has `{}`, which {why}", shorten(text, 80)));
        let url = Url::parse(text).map_err(|_| wrong("is not an origin such as `https://example.com`"))?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(wrong("has more than scheme, host and port"));
        }
        Self::of(&url).ok_or_else(|| wrong("is not an `http` or `https` origin"))
    }

    /// The origin of a URL, if it is an http or https one.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = url.scheme();
        let known = matches!(scheme, "http" | "https");
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        known.then(|| Self { scheme: scheme.into(), host: host.into(), port })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host as in a URL; an IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the URL named none.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        let known = matches!((self.scheme.as_str(), self.port), ("http", 80) | ("https", 443));
        if known { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_but_the_context_is_granted_by_default() {
        for value in [json!({}), json!({"http": [], "host": []})] {
            assert_eq!(Capabilities::parse(&value).unwrap(), Capabilities::default());
        }
    }

    #[test]
    fn an_origin_is_exact() {
        let caps = Capabilities::parse(&json!({"http": ["https://Example.com", "http://[::1]:8080"]})).unwrap();
        let permits = |url: &str| caps.permits_http(&Origin::of(&Url::parse(url).unwrap()).unwrap());
        assert!(permits("https://example.com:443/x?y"));
        assert!(permits("http://[::1]:8080/"));
        for refused in [
            "http://example.com/",
            "https://example.com:8443/",
            "https://a.example.com/",
            "https://example.com.evil.org/",
        ] {
            assert!(!permits(refused), "{refused}");
        }
    }

    #[test]
    fn refuses_grants_that_say_more_than_an_origin() {
        for text in ["https://a.com/x", "https://u:p@a.com", "ftp://a.com", "a.com", "https://a.com?x", "*"] {
            assert_eq!(Origin::parse(text).unwrap_err().field(), "http", "{text}");
        }
        for (value, named) in [
            (json!({"files": ["/"]}), "files"),
            (json!({"http": "https://a.com"}), "capabilities.http"),
            (json!({"http": [5]}), "capabilities.http"),
            (json!({"context": "yes"}), "capabilities.context"),
            (json!({"host": {}}), "capabilities.host"),
        ] {
            let error = Capabilities::parse(&value).unwrap_err().to_string();
            assert!(error.contains(named), "{value}: {error}");
        }
    }

    #[test]
    fn what_is_beyond_is_named() {
        let of = |value: serde_json::Value| Capabilities::parse(&value).unwrap();
        let none = Capabilities::default();
        let some = of(serde_json::json!({"http": ["https://a.com", "http://b.com:81"], "host": ["f"]}));
        assert_eq!(some.beyond(&none), ["http https://a.com", "http http://b.com:81", "host f"]);
        assert!(some.beyond(&some).is_empty());
        assert!(none.beyond(&some).is_empty());
        assert_eq!(none.beyond(&of(serde_json::json!({"context": false}))), ["context"]);
        // Another scheme or port is another origin.
        let near = of(serde_json::json!({"http": ["http://a.com", "https://a.com:444"]}));
        assert_eq!(near.beyond(&some).len(), 2);
    }
}
