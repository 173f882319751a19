//! Policies: from a uri to something that can run.
//!
//! A policy that ran before is found in memory, without a lock that anything slow can hold. One that did not is read
//! from the registry and loaded, which may fetch and compile; that happens in the background when a policy is
//! created, and in the request that needs it otherwise.

mod borrowed;
mod carried;
mod entity;
mod queue;
mod ready;
mod shadowed;
mod snapshot;

use std::sync::Arc;

use lictor_loader::{LoadCode, LoadError, Loader, Wanted};
use lictor_model::{Capabilities, Draft, Limits, Query, Schemas, field::shorten, limits::Ceiling};
use lictor_sandbox::{Module, Policy};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::{
    borrowed::Borrowed,
    entity::PolicyEntity,
    queue::Queue,
    ready::{Need, ReadyMap},
};
use crate::{
    access::Role,
    contexts::Contexts,
    decisions::{Decisions, Version},
    error::{Error, ErrorKind},
    registry::{Changed, Entity as _, Found, Registry},
    shadows::{Shadow, Shadows},
    store::{Kind, LoadState, PolicyRow, Store},
    system::System,
    telemetry::Metrics,
};

/// The field of a record that asks for capabilities.
const CAPABILITIES: &str = "capabilities";

/// What a policy's record may get at most, whatever it asks for.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// For its limits.
    pub ceiling: Ceiling,
    /// For its HTTP grants: these origins, or, where absent, any.
    pub http: Option<Vec<lictor_model::Origin>>,
}

impl Bounds {
    /// What of the capabilities asked for is effective.
    pub fn grant(&self, asked: &Capabilities) -> Capabilities {
        let mut grant = asked.clone();
        if let Some(most) = &self.http {
            grant.http.retain(|origin| most.contains(origin));
        }
        grant
    }
}

/// The registry of policies and what of it is ready. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    parts: Arc<Parts>,
}

struct Parts {
    registry: Registry<PolicyEntity>,
    store: Store,
    loader: Loader,
    contexts: Contexts,
    shadows: Shadows,
    metrics: Metrics,
    decisions: Decisions,
    bounds: Bounds,
    /// Where policies come from, if not from the registry here.
    borrowed: Option<Borrowed>,
    ready: ReadyMap,
    queue: Queue,
    tasks: TaskTracker,
}

/// A policy that can run: one version of its record, loaded.
#[derive(Clone)]
pub struct Ready {
    /// What is run.
    pub policy: Arc<Policy>,
    /// What a call of it may use.
    pub limits: Limits,
    /// Calls at the same time, if bounded.
    pub slots: Option<Arc<Semaphore>>,
    /// What its documents must look like.
    pub schemas: Arc<Schemas>,
    /// The candidate beside it, if it has one.
    pub shadow: Option<Arc<Shadow>>,
    /// What its decisions are recorded as made by, if they are recorded.
    pub version: Option<Arc<Version>>,
}

impl Policies {
    /// The registry in `store`, loading through `loader`.
    pub fn new(
        store: Store,
        loader: Loader,
        contexts: Contexts,
        (metrics, decisions): (Metrics, Decisions),
        bounds: Bounds,
        system: Option<System>,
        tasks: &TaskTracker,
    ) -> Self {
        let (queue, waiting) = Queue::new();
        let registry = Registry::new(store.clone(), PolicyEntity::new(bounds.clone()));
        let borrowed = system.map(|system| Borrowed::new(system, tasks.clone()));
        let (ready, tasks) = (ReadyMap::new(), tasks.clone());
        let shadows = Shadows::start(store.clone(), &tasks);
        let parts = Parts {
            registry,
            store,
            loader,
            contexts,
            shadows,
            metrics,
            decisions,
            bounds,
            borrowed,
            ready,
            queue,
            tasks,
        };
        let policies = Self { parts: Arc::new(parts) };
        // It begins with the loads that an earlier process did not finish.
        policies.parts.tasks.spawn(queue::run(policies.clone(), waiting));
        policies
    }

    /// Stores a new policy and starts loading it. Returns what its author should know.
    pub async fn create(&self, body: Value, role: Role) -> Result<Vec<String>, Error> {
        let entry = self.parts.registry.entity().parse(body)?;
        may_have(role, None, entry.document.get(CAPABILITIES))?;
        let policies = self.clone();
        self.to_the_end(async move {
            let created = policies.parts.registry.insert(entry).await?;
            if created.revision.is_some() {
                // A call of an earlier policy of this uri may have opened its context again.
                policies.parts.contexts.forget(&created.entry.id).await;
                policies.parts.queue.push(&created.entry.id);
            }
            Ok(created.entry.warnings)
        })
        .await
    }

    /// The record of a policy, with how its loading stands.
    pub async fn read(&self, uri: &str) -> Result<Map<String, Value>, Error> {
        self.parts.registry.read(uri).await
    }

