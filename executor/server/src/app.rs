//! The parts of a server, built bottom-up and stopped top-down.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lictor_loader::{CompileIn, DiskCache, FetchRules, Loader};
use lictor_sandbox::{Sandbox, SandboxConfig, TracingRecorder};
use tokio_util::task::TaskTracker;

use crate::{
    config::Config,
    contexts::Contexts,
    error::{Error, ErrorKind},
    executor::Executor,
    policies::Policies,
    store::Store,
    telemetry::Metrics,
};

/// Everything a request may need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// What is counted.
    pub metrics: Metrics,
    /// What is durable.
    pub store: Store,
    /// Where policies run.
    pub sandbox: Sandbox,
    /// The registry of policies.
    pub policies: Policies,
    /// The embedded executor.
    pub executor: Executor,
    tasks: TaskTracker,
    stopping: Arc<AtomicBool>,
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
        let store = Store::open(&config.data_dir.join("lictor.db")).await?;
        let rules = FetchRules {
            allow_private: config.allow_private.clone(),
            allow_file: config.allow_file.clone(),
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
            tasks.clone(),
        );
        policies.resume().await?;
        let recorder = Arc::new(TracingRecorder);
        let executor = Executor::new(
            config.executor_id.clone(),
            policies.clone(),
            contexts,
            sandbox.clone(),
            metrics.clone(),
            recorder,
        );
        let stopping = Arc::new(AtomicBool::new(false));
        Ok(Self { metrics, store, sandbox, policies, executor, tasks, stopping, _lock: Arc::new(lock) })
    }

    /// Says that the server takes no new work.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server takes no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Closes what is durable. Everything that was acknowledged already is on disk.
    pub async fn stop(self) {
        self.tasks.close();
        self.store.close().await;
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
