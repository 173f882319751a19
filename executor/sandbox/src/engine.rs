//! The engine: one configuration of wasmtime, the instance pool, and the ticker that bounds guest time.
//!
//! There are two engines with different code: a plain one, and a metered one that counts fuel and is made only when
//! the first policy asks for it. Every knob that wasmtime's defaults leave wide is set here explicitly, because
//! cargo features of other crates can change a default.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use lictor_model::address::AllowPrivate;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, WasmFeatures,
    component::Linker,
};

use crate::{
    aot::{About, Artifact, Code},
    imports,
    inspect::{Facts, STATE},
    module::OpenError,
    pages,
    spare::Spares,
    state::State,
    twin,
};

/// How often guests are interrupted to see whether their time is over.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// How deep a guest may recurse, in bytes of native stack.
const GUEST_STACK: usize = 512 * 1024;
/// A fiber's stack: the guest's, and room for the host functions it calls.
const FIBER_STACK: usize = 1024 * 1024;

/// What a sandbox is sized and ruled by.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Instances alive at the same time, calls in flight and resident ones together.
    pub max_instances: u32,
    /// The largest memory any policy may have, in bytes; at most 4 GiB.
    pub max_memory_bytes: usize,
    /// Addresses that guests may reach although they are not public.
    pub allow_private: AllowPrivate,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { max_instances: 1000, max_memory_bytes: 512 << 20, allow_private: AllowPrivate::default() }
    }
}

/// Where policies run. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    config: SandboxConfig,
    plain: Linked,
    metered: OnceLock<Result<Linked, String>>,
    http: imports::http::Client,
    spares: Arc<Spares>,
}

/// An engine, its linker and its ticker.
pub(crate) struct Linked {
    pub(crate) linker: Linker<State>,
    pub(crate) hash: [u8; 32],
    _ticker: Ticker,
}

impl Sandbox {
    /// Makes the plain engine and its pool. Reserves address space, not memory.
    pub fn new(config: SandboxConfig) -> Result<Self, OpenError> {
        let plain = Linked::new(&config, false)?;
        let http = imports::http::Client::new(config.allow_private.clone());
        let spares = Spares::new(spares(&config));
        Ok(Self { shared: Arc::new(Shared { config, plain, metered: OnceLock::new(), http, spares }) })
    }

    pub(crate) fn linked(&self, metered: bool) -> Result<&Linked, OpenError> {
        if !metered {
            return Ok(&self.shared.plain);
        }
        let made = self
            .shared
            .metered
            .get_or_init(|| Linked::new(&self.shared.config, true).map_err(|error| error.to_string()));
        made.as_ref().map_err(|message| OpenError::internal(message.clone()))
    }

    /// Identifies the engine that an artifact must have been compiled for.
    pub fn engine_hash(&self, metered: bool) -> Result<[u8; 32], OpenError> {
        Ok(self.linked(metered)?.hash)
    }

    pub(crate) fn spares(&self) -> &Arc<Spares> {
        &self.shared.spares
    }

    pub(crate) fn http(&self) -> &imports::http::Client {
        &self.shared.http
    }

    /// What the sandbox was made with.
    pub fn config(&self) -> &SandboxConfig {
        &self.shared.config
    }

    /// Instances alive now.
    pub fn live_instances(&self) -> u64 {
        let live = |linked: &Linked| {
            linked.linker.engine().pooling_allocator_metrics().map_or(0, |metrics| metrics.component_instances())
        };
        let metered = self.shared.metered.get().and_then(|made| made.as_ref().ok()).map_or(0, live);
        live(&self.shared.plain).saturating_add(metered)
    }
}

impl Linked {
    fn new(config: &SandboxConfig, metered: bool) -> Result<Self, OpenError> {
        let mut engine_config = code_config(metered);
        engine_config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
        let engine = Engine::new(&engine_config).map_err(OpenError::engine)?;
        let linker = imports::linker(&engine).map_err(OpenError::engine)?;
        Ok(Self { linker, hash: engine_hash(&engine), _ticker: Ticker::start(engine)? })
    }
}

/// Turns components into native code. Needs no pool, so a child process can do it under tight limits.
pub struct Compiler {
    engine: Engine,
    hash: [u8; 32],
    metered: bool,
}

impl Compiler {
    /// A compiler for the plain engine, or for the metered one.
    pub fn new(metered: bool) -> Result<Self, OpenError> {
        let mut config = code_config(metered);
        config.parallel_compilation(false);
        let engine = Engine::new(&config).map_err(OpenError::engine)?;
        let hash = engine_hash(&engine);
        Ok(Self { engine, hash, metered })
    }

