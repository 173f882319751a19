//! A token: what its owner keeps, and what is stored of it.

use std::fmt;

use lictor_model::Digest;
use rand::Rng as _;

use super::role::Role;
use crate::store::TokenRow;

/// What the text of a token begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "lictor_";
/// Bytes of chance in a token.
const SECRET: usize = 32;

/// A token as its owner has it. Whoever has it may do what it is good for, so nothing shows it by accident.
pub struct Token {
    text: String,
}

impl Token {
    /// Another one.
    pub fn new() -> Self {
        let mut secret = [0; SECRET];
        rand::rng().fill_bytes(&mut secret);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text: format!("{PREFIX}{hex}") }
    }

    /// Its text, to be shown to its owner once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn row(&self, name: &str, role: Role, now_ms: i64, expires_at_ms: Option<i64>) -> TokenRow {
        let digest = digest(&self.text);
        TokenRow {
            id: digest.to_hex().chars().take(12).collect(),
            name: name.to_owned(),
            role: role.name().to_owned(),
            digest: digest.to_string(),
            created_at_ms: now_ms,
            expires_at_ms,
            revoked_at_ms: None,
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What a presented text is looked up by. A token has 256 bits of chance, which nobody guesses however fast the digest is.
pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Whether a token can be used at this time.
pub fn is_good(row: &TokenRow, now_ms: i64) -> bool {
    row.revoked_at_ms.is_none() && row.expires_at_ms.is_none_or(|at| now_ms < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_none_is_shown() {
        let (a, b) = (Token::new(), Token::new());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), PREFIX.len() + 2 * SECRET);
        assert_eq!(format!("{a:?}"), "Token");
        let row = a.row("n", Role::Caller, 5, Some(7));
        assert!(!format!("{row:?}").contains(a.reveal()));
        assert_eq!(row.digest, Digest::of(a.reveal().as_bytes()).to_string());
        assert_eq!([4, 6, 7].map(|now| is_good(&row, now)), [true, true, false]);
        assert!(!is_good(&TokenRow { revoked_at_ms: Some(1), ..row }, 2));
    }
}
