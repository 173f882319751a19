//! How lines hold each other: the hash of each is made of the one before it and of its own text.
//!
//! ```text
//! {"n":7,…,"hash":"<64 digits>"}
//!  └──── sha256(the 64 digits of the hash before, then this) ────┘ up to `,"hash"`
//! ```
//!
//! Anybody can check it with common tools: `printf %s%s "$BEFORE" "${LINE%,\"hash\":*}" | sha256sum`.

use sha2::{Digest as _, Sha256};

/// The hash of a line, as it is written.
pub type Hash = [u8; 64];

/// What the first line of a log follows.
pub const NOTHING: Hash = [b'0'; 64];

const MARK: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";

/// What follows a line's text, before the end of the line.
pub const SEAL: usize = MARK.len() + 64 + END.len();

/// Seals the line that begins at `start` of `text` and has its last member: adds its hash and the end of the line.
pub fn seal(text: &mut Vec<u8>, start: usize, before: &Hash) -> Hash {
    let hash = hash(before, text.get(start..).unwrap_or_default());
    text.extend_from_slice(MARK);
    text.extend_from_slice(&hash);
    text.extend_from_slice(END);
    text.push(b'\n');
    hash
}

/// The hash of a line with this text that comes after that one.
pub fn hash(before: &Hash, text: &[u8]) -> Hash {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(text);
    let mut res = NOTHING;
    for (place, byte) in res.as_chunks_mut().0.iter_mut().zip(sha.finalize()) {
        *place = [digit(byte >> 4), digit(byte & 15)];
    }
    res
}

/// PERF: without a table, so that the compiler does many at once.
const fn digit(n: u8) -> u8 {
    if n < 10 { b'0' + n } else { b'a' - 10 + n }
}

/// The text and the hash of a line, without its end; none if it is not sealed.
pub fn split(line: &[u8]) -> Option<(&[u8], &Hash)> {
    let (text, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let hash = seal.strip_prefix(MARK)?.strip_suffix(END)?.first_chunk()?;
    let plain = hash.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    plain.then_some((text, hash))
}

/// A hash as text.
pub fn text(hash: &Hash) -> &str {
    std::str::from_utf8(hash).unwrap_or_default()
}

/// A hash from its text.
pub fn parse(text: &str) -> Option<Hash> {
    let bytes = text.as_bytes();
    let plain = bytes.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    <&Hash>::try_from(bytes).ok().filter(|_| plain).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_sealed_by_what_comes_before_it() {
        let mut text = b"{\"n\":1".to_vec();
        let first = seal(&mut text, 0, &NOTHING);
        let start = text.len();
        text.extend_from_slice(b"{\"n\":2");
        let second = seal(&mut text, start, &first);
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(split(lines[0]), Some((b"{\"n\":1".as_slice(), &first)));
        assert_eq!(split(lines[1]), Some((b"{\"n\":2".as_slice(), &second)));
        assert_ne!(hash(&NOTHING, b"{\"n\":2"), second);
        // As `printf %s%s 000… '{"n":1' | sha256sum` says.
        assert_eq!(super::text(&first), lictor_model::Digest::of(&[NOTHING.as_slice(), b"{\"n\":1"].concat()).to_hex());
        assert_eq!(parse(super::text(&first)), Some(first));
        for wrong in [b"".as_slice(), b"{}", &lines[0][1..70], &lines[0].to_ascii_uppercase()] {
            assert_eq!(split(wrong), None);
        }
    }
}