    /// Replaces or changes a policy. A change of its identity moves it.
    pub async fn update(&self, uri: &str, body: Value, role: Role) -> Result<Vec<String>, Error> {
        let (policies, uri) = (self.clone(), uri.to_owned());
        self.to_the_end(async move { policies.change(&uri, body, role).await }).await
    }

    async fn change(&self, uri: &str, body: Value, role: Role) -> Result<Vec<String>, Error> {
        let before = self.parts.store.policy(uri).await?;
        let allow = |before: &Map<String, Value>, after: &Value| {
            may_have(role, before.get(CAPABILITIES), after.get(CAPABILITIES))
        };
        let changed = self.parts.registry.update_if(uri, body, allow).await;
        // Also of a change that failed: the database may have made it and only not said so.
        self.forget(Some(uri));
        let changed = changed?;
        let kept = match before.filter(|row| loads_as_before(row, &changed)) {
            Some(row) => {
                let (uri, revision) = (&changed.entry.id, changed.revision);
                self.parts.store.loaded(uri, revision, row.component, &row.load).await.is_ok()
            }
            None => false,
        };
        if changed.entry.id != uri {
            // Its context moved with it.
            self.parts.contexts.forget(uri).await;
            self.parts.contexts.forget(&changed.entry.id).await;
        }
        if !kept || changed.entry.id != uri {
            self.parts.queue.push(&changed.entry.id);
        }
        Ok(changed.entry.warnings)
    }

    /// Removes a policy and its context.
    pub async fn delete(&self, uri: &str) -> Result<(), Error> {
        let (policies, uri) = (self.clone(), uri.to_owned());
        self.to_the_end(async move {
            let deleted = policies.parts.registry.delete(&uri).await;
            policies.forget(Some(&uri));
            policies.parts.contexts.forget(&uri).await;
            deleted
        })
        .await
    }

    /// CANCEL: a change is brought to its end although whoever asked for it went away: what is ready must not stay
    /// behind what is stored.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.parts.tasks.spawn(work).await;
        done.map_err(|error| Error::internal("the policy could not be changed", error))?
    }

    /// The records that match.
    pub async fn query(&self, query: Query) -> Result<Found, Error> {
        self.parts.registry.query(query).await
    }

    /// Forgets what is ready of a policy, or of all, because their records are not what they were.
    pub fn forget(&self, uri: Option<&str>) {
        self.parts.ready.forget(uri);
    }

    /// The policy if it is ready in memory.
    pub fn in_memory(&self, uri: &str) -> Option<Arc<Ready>> {
        match &self.parts.borrowed {
            None => self.parts.ready.get(uri),
            Some(borrowed) => borrowed.in_memory(uri),
        }
    }

    /// The policy, made ready if it is not.
    pub async fn ready(&self, uri: &str) -> Result<Arc<Ready>, Error> {
        if let Some(ready) = self.in_memory(uri) {
            return Ok(ready);
        }
        // PERF: boxed, so that the future of a call that finds its policy in memory stays small.
        match &self.parts.borrowed {
            None => Box::pin(self.make_ready(uri, Need::Called)).await,
            Some(borrowed) => Box::pin(borrowed.ready(self.clone(), uri)).await,
        }
    }

    /// Whether there is such a policy; it need not be ready, or ever become so.
    pub async fn must_exist(&self, uri: &str) -> Result<(), Error> {
        if self.in_memory(uri).is_some() {
            return Ok(());
        }
        match &self.parts.borrowed {
            None => match self.parts.store.revision(Kind::Policy, uri).await? {
                Some(_) => Ok(()),
                None => Err(self.parts.registry.missing(uri)),
            },
            Some(borrowed) => Box::pin(borrowed.ready(self.clone(), uri)).await.map(drop),
        }
    }

    /// Loads a policy that nobody waits for.
    async fn load_ahead(&self, uri: &str) {
        if self.in_memory(uri).is_some() {
            return;
        }
        match self.make_ready(uri, Need::Foreseen).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::debug!(policy = uri, "the policy went before it was loaded");
            }
            Err(error) => {
                let (code, error) = (error.kind().code(), error.chain());
                tracing::warn!(policy = uri, code, error, "the policy could not be loaded");
            }
        }
    }

    async fn make_ready(&self, uri: &str, need: Need) -> Result<Arc<Ready>, Error> {
        let Parts { ready: all, store, registry, .. } = &*self.parts;
        loop {
            let seen = all.changes(uri);
            let row = store.policy(uri).await?.ok_or_else(|| registry.missing(uri))?;
            let revision = row.revision;
            if let LoadState::Failed { code, message } = &row.load
                && let Some(code) = lasting(code)
            {
                return Err(Error::new(ErrorKind::Load(code), message.clone()));
            }
            let ready = self.load(uri, row).await?;
            // What changed since the record was read may have been this record: then it is not what is in force.
            if all.keep(uri, &ready, seen, need) || store.revision(Kind::Policy, uri).await? == Some(revision) {
                return Ok(ready);
            }
        }
    }

    /// Loads one revision and notes how that went.
    async fn load(&self, uri: &str, row: PolicyRow) -> Result<Arc<Ready>, Error> {
        let (revision, known) = (row.revision, row.component);
        // What was stored passed these checks once; a later version of them may be stricter.
        let draft = Draft::parse(Value::Object(row.document))?;
        // Both at once, so that a first decision waits only for what takes longer.
        let (loaded, shadow) = tokio::join!(self.load_module(&draft, known), self.parts.shadows.of(uri));
        self.parts.metrics.load(loaded.as_ref().err().map(LoadError::code));
        let (component, state) = match &loaded {
            Ok(ready) => (Some(ready.policy.module.digest()), LoadState::Ready),
            Err(error) => (None, failure(error)),
        };
        if row.load != state || component != known {
            self.parts.store.loaded(uri, revision, component, &state).await?;
        }
        Ok(Arc::new(Ready { shadow: shadow?, ..loaded? }))
    }

    async fn load_module(&self, draft: &Draft, component: Option<lictor_model::Digest>) -> Result<Ready, LoadError> {
        let spec = &draft.spec;
        let bounds = &self.parts.bounds;
        let limits = spec.limits.within(&bounds.ceiling);
        let wanted = Wanted {
            kind: spec.kind,
            code: &spec.code,
            code_digest: spec.code_digest.as_ref(),
            component,
            metered: limits.fuel().is_some(),
        };
        let module = self.parts.loader.load(wanted).await?;
        self.assemble(draft, module, limits)
    }

    fn assemble(&self, draft: &Draft, module: Module, limits: Limits) -> Result<Ready, LoadError> {
        let spec = &draft.spec;
        module.fits(&limits)?;
        let policy = Policy {
            module,
            uri: spec.uri.as_str().into(),
            settings: spec.settings.as_str().into(),
            parameters: spec.parameters.as_str().into(),
            grant: Arc::new(self.parts.bounds.grant(&spec.capabilities)),
            deterministic: spec.deterministic,
        };
        let slots = usize::try_from(limits.max_concurrency()).ok().filter(|n| 0 < *n);
        let slots = slots.map(|n| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS))));
        let version = self.parts.decisions.version(&policy, &limits, schemas(draft).as_ref());
        let schemas = Arc::clone(&spec.schemas);
        Ok(Ready { policy: Arc::new(policy), limits, slots, schemas, shadow: None, version })
    }
}

