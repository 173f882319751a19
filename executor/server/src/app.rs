//! The parts of a server, built bottom-up and stopped top-down.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lictor_loader::{CompileIn, DiskCache, FetchRules, Loader};
use lictor_sandbox::{Sandbox, SandboxConfig};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Trail},
    assets::Assets,
    config::Config,
    contexts::Contexts,
    decisions::Decisions,
    error::{Error, ErrorKind},
    executor::Executor,
    executors::{self, Executors},
    functions::{Functions, Ground},
    graphs::Graphs,
    jobs::Jobs,
    placement::{Around, Placement},
    policies::Policies,
    store::{Change, Changes, Kind, Lease, Store, private_folder},
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
    /// Who may come in.
    pub access: Access,
    /// Who changed what.
    pub trail: Trail,
    /// What was decided.
    pub decisions: Decisions,
    /// What is durable.
    pub store: Store,
    /// Where policies run.
    pub sandbox: Sandbox,
    /// The registry of assets.
    pub assets: Assets,
    /// The registry of policies.
    pub policies: Policies,
    /// The graphs.
    pub graphs: Graphs,
    /// The functions.
    pub functions: Functions,
    /// The jobs.
    pub jobs: Jobs,
    /// Where things run that no executor was named for.
    pub placement: Placement,
    /// The embedded executor.
    pub executor: Executor,
    /// All executors.
    pub executors: Executors,
    /// The system that this executor belongs to, if that is another server.
    pub system: Option<System>,
    tasks: TaskTracker,
    stopping: Stopping,
    /// The executor id, where several processes share a database.
    lease: Lease,
    /// Held as long as the server runs: a data directory has one server.
    _lock: Arc<File>,
}

/// Whether the server takes new work, looked at by each request, and waited for by answers that go on.
#[derive(Clone, Default)]
struct Stopping {
    now: Arc<AtomicBool>,
    token: CancellationToken,
}

impl App {
    /// Opens the data directory and builds the parts.
    pub async fn build(config: &Config) -> Result<Self, Error> {
        let lock = lock_data_dir(config)?;
        let sandbox = sandbox(config)?;
        let store = Store::open(&config.store).await?;
        let (metrics, tasks, system) = (Metrics::new(), TaskTracker::new(), System::of(config)?);
        let access = Access::start(config, store.clone(), &tasks).await?;
        let trail = Trail::start(&config.data_dir.join("audit"), &tasks)?;
        let lease = store.hold(config.executor_id.as_str(), &config.data_dir).await?;
        let assets = Assets::new(store.clone(), config);
        let loader = loader(config, &sandbox, system.as_ref(), &assets)?;
        let decisions = Decisions::of(config.decisions.as_ref(), &metrics, &tasks)?;
        let counted = (metrics.clone(), decisions.clone());
        let contexts = Contexts::start(store.clone(), &tasks);
        let policies = Policies::new(
            store.clone(),
            loader,
            contexts.clone(),
            counted.clone(),
            config.bounds.clone(),
            system.clone(),
            &tasks,
        );
        tasks.spawn(follow(store.changes(), policies.clone(), contexts.clone()));
        let executor = Executor::new(policies.clone(), contexts.clone(), sandbox.clone(), counted);
        let executors = Executors::start(config, store.clone(), executor.clone(), &tasks).await?;
        if let Some(system) = &system {
            tasks.spawn(executors::report(system.clone(), executor.clone(), config.heartbeat));
        }
        let ground = Ground {
            store: store.clone(),
            executor: executor.clone(),
            executors: executors.clone(),
            policies: policies.clone(),
            contexts,
            metrics: metrics.clone(),
        };
        let functions = Functions::start(ground, config.max_replicas, &tasks).await?;
        let jobs = Jobs::start(config, store.clone(), executor.clone(), executors.clone(), policies.clone());
        let graphs = Graphs::start(store.clone(), functions.clone(), &config.bounds.ceiling, &tasks);
        let around = Around {
            config,
            store: store.clone(),
            policies: policies.clone(),
            executor: executor.clone(),
            executors: executors.clone(),
            functions: functions.clone(),
            system: system.clone(),
        };
        Ok(Self {
            metrics,
            access,
            trail,
            decisions,
            store,
            sandbox,
            assets,
            policies,
            graphs,
            functions,
            jobs,
            placement: Placement::new(around),
            executor,
            executors,
            system,
            tasks,
            stopping: Stopping::default(),
            lease,
            _lock: Arc::new(lock),
        })
    }

    /// Says that the server takes no new work.
    pub fn begin_stop(&self) {
        self.stopping.now.store(true, Ordering::Relaxed);
        self.stopping.token.cancel();
    }

    /// Waits until the server takes no new work: then answers that would go on for ever end.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stopping.token.clone().cancelled_owned()
    }

    /// Whether the server takes no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.now.load(Ordering::Relaxed)
    }

    /// Waits until another process has taken our executor id, which must not be in use twice.
    pub fn superseded(&self) -> impl Future<Output = ()> + use<> {
        let lease = self.lease.clone();
        async move { lease.lost().await }
    }

    /// Closes what is durable. Everything that was acknowledged already is on disk.
    pub async fn stop(self) {
        self.jobs.stop().await;
        // What replicas remember here is no longer what counts where another process has brought them up.
        if !self.lease.is_lost() {
            self.functions.stop().await;
        }
        self.policies.stop().await;
        self.tasks.close();
        self.trail.sync().await;
        self.decisions.stop().await;
        // A database that does not answer now lets it go by itself.
        tokio::time::timeout(RELEASE, self.store.release(&self.lease)).await.ok();
        self.store.close().await;
    }
}

fn sandbox(config: &Config) -> Result<Sandbox, Error> {
    let most = config.bounds.ceiling.memory_mb.saturating_mul(1 << 20);
    let config = SandboxConfig {
        max_instances: config.max_instances,
        max_memory_bytes: usize::try_from(most).unwrap_or(usize::MAX),
        allow_private: config.allow_private.clone(),
    };
    Sandbox::new(config).map_err(|error| Error::internal("the sandbox cannot be made", error))
}

fn loader(config: &Config, sandbox: &Sandbox, system: Option<&System>, assets: &Assets) -> Result<Loader, Error> {
    let rules = FetchRules {
        allow_private: config.allow_private.clone(),
        allow_file: config.allow_file.clone(),
        assets: Some(match system {
            Some(system) => Arc::new(system.clone()),
            None => Arc::new(assets.clone()),
        }),
        ..FetchRules::default()
    };
    let disk = DiskCache::open(&config.cache_dir)?;
    let exe = std::env::current_exe().map_err(|error| Error::internal("this executable cannot be found", error))?;
    let loader = Loader::new(sandbox.clone(), rules, Some(disk), CompileIn::Child(exe))?;
    let loader = loader.with_python(config.python_host.clone()).with_snapshots(config.python_snapshots_mb << 20);
    loader.prepare_python();
    Ok(loader)
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
    private_folder(&config.data_dir)
        .map_err(|error| invalid(format!("the data directory `{dir}` cannot be made: {error}")))?;
    let path = config.data_dir.join("lock");
    let lock = File::create(&path)
        .map_err(|error| invalid(format!("the data directory `{dir}` cannot be written: {error}")))?;
    lock.try_lock().map_err(|_| invalid(format!("the data directory `{dir}` is in use by another server")))?;
    Ok(lock)
}
