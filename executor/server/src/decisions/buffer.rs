//! Where the lines of one thread gather until the writer takes them.

use std::sync::Arc;

use super::{Decision, Version};

/// Bytes that may wait in one buffer, unless it is one line alone.
const MOST: usize = 8 << 20;

/// Bytes that an empty buffer has room for: about what gathers until the writer comes, on a busy server.
const KEPT: usize = 1 << 20;

/// Lines without their numbers and hashes: what stands between.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// One after the other, each ending with a line feed.
    text: Vec<u8>,
    /// By which version the lines up to there were made.
    runs: Vec<(Arc<Version>, usize)>,
    /// The lines.
    pub(super) lines: u64,
}

impl Buffer {
    /// Puts a decision in; false if there is no room, unless it must find some.
    pub(super) fn push(&mut self, decision: &Decision<'_>, must: bool) -> bool {
        let before = self.text.len();
        decision.write(&mut self.text);
        self.text.push(b'\n');
        if 0 < before && MOST < self.text.len() && !must {
            self.text.truncate(before);
            return false;
        }
        self.lines = self.lines.saturating_add(1);
        let end = self.text.len();
        match self.runs.last_mut() {
            // PERF: most lines are by the version of the one before, so that nothing is counted for them.
            Some((version, last)) if Arc::ptr_eq(version, decision.version) => *last = end,
            _ => self.runs.push((Arc::clone(decision.version), end)),
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The lines, without their ends, with what they were made by.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Arc<Version>, &[u8])> {
        let mut start = 0;
        self.runs.iter().flat_map(move |(version, end)| {
            let run = self.text.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default();
            let run = run.strip_suffix(b"\n").unwrap_or(run);
            // PERF: of the one that is found fastest: `memchr` looks at many bytes at once.
            Lines { rest: Some(run) }.map(move |line| (version, line))
        })
    }

    /// Empties it, and gives back memory that was needed once.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.runs.clear();
        self.lines = 0;
    }
}

/// The parts between line feeds.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let (line, rest) = match memchr::memchr(b'\n', rest) {
            Some(at) => (rest.get(..at)?, rest.get(at.saturating_add(1)..)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(line)
    }
}
