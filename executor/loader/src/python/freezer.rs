//! Snapshots of policies in Python: components whose instances begin where loading the policy's files ended.
//!
//! One is made for a policy once that was called a few times: one at a time, at a low priority, under the compiler's
//! bounds on time and memory. What they take in memory is bounded; the one that was made longest ago goes first, and its
//! policy then loads its files in each instance again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use lictor_model::Digest;
use lictor_sandbox::{Frozen, Module, Source, aot::Artifact, freeze, instrumented};
use tokio::sync::mpsc;

use crate::{
    Shared,
    compile::{Priority, blocking},
    error::LoadError,
};

/// How often a policy's files are loaded before a snapshot is made.
const LOADS: u32 = 3;
/// Policies that wait for a snapshot. One more waits for its next turn, after a restart.
const WAITING: usize = 100;

/// What a snapshot is made of: the interpreter's component, by its digest, and what it runs.
pub(crate) type Asked = (Digest, Weak<Source>);

/// Has snapshots made.
#[derive(Debug)]
pub(crate) struct Freezer {
    queue: mpsc::Sender<Asked>,
}

/// Snapshots that are in force, the newest last.
struct Kept {
    budget: usize,
    sources: VecDeque<(Weak<Source>, usize)>,
}

impl Freezer {
    /// A freezer, and what it is asked.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (queue, asked) = mpsc::channel(WAITING);
        (Self { queue }, asked)
    }

    /// Has a snapshot made of a policy when it is called often.
    pub(crate) fn watch(&self, module: &Module) {
        // Its fuel would change when the snapshot takes over.
        if module.is_metered() {
            return;
        }
        let (Some(source), Some(host)) = (module.source(), module.interpreter()) else { return };
        let (queue, weak) = (self.queue.clone(), Arc::downgrade(source));
        // Where too many wait, this one goes without.
        source.when_loaded(LOADS, move || drop(queue.try_send((host, Weak::clone(&weak)))));
    }
}

/// Makes snapshots until nobody can ask for one any more. `budget` is for the code of all, in bytes.
pub(crate) async fn run(shared: Weak<Shared>, mut asked: mpsc::Receiver<Asked>, budget: usize) {
    let kept = Mutex::new(Kept { budget, sources: VecDeque::new() });
    while let Some((host, source)) = asked.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let Some(source) = source.upgrade() else { continue };
        match shared.frozen(host, &source).await {
            Ok(Some(frozen)) => kept.lock().unwrap_or_else(PoisonError::into_inner).take(&source, frozen),
            Ok(None) => {}
            Err(error) => {
                let error = error.message().to_owned();
                tracing::warn!(code = %source.digest(), error, "no snapshot could be made of a policy in Python");
            }
        }
    }
}

impl Kept {
    fn take(&mut self, source: &Arc<Source>, frozen: Module) {
        let bytes = frozen.code_bytes();
        if self.budget < bytes {
            tracing::warn!(bytes, "a snapshot takes more than all may: `python_snapshots_mb` is too small");
            return;
        }
        self.sources.retain(|(source, _)| source.strong_count() > 0);
        while self.budget < bytes.saturating_add(self.sources.iter().map(|(_, bytes)| bytes).sum()) {
            let Some((oldest, _)) = self.sources.pop_front() else { break };
            if let Some(oldest) = oldest.upgrade() {
                oldest.set_frozen(None);
            }
        }
        self.sources.push_back((Arc::downgrade(source), bytes));
        source.set_frozen(Some(frozen));
        tracing::info!(code = %source.digest(), bytes, "a policy in Python has a snapshot");
    }
}

impl Shared {
    /// The module of a snapshot; none if the policy is not fit for one.
    async fn frozen(&self, host: Digest, source: &Source) -> Result<Option<Module>, LoadError> {
        let key = Digest::of(format!("a snapshot of {} in {host}", source.digest()).as_bytes());
        if let Some(kept) = self.kept(key, false).await? {
            return Ok(Some(kept));
        }
        let disk = self.disk.clone();
        let component = blocking(move || Ok(disk.and_then(|disk| disk.component(&host)))).await?;
        let component = match component {
            Some(component) => component,
            None => self.python.read().await?.1,
        };
        let Some(snapshot) = self.snapshot(component, source).await? else { return Ok(None) };
        let artifact = self.workshop.compile(snapshot, self.bounds, false, Priority::Low).await?.named(key);
        let (sandbox, disk) = (self.sandbox.clone(), self.disk.clone());
        blocking(move || {
            let frozen = sandbox.open(&artifact, false)?;
            keep(disk.as_deref(), &artifact, &sandbox.engine_hash(false)?);
            Ok(Some(frozen))
        })
        .await
    }

    /// The component of a snapshot.
    async fn snapshot(&self, component: Vec<u8>, source: &Source) -> Result<Option<Vec<u8>>, LoadError> {
        let (with_access, component) = blocking(move || Ok((instrumented(&component)?, component))).await?;
        let digest = Digest::of(&with_access);
        let access = match self.kept(digest, false).await? {
            Some(access) => access,
            None => {
                let artifact = self.workshop.compile(with_access, self.bounds, false, Priority::Low).await?;
                let (sandbox, disk) = (self.sandbox.clone(), self.disk.clone());
                blocking(move || {
                    keep(disk.as_deref(), &artifact, &sandbox.engine_hash(false)?);
                    Ok(sandbox.open(&artifact, false)?)
                })
                .await?
            }
        };
        match freeze(&self.sandbox, &component, &access, source, self.patience()).await {
            Ok(Frozen::Made(snapshot)) => Ok(Some(snapshot)),
            Ok(Frozen::Unfit(why)) => {
                tracing::info!(code = %source.digest(), why, "a policy in Python has no snapshot");
                Ok(None)
            }
            Err(error) => Err(LoadError::new(crate::LoadCode::Internal, error.to_string())),
        }
    }
}

fn keep(disk: Option<&crate::DiskCache>, artifact: &Artifact, engine: &[u8; 32]) {
    if let Some(disk) = disk {
        disk.keep_artifact(artifact, engine);
    }
}
