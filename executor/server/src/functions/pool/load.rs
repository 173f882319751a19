//! How busy replicas are: the calls that run or stand in line, added up over time.

use std::time::Instant;

/// The sum so far.
pub(super) struct Load {
    running: u64,
    in_line: u64,
    busy_us: u64,
    since: Instant,
}

impl Load {
    pub(super) fn new() -> Self {
        Self { running: 0, in_line: 0, busy_us: 0, since: Instant::now() }
    }

    fn add_up(&mut self) {
        let now = Instant::now();
        let calls = self.running.saturating_add(self.in_line);
        if calls != 0 {
            let past = now.saturating_duration_since(self.since).as_micros();
            let past = u64::try_from(past).unwrap_or(u64::MAX);
            self.busy_us = self.busy_us.saturating_add(past.saturating_mul(calls));
        }
        self.since = now;
    }

    /// A call begins to run.
    pub(super) fn begin(&mut self) {
        self.add_up();
        self.running = self.running.saturating_add(1);
    }

    /// A call ended.
    pub(super) fn end(&mut self) {
        self.add_up();
        self.running = self.running.saturating_sub(1);
    }

    /// A call joins the line.
    pub(super) fn join(&mut self) {
        self.add_up();
        self.in_line = self.in_line.saturating_add(1);
    }

    /// A call is no longer in line.
    pub(super) fn leave(&mut self) {
        self.add_up();
        self.in_line = self.in_line.saturating_sub(1);
    }

    pub(super) fn busy_us(&mut self) -> u64 {
        self.add_up();
        self.busy_us
    }
}
