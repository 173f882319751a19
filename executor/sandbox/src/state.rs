//! What one instance carries: its memory meter, its log, its grants and its counters.

use std::{sync::Arc, time::Instant};

use lictor_model::{Capabilities, Limits, Stop, StopKind};
use rand::{SeedableRng as _, rngs::StdRng};
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi_http::WasiHttpCtx;

use crate::{
    context::Bucket,
    host::HostFunctions,
    imports::http::Hooks,
    log::Log,
    recorder::Recorder,
    run::Call,
    tape::{Event, Tape},
};

/// Calls from one guest call to the host, of all kinds together. Past it the guest is stopped.
pub(crate) const MAX_HOST_CALLS: u64 = 100_000;
/// Live resources of one instance: requests, streams, buckets.
const MAX_RESOURCES: usize = 512;
/// Headers of one request or response as they are in memory, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The data of a `Store`.
pub(crate) struct State {
    pub(crate) memory: MemoryMeter,
    pub(crate) log: Arc<Log>,
    pub(crate) table: ResourceTable,
    pub(crate) grant: Arc<Capabilities>,
    pub(crate) context: Option<Arc<Bucket>>,
    pub(crate) dry_run: bool,
    pub(crate) context_bytes: usize,
    pub(crate) functions: HostFunctions,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) clock: Clock,
    pub(crate) deadline: Instant,
    pub(crate) host_calls: u64,
    pub(crate) http_ctx: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    pub(crate) tape: Tape,
    /// The streams that are standard output or error.
    pub(crate) spoken: Vec<u32>,
    rng: Option<Box<StdRng>>,
}

/// Where a guest's time and chance come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The host's.
    Real,
    /// Stopped at the Unix epoch, with a fixed seed: the same call gives the same answer.
    Frozen,
}

/// What every run of one instance shares.
pub(crate) struct Surroundings {
    pub(crate) policy_rule_uri: Arc<str>,
    pub(crate) grant: Arc<Capabilities>,
    pub(crate) functions: HostFunctions,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) clock: Clock,
    pub(crate) hooks: Hooks,
}

impl State {
    pub(crate) fn new(around: Surroundings, limits: &Limits, deadline: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let mut http_ctx = WasiHttpCtx::new();
        http_ctx.set_field_size_limit(MAX_HEADER_BYTES);
        Self {
            memory: MemoryMeter::new(limits.memory_bytes()),
            log: Arc::new(Log::new(around.policy_rule_uri, Arc::clone(&around.recorder), limits.log_bytes())),
            table,
            grant: around.grant,
            context: None,
            dry_run: false,
            context_bytes: limits.context_bytes(),
            functions: around.functions,
            recorder: around.recorder,
            clock: around.clock,
            deadline,
            host_calls: 0,
            http_ctx,
            hooks: around.hooks,
            tape: Tape::Off,
            spoken: Vec::new(),
            rng: None,
        }
    }

    /// Begins a call: what is counted per call starts again.
    pub(crate) fn begin(&mut self, call: &Call<'_>, deadline: Instant) {
        let limits = &call.limits;
        self.context.clone_from(&call.context);
        self.dry_run = call.dry_run;
        self.log.begin(limits.log_bytes());
        self.hooks.requests_left = limits.http_requests();
        self.memory.begin(limits.memory_bytes());
        self.context_bytes = limits.context_bytes();
        self.deadline = deadline;
        self.host_calls = 0;
        self.tape = call.tape.tape();
        self.hooks.is_playing = self.tape.is_playing();
    }

    /// Counts one call to the host and stops the guest when it makes too many.
    pub(crate) fn count_host_call(&mut self) -> Result<(), Stopped> {
        self.host_calls = self.host_calls.saturating_add(1);
        self.check_host_calls()
    }

    pub(crate) fn check_host_calls(&self) -> Result<(), Stopped> {
        if MAX_HOST_CALLS < self.host_calls {
            return Err(Stopped::new(
                StopKind::HostcallLimit,
                format!("the policy called the host more than {MAX_HOST_CALLS} times"),
            ));
        }
        Ok(())
    }

    /// Notes that the guest was refused something, and the grant that would have prevented it.
    pub(crate) fn denied(&mut self, missing: &str) {
        self.log.denied(missing);
        self.tape.note(|| Event::Refused { grant: missing.replace('`', "") });
    }

    /// The guest's source of chance, made when it is first used.
    pub(crate) fn rng(&mut self) -> &mut StdRng {
        let clock = self.clock;
        self.rng.get_or_insert_with(|| {
            Box::new(match clock {
                Clock::Real => rand::make_rng(),
                Clock::Frozen => StdRng::from_seed([0; 32]),
            })
        })
    }
}

/// A stop that is decided by the host, carried through the guest's frames as an error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct Stopped(pub(crate) Stop);

impl Stopped {
    pub(crate) fn new(kind: StopKind, message: impl Into<String>) -> Self {
        Self(Stop::new(kind, message))
    }
}

/// Adds up the memory of all of an instance's memories, as against wasmtime's own limiter, which sees each alone.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit: usize,
    total: usize,
    /// What was granted last, taken back if the memory then cannot be had.
    granted: usize,
    /// The most there was at one time.
    pub(crate) peak: usize,
    /// Whether the guest was refused memory in this call.
    pub(crate) refused: bool,
}

impl MemoryMeter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, total: 0, granted: 0, peak: 0, refused: false }
    }

    pub(crate) fn begin(&mut self, limit: usize) {
        self.limit = limit;
        self.peak = self.total;
        self.refused = false;
    }

    /// Whether what there is already is within the limit.
    pub(crate) fn fits(&self) -> bool {
        self.total <= self.limit
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = desired.saturating_sub(current);
        let total = self.total.saturating_add(wanted);
        if self.limit < total {
            self.granted = 0;
            self.refused = true;
            return Ok(false);
        }
        self.granted = wanted;
        self.total = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.total = self.total.saturating_sub(std::mem::take(&mut self.granted));
        self.refused = true;
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000)
    }
}
