//! The contexts of policies: in memory while in use, committed before the call that wrote is answered.
//!
//! One task commits for all: whatever was written while a commit was under way goes into the next one, so many calls
//! share one sync of the disk. A call waits only until its own writes are covered. Where other processes share the
//! database, a context that one of them changed is read again before the next call; the task that commits does that
//! too, so that between the two nothing is written.

mod open;
mod stale;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lictor_sandbox::context::Bucket;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use self::{open::Open, stale::Stale};
use crate::{
    error::{Error, ErrorKind},
    store::{ContextWrite, Store},
};

/// Calls that may wait for a commit.
const MAX_WAITING: usize = 10_000;

/// The contexts of all policies. Cheap to clone.
#[derive(Clone)]
pub struct Contexts {
    store: Store,
    open: Open,
    orders: mpsc::Sender<Order>,
    stale: Arc<Stale>,
}

/// The context of one policy.
pub struct Context {
    policy_uri: String,
    bucket: Arc<Bucket>,
    /// Writes of the bucket that are on disk.
    durable: AtomicU64,
    /// The changes of other processes, by their number, that are in the bucket.
    seen: AtomicU64,
}

/// What the task is to do with a context.
struct Order {
    context: Arc<Context>,
    /// Whether it is to be read again, besides what it holds being written.
    refresh: bool,
    done: oneshot::Sender<bool>,
}

impl Context {
    /// What a run is given.
    pub fn bucket(&self) -> Arc<Bucket> {
        Arc::clone(&self.bucket)
    }

    /// What a run is given of which nothing is to last.
    pub fn copy(&self) -> Arc<Bucket> {
        Arc::new(self.bucket.copy())
    }
}

impl Contexts {
    /// Starts the task that commits; it ends when the last handle is dropped.
    pub fn start(store: Store, tasks: &TaskTracker) -> Self {
        let (orders, inbox) = mpsc::channel(MAX_WAITING);
        let (open, stale) = (Open::new(), Arc::<Stale>::default());
        tasks.spawn(Committer { store: store.clone(), open: open.clone(), stale: Arc::clone(&stale) }.run(inbox));
        Self { store, open, orders, stale }
    }

    /// The context of the policy `uri`, read from the database if it is not in memory.
    pub async fn open(&self, uri: &str) -> Result<Arc<Context>, Error> {
        let read = async {
            let seen = self.stale.now().into();
            let bucket = Arc::new(Bucket::new(self.store.context(uri).await?));
            Ok(Arc::new(Context { policy_uri: uri.to_owned(), bucket, durable: AtomicU64::new(0), seen }))
        };
        let unreadable = |why: String| Error::internal("the policy's context cannot be read", why);
        let opened = self.open.get(uri, read).await;
        let context = opened.map_err(|error: Arc<Error>| unreadable(error.chain()))?;
        if self.stale.is(uri, &context.seen) && !self.order(&context, true).await? {
            return Err(unreadable("see the log".into()));
        }
        Ok(context)
    }

    /// Forgets the context of a policy that was deleted.
    pub async fn forget(&self, uri: &str) {
        self.open.forget(uri).await;
    }

    /// Notes that another process changed this context, or any.
    pub fn changed(&self, uri: Option<&str>) {
        self.stale.note(uri);
    }

    /// Waits until everything that was written to `context` so far is on disk.
    pub async fn commit(&self, context: &Arc<Context>) -> Result<(), Error> {
        if context.bucket.writes_made() <= context.durable.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.order(context, false).await? {
            true => Ok(()),
            false => Err(Error::internal("the policy's context could not be written", "see the log")),
        }
    }

    /// Has the task do something and says whether it was done.
    async fn order(&self, context: &Arc<Context>, refresh: bool) -> Result<bool, Error> {
        let lost = || Error::new(ErrorKind::ShuttingDown, "the policy's context can no longer be used");
        let (done, answer) = oneshot::channel();
        self.orders.send(Order { context: Arc::clone(context), refresh, done }).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())
    }
}

