//! The window, and what it decides.

use serde::{Deserialize, Serialize};

const DAY_MINUTES: u64 = 24 * 60;

/// A daily maintenance window in UTC. One that ends before it starts goes over midnight.
#[derive(Debug, Deserialize)]
pub(crate) struct Window {
    /// Its first minute, counted from midnight.
    start_minute: u64,
    /// The minute after its last, counted from midnight.
    end_minute: u64,
}

/// A change that somebody wants to make.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    #[serde(default)]
    urgent: bool,
    /// When, in seconds since the Unix epoch. Now, if absent.
    at_seconds: Option<u64>,
}

/// Whether it may be made.
#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    allowed: bool,
    reason: &'static str,
}

impl Window {
    pub(crate) fn decide(&self, change: &Change, now_seconds: impl FnOnce() -> u64) -> Decision {
        if change.urgent {
            return Decision { allowed: true, reason: "urgent" };
        }
        let minute = change.at_seconds.unwrap_or_else(now_seconds) / 60 % DAY_MINUTES;
        if self.contains(minute) {
            Decision { allowed: true, reason: "inside the maintenance window" }
        } else {
            Decision { allowed: false, reason: "outside the maintenance window" }
        }
    }

    fn contains(&self, minute: u64) -> bool {
        let (start, end) = (self.start_minute, self.end_minute);
        if start <= end { (start..end).contains(&minute) } else { minute >= start || minute < end }
    }
}