    /// Identifies the engine that it compiles for.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Compiles a component that was inspected. Takes seconds of one core for large ones.
    pub fn compile(&self, facts: &Facts, component: &[u8]) -> Result<Artifact, OpenError> {
        Ok(Artifact::new(facts.digest, self.hash, self.code(facts, component)?))
    }

    /// The native code of a component that was inspected.
    pub fn code(&self, facts: &Facts, component: &[u8]) -> Result<Code, OpenError> {
        // A twin has fewer instructions around the policy's: where fuel is counted, that would show.
        let twin = if self.metered { None } else { twin::of(component) };
        let twin = twin.and_then(|twin| self.engine.precompile_module(&twin).ok()).unwrap_or_default();
        let component = self.engine.precompile_component(component).map_err(OpenError::compile)?;
        Ok(Code { component: component.into(), twin: twin.into(), about: about(facts) })
    }
}

fn about(facts: &Facts) -> About {
    About {
        initial_memory_bytes: facts.initial_memory_bytes,
        uses_context: facts.imports.iter().any(|name| name.starts_with("wasi:keyvalue/store")),
        stateful: facts.exports.iter().any(|name| name == STATE),
    }
}

/// Everything that decides what code is generated: artifacts load only into an engine of the same.
fn code_config(metered: bool) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(metered)
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false)
        .generate_address_map(false)
        .cranelift_nan_canonicalization(true);
    for feature in refused_features() {
        config.wasm_features(feature, false);
    }
    config
}

/// Proposals that wasmtime may have on by default and that no policy needs. `inspect` validates without them too.
pub(crate) fn refused_features() -> [WasmFeatures; 13] {
    [
        WasmFeatures::MEMORY64,
        WasmFeatures::MULTI_MEMORY,
        WasmFeatures::THREADS,
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        WasmFeatures::TAIL_CALL,
        WasmFeatures::RELAXED_SIMD,
        WasmFeatures::FUNCTION_REFERENCES,
        WasmFeatures::GC,
        WasmFeatures::EXCEPTIONS,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::WIDE_ARITHMETIC,
        WasmFeatures::STACK_SWITCHING,
        WasmFeatures::CM_ASYNC,
    ]
}

/// How many instances of twins there may be beside those of components.
fn spares(config: &SandboxConfig) -> usize {
    // Two for each call that may run, for the policies whose turn it is not.
    2 * config.max_instances.max(1) as usize
}

/// Threads that run a call in a twin at the same time, for whose instances there is room beside the spares.
const THREADS: u32 = 256;

/// The pool, sized from the number of instances.
fn pool(config: &SandboxConfig) -> PoolingAllocationConfig {
    let n = config.max_instances.max(1);
    let twins = n.saturating_mul(2).saturating_add(THREADS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        // CPython's component is made of 14 core instances, a plain Rust one of 1 to 4.
        .total_core_instances(n.saturating_mul(16).saturating_add(twins))
        .total_memories(n.saturating_add(twins))
        .total_tables(n.saturating_mul(2).saturating_add(twins))
        .total_stacks(n)
        .max_memory_size(config.max_memory_bytes)
        .max_core_instances_per_component(32)
        .max_memories_per_component(1)
        .max_tables_per_component(8)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        .table_elements(20_000)
        // PERF: what is written back at the end of a call instead of unmapped; a small policy dirties less.
        .linear_memory_keep_resident(256 * 1024)
        .table_keep_resident(64 * 1024)
        .decommit_batch_size(1)
        .max_unused_warm_slots(n)
        .pagemap_scan(if pages::can_swap() { Enabled::No } else { Enabled::Auto });
    pool
}

/// Identifies what an artifact depends on, stable over processes and compilers.
fn engine_hash(engine: &Engine) -> [u8; 32] {
    struct Stable(Sha256);
    impl std::hash::Hasher for Stable {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Stable(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
    hasher.0.finalize().into()
}

/// Counts an engine's epochs up to the wall clock, one every [`TICK`]; stops when dropped.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: Engine) -> Result<Self, OpenError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("lictor-epoch".into()).spawn(move || tick(&engine, &stopped));
        let thread = thread.map_err(|error| OpenError::internal(format!("cannot start the epoch thread: {error}")))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn tick(engine: &Engine, stopped: &AtomicBool) {
    let start = Instant::now();
    let mut ticks = 0;
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(TICK);
        // A sleep takes longer than it says: counting up to the clock keeps a deadline of n ticks n ticks long.
        let due = start.elapsed().as_millis();
        while ticks < due {
            engine.increment_epoch();
            ticks += 1;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
