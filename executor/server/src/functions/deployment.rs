//! One function of this process: its replicas, what they run, and what is known of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use lictor_model::{FunctionSpec, Limits};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    directory::Reserved,
    logs::Logs,
    pool::{Lease, NoReplica, Pool, Standing, Taken},
    replica::Replica,
    scaling::Meter,
    version::Version,
};
use crate::{
    error::{Error, ErrorKind},
    store::context_of,
};

/// How long nothing is saved of a replica whose state was refused.
const PAUSE: Duration = Duration::from_secs(30);

/// A policy that is resident here.
pub(super) struct Deployment {
    pub(super) name: String,
    /// The name of its context.
    pub(super) context: String,
    pub(super) pool: Arc<Pool<Replica>>,
    /// One change at a time: a deployment, management, scaling, a replica that is brought up, an upgrade, a removal.
    /// Calls never take it.
    pub(super) change: tokio::sync::Mutex<()>,
    pub(super) spec: ArcSwap<FunctionSpec>,
    pub(super) logs: Arc<Logs>,
    /// The last command that every replica that it concerns has taken.
    pub(super) settled: AtomicI64,
    pub(super) meter: Mutex<Meter>,
    pub(super) reserved: Mutex<Reserved>,
    /// Whether somebody is saving its replicas.
    pub(super) saving: AtomicBool,
    pub(super) closed: CancellationToken,
    /// None until it is loaded, which it is when the first replica is there.
    version: ArcSwapOption<Version>,
    /// What its policy's limits are before it is loaded.
    limits: Limits,
    /// Of each replica that has some: one that cannot be saved says nothing of the others.
    troubles: Mutex<BTreeMap<u32, Trouble>>,
}

/// Why the state of a replica is not saved.
struct Trouble {
    message: String,
    since: Instant,
}

impl Deployment {
    pub(super) fn new(spec: FunctionSpec, limits: Limits, reserved: Reserved) -> Arc<Self> {
        let name = spec.name.clone();
        Arc::new(Self {
            context: context_of(&name),
            name,
            pool: Pool::new(),
            change: tokio::sync::Mutex::default(),
            spec: ArcSwap::from_pointee(spec),
            logs: Arc::default(),
            settled: AtomicI64::new(0),
            meter: Mutex::default(),
            reserved: Mutex::new(reserved),
            saving: AtomicBool::new(false),
            closed: CancellationToken::new(),
            version: ArcSwapOption::empty(),
            limits,
            troubles: Mutex::default(),
        })
    }

    /// What it runs, once that is loaded.
    pub(super) fn version(&self) -> Option<Arc<Version>> {
        self.version.load_full()
    }

    pub(super) fn set_version(&self, version: Arc<Version>) {
        self.version.store(Some(version));
    }

    fn limits(&self) -> Limits {
        self.version.load().as_ref().map_or(self.limits, |version| version.ready.limits)
    }

    /// A replica for a call, which waits for one no longer than it may itself take.
    ///
    /// PERF: no wait and no allocation where a replica is free.
    pub(super) async fn lease(&self, timeout_ms: Option<u64>) -> Result<Lease<Replica>, Error> {
        match self.pool.take_any().map_err(|why| self.refusal(&why))? {
            Taken::Now(lease) => Ok(lease),
            Taken::InLine(mut line) => {
                let patience = limited(self.limits(), timeout_ms).timeout();
                let waiting = Box::pin(async move { tokio::time::timeout(patience, line.wait()).await });
                match waiting.await {
                    Ok(Ok(lease)) => Ok(lease),
                    Ok(Err(why)) => Err(self.refusal(&why)),
                    Err(_) => Err(self.no_replica()),
                }
            }
        }
    }

    fn refusal(&self, why: &NoReplica) -> Error {
        let name = &self.name;
        match why {
            NoReplica::Closed => Error::new(ErrorKind::NotFound, "Function not found."),
            NoReplica::Full => {
                let most = super::pool::MAX_WAITING;
                Error::new(ErrorKind::Busy, format!("{most} calls are waiting for the function `{name}` already"))
            }
            NoReplica::Failed(why) => {
                let why = format!("the function `{name}` has no replica that works, and is tried again: {why}");
                Error::new(ErrorKind::Busy, why)
            }
        }
    }

    fn no_replica(&self) -> Error {
        let (name, n) = (&self.name, self.pool.standing().len());
        let state = match self.pool.alive() {
            0 => "is being brought up".into(),
            _ => format!("has {n} replicas, and none of them came free"),
        };
        Error::new(ErrorKind::Busy, format!("the function `{name}` {state} while this call could wait"))
    }

    /// Notes that the state of a replica could not be saved, or that it was.
    pub(super) fn set_trouble(&self, replica: u32, trouble: Option<String>) {
        let before = match trouble.clone() {
            Some(message) => lock(&self.troubles).insert(replica, Trouble { message, since: Instant::now() }),
            None => lock(&self.troubles).remove(&replica),
        };
        if let Some(message) = trouble.filter(|message| before.is_none_or(|before| before.message != *message)) {
            tracing::warn!(function = self.name, replica, "{message}");
            self.logs.say("warn", replica, &message);
        }
    }

    /// The replicas that were called and are to be saved now: those whose state was refused wait for a while.
    pub(super) fn to_save(&self) -> Vec<u32> {
        let called = self.pool.called();
        let troubles = lock(&self.troubles);
        let pauses = |number: &u32| troubles.get(number).is_some_and(|trouble| trouble.since.elapsed() < PAUSE);
        called.into_iter().filter(|number| !pauses(number)).collect()
    }

    /// Why the first replica whose state is not saved is not.
    fn trouble(&self, standing: &[Standing]) -> Option<String> {
        let troubles = lock(&self.troubles);
        standing.iter().find_map(|one| Some(troubles.get(&one.replica)?.message.clone()))
    }

    /// The last command that a replica has taken which has taken `own` itself.
    pub(super) fn settled(&self, own: i64) -> i64 {
        own.max(self.settled.load(Ordering::Acquire))
    }

    /// What its record is read back with.
    pub(super) fn status(&self) -> Value {
        let (standing, alive) = (self.pool.standing(), self.pool.alive());
        let failure = self.pool.failure();
        let phase = match (alive, &failure) {
            (0, Some(_)) => "failed",
            (0, None) => "starting",
            _ => "ready",
        };
        let message = failure.or_else(|| self.trouble(&standing));
        let status = json!({
            "phase": phase,
            "replicas": standing.iter().map(to_json).collect::<Vec<_>>(),
            "ready_replicas": alive,
            "utilization_percent": lock(&self.meter).utilization(),
            "state_from": self.version().map(|version| version.state_from()),
        });
        match (status, message) {
            (Value::Object(mut status), Some(message)) => {
                status.insert("message".into(), message.into());
                status.into()
            }
            (status, _) => status,
        }
    }

    /// Ends it: calls in line are told, and those that run finish.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.pool.close();
    }
}

fn to_json(one: &Standing) -> Value {
    let Standing { replica, state, calls, restarts } = one;
    json!({"replica": replica, "state": state, "calls": calls, "restarts": restarts})
}

/// `limits` with a time-out that is not higher than this one.
pub(super) fn limited(limits: Limits, timeout_ms: Option<u64>) -> Limits {
    timeout_ms.map_or(limits, |timeout_ms| limits.with_timeout_at_most(timeout_ms))
}

/// Held for the time of a few moves only, and never across a wait.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
