//! Clocks, chance, standard streams and exit.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use lictor_model::StopKind;
use rand::Rng as _;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi_io::{
    poll::{DynPollable, Pollable, subscribe},
    streams::{DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult},
};

use super::bindings::wasi::{
    cli::{exit, stderr, stdin, stdout},
    clocks::{monotonic_clock, wall_clock},
    random::{insecure, insecure_seed, random},
};
use crate::{
    log::{Level, Log},
    state::{Clock, State, Stopped},
    tape::{Data, Event, Question, Unknown},
};

/// The most random bytes in one call.
const MAX_RANDOM: u64 = 64 * 1024;

/// What the monotonic clock of guests counts from. They learn durations, not how long the host is up.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl wall_clock::Host for State {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        if self.clock == Clock::Frozen {
            return Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 0 });
        }
        let told = self.tape.told(&Question::new("wall-clock.now", Unknown::Guess), |event| match event {
            Event::WallClock { seconds, nanoseconds } => Some((*seconds, *nanoseconds)),
            _ => None,
        })?;
        let (seconds, nanoseconds) = told.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (since.as_secs(), since.subsec_nanos())
        });
        self.tape.note(|| Event::WallClock { seconds, nanoseconds });
        Ok(wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl State {
    fn monotonic(&mut self) -> Result<u64> {
        if self.clock == Clock::Frozen {
            return Ok(0);
        }
        let told = self.tape.told(&Question::new("monotonic-clock.now", Unknown::Guess), |event| match event {
            Event::Monotonic { ns } => Some(*ns),
            _ => None,
        })?;
        let ns = told.unwrap_or_else(|| u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.tape.note(|| Event::Monotonic { ns });
        Ok(ns)
    }

    /// A pollable that is ready after `duration`, or, where that is after the end of the call, never.
    fn wait(&mut self, duration: Duration) -> Result<Resource<DynPollable>> {
        self.check_host_calls()?;
        // A stopped clock never gets there, and in a replay the time has passed: waiting would only burn the call's own.
        let stands_still = self.clock == Clock::Frozen || self.tape.is_playing();
        let ready_at = if stands_still { Some(Instant::now()) } else { Instant::now().checked_add(duration) };
        let timer = self.table.push(Timer { ready_at })?;
        subscribe(&mut self.table, timer)
    }
}

/// A point in time that a guest waits for.
struct Timer {
    ready_at: Option<Instant>,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self.ready_at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        self.monotonic()
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let now = self.monotonic()?;
        self.wait(Duration::from_nanos(when.saturating_sub(now)))
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        self.wait(Duration::from_nanos(duration))
    }
}

impl State {
    /// That many bytes of chance.
    fn chance(&mut self, n: usize) -> Result<Vec<u8>> {
        if self.clock == Clock::Frozen {
            return Ok(self.draw(n));
        }
        let told = self.tape.told(&Question::new("random", Unknown::Guess), |event| match event {
            Event::Random { bytes } if bytes.0.len() == n => Some(bytes.0.clone()),
            _ => None,
        })?;
        let bytes = told.unwrap_or_else(|| self.draw(n));
        self.tape.note(|| Event::Random { bytes: Data(bytes.clone()) });
        Ok(bytes)
    }

    fn draw(&mut self, n: usize) -> Vec<u8> {
        let mut res = vec![0; n];
        self.rng().fill_bytes(&mut res);
        res
    }

    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.check_host_calls()?;
        let n = usize::try_from(len).ok().filter(|_| len <= MAX_RANDOM).ok_or_else(|| {
            Stopped::new(
                StopKind::HostcallLimit,
                format!("the policy asked for {len} random bytes, more than {MAX_RANDOM}"),
            )
        })?;
        self.chance(n)
    }

    fn random_u64(&mut self) -> Result<u64> {
        let bytes = self.chance(size_of::<u64>())?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}

impl exit::Host for State {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        self.exit_with_code(u8::from(status.is_err()))
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        Err(Stopped::new(StopKind::Trap, format!("the policy exited with status {code}")).into())
    }
}

/// Standard input: closed.
struct Closed;

#[wasmtime_wasi_io::async_trait]
impl Pollable for Closed {
    async fn ready(&mut self) {}
}

impl InputStream for Closed {
    fn read(&mut self, _size: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

/// Standard output or error: its lines are lines of the guest's log.
struct Spoken {
    level: Level,
    context: &'static str,
    log: Arc<Log>,
    /// The start of a line whose end was not written yet.
    line: Vec<u8>,
}

/// A line is said in parts when it is longer than this.
const MAX_PART: usize = 4096;

impl Spoken {
    fn say(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.log.say(self.level, self.context, &String::from_utf8_lossy(&line));
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Spoken {
    async fn ready(&mut self) {}
}

impl OutputStream for Spoken {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for &byte in &bytes {
            if byte == b'\n' {
                self.say();
                continue;
            }
            self.line.push(byte);
            if MAX_PART <= self.line.len() {
                self.say();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.say();
        }
    }
}

impl State {
    fn spoken(&mut self, level: Level, context: &'static str) -> Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(Spoken { level, context, log: Arc::clone(&self.log), line: Vec::new() });
        let stream = self.table.push(stream)?;
        self.spoken.push(stream.rep());
        Ok(stream)
    }
}

impl stdin::Host for State {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(Closed);
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.spoken(Level::Info, "stdout")
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.spoken(Level::Error, "stderr")
    }
}
