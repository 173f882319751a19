//! Why code could not be loaded: one closed list of codes, and a message for whoever asked.
//!
//! The message goes to callers and into records; the source chain is for the log and never leaves the process.
//! Cheap to clone, because everyone who waited for the same load gets the same answer.

use std::{error::Error, fmt, sync::Arc};

use lictor_model::code::ParseCodeError;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadCode {
    /// Not an archive, a broken one, or one that no honest tool makes.
    BadArchive,
    /// Other bytes than the record's digest promises.
    DigestMismatch,
    /// Something other than a WebAssembly component.
    NotAComponent,
    /// A component without what a policy must export.
    MissingExport,
    /// A component that asks for an interface outside the world.
    UnknownImport,
    /// A component that takes too much to compile.
    TooComplex,
    /// Nothing usable came from where the code is said to be.
    CodeUnreachable,
    /// A kind of code that this build cannot load.
    NotAvailable,
    /// A reference that makes no sense.
    InvalidInput,
    /// Our own failure.
    Internal,
}

impl LoadCode {
    /// The code as it appears in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadArchive => "bad_archive",
            Self::DigestMismatch => "digest_mismatch",
            Self::NotAComponent => "not_a_component",
            Self::MissingExport => "missing_export",
            Self::UnknownImport => "unknown_import",
            Self::TooComplex => "too_complex",
            Self::CodeUnreachable => "code_unreachable",
            Self::NotAvailable => "not_available",
            Self::InvalidInput => "invalid_input",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for LoadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why code could not be loaded.
#[derive(Clone, Debug)]
pub struct LoadError {
    code: LoadCode,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LoadError {
    /// A failure of this kind; `message` is a lower-case fragment that the caller may see.
    pub fn new(code: LoadCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// The same failure, with its cause for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it was.
    pub const fn code(&self) -> LoadCode {
        self.code
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<ParseCodeError> for LoadError {
    fn from(error: ParseCodeError) -> Self {
        Self::new(LoadCode::InvalidInput, format!("the code reference {error}"))
    }
}

/// The longest text of somebody else's in a message, in characters.
const MAX_QUOTED: usize = 100;

/// Somebody else's text, in backticks, on one line and not too long. What does not print is escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut res = String::from("`");
    for c in text.chars().take(MAX_QUOTED) {
        match c {
            '`' => res.push('\''),
            '\'' | '"' | '\\' => res.push(c),
            _ => res.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(MAX_QUOTED).is_some() {
        res.push('…');
    }
    res.push('`');
    res
}

/// A number of bytes, for a person.
pub(crate) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_stays_in_its_quotes_and_on_its_line() {
        assert_eq!(quoted("a \"b\" C:\\é…"), "`a \"b\" C:\\é…`");
        assert_eq!(quoted("a`\n\x1b[31m\u{202e}\0"), "`a'\\n\\u{1b}[31m\\u{202e}\\0`");
        assert_eq!(quoted(&"x".repeat(101)), format!("`{}…`", "x".repeat(100)));
    }

    #[test]
    fn an_error_keeps_its_cause_to_itself() {
        let error = LoadError::new(LoadCode::Internal, "cannot").caused_by(std::io::Error::other("s3cret"));
        assert_eq!((error.code().to_string(), error.to_string()), ("internal".into(), "cannot".into()));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("s3cret"));
    }
}
