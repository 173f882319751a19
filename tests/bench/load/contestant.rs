//! Something that answers requests, and what its turns gave.

use std::time::Duration;

use crate::{Res, median, process::Usage, wrk};

/// A server, how it is asked, and its turns so far.
pub(crate) struct Contestant {
    pub(crate) key: String,
    pub(crate) url: String,
    /// The request, as a script of the load generator.
    pub(crate) script: &'static str,
    pub(crate) pid: u32,
    /// How long a turn is.
    pub(crate) seconds: u32,
    pub(crate) rounds: Vec<Round>,
}

/// One turn.
pub(crate) struct Round {
    /// Requests a second.
    pub(crate) rate: f64,
    pub(crate) requests: u64,
    pub(crate) p99: Duration,
    /// Threads of the server that did something.
    pub(crate) threads: usize,
    user: Duration,
    system: Duration,
}

impl Contestant {
    pub(crate) fn new(key: &str, url: String, script: &'static str, pid: u32, seconds: u32) -> Self {
        Self { key: key.to_owned(), url, script, pid, seconds, rounds: Vec::new() }
    }

    /// Lets it have a turn of so many seconds.
    pub(crate) fn measure(&mut self, seconds: u32) -> Res<()> {
        let before = Usage::of(self.pid)?;
        let load = wrk::run(&self.url, self.script, seconds)?;
        let used = Usage::of(self.pid)?.since(&before);
        self.rounds.push(Round {
            rate: load.rate,
            requests: load.requests,
            p99: load.p99,
            threads: used.busy_threads(),
            user: used.user,
            system: used.system,
        });
        Ok(())
    }

    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
}

impl Round {
    /// Processor time of the server for a request, in its own code.
    pub(crate) fn user_micros(&self) -> f64 {
        self.user.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// Processor time of the server for a request, in the kernel.
    pub(crate) fn system_micros(&self) -> f64 {
        self.system.as_secs_f64() * 1e6 / self.requests as f64
    }
}
