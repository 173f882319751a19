//! What the process says of itself: logs to standard error, and metrics.
//!
//! Labels are codes from closed lists, never names or texts that somebody else chose, so that no caller can make the
//! number of series grow.

use std::{
    array,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lictor_loader::LoadCode;
use lictor_model::{Outcome, StopKind};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use tracing_subscriber::EnvFilter;

use crate::stripes::Striped;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends logs to standard error. Does nothing if that was already done.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    // What a peer sends before anybody knows who it is must not fill the log.
    let quiet = if filter.contains("rustls") { "" } else { ",rustls=error" };
    let filter = EnvFilter::try_new(format!("{filter}{quiet}"))
        .map_err(|error| format!("`log` is not a filter such as `info` or `lictor=debug`: {error}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    drop(done);
    Ok(())
}

/// The counters of one server. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    calls: Arc<Calls>,
    /// What `calls` has of each outcome, put here when somebody asks.
    evaluations: Mutex<Vec<Counter>>,
    loads: Family<ResultLabel, Counter>,
    instances: Gauge,
    replicas: Gauge,
    denied: Counter,
    lost: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// What is counted of each call, without a lock: the crate's own histogram takes one, which every call would meet.
#[derive(Debug, Default)]
struct Calls {
    tallies: Striped<Tally>,
}

/// What some threads have counted.
#[derive(Debug, Default)]
struct Tally {
    /// One for `ok`, one for `policy_error`, then one for each kind of stop.
    outcomes: [AtomicU64; OUTCOMES],
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// How a call can end.
const OUTCOMES: usize = StopKind::ALL.len() + 2;
const BUCKETS: usize = BOUNDS_US.len() + 1;
/// The upper bounds of all buckets but the last, in microseconds.
const BOUNDS_US: [u64; 13] =
    [10, 25, 50, 100, 250, 1000, 2500, 10_000, 50_000, 250_000, 1_000_000, 2_500_000, 10_000_000];

impl Calls {
    fn count(&self, outcome: usize, took_us: u64) {
        let tally = self.tallies.own();
        let bucket = BOUNDS_US.partition_point(|bound| *bound < took_us);
        for count in [tally.outcomes.get(outcome), tally.buckets.get(bucket)].into_iter().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        tally.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    fn sum(&self, which: impl Fn(&Tally) -> Option<&AtomicU64>) -> u64 {
        self.tallies.iter().filter_map(which).map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// The times of calls, as a histogram.
#[derive(Clone, Debug)]
struct Durations {
    calls: Arc<Calls>,
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts: [u64; BUCKETS] = array::from_fn(|idx| self.calls.sum(|tally| tally.buckets.get(idx)));
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        let bounds = BOUNDS_US.iter().map(|us| seconds(*us)).chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let total = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(
            seconds(self.calls.sum(|tally| Some(&tally.sum_us))),
            total,
            &buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Metrics {
    /// Fresh counters, all at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("lictor");
        let by_outcome = Family::<OutcomeLabel, Counter>::default();
        let kinds = StopKind::ALL.iter().map(|kind| kind.code());
        let outcomes = ["ok", "policy_error"].into_iter().chain(kinds);
        let evaluations: Vec<_> =
            outcomes.map(|outcome| by_outcome.get_or_create(&OutcomeLabel { outcome }).clone()).collect();
        let calls = Arc::<Calls>::default();
        let duration = Durations { calls: Arc::clone(&calls) };
        let (loads, instances, denied) = (Family::default(), Gauge::default(), Counter::default());
        let lost = Counter::default();
        let replicas = Gauge::default();
        registry.register("policy_evaluations", "Calls of policies, by outcome", by_outcome);
        let help = "Time of a call from before its instance is made to its answer";
        registry.register_with_unit("policy_evaluation_duration", help, Unit::Seconds, duration);
        registry.register("policy_loads", "Loads of policies, by result", loads.clone());
        registry.register("instances_in_use", "Sandboxes alive", instances.clone());
        registry.register("function_replicas", "Replicas of functions that are up", replicas.clone());
        registry.register("refused_requests", "Requests refused before they reached a policy", denied.clone());
        registry.register("lost_decisions", "Decisions that were made and are not in the decision log", lost.clone());
        registry.register("build", "Which build this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            shared: Arc::new(Shared {
                registry,
                calls,
                evaluations: Mutex::new(evaluations),
                loads,
                instances,
                replicas,
                denied,
                lost,
            }),
        }
    }

    /// Counts a call.
    pub fn evaluation(&self, outcome: &Outcome, took_us: u64) {
        let idx = match outcome {
            Outcome::Finished(_) => 0,
            Outcome::Failed(_) => 1,
            Outcome::Stopped(stop) => StopKind::ALL.iter().position(|kind| *kind == stop.kind).map_or(0, |idx| idx + 2),
        };
        self.shared.calls.count(idx, took_us);
    }

    fn gather_evaluations(&self) {
        let evaluations = self.shared.evaluations.lock().unwrap_or_else(PoisonError::into_inner);
        for (idx, counter) in evaluations.iter().enumerate() {
            let counted = self.shared.calls.sum(|tally| tally.outcomes.get(idx));
            counter.inc_by(counted.saturating_sub(counter.get()));
        }
    }

    /// Counts a load that succeeded, or failed with a code.
    pub fn load(&self, failed: Option<LoadCode>) {
        let result = failed.map_or("ok", LoadCode::as_str);
        self.shared.loads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Says how many replicas of functions are up.
    pub fn replicas(&self, n: usize) {
        self.shared.replicas.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Counts decisions that are not in the log.
    pub fn decisions_lost(&self, n: u64) {
        self.shared.lost.inc_by(n);
    }

    /// Counts a request that was refused before it reached a policy.
    pub fn refused(&self) {
        self.shared.denied.inc();
    }

    /// The text that Prometheus reads.
    pub fn render(&self, live_instances: u64) -> String {
        self.shared.instances.set(i64::try_from(live_instances).unwrap_or(i64::MAX));
        self.gather_evaluations();
        let mut text = String::new();
        match encode(&mut text, &self.shared.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
