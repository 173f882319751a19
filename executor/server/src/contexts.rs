//! The contexts of policies: in memory while in use, committed before the call that wrote is answered.
//!
//! One task commits for all: whatever was written while a commit was under way goes into the next one, so many calls
//! share one sync of the disk. A call waits only until its own writes are covered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lictor_sandbox::context::Bucket;
use moka::future::Cache;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::{
    error::{Error, ErrorKind},
    store::{ContextWrite, Store},
};

/// Contexts that stay in memory when nobody uses them.
const MAX_IDLE: u64 = 1000;
/// Calls that may wait for a commit.
const MAX_WAITING: usize = 10_000;

/// The contexts of all policies. Cheap to clone.
#[derive(Clone)]
pub struct Contexts {
    store: Store,
    open: Cache<String, Arc<Context>>,
    commits: mpsc::Sender<Commit>,
}

/// The context of one policy.
pub struct Context {
    policy_uri: String,
    bucket: Arc<Bucket>,
    /// Writes of the bucket that are on disk.
    durable: AtomicU64,
}

struct Commit {
    context: Arc<Context>,
    done: oneshot::Sender<bool>,
}

impl Context {
    /// What a run is given.
    pub fn bucket(&self) -> Arc<Bucket> {
        Arc::clone(&self.bucket)
    }
}

impl Contexts {
    /// Starts the task that commits; it ends when the last handle is dropped.
    pub fn start(store: Store, tasks: &TaskTracker) -> Self {
        let (commits, inbox) = mpsc::channel(MAX_WAITING);
        tasks.spawn(commit_all(store.clone(), inbox));
        Self { store, open: Cache::new(MAX_IDLE), commits }
    }

    /// The context of the policy `uri`, read from disk if it is not in memory.
    pub async fn open(&self, uri: &str) -> Result<Arc<Context>, Error> {
        let read = async {
            let entries = self.store.context(uri).await?;
            let bucket = Arc::new(Bucket::new(entries));
            Ok(Arc::new(Context { policy_uri: uri.to_owned(), bucket, durable: AtomicU64::new(0) }))
        };
        let opened = self.open.try_get_with_by_ref(uri, read).await;
        opened.map_err(|error: Arc<Error>| Error::internal("the policy's context cannot be read", error.chain()))
    }

    /// Forgets the context of a policy that was deleted.
    pub async fn forget(&self, uri: &str) {
        self.open.invalidate(uri).await;
    }

    /// Waits until everything that was written to `context` so far is on disk.
    pub async fn commit(&self, context: &Arc<Context>) -> Result<(), Error> {
        if context.bucket.writes_made() <= context.durable.load(Ordering::Acquire) {
            return Ok(());
        }
        let lost = || Error::new(ErrorKind::ShuttingDown, "the policy's context can no longer be written");
        let (done, written) = oneshot::channel();
        self.commits.send(Commit { context: Arc::clone(context), done }).await.map_err(|_| lost())?;
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::internal("the policy's context could not be written", "see the log")),
            Err(_) => Err(lost()),
        }
    }
}

async fn commit_all(store: Store, mut inbox: mpsc::Receiver<Commit>) {
    let mut batch = Vec::new();
    while 0 < inbox.recv_many(&mut batch, MAX_WAITING).await {
        let mut writes = Vec::new();
        let mut covered = Vec::new();
        for Commit { context, .. } in &batch {
            let (changed, made) = context.bucket.take_writes();
            let policy_uri = &context.policy_uri;
            writes.extend(changed.into_iter().map(|(key, value)| ContextWrite {
                policy_uri: policy_uri.clone(),
                key,
                value,
            }));
            covered.push((Arc::clone(context), made));
        }
        let written = writes.is_empty() || write(&store, &writes).await;
        if written {
            for (context, made) in covered {
                context.durable.fetch_max(made, Ordering::AcqRel);
            }
        }
        for Commit { done, .. } in batch.drain(..) {
            // Nobody listens any more if the caller went away: the writes stand all the same.
            done.send(written).ok();
        }
    }
}

async fn write(store: &Store, writes: &[ContextWrite]) -> bool {
    match store.write_context(writes).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = error.chain(), "a policy's context could not be written");
            false
        }
    }
}
