//! What a function said lately: a bounded ring of lines, which also go on to the log of the server.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use lictor_model::Time;
use lictor_sandbox::{LogLine, Recorder, TracingRecorder};

/// Bytes of lines that are kept of one function.
const MAX_BYTES: usize = 256 << 10;
/// The longest line of ours.
const MAX_LINE: usize = 4096;

/// The lines of one function.
#[derive(Default)]
pub(super) struct Logs {
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

/// Hears one replica.
struct Ear {
    logs: Arc<Logs>,
    replica: u32,
}

impl Logs {
    /// Who hears the replica of this number.
    pub(super) fn recorder(self: &Arc<Self>, replica: u32) -> Arc<dyn Recorder> {
        Arc::new(Ear { logs: Arc::clone(self), replica })
    }

    /// Adds a line of ours.
    pub(super) fn say(&self, level: &str, replica: u32, text: &str) {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.chars().take(MAX_LINE).map(plain).collect();
        self.add(level, replica, "lictor", &text);
    }

    /// The last `tail` lines, or all that there are.
    pub(super) fn tail(&self, tail: Option<u64>) -> String {
        let ring = self.lock();
        let tail = tail.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let mut res = String::new();
        if 0 < ring.dropped && ring.lines.len() < tail {
            let kept = MAX_BYTES >> 10;
            writeln!(res, "({} earlier lines were dropped: {kept} KiB are kept)", ring.dropped).ok();
        }
        for line in ring.lines.iter().skip(ring.lines.len().saturating_sub(tail)) {
            res.push_str(line);
            res.push('\n');
        }
        res
    }

    fn add(&self, level: &str, replica: u32, context: &str, message: &str) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let colon = if context.is_empty() { "" } else { ": " };
        let line = format!("{now} {level} replica {replica}: {context}{colon}{message}");
        let mut ring = self.lock();
        ring.bytes += line.len() + 1;
        ring.lines.push_back(line);
        while MAX_BYTES < ring.bytes
            && let Some(oldest) = ring.lines.pop_front()
        {
            ring.bytes = ring.bytes.saturating_sub(oldest.len() + 1);
            ring.dropped += 1;
        }
    }

    /// Held for the time of a few moves only.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Ear {
    fn log(&self, line: LogLine<'_>) {
        self.logs.add(line.level.as_str(), self.replica, line.context, line.message);
        TracingRecorder.log(line);
    }
}

#[cfg(test)]
mod tests {
    use lictor_sandbox::Level;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_the_first_says_what_went() {
        let logs = Arc::new(Logs::default());
        let line = |message| LogLine { policy_rule_uri: "a:1-b", level: Level::Warn, context: "stdout", message };
        logs.recorder(2).log(line("first"));
        logs.say("error", 1, "se\ncond");
        let text = logs.tail(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("Z warn replica 2: stdout: first"), "{text}");
        assert!(lines[1].ends_with("Z error replica 1: lictor: se cond"), "{text}");
        assert_eq!((lines.len(), logs.tail(Some(1)).lines().count(), logs.tail(Some(0))), (2, 1, String::new()));
        let long = "x".repeat(100);
        for _ in 0..MAX_BYTES / 100 {
            logs.recorder(1).log(line(&long));
        }
        let text = logs.tail(None);
        assert!(text.len() <= MAX_BYTES + 100);
        let (first, rest) = text.split_once('\n').unwrap();
        let dropped: usize = first.trim_start_matches('(').split(' ').next().unwrap().parse().unwrap();
        assert_eq!(dropped + rest.lines().count(), 2 + MAX_BYTES / 100, "{first}");
        assert!(!logs.tail(Some(5)).contains("dropped"));
    }
}
