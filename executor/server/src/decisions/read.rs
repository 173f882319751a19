//! Reads decisions out of a log, in their order.

use std::{collections::HashMap, io, ops::ControlFlow, path::Path, sync::Arc};

use super::{
    chain,
    files::{self, SegmentFile},
    line::{Decided, Line, Made},
    verify::Lines,
};

/// How long a call may take, with the time until its line is written: a decision is in no segment that ended before it, or
/// began so long after it.
const LONGEST_MS: u64 = 300_000;

/// Which decisions are wanted. Every condition that is there must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This one.
    pub id: Option<String>,
    /// Of this policy, or of those whose uris begin so, before a `*`.
    pub policy: Option<String>,
    /// That began then or later, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// That began before.
    pub until_ms: Option<u64>,
    /// That came to this.
    pub outcome: Option<String>,
    /// That somebody asked for with the token of this id or name.
    pub caller: Option<String>,
}

/// A decision as it was found.
#[derive(Debug)]
pub struct Found {
    /// What was decided.
    pub decided: Decided,
    /// By what.
    pub made: Arc<Made>,
    /// The line, without its hash.
    pub text: String,
}

impl Filter {
    /// Whether a decision is wanted.
    pub fn wants(&self, decided: &Decided) -> bool {
        let Self { id, policy, since_ms, until_ms, outcome, caller } = self;
        let by = |wanted: &String| {
            decided.caller.as_ref().is_some_and(|by| by.token == *wanted || by.name.as_ref() == Some(wanted))
        };
        id.as_ref().is_none_or(|id| decided.decision == *id)
            && policy.as_ref().is_none_or(|pattern| names(pattern, &decided.policy))
            && since_ms.is_none_or(|since| since <= decided.at_ms)
            && until_ms.is_none_or(|until| decided.at_ms < until)
            && outcome.as_ref().is_none_or(|outcome| decided.outcome == *outcome)
            && caller.as_ref().is_none_or(by)
    }

    /// Whether a segment that was begun at `from_ms`, and ended at `to_ms` if it did, can have what is wanted.
    fn may_be_in(&self, from_ms: u64, to_ms: Option<u64>) -> bool {
        let since = self.since_ms.is_none_or(|since| to_ms.is_none_or(|to| since <= to));
        let until = self.until_ms.is_none_or(|until| from_ms <= until.saturating_add(LONGEST_MS));
        since && until
    }
}

/// Whether `pattern` names `uri`: all of it, or its beginning before a `*`.
pub(super) fn names(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => uri.starts_with(start),
        None => uri == pattern,
    }
}

/// Hands every decision of the log in `folder` that is wanted to `take`, until that has enough.
///
/// What is not as it was written is not noticed here: [`super::verify`] does that.
pub fn each(folder: &Path, filter: &Filter, mut take: impl FnMut(Found) -> ControlFlow<()>) -> io::Result<()> {
    let segments = files::segments(folder)?;
    let begun: Vec<_> = segments.iter().map(begun_ms).collect::<io::Result<_>>()?;
    for (idx, segment) in segments.iter().enumerate() {
        let (from, to) = (begun.get(idx).copied().unwrap_or(0), begun.get(idx.saturating_add(1)).copied());
        if filter.may_be_in(from, to) && in_segment(segment, filter, &mut take)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// When a segment was begun, as its first line says.
fn begun_ms(segment: &SegmentFile) -> io::Result<u64> {
    let mut lines = Lines::open(segment)?;
    let first = lines.next()?.and_then(|(line, _)| serde_json::from_slice::<Line<'_>>(line).ok()?.segment);
    Ok(first.map_or(0, |segment| segment.at_ms))
}

fn in_segment(
    segment: &SegmentFile,
    filter: &Filter,
    take: &mut impl FnMut(Found) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut made_by: HashMap<u64, Arc<Made>> = HashMap::new();
    let mut lines = Lines::open(segment)?;
    // The end of a log that is being written may be half a line.
    while let Some((line, true)) = lines.next()? {
        let Some((text, _)) = chain::split(line) else { continue };
        let whole = [text, b"}"].concat();
        if is_version(text) {
            if let Some((n, made)) = version(&whole) {
                made_by.insert(n, Arc::new(made));
            }
            continue;
        }
        // PERF: one that is looked for by its id is seldom in a line.
        let may_be = filter.id.as_ref().is_none_or(|id| memchr::memmem::find(text, id.as_bytes()).is_some());
        let Some(decided) = may_be.then(|| serde_json::from_slice::<Decided>(&whole).ok()).flatten() else { continue };
        let Some(made) = made_by.get(&decided.version).filter(|_| filter.wants(&decided)) else { continue };
        let found = Found { decided, made: Arc::clone(made), text: String::from_utf8_lossy(&whole).into_owned() };
        if take(found).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Whether a line says what decisions are made by.
fn is_version(text: &[u8]) -> bool {
    text.splitn(2, |byte| *byte == b',').nth(1).is_some_and(|rest| rest.starts_with(b"\"policy\":{"))
}

fn version(whole: &[u8]) -> Option<(u64, Made)> {
    let line = serde_json::from_slice::<Line<'_>>(whole).ok()?;
    Some((line.n, serde_json::from_str(line.policy?.get()).ok()?))
}
