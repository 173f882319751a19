//! Ids of decisions: UUIDs of version 7 (RFC 9562), so that they sort by time.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use lictor_model::Time;

use super::Begun;
use crate::{
    access,
    stripes::{STRIPES, Striped},
};

/// Characters of an id.
const LEN: usize = 36;

/// The id of a decision, as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecisionId([u8; LEN]);

/// Makes ids: unique over processes, cheap to make.
pub(super) struct Ids {
    /// Part of every id of this process.
    process: u64,
    /// Each counts in steps of how many there are, so that no two make the same number.
    next: Striped<AtomicU64>,
}

impl Ids {
    pub(super) fn new() -> Self {
        let process = uuid::Uuid::new_v4().as_u64_pair().1;
        Self { process, next: Striped::new(|idx| AtomicU64::new(idx as u64)) }
    }

    /// A call that begins now.
    pub(super) fn next(&self) -> Begun {
        let number = self.next.own().fetch_add(STRIPES as u64, Ordering::Relaxed);
        let at_ms = now_ms();
        Begun { id: DecisionId::new(at_ms, number, self.process), at_ms }
    }

    /// A call that is not recorded; its id is still its own.
    pub(super) fn unrecorded() -> Begun {
        static IDS: std::sync::LazyLock<Ids> = std::sync::LazyLock::new(Ids::new);
        IDS.next()
    }
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(access::now_ms()).unwrap_or(0)
}

/// A time of the log's, for a person.
pub fn time(ms: u64) -> Time {
    Time::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

impl DecisionId {
    /// 48 bits of time, then the number, of which 42 bits fit, then 32 bits of the process.
    fn new(at_ms: u64, number: u64, process: u64) -> Self {
        const VERSION: u64 = 7 << 12;
        const VARIANT: u64 = 2 << 62;
        let high = at_ms << 16 | VERSION | (number >> 30 & 0xfff);
        let low = VARIANT | (number & 0x3fff_ffff) << 32 | process & 0xffff_ffff;
        let mut text = [b'-'; LEN];
        let mut digits = (u128::from(high) << 64) | u128::from(low);
        // PERF: by hand, from the last digit on; formatting takes three times as long.
        for (idx, place) in text.iter_mut().enumerate().rev() {
            if !matches!(idx, 8 | 13 | 18 | 23) {
                let [digit, ..] = digits.to_le_bytes();
                *place = HEX.get(usize::from(digit & 15)).copied().unwrap_or(b'0');
                digits >>= 4;
            }
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// When a decision with this id began, in milliseconds since the Unix epoch; none if `id` is none of ours.
    pub fn time_ms(id: &str) -> Option<u64> {
        let id = uuid::Uuid::try_parse(id).ok().filter(|id| id.get_version_num() == 7)?;
        Some(id.as_u64_pair().0 >> 16)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_uuid_that_sorts_by_time() {
        let ids = Ids::new();
        let made: Vec<_> = (0..1000).map(|_| ids.next()).collect();
        let texts: std::collections::BTreeSet<_> = made.iter().map(|begun| begun.id.as_str().to_owned()).collect();
        assert_eq!(texts.len(), made.len());
        for begun in &made {
            let id = uuid::Uuid::parse_str(begun.id.as_str()).unwrap();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(id.hyphenated().to_string(), begun.id.as_str());
            assert_eq!(DecisionId::time_ms(begun.id.as_str()), Some(begun.at_ms));
        }
        let (early, late) = (DecisionId::new(1, u64::MAX, u64::MAX), DecisionId::new(2, 0, 0));
        assert!(early.as_str() < late.as_str());
        assert_eq!(DecisionId::time_ms("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None);
    }
}
