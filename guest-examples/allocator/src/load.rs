//! How much an executor has to do.

use serde_json::Value;

use crate::Mode;

/// What counts most comes first: what is of the same kind as what is to run, and then everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    alike: u64,
    calls: u64,
    others: u64,
}

impl Load {
    /// The load that `metrics` tell of, for something of this kind; none if there is no room for it. What is not
    /// measured counts as nothing, and a bound that is absent or 0 as none.
    pub(crate) fn of(metrics: &Value, mode: Mode) -> Option<Self> {
        let count = |name: &str| metrics.get(name).and_then(Value::as_u64).unwrap_or(0);
        let is_full = |used: u64, most: &str| 0 < count(most) && count(most) <= used;
        let replicas = count("replicas");
        let (running, queued) = (count("running_jobs"), count("queued_jobs"));
        let jobs = running.saturating_add(queued);
        let calls = count("running_calls");
        match mode {
            Mode::Function if is_full(replicas, "max_replicas") => None,
            Mode::Function => Some(Self { alike: replicas, calls, others: jobs }),
            Mode::Job if is_full(queued, "max_queued_jobs") => None,
            Mode::Job => Some(Self { alike: jobs, calls, others: replicas }),
        }
    }
}
