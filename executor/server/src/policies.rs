//! Policies: from a uri to something that can run.
//!
//! A policy that ran before is found in memory, without a lock that anything slow can hold. One that did not is read
//! from the registry and loaded, which may fetch and compile; that happens in the background when a policy is
//! created, and in the request that needs it otherwise.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use lictor_loader::{LoadCode, LoadError, Loader, Wanted};
use lictor_model::{
    Capabilities, Draft, Filter, Limits, PolicySpec, PolicyUri, Update, limits::Ceiling, record::PolicyKind,
};
use lictor_sandbox::Policy;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    contexts::Contexts,
    error::{Error, ErrorKind},
    store::{LoadState, PolicyRow, Store},
    telemetry::Metrics,
};

/// Policies that are kept ready to run.
const MAX_READY: usize = 10_000;
/// Policies that are loaded in the background at the same time.
const LOADS_AT_ONCE: usize = 4;

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
    store: Store,
    loader: Loader,
    contexts: Contexts,
    metrics: Metrics,
    bounds: Bounds,
    /// PERF: read by every call and never locked; each change makes another map.
    ready: ArcSwap<HashMap<String, Arc<Ready>>>,
    /// Changes of records so far. Held while `ready` is changed, and for nothing else.
    changes: Mutex<u64>,
    loads: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// A policy that can run: one version of its record, loaded.
pub struct Ready {
    /// What is run.
    pub policy: Arc<Policy>,
    /// What a call of it may use.
    pub limits: Limits,
    /// Calls at the same time, if bounded.
    pub slots: Option<Arc<Semaphore>>,
}

impl Policies {
    /// The registry in `store`, loading through `loader`.
    pub fn new(
        store: Store,
        loader: Loader,
        contexts: Contexts,
        metrics: Metrics,
        bounds: Bounds,
        tasks: TaskTracker,
    ) -> Self {
        let (ready, loads) = (ArcSwap::default(), Arc::new(Semaphore::new(LOADS_AT_ONCE)));
        Self {
            parts: Arc::new(Parts {
                store,
                loader,
                contexts,
                metrics,
                bounds,
                ready,
                changes: Mutex::default(),
                loads,
                tasks,
            }),
        }
    }

    /// Takes up the loads that an earlier process did not finish.
    pub async fn resume(&self) -> Result<(), Error> {
        for uri in self.parts.store.pending().await? {
            self.load_in_background(uri);
        }
        Ok(())
    }

    /// Stores a new policy and starts loading it. Returns what its author should know.
    pub async fn create(&self, body: Value) -> Result<Vec<String>, Error> {
        let draft = Draft::parse(body)?;
        let uri = &draft.spec.uri;
        if self.parts.store.insert_policy(uri, &draft.document).await? {
            self.load_in_background(uri.to_string());
            return Ok(self.warnings(&draft));
        }
        match self.parts.store.policy(uri.as_str()).await? {
            Some(row) if row.document == draft.document => Ok(self.warnings(&draft)),
            _ => Err(Error::new(
                ErrorKind::Conflict,
                format!("there is already another policy `{uri}`: change it with PUT, or give it another version"),
            )),
        }
    }

    /// The record of a policy, with how its loading stands.
    pub async fn read(&self, uri: &str) -> Result<Map<String, Value>, Error> {
        let row = self.parts.store.policy(uri).await?.ok_or_else(not_found)?;
        Ok(as_read(row))
    }

    /// Replaces or changes a policy. A change of its identity moves it.
    pub async fn update(&self, uri: &str, body: Value) -> Result<Vec<String>, Error> {
        let update = Update::parse(body)?;
        loop {
            let row = self.parts.store.policy(uri).await?.ok_or_else(not_found)?;
            let draft = Draft::parse(update.clone().apply(row.document.clone())?)?;
            let old: PolicyUri = uri.parse()?;
            let new = &draft.spec.uri;
            // A load that failed is tried again: what is behind `code` may have been mended.
            let failed = matches!(row.load, LoadState::Failed { .. });
            let keep_load = !failed && same_code(&row.document, &draft.document);
            if !self.parts.store.replace_policy(&old, row.revision, new, &draft.document, keep_load).await? {
                // Somebody else changed it in between: their change counts, and this one is applied to it.
                continue;
            }
            self.parts.changed(uri);
            if !keep_load || old != *new {
                self.load_in_background(new.to_string());
            }
            return Ok(self.warnings(&draft));
        }
    }

    /// Removes a policy and its context.
    pub async fn delete(&self, uri: &str) -> Result<(), Error> {
        let found = self.parts.store.delete_policy(uri).await?;
        self.parts.changed(uri);
        self.parts.contexts.forget(uri).await;
        if found { Ok(()) } else { Err(not_found()) }
    }

    /// The records that match a filter.
    pub async fn query(&self, body: &Value) -> Result<Vec<Map<String, Value>>, Error> {
        let filter = Filter::parse(body)?;
        let candidates = self.parts.store.policies(filter.exact("policy_rule_uri"), filter.exact("name")).await?;
        Ok(candidates.into_iter().map(as_read).filter(|document| filter.matches(document)).collect())
    }

    fn warnings(&self, draft: &Draft) -> Vec<String> {
        let mut res = draft.warnings.clone();
        res.extend(draft.spec.limits.cut_by(&self.parts.bounds.ceiling));
        let grant = self.parts.bounds.grant(&draft.spec.capabilities);
        for origin in draft.spec.capabilities.http.iter().filter(|origin| !grant.http.contains(origin)) {
            res.push(format!("`capabilities.http` with `{origin}` is above what this server grants and has no effect"));
        }
        res
    }

