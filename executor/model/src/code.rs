//! Where the code of a policy is: the record's `code`, parsed once.
//!
//! What parses is only well formed. Whether it may be read (addresses, folders, whether a bare path is admitted) is
//! for the fetcher to decide, because that is how one server is set up and not what the text says.
//! Neither an error nor `Display` nor `Debug` ever shows a password or the value of a query parameter: signed URLs
//! carry their secret there, and these texts go to logs and to callers.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use url::Url;

use crate::field::shorten;

/// The longest reference, in characters.
pub const MAX_CODE_CHARS: usize = 4096;
/// The longest part of an asset's name: a version and a tag of 128 bytes each, and the dash between them.
const MAX_ASSET_PART: usize = 257;

/// Where the code of a policy is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum CodeRef {
    /// An `http` or `https` URL with a host, and without credentials or a fragment.
    Http(Url),
    /// The absolute path that a `file://` URL names, percent-decoded, without `..`.
    File(PathBuf),
    /// A path as a person typed it, relative or absolute; only the command line reads these.
    Path(PathBuf),
    /// Something in the assets registry.
    Asset(AssetRef),
    /// The code itself: the text of `function.py`, of a policy in Python.
    Python(Arc<str>),
}

/// How the assets registry names something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AssetRef {
    /// `NAME:VERSION-TAG`, from `asset:NAME:VERSION-TAG`. Kept whole: a version may hold dashes too.
    Uri(Box<str>),
    /// The id, from `asset://<id>`.
    Id(Box<str>),
}

impl CodeRef {
    /// The `code` of a policy in Python, which may be its text: no reference has a line break.
    pub fn of_python(text: &str) -> Result<Self, ParseCodeError> {
        if text.contains('\n') { Ok(Self::Python(text.into())) } else { text.parse() }
    }
}

impl FromStr for CodeRef {
    type Err = ParseCodeError;

    fn from_str(text: &str) -> Result<Self, ParseCodeError> {
        check_text(text)?;
        let Some((scheme, rest)) = split_scheme(text) else { return Ok(Self::Path(text.into())) };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => parse_http(text, rest).map(Self::Http),
            "file" => parse_file(text, rest).map(Self::File),
            "asset" => parse_asset(rest).map(Self::Asset),
            _ => Err(ParseCodeError::Scheme(shorten(scheme, 20))),
        }
    }
}

fn check_text(text: &str) -> Result<(), ParseCodeError> {
    if text.is_empty() {
        return Err(ParseCodeError::Empty);
    }
    if text.chars().nth(MAX_CODE_CHARS).is_some() {
        return Err(ParseCodeError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(ParseCodeError::ControlCharacter);
    }
    if text.trim() != text {
        return Err(ParseCodeError::Space);
    }
    Ok(())
}

/// `scheme:rest`, if `text` starts with what RFC 3986 calls a scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let starts = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'));
    (starts && plain).then_some((scheme, rest))
}

fn parse_http(text: &str, rest: &str) -> Result<Url, ParseCodeError> {
    // The URL standard reads `https:host`, `https:/host` and `https:\\host` as `https://host`; a reader would not.
    if !rest.starts_with("//") || text.contains('\\') {
        return Err(ParseCodeError::NotAUrl("it must have the form `https://host/path`".into()));
    }
    let url = Url::parse(text).map_err(|error| ParseCodeError::NotAUrl(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ParseCodeError::Credentials);
    }
    if url.fragment().is_some() {
        return Err(ParseCodeError::Fragment);
    }
    Ok(url)
}

fn parse_file(text: &str, rest: &str) -> Result<PathBuf, ParseCodeError> {
    if !rest.starts_with("//") {
        return Err(ParseCodeError::File("must have the form `file:///folder/file`"));
    }
    let url = Url::parse(text).map_err(|error| ParseCodeError::NotAUrl(error.to_string()))?;
    if url.fragment().is_some() {
        return Err(ParseCodeError::Fragment);
    }
    if url.query().is_some() {
        return Err(ParseCodeError::File("must not have a query; write `%3F` for a `?` in a name"));
    }
    // The parser makes `localhost` an empty host, and refuses every other.
    let path = url
        .to_file_path()
        .map_err(|()| ParseCodeError::File("must name a file of this machine, not of another host"))?;
    check_path(&path)?;
    Ok(path)
}