/// The task that writes and reads contexts.
struct Committer {
    store: Store,
    open: Open,
    stale: Arc<Stale>,
}

impl Committer {
    async fn run(self, mut inbox: mpsc::Receiver<Order>) {
        let mut batch = Vec::new();
        while 0 < inbox.recv_many(&mut batch, MAX_WAITING).await {
            let written = self.write(&batch).await;
            for Order { context, refresh, done } in batch.drain(..) {
                let good = written && (!refresh || self.refresh(&context).await);
                // Nobody listens any more if the caller went away: the writes stand all the same.
                done.send(good).ok();
            }
        }
    }

    /// Writes what changed in the contexts of a batch, all together.
    async fn write(&self, batch: &[Order]) -> bool {
        let mut writes = Vec::new();
        let mut covered = Vec::new();
        for Order { context, .. } in batch {
            let (changed, made) = context.bucket.take_writes();
            let policy_uri = &context.policy_uri;
            writes.extend(changed.into_iter().map(|(key, value)| ContextWrite {
                policy_uri: policy_uri.clone(),
                key,
                value,
            }));
            covered.push((context, made));
        }
        if !writes.is_empty()
            && let Err(error) = self.store.write_context(&writes).await
        {
            tracing::error!(error = error.chain(), "the contexts of policies could not be written");
            // What the next calls see is what is stored, not what was lost.
            for (context, _) in covered {
                self.open.forget(&context.policy_uri).await;
            }
            return false;
        }
        for (context, made) in covered {
            context.durable.fetch_max(made, Ordering::AcqRel);
        }
        true
    }

    /// Reads a context again, unless an order before this one has had it read.
    async fn refresh(&self, context: &Context) -> bool {
        let now = self.stale.now();
        if !self.stale.is(&context.policy_uri, &context.seen) {
            return true;
        }
        match self.store.context(&context.policy_uri).await {
            Ok(entries) => {
                context.bucket.refresh(entries);
                context.seen.fetch_max(now, Ordering::AcqRel);
                true
            }
            Err(error) => {
                tracing::error!(error = error.chain(), "a policy's context could not be read again");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Kind, Location};

    async fn contexts() -> (Contexts, TaskTracker, tempfile::TempDir) {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
        let store = Store::open(&Location::File(folder.path().join("lictor.db"))).await.unwrap();
        (Contexts::start(store, &tasks), tasks, folder)
    }

    #[tokio::test]
    async fn a_context_that_is_in_use_is_the_only_one_of_its_policy() {
        let (contexts, _tasks, _folder) = contexts().await;
        // More than stay in memory by themselves.
        let mut used = Vec::new();
        for n in 0..1500 {
            used.push(contexts.open(&format!("p{n}:1-x")).await.unwrap());
        }
        for context in &used {
            assert!(Arc::ptr_eq(context, &contexts.open(&context.policy_uri).await.unwrap()), "{}", context.policy_uri);
        }
        contexts.forget("p7:1-x").await;
        assert!(!Arc::ptr_eq(&used[7], &contexts.open("p7:1-x").await.unwrap()));
    }

    #[tokio::test]
    async fn a_new_policy_has_nothing_of_what_a_late_call_of_its_predecessor_wrote() {
        let (contexts, _tasks, _folder) = contexts().await;
        let (store, uri) = (contexts.store.clone(), "p:1-x");
        store.insert(Kind::Policy, uri, &serde_json::Map::new()).await.unwrap().unwrap();
        let late = contexts.open(uri).await.unwrap();
        store.remove(Kind::Policy, uri).await.unwrap();
        contexts.forget(uri).await;
        late.bucket().set("k", vec![1], 100).unwrap();
        contexts.commit(&late).await.unwrap();
        store.insert(Kind::Policy, uri, &serde_json::Map::new()).await.unwrap().unwrap();
        assert_eq!(contexts.open(uri).await.unwrap().bucket().get("k"), None);
    }
}