    /// The policy if it is ready in memory.
    pub fn in_memory(&self, uri: &str) -> Option<Arc<Ready>> {
        self.parts.ready.load().get(uri).cloned()
    }

    /// The policy, made ready if it is not.
    pub async fn ready(&self, uri: &str) -> Result<Arc<Ready>, Error> {
        match self.in_memory(uri) {
            Some(ready) => Ok(ready),
            // PERF: boxed, so that the future of a call that finds its policy in memory stays small.
            None => Box::pin(self.make_ready(uri)).await,
        }
    }

    fn load_in_background(&self, uri: String) {
        let policies = self.clone();
        let load = async move {
            let _permit = policies.parts.loads.acquire().await;
            if let Err(error) = policies.make_ready(&uri).await {
                tracing::warn!(
                    policy = uri,
                    code = error.kind().code(),
                    error = error.chain(),
                    "the policy could not be loaded"
                );
            }
        };
        self.parts.tasks.spawn(load);
    }

    async fn make_ready(&self, uri: &str) -> Result<Arc<Ready>, Error> {
        loop {
            let seen = self.parts.changes();
            let row = self.parts.store.policy(uri).await?.ok_or_else(not_found)?;
            let revision = row.revision;
            if let LoadState::Failed { code, message } = &row.load
                && let Some(code) = lasting(code)
            {
                return Err(Error::new(ErrorKind::Load(code), message.clone()));
            }
            let ready = self.load(uri, row).await?;
            // What changed since the record was read may have been this record: then it is not what is in force.
            if self.parts.keep(uri, &ready, seen) || self.parts.store.revision(uri).await? == Some(revision) {
                return Ok(ready);
            }
        }
    }

    /// Loads one revision and notes how that went.
    async fn load(&self, uri: &str, row: PolicyRow) -> Result<Arc<Ready>, Error> {
        let (revision, known) = (row.revision, row.component);
        // What was stored passed these checks once; a later version of them may be stricter.
        let spec = Draft::parse(Value::Object(row.document))?.spec;
        let loaded = self.load_module(&spec, known).await;
        self.parts.metrics.load(loaded.as_ref().err().map(LoadError::code));
        let (component, state) = match &loaded {
            Ok(ready) => (Some(ready.policy.module.digest()), LoadState::Ready),
            Err(error) => {
                (None, LoadState::Failed { code: error.code().as_str().into(), message: error.message().into() })
            }
        };
        if row.load != state || component != known {
            self.parts.store.loaded(uri, revision, component, &state).await?;
        }
        Ok(Arc::new(loaded?))
    }

    async fn load_module(
        &self,
        spec: &PolicySpec,
        component: Option<lictor_model::Digest>,
    ) -> Result<Ready, LoadError> {
        if spec.kind == PolicyKind::PythonClass {
            let why = "policies of type `python_class_v1` cannot be run by this version";
            return Err(LoadError::new(LoadCode::NotAvailable, why));
        }
        let bounds = &self.parts.bounds;
        let limits = spec.limits.within(&bounds.ceiling);
        let wanted = Wanted {
            code: &spec.code,
            code_digest: spec.code_digest.as_ref(),
            component,
            metered: limits.fuel().is_some(),
        };
        let module = self.parts.loader.load(wanted).await?;
        module.fits(&limits)?;
        let policy = Policy {
            module,
            uri: spec.uri.as_str().into(),
            settings: spec.settings.as_str().into(),
            parameters: spec.parameters.as_str().into(),
            grant: Arc::new(bounds.grant(&spec.capabilities)),
            deterministic: spec.deterministic,
        };
        let slots = usize::try_from(limits.max_concurrency()).ok().filter(|n| 0 < *n);
        let slots = slots.map(|n| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS))));
        Ok(Ready { policy: Arc::new(policy), limits, slots })
    }
}

impl Parts {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> u64 {
        *self.lock()
    }

    /// Forgets what is ready of a record that was changed or removed.
    fn changed(&self, uri: &str) {
        let mut changes = self.lock();
        *changes = changes.saturating_add(1);
        if self.ready.load().contains_key(uri) {
            let mut ready = HashMap::clone(&self.ready.load());
            ready.remove(uri);
            self.ready.store(Arc::new(ready));
        }
    }

    /// Keeps `ready` for the next calls if no record was changed since `seen`.
    fn keep(&self, uri: &str, ready: &Arc<Ready>, seen: u64) -> bool {
        let changes = self.lock();
        if *changes != seen {
            return false;
        }
        let mut all = HashMap::clone(&self.ready.load());
        if MAX_READY <= all.len()
            && let Some(other) = all.keys().next().cloned()
        {
            tracing::debug!(policy = other, "too many policies are ready: this one goes");
            all.remove(&other);
        }
        all.insert(uri.to_owned(), Arc::clone(ready));
        self.ready.store(Arc::new(all));
        true
    }
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

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "Policy not found.")
}

/// Whether two records load the same thing under the same rules.
fn same_code(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    ["code", "type", "code_digest", "limits"].iter().all(|name| old.get(*name) == new.get(*name))
}

fn as_read(row: PolicyRow) -> Map<String, Value> {
    let mut document = row.document;
    document.insert("component_digest".into(), row.component.map_or(Value::Null, |digest| json!(digest.to_string())));
    let load = match row.load {
        LoadState::Pending => json!({"state": "pending"}),
        LoadState::Ready => json!({"state": "ready"}),
        LoadState::Failed { code, message } => json!({"state": "failed", "code": code, "message": message}),
    };
    document.insert("load".into(), load);
    document
}