/// What percent-decoding may have brought in: the URL parser has already dealt with plain `..`.
fn check_path(path: &Path) -> Result<(), ParseCodeError> {
    let Some(text) = path.to_str() else { return Err(ParseCodeError::File("must name a path that is UTF-8")) };
    if text.chars().any(char::is_control) {
        return Err(ParseCodeError::ControlCharacter);
    }
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(ParseCodeError::File("must name an absolute path without `..`"));
    }
    Ok(())
}

fn parse_asset(rest: &str) -> Result<AssetRef, ParseCodeError> {
    let plain = |text: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
        !text.is_empty() && text.len() <= MAX_ASSET_PART && !text.starts_with('.') && text.bytes().all(allowed)
    };
    if let Some(id) = rest.strip_prefix("//") {
        return if plain(id) { Ok(AssetRef::Id(id.into())) } else { Err(ParseCodeError::Asset) };
    }
    let dashed = |text: &str| text.split_once('-').is_some_and(|(version, tag)| !version.is_empty() && !tag.is_empty());
    match rest.split_once(':') {
        Some((name, version)) if plain(name) && plain(version) && dashed(version) => Ok(AssetRef::Uri(rest.into())),
        _ => Err(ParseCodeError::Asset),
    }
}

impl fmt::Display for CodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write_url(url, f),
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Asset(AssetRef::Uri(uri)) => write!(f, "asset:{uri}"),
            Self::Asset(AssetRef::Id(id)) => write!(f, "asset://{id}"),
            Self::Python(text) => write!(f, "{} bytes of Python", text.len()),
        }
    }
}

/// The URL with `…` for the value of each query parameter, and for a parameter that is nothing but a value.
fn write_url(url: &Url, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}{}", url.origin().ascii_serialization(), url.path())?;
    for (idx, pair) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        f.write_str(if idx == 0 { "?" } else { "&" })?;
        match pair.split_once('=') {
            Some((key, _)) => write!(f, "{key}=…")?,
            None => f.write_str("…")?,
        }
    }
    Ok(())
}

impl fmt::Debug for CodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeRef({self})")
    }
}

