//! The parts of a server, built bottom-up and stopped top-down.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lictor_loader::{CompileIn, DiskCache, FetchRules, Loader};
use lictor_sandbox::{Sandbox, SandboxConfig, TracingRecorder};
use tokio_util::task::TaskTracker;

use crate::{
    assets::Assets,
    config::Config,
    contexts::Contexts,
    error::{Error, ErrorKind},
    executor::Executor,
    executors::{self, Executors},
    policies::Policies,
    registry::{Functions, Graphs, Jobs, Registry},
    store::{Change, Changes, Kind, Lease, Store},
    system::System,
    telemetry::Metrics,
};

/// How long giving back the executor id may take when the server stops.
const RELEASE: Duration = Duration::from_secs(2);

/// Everything a request may need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// What is counted.
    pub metrics: Metrics,
    /// What is durable.
    pub store: Store,
    /// Where policies run.
    pub sandbox: Sandbox,
    /// The registry of assets.
    pub assets: Assets,
    /// The registry of policies.
    pub policies: Policies,
    /// The registry of graphs.
    pub graphs: Registry<Graphs>,
    /// The registry of functions.
    pub functions: Registry<Functions>,
    /// The registry of jobs.
    pub jobs: Registry<Jobs>,
    /// The embedded executor.
    pub executor: Executor,
    /// All executors.
    pub executors: Executors,
    /// The system that this executor belongs to, if that is another server.
    pub system: Option<System>,
    tasks: TaskTracker,
    stopping: Arc<AtomicBool>,
    /// The executor id, where several processes share a database.
    lease: Lease,
    /// Held as long as the server runs: a data directory has one server.
    _lock: Arc<File>,
}

impl App {
    /// Opens the data directory and builds the parts.
    pub async fn build(config: &Config) -> Result<Self, Error> {
        let lock = lock_data_dir(config)?;
        let sandbox_config = SandboxConfig {
            max_instances: config.max_instances,
            max_memory_bytes: usize::try_from(config.bounds.ceiling.memory_mb.saturating_mul(1 << 20))
                .unwrap_or(usize::MAX),
            allow_private: config.allow_private.clone(),
        };
        let sandbox =
            Sandbox::new(sandbox_config).map_err(|error| Error::internal("the sandbox cannot be made", error))?;
        let store = Store::open(&config.store).await?;
        let lease = store.hold(config.executor_id.as_str(), &config.data_dir).await?;
        let assets = Assets::new(store.clone(), config);
        let system = System::of(config)?;
        let rules = FetchRules {
            allow_private: config.allow_private.clone(),
            allow_file: config.allow_file.clone(),
            assets: Some(match &system {
                Some(system) => Arc::new(system.clone()),
                None => Arc::new(assets.clone()),
            }),
            ..FetchRules::default()
        };
        let disk = DiskCache::open(&config.data_dir.join("cache"))?;
        let exe = std::env::current_exe().map_err(|error| Error::internal("this executable cannot be found", error))?;
        let loader = Loader::new(sandbox.clone(), rules, Some(disk), CompileIn::Child(exe))?;
        let (metrics, tasks) = (Metrics::new(), TaskTracker::new());
        let contexts = Contexts::start(store.clone(), &tasks);
        let policies = Policies::new(
            store.clone(),
            loader,
            contexts.clone(),
            metrics.clone(),
            config.bounds.clone(),
            system.clone(),
            &tasks,
        );
        tasks.spawn(follow(store.changes(), policies.clone(), contexts.clone()));
        let recorder = Arc::new(TracingRecorder);
        let executor = Executor::new(policies.clone(), contexts, sandbox.clone(), metrics.clone(), recorder);
        let executors = Executors::start(config, store.clone(), executor.clone(), &tasks).await?;
        if let Some(system) = &system {
            tasks.spawn(executors::report(system.clone(), executor.clone(), config.heartbeat));
        }
        let graphs = Registry::new(store.clone(), Graphs);
        let functions = Registry::new(store.clone(), Functions);
        let jobs = Registry::new(store.clone(), Jobs);
        let stopping = Arc::new(AtomicBool::new(false));
        let _lock = Arc::new(lock);
        Ok(Self {
            metrics,
            store,
            sandbox,
            assets,
            policies,
            graphs,
            functions,
            jobs,
            executor,
            executors,
            system,
            tasks,
            stopping,
            lease,
            _lock,
        })
    }

    /// Says that the server takes no new work.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server takes no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Waits until another process has taken our executor id, which must not be in use twice.
    pub fn superseded(&self) -> impl Future<Output = ()> + use<> {
        let lease = self.lease.clone();
        async move { lease.lost().await }
    }

    /// Closes what is durable. Everything that was acknowledged already is on disk.
    pub async fn stop(self) {
        self.tasks.close();
        // A database that does not answer now lets it go by itself.
        tokio::time::timeout(RELEASE, self.store.release(&self.lease)).await.ok();
        self.store.close().await;
    }
}

/// Forgets what other processes change.
async fn follow(mut changes: Changes, policies: Policies, contexts: Contexts) {
    while let Some(change) = changes.next().await {
        match change {
            Change::One(Kind::Policy, uri) => policies.forget(Some(&uri)),
            Change::Context(uri) => contexts.changed(Some(&uri)),
            Change::One(..) => {}
            Change::All => {
                policies.forget(None);
                contexts.changed(None);
            }
        }
    }
}

fn lock_data_dir(config: &Config) -> Result<File, Error> {
    let dir = config.data_dir.display();
    let invalid = |why: String| Error::new(ErrorKind::InvalidInput, why);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(|error| invalid(format!("the data directory `{dir}` cannot be made: {error}")))?;
    let path = config.data_dir.join("lock");
    let lock = File::create(&path)
        .map_err(|error| invalid(format!("the data directory `{dir}` cannot be written: {error}")))?;
    lock.try_lock().map_err(|_| invalid(format!("the data directory `{dir}` is in use by another server")))?;
    Ok(lock)
}
