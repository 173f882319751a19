//! What is wrong with one field of a document.

use std::fmt;

/// One thing wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    message: String,
    /// Whether the message is a sentence that needs no field before it.
    whole: bool,
}

impl FieldError {
    /// `message` about the value at `field`, a dotted path.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), whole: false }
    }

    /// The same, where `message` is a sentence of its own, such as one that clients of the original look for.
    pub fn sentence(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { whole: true, ..Self::new(field, message) }
    }

    /// The dotted path of the field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error, seen from the document that holds this one under `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() { parent.into() } else { format!("{parent}.{}", self.field) };
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole || self.field.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "`{}` {}", self.field, self.message)
    }
}

impl std::error::Error for FieldError {}

/// `text` cut to at most `max` characters, for use inside a message.
pub fn shorten(text: &str, max: usize) -> String {
    let mut res: String = text.chars().take(max).flat_map(char::escape_default).collect();
    if text.chars().nth(max).is_some() {
        res.push('…');
    }
    res
}