/// Why a text is not a code reference; each reads on from the name of a field.
///
/// Holds nothing of the text but its scheme, since the rest may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCodeError {
    /// Nothing at all.
    #[error("must not be empty")]
    Empty,
    /// More than [`MAX_CODE_CHARS`].
    #[error("must not be longer than {MAX_CODE_CHARS} characters")]
    TooLong,
    /// A control character, written out or percent-encoded.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// White space around it.
    #[error("must not start or end with white space")]
    Space,
    /// A scheme that is not read.
    #[error("has the scheme `{0}`, where only `https`, `http`, `file` and `asset` are known")]
    Scheme(String),
    /// An http URL that does not parse.
    #[error("is not a valid URL: {0}")]
    NotAUrl(String),
    /// A user name or a password.
    #[error("must not carry a user name or password")]
    Credentials,
    /// `#…`, which no server would see.
    #[error("must not have a fragment (`#…`)")]
    Fragment,
    /// A `file` URL that names no absolute path of this machine.
    #[error("{0}")]
    File(&'static str),
    /// Neither form of an asset reference.
    #[error("must have the form `asset:NAME:VERSION-TAG` or `asset://ID`")]
    Asset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shown(text: &str) -> String {
        let code: CodeRef = text.parse().unwrap();
        let kind = match &code {
            CodeRef::Http(_) => "http",
            CodeRef::File(_) => "file",
            CodeRef::Path(_) => "path",
            CodeRef::Asset(_) => "asset",
            CodeRef::Python(_) => "python",
        };
        format!("{kind} {code}")
    }

    #[test]
    fn the_text_of_a_policy_in_python_is_code_and_is_not_shown() {
        let text = "class AIOSv1PolicyRule:\n    secret = 1\n";
        let code = CodeRef::of_python(text).unwrap();
        assert_eq!((code.to_string().as_str(), &code), ("39 bytes of Python", &CodeRef::Python(text.into())));
        assert!(!format!("{code:?}").contains("secret"));
        assert!(matches!(CodeRef::of_python("https://example.com/p.zip"), Ok(CodeRef::Http(_))));
        assert!(CodeRef::of_python("pass").is_ok_and(|code| matches!(code, CodeRef::Path(_))));
    }

    #[test]
    fn reads_every_kind_and_shows_no_secret() {
        let rows = [
            ("https://example.com/p.zip", "http https://example.com/p.zip"),
            ("HTTP://Example.com:80", "http http://example.com/"),
            ("https://h:8443/a%20b?sig=s3cret&x&y=", "http https://h:8443/a%20b?sig=…&…&y=…"),
            ("http://2130706433/", "http http://127.0.0.1/"),
            ("http://0x7f.1/", "http http://127.0.0.1/"),
            ("http://[::ffff:127.0.0.1]/", "http http://[::ffff:7f00:1]/"),
            ("file:///srv/a%20b/p.zip", "file file:///srv/a b/p.zip"),
            ("file://localhost/srv/p.zip", "file file:///srv/p.zip"),
            ("file:///srv/../p.zip", "file file:///p.zip"),
            ("file:///srv/%2e%2e/p.zip", "file file:///p.zip"),
            ("./policies/p.wasm", "path ./policies/p.wasm"),
            ("/srv/p.wasm", "path /srv/p.wasm"),
            ("p.wasm", "path p.wasm"),
            ("asset:geo-fence:1.0-rc1-beta", "asset asset:geo-fence:1.0-rc1-beta"),
            ("asset://0190a1b2-c3d4", "asset asset://0190a1b2-c3d4"),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        let debug = format!("{:?}", "https://h/?sig=s3cret".parse::<CodeRef>().unwrap());
        assert_eq!(debug, "CodeRef(https://h/?sig=…)");
    }

    #[test]
    fn refuses_the_rest_by_name() {
        let rows = [
            ("", "empty"),
            (" https://h/", "white space"),
            ("https://h/\n", "control"),
            ("p\0.wasm", "control"),
            ("gopher://h/", "`gopher`"),
            ("ftp://u:s3cret@h/", "`ftp`"),
            ("data:application/wasm;base64,s3cret", "`data`"),
            ("javascript:s3cret", "`javascript`"),
            ("C:\\policy.wasm", "`C`"),
            ("https:h", "https://host/path"),
            ("https:\\\\h\\s3cret", "https://host/path"),
            ("https:///", "not a valid URL"),
            ("https://u:s3cret@h h/", "not a valid URL"),
            ("https://h:99999/?s3cret", "not a valid URL"),
            ("https://s3cret@h/", "user name or password"),
            ("https://u:s3cret@h/", "user name or password"),
            ("https://h/#s3cret", "fragment"),
            ("file:p.wasm", "file:///"),
            ("file://host/p.wasm", "another host"),
            ("file:///srv/p.wasm?v=1", "query"),
            ("file:///srv/p.wasm#x", "fragment"),
            ("file:///srv/%00", "control"),
            ("file:///srv/..%2f..%2fetc/passwd", "`..`"),
            ("file:///srv/%ff", "UTF-8"),
            ("asset:a", "NAME:VERSION-TAG"),
            ("asset:a:1", "NAME:VERSION-TAG"),
            ("asset:a:1-b:c", "NAME:VERSION-TAG"),
            ("asset:../a:1-b", "NAME:VERSION-TAG"),
            ("asset://", "asset://ID"),
            ("asset://a/../b", "asset://ID"),
        ];
        for (text, expected) in rows {
            let message = text.parse::<CodeRef>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(!message.contains("s3cret"), "{text:?}: {message}");
        }
        let longest = format!("https://h/{}", "é".repeat(MAX_CODE_CHARS - 10));
        assert!(longest.parse::<CodeRef>().is_ok());
        assert_eq!(format!("{longest}x").parse::<CodeRef>(), Err(ParseCodeError::TooLong));
    }
}