/// What documents are checked against, if there is anything.
fn schemas(draft: &Draft) -> Option<Map<String, Value>> {
    (!draft.spec.schemas.is_empty()).then(|| Schemas::members(&draft.document))
}

/// Whether somebody of this role may give a policy that had `before` the capabilities `after`.
fn may_have(role: Role, before: Option<&Value>, after: Option<&Value>) -> Result<(), Error> {
    // What cannot be read is refused where the record is.
    let read = |value: Option<&Value>| value.map_or(Ok(Capabilities::default()), Capabilities::parse);
    let (Ok(before), Ok(after)) = (read(before), read(after)) else { return Ok(()) };
    let beyond = after.beyond(&before);
    if role.may_grant() || beyond.is_empty() {
        return Ok(());
    }
    let why = format!(
        "a policy gets more capabilities only from a token of the role admin or deployer; this one is `{}`, and asks for: {}",
        role.name(),
        shorten(&beyond.join(", "), 300)
    );
    Err(Error::new(ErrorKind::Forbidden, why).at(Some(CAPABILITIES)))
}

/// A failure as its record says it; what went wrong with us is for the log.
fn failure(error: &LoadError) -> LoadState {
    let message = match error.code() {
        LoadCode::Internal => "the policy could not be loaded for a reason of the server's; its log has more",
        _ => error.message(),
    };
    LoadState::Failed { code: error.code().as_str().into(), message: message.into() }
}

/// The kinds of failure that trying again cannot mend. An unreachable source may be back, and so may we.
fn lasting(code: &str) -> Option<LoadCode> {
    use LoadCode::{
        BadArchive, DigestMismatch, InvalidInput, MissingExport, NotAComponent, NotAvailable, TooComplex, UnknownImport,
    };
    let lasting = [
        BadArchive,
        DigestMismatch,
        InvalidInput,
        MissingExport,
        NotAComponent,
        NotAvailable,
        TooComplex,
        UnknownImport,
    ];
    lasting.into_iter().find(|known| known.as_str() == code)
}

/// Whether `changed` loads what `before` loaded, under the same rules. A load that failed is tried again: what is behind
/// `code` may have been mended.
fn loads_as_before(before: &PolicyRow, changed: &Changed) -> bool {
    let same = |name| changed.before.document.get(name) == changed.entry.document.get(name);
    before.revision == changed.before.revision
        && before.load == LoadState::Ready
        && ["code", "type", "code_digest", "limits"].into_iter().all(same)
}
