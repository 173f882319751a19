//! What a guest says: log lines, standard output and standard error, bounded and escaped.
//!
//! Lines go to the [`Recorder`] of the run as they come. Past the budget they are dropped and counted, never buffered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::recorder::Recorder;

/// How much a line matters, as in `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Flow of control.
    Trace,
    /// For who debugs the policy.
    Debug,
    /// For who watches it; standard output counts as this.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed; standard error counts as this.
    Error,
    /// Nothing works any more.
    Critical,
}

impl Level {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One line a guest said. Its texts hold no control character: they cannot forge another line.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// The policy.
    pub policy_rule_uri: &'a str,
    /// How much it matters.
    pub level: Level,
    /// What the guest gave as context, or the stream it wrote to.
    pub context: &'a str,
    /// The line.
    pub message: &'a str,
}

/// The longest single line in bytes.
pub(crate) const MAX_LINE: usize = 8 * 1024;
/// The longest context of a line in bytes.
const MAX_CONTEXT: usize = 128;
/// What a line costs beside its text, so that empty lines are bounded too.
const LINE_COST: usize = 16;

/// What one instance says: shared by its imports and its standard streams.
pub(crate) struct Log {
    policy_rule_uri: Arc<str>,
    recorder: Arc<dyn Recorder>,
    budget: Mutex<Budget>,
}

impl Log {
    pub(crate) fn new(policy_rule_uri: Arc<str>, recorder: Arc<dyn Recorder>, bytes: usize) -> Self {
        Self { policy_rule_uri, recorder, budget: Mutex::new(Budget::new(bytes)) }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next call of the same instance.
    pub(crate) fn begin(&self, bytes: usize) {
        *self.budget() = Budget::new(bytes);
    }

    /// Whether anything was cut or dropped in this call.
    pub(crate) fn truncated(&self) -> bool {
        self.budget().truncated
    }

    /// Passes a line on, as far as the budget admits it.
    pub(crate) fn say(&self, level: Level, context: &str, message: &str) {
        let admitted = self.budget().admit(message);
        if let Some(message) = admitted {
            let context = escape(floor(context, MAX_CONTEXT));
            self.recorder.log(LogLine {
                policy_rule_uri: &self.policy_rule_uri,
                level,
                context: &context,
                message: &message,
            });
        }
    }

    /// Notes a refusal and the grant that would have prevented it. Costs as much as a line.
    pub(crate) fn denied(&self, missing: &str) {
        let admitted = self.budget().admit(missing);
        if let Some(missing) = admitted {
            self.recorder.denied(&self.policy_rule_uri, &missing);
        }
    }
}

/// How much a run may still say.
#[derive(Debug)]
struct Budget {
    left: usize,
    truncated: bool,
}

impl Budget {
    fn new(bytes: usize) -> Self {
        Self { left: bytes, truncated: false }
    }

    /// As much of `message` as may still be said, escaped; none if nothing may.
    fn admit(&mut self, message: &str) -> Option<String> {
        let room = self.left.min(MAX_LINE).saturating_sub(LINE_COST);
        let cut = floor(message, room);
        self.truncated |= cut.len() < message.len();
        if self.left <= LINE_COST {
            self.truncated = true;
            return None;
        }
        self.left = self.left.saturating_sub(cut.len() + LINE_COST);
        Some(escape(cut))
    }
}

/// The longest prefix of `text` that has at most `max` bytes.
fn floor(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or("")
}

/// `text` with control characters written out, so that a line stays one line and a terminal stays calm.
fn escape(text: &str) -> String {
    let mut res = String::with_capacity(text.len());
    for c in text.chars() {
        // The other two end lines in some readers of logs, and the last turns the writing direction.
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            res.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            res.push(c);
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another_nor_speak_to_a_terminal() {
        let line = Budget::new(1000).admit("a\n{\"level\":\"error\"}\u{1b}[2J\0").unwrap();
        assert_eq!(line, "a\\u{a}{\"level\":\"error\"}\\u{1b}[2J\\u{0}");
    }

    #[test]
    fn says_what_fits_and_remembers_that_it_cut() {
        let mut budget = Budget::new(100);
        assert_eq!(budget.admit("ok").unwrap(), "ok");
        assert!(!budget.truncated);
        assert_eq!(budget.admit(&"é".repeat(1000)).unwrap().len(), 66);
        assert!(budget.truncated);
        assert_eq!(budget.admit("x"), None);
    }
}
