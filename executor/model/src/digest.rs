//! The sha256 of some bytes: the identity of whatever runs.
//!
//! Written `sha256:` and 64 lowercase hex digits, in one way only, so that digests can be compared as text too.
//! A digest is not a secret; comparing two takes no care about time.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{
    field::shorten,
    hex::{self, nibble},
};

const PREFIX: &str = "sha256:";
const DIGITS: usize = 64;

/// The sha256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The digest of bytes that come one after the other.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that came.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl Digest {
    /// The digest of `bytes`. Takes about a second per GiB: mind the thread.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that somebody else computed, from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits alone, for the name of a file.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let Some((algorithm, digits)) = text.split_once(':') else { return Err(ParseDigestError::Prefix) };
        if algorithm != "sha256" {
            return Err(ParseDigestError::Algorithm(shorten(algorithm, 20)));
        }
        let n_digits = digits.chars().count();
        if n_digits != DIGITS {
            return Err(ParseDigestError::Length(n_digits));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = pair
                .iter()
                .try_fold(0, |high, &digit| Some(high << 4 | nibble(digit)?))
                .ok_or_else(|| wrong(digits))?;
        }
        // 64 characters that are not 64 bytes have one that is no digit, perhaps after the bytes that were read.
        if digits.len() == DIGITS { Ok(Self(bytes)) } else { Err(wrong(digits)) }
    }
}

fn wrong(digits: &str) -> ParseDigestError {
    match digits.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
        Some(c) if c.is_ascii_hexdigit() => ParseDigestError::Uppercase,
        other => ParseDigestError::Digit(other.unwrap_or_default()),
    }
}

/// Why a text is not a digest; each reads on from the name of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// There is no `sha256:` in front.
    #[error("must start with `sha256:`")]
    Prefix,
    /// Another algorithm is named.
    #[error("names the algorithm `{0}`, where only `sha256` is known")]
    Algorithm(String),
    /// Too few or too many digits.
    #[error("has {0} characters after `sha256:`, not 64")]
    Length(usize),
    /// Hex, but not in the one way it is written.
    #[error("must be in lowercase hex")]
    Uppercase,
    /// A character that is no hex digit.
    #[error("has {0:?} among its hex digits")]
    Digit(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-2: the digest of `abc`.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn is_written_in_one_way_and_read_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(format!("{digest:?}"), ABC);
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
        let mut hasher = Hasher::default();
        [b"a".as_slice(), b"", b"bc"].iter().for_each(|bytes| hasher.push(bytes));
        assert_eq!(hasher.finish(), digest);
    }

    #[test]
    fn says_what_is_wrong() {
        let rows = [
            ("", ParseDigestError::Prefix),
            (ABC.trim_start_matches("sha256:"), ParseDigestError::Prefix),
            ("md5:00", ParseDigestError::Algorithm("md5".into())),
            ("SHA256:00", ParseDigestError::Algorithm("SHA256".into())),
            ("sha256:", ParseDigestError::Length(0)),
            (ABC.trim_end_matches('d'), ParseDigestError::Length(63)),
            (&ABC.replace("ba", "BA"), ParseDigestError::Uppercase),
            (&ABC.replace("ba", "zz"), ParseDigestError::Digit('z')),
            (&ABC.replace("ba", " b"), ParseDigestError::Digit(' ')),
            (&ABC.replace("5ad", "5aé"), ParseDigestError::Digit('é')),
            (&ABC.replace("7816", "é816"), ParseDigestError::Digit('é')),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text:?}");
        }
    }
}
