//! The loop that measures, and what it makes of the times.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lictor_model::Outcome;
use lictor_sandbox::{Call, Instance, Op, Recorder, run};
use serde::Serialize;

use super::{Silent, Subject};
use crate::cli::{
    Failure,
    host::{call, runtime},
};

/// The part of the time that warms up and is not counted.
const WARM_UP: u32 = 10;

/// How instances are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One for each call.
    Fresh,
    /// One for all.
    Resident,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) calls: u64,
    /// Calls that did not end with an answer.
    pub(super) failed: u64,
    pub(super) calls_per_second: f64,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Calls from `threads` threads for about `time`.
pub(super) fn measure(subject: &Subject, mode: Mode, threads: u32, time: Duration) -> Result<Measured, Failure> {
    let started = Instant::now();
    let times = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| measure_here(subject, mode, time))).collect();
        let mut res = Times::new();
        for thread in all {
            let times = thread.join().map_err(|_| Failure::Internal("a thread that measures panicked".into()))??;
            res.add_all(&times);
        }
        Ok::<_, Failure>(res)
    })?;
    let counted = started.elapsed().saturating_sub(time / WARM_UP);
    Ok(times.measured(counted))
}

fn measure_here(subject: &Subject, mode: Mode, time: Duration) -> Result<Times, Failure> {
    runtime()?.block_on(async {
        let (warm, end) = (Instant::now() + time / WARM_UP, Instant::now() + time);
        let mut times = Times::new();
        let recorder: Arc<dyn Recorder> = Arc::new(Silent);
        let mut instance = subject.instance(mode);
        loop {
            let before = Instant::now();
            if end <= before {
                return Ok(times);
            }
            let ended = run(&subject.sandbox, &mut instance, subject.call(&recorder)).await?;
            if mode == Mode::Fresh {
                // Giving the memory back is a part of the call.
                instance = subject.instance(mode);
            }
            if warm <= before {
                times.add(before.elapsed(), matches!(ended.outcome, Outcome::Finished(_)));
            }
        }
    })
}

impl Subject {
    fn instance(&self, mode: Mode) -> Instance {
        let policy = Arc::clone(&self.policy);
        if mode == Mode::Fresh { Instance::once(policy) } else { Instance::new(policy) }
    }

    fn call(&self, recorder: &Arc<dyn Recorder>) -> Call<'_> {
        let op = Op::Eval { parameters: self.parameters.as_deref(), input: &self.input };
        call(op, self.limits, &self.context, recorder)
    }
}

/// Times by how often each occurred, to less than one percent: it takes the same room for a thousand and for a billion.
struct Times {
    counts: Vec<u64>,
    calls: u64,
    failed: u64,
    total_ns: u128,
}

/// Bits of a time that are kept below its highest one.
const BITS: u32 = 7;
/// Slots for every u64.
const SLOTS: usize = (64 - BITS as usize + 1) << BITS;

impl Times {
    fn new() -> Self {
        Self { counts: vec![0; SLOTS], calls: 0, failed: 0, total_ns: 0 }
    }

    fn add(&mut self, time: Duration, answered: bool) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(slot(ns)) {
            *count += 1;
        }
        self.calls += 1;
        self.failed += u64::from(!answered);
        self.total_ns += u128::from(ns);
    }

    fn add_all(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.calls += other.calls;
        self.failed += other.failed;
        self.total_ns += other.total_ns;
    }

    /// The time that `percent` of the calls did not exceed, in microseconds.
    fn percentile_us(&self, percent: u64) -> f64 {
        let mut below = 0;
        let rank = self.calls * percent / 100;
        let found = self.counts.iter().position(|count| {
            below += count;
            rank < below
        });
        found.map_or(0.0, |slot| start(slot) as f64 / 1000.0)
    }

    fn measured(&self, counted: Duration) -> Measured {
        let calls = self.calls.max(1) as f64;
        Measured {
            calls: self.calls,
            failed: self.failed,
            calls_per_second: self.calls as f64 / counted.as_secs_f64().max(f64::EPSILON),
            mean_us: self.total_ns as f64 / calls / 1000.0,
            p50_us: self.percentile_us(50),
            p99_us: self.percentile_us(99),
        }
    }
}

/// Exact below 2^BITS, and then by the highest bits.
fn slot(ns: u64) -> usize {
    let shift = (64 - ns.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (ns >> shift) as usize
}

/// The least time of a slot.
fn start(slot: usize) -> u64 {
    let shift = (slot >> BITS).saturating_sub(1);
    ((slot - (shift << BITS)) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_within_a_percent_of_its_times() {
        for ns in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3, u64::MAX >> bit]) {
            let start = start(slot(ns));
            assert!(start <= ns && ns - start <= ns / 100, "{ns} {start}");
            assert!(slot(ns) < SLOTS);
        }
    }

    #[test]
    fn percentiles_come_from_the_counts() {
        let mut times = Times::new();
        (1..=100).for_each(|n| times.add(Duration::from_micros(n), n != 1));
        let measured = times.measured(Duration::from_secs(1));
        assert_eq!((measured.calls, measured.failed), (100, 1));
        assert!((measured.mean_us - 50.5).abs() < 0.1, "{measured:?}");
        assert!((50.0..52.0).contains(&measured.p50_us) && (99.0..=101.0).contains(&measured.p99_us), "{measured:?}");
    }
}
