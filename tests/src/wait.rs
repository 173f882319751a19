//! Waiting for a condition, never for a time.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up. Never the thing that is tested.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until `look` says yes, and returns what it then has. Panics with what it last saw if that never happens.
#[track_caller]
pub fn eventually<T, S: Debug>(what: &str, look: impl FnMut() -> Result<T, S>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same with another patience: for what is done at a low priority, beside all other tests.
#[track_caller]
pub fn eventually_within<T, S: Debug>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if deadline < Instant::now() => panic!("gave up waiting for {what}; last seen: {seen:?}"),
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
