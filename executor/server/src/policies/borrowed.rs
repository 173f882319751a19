//! Policies that another system has.
//!
//! What was loaded runs for [`FRESH`] without a question. Then the system is asked, by the next call, whether its
//! record is still the same; so a change there is in force here about as soon, and a system that cannot be asked fails
//! the call. Calls that want one policy at the same time share one question, and what comes of it is kept even if all
//! of them gave up: a policy that takes long to load is loaded once, and so is one that cannot be loaded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lictor_loader::LoadError;
use lictor_model::{Digest, Draft, PolicyUri};
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use super::{Policies, Ready, lasting};
use crate::{
    error::{Error, ErrorKind},
    system::{System, Told},
};

/// How long a record is taken to be what the system has.
const FRESH: Duration = Duration::from_secs(1);
/// Policies that are kept ready.
const MAX_KEPT: u64 = 10_000;
/// How long one is kept that nobody calls.
const KEPT: Duration = Duration::from_secs(3600);

/// The policies of a system.
pub(super) struct Borrowed {
    system: System,
    tasks: TaskTracker,
    copies: moka::sync::Cache<String, Arc<Loaded>>,
    /// Questions under way.
    asking: moka::future::Cache<String, Arc<Loaded>>,
}

/// One version of a record, and what loading it came to.
struct Loaded {
    ready: Result<Arc<Ready>, Error>,
    /// The record, without what loading adds to it.
    document: Map<String, Value>,
    etag: Option<String>,
    /// When the system was asked.
    asked: Instant,
}

impl Borrowed {
    pub(super) fn new(system: System, tasks: TaskTracker) -> Self {
        let copies = moka::sync::Cache::builder().max_capacity(MAX_KEPT).time_to_idle(KEPT).build();
        Self { system, tasks, copies, asking: moka::future::Cache::new(MAX_KEPT) }
    }

    /// The policy, if it can run and need not be asked for.
    pub(super) fn in_memory(&self, uri: &str) -> Option<Arc<Ready>> {
        self.fresh(uri)?.ready.as_ref().ok().map(Arc::clone)
    }

    /// The policy as the system has it now.
    pub(super) async fn ready(&self, policies: Policies, uri: &str) -> Result<Arc<Ready>, Error> {
        let uri: PolicyUri = uri.parse().map_err(|_| not_found())?;
        if let Some(loaded) = self.fresh(uri.as_str()) {
            return loaded.ready();
        }
        // CANCEL: the task goes on, see the header.
        let asking = self.tasks.spawn(async move {
            let Some(borrowed) = &policies.parts.borrowed else { return Err(Arc::new(not_found())) };
            let loaded = borrowed.asking.try_get_with(uri.to_string(), borrowed.ask(&policies, &uri)).await;
            borrowed.asking.invalidate(uri.as_str()).await;
            loaded
        });
        let loaded = asking.await.map_err(|error| Error::internal("the policy could not be loaded", error))?;
        loaded.map_err(|error| error.again())?.ready()
    }

    /// The record of a policy that was loaded a moment ago, without what loading adds to it.
    pub(super) fn record(&self, uri: &str) -> Option<Map<String, Value>> {
        Some(self.copies.get(uri)?.document.clone())
    }

    fn fresh(&self, uri: &str) -> Option<Arc<Loaded>> {
        self.copies.get(uri).filter(|copy| copy.asked.elapsed() < FRESH)
    }

    async fn ask(&self, policies: &Policies, uri: &PolicyUri) -> Result<Arc<Loaded>, Error> {
        let (asked, copy) = (Instant::now(), self.copies.get(uri.as_str()).filter(|copy| copy.stands()));
        let etag = copy.as_ref().and_then(|copy| copy.etag.as_deref());
        let told = match self.system.policy(uri, etag).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.copies.invalidate(uri.as_str());
                return Err(not_found());
            }
            told => told?,
        };
        let loaded = match (told, copy) {
            (None, Some(copy)) => copy.as_of(asked, copy.etag.clone()),
            (None, None) => return Err(Error::internal("the policy could not be read", "304 for no copy")),
            (Some(told), copy) => load(policies, told, copy, asked).await?,
        };
        let loaded = Arc::new(loaded);
        self.copies.insert(uri.to_string(), Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// Loads what the system told, unless that was loaded before.
async fn load(policies: &Policies, told: Told, copy: Option<Arc<Loaded>>, asked: Instant) -> Result<Loaded, Error> {
    let component = component(&told.document);
    let draft = Draft::parse(Value::Object(told.document))?;
    if let Some(copy) = copy.filter(|copy| copy.document == draft.document) {
        return Ok(copy.as_of(asked, told.etag));
    }
    let ready = policies.load_module(&draft, component).await;
    policies.parts.metrics.load(ready.as_ref().err().map(LoadError::code));
    let ready = ready.map(Arc::new).map_err(Error::from);
    if let Err(error) = &ready {
        let (code, error) = (error.kind().code(), error.chain());
        tracing::warn!(policy = draft.spec.uri.as_str(), code, error, "the policy could not be loaded");
    }
    Ok(Loaded { ready, document: draft.document, etag: told.etag, asked })
}

impl Loaded {
    fn ready(&self) -> Result<Arc<Ready>, Error> {
        self.ready.as_ref().map(Arc::clone).map_err(Error::again)
    }

    /// Whether loading it again would come to the same.
    fn stands(&self) -> bool {
        match self.ready.as_ref().map_err(Error::kind) {
            Ok(_) => true,
            Err(ErrorKind::Load(code)) => lasting(code.as_str()).is_some(),
            Err(_) => false,
        }
    }

    /// The same, as the system was found to have it at a later time.
    fn as_of(&self, asked: Instant, etag: Option<String>) -> Self {
        Self { ready: self.ready(), document: self.document.clone(), etag, asked }
    }
}

/// The component that the system found behind the record's code: the one that is to run here too.
fn component(document: &Map<String, Value>) -> Option<Digest> {
    document.get("component_digest")?.as_str()?.parse().ok()
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "Policy not found.")
}
