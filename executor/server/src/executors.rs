//! The registry of executors, and who answers a call: the one in this process, or another one that it is passed on to.
//!
//! ```text
//! entity     what a record must hold, and what is said of its executor's health
//! gate       how many calls run at the same time, and who waits
//! proxy      a call that another executor answers          envelope   what that answers, as what we answer
//! heartbeats how executors say that they are there
//! peer       functions and jobs of another executor
//! ```
//!
//! The executor in this process has a record like every other, made when its data directory or database is first used.
//! Deleting the record takes it out of service, also after a restart, until it is registered again. So there are two
//! ways in: the hot one looks at two flags that `Executors::refresh` keeps right, and the other one reads records.

mod entity;
mod envelope;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gate;
mod heartbeats;
mod peer;
mod proxy;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lictor_loader::Client;
use lictor_model::{ExecutorDraft, ExecutorId, ExecutorSpec, FieldError, HostUri, Query, Update, json};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use self::entity::{ExecutorEntity, Own};
pub use self::{
    gate::{Gate, Place},
    heartbeats::{Beat, report},
    proxy::{FOR, Forward, VIA},
};
use crate::{
    config::{Config, PeerToken},
    error::{Error, ErrorKind},
    executor::Executor,
    registry::{Entity as _, Found, Registry},
    store::{Change, Kind, Store},
};

/// The name under which the original's SDK knows the executor it was not told about.
const ALIAS: &str = "executor-0";

/// All executors that this server knows. Cheap to clone.
#[derive(Clone)]
pub struct Executors {
    parts: Arc<Parts>,
}

struct Parts {
    own: Own,
    /// The system whose policies are run here. Its registry of executors is the one that counts, and this one is empty.
    system: Option<HostUri>,
    registry: Registry<ExecutorEntity>,
    store: Store,
    embedded: Executor,
    max_processes: u64,
    proxy: proxy::Proxy,
    /// Whether the executor in this process takes calls.
    serving: AtomicBool,
    /// Whether it takes those for [`ALIAS`] too.
    alias: AtomicBool,
    /// Held while the two are worked out, so that the last to do it has seen the last change.
    refreshing: Mutex<()>,
}

/// Who answers calls for an executor.
pub enum Target {
    /// The executor in this process.
    Here,
    /// Another one.
    Elsewhere(ExecutorSpec),
}

impl Executors {
    /// The executors in `store`, and `embedded`, which is in this process.
    pub async fn start(config: &Config, store: Store, embedded: Executor, tasks: &TaskTracker) -> Result<Self, Error> {
        let own = Own::new(config);
        let client = Client::new(&config.allow_private)?;
        let client = client.with_token(config.peer_token.as_ref().map(PeerToken::reveal))?;
        let proxy = proxy::Proxy::new(own.id.clone(), client, &config.bounds.ceiling);
        let entity = ExecutorEntity::new(
            own.clone(),
            config.allow_private.clone(),
            embedded.clone(),
            proxy.judged(),
            config.heartbeat,
        );
        let parts = Parts {
            own,
            system: config.system.clone(),
            registry: Registry::new(store.clone(), entity),
            store,
            embedded,
            max_processes: config.max_processes,
            proxy,
            serving: AtomicBool::new(true),
            alias: AtomicBool::new(true),
            refreshing: Mutex::default(),
        };
        let executors = Self { parts: Arc::new(parts) };
        executors.parts.embedded.gate().set(config.max_processes);
        if executors.parts.system.is_none() {
            executors.enrol().await?;
            tasks.spawn(follow(executors.clone()));
            if executors.parts.store.is_shared() {
                // Before it takes calls: one that is gone before its first would be believed for good.
                heartbeats::note(&executors, Beat::of(&executors.parts.embedded)).await?;
                tasks.spawn(heartbeats::keep_noted(executors.clone(), config.heartbeat));
            }
        }
        Ok(executors)
    }

    /// Makes the record of the executor in this process if it never had one, and says in it where that is now.
    async fn enrol(&self) -> Result<(), Error> {
        let Parts { own, registry, store, .. } = &*self.parts;
        let id = own.id.as_str();
        match store.read(Kind::Executor, id).await? {
            Some(record) if record.document.get("executor_host_uri") == Some(&json!(own.host.as_str())) => {}
            Some(_) => drop(registry.change(id, |document| Ok(Value::Object(document))).await?),
            None if store.was_embedded(id).await? => {
                tracing::warn!("the executor `{id}` was deleted and takes no calls until it is registered again");
            }
            None => drop(registry.create(json!({"executor_id": id})).await?),
        }
        store.note_embedded(id).await?;
        self.refresh().await
    }

    /// Works out anew, from the records, what the executor in this process answers to.
    async fn refresh(&self) -> Result<(), Error> {
        let Parts { own, store, embedded, max_processes, serving, alias, refreshing, .. } = &*self.parts;
        let _alone = refreshing.lock().await;
        let record = store.read(Kind::Executor, own.id.as_str()).await?;
        let alias_taken = store.read(Kind::Executor, ALIAS).await?.is_some();
        let recorded = record.as_ref().and_then(|record| record.document.get("max_processes")?.as_u64());
        embedded.gate().set(lower(*max_processes, recorded.unwrap_or(0)));
        serving.store(record.is_some(), Ordering::Relaxed);
        alias.store(record.is_some() && !alias_taken, Ordering::Relaxed);
        Ok(())
    }

    /// Whether calls for the executor `id` are for the one in this process, and it takes them.
    ///
    /// PERF: every call comes by here: a comparison and a flag.
    pub fn is_here(&self, id: &str) -> bool {
        let Parts { own, serving, alias, .. } = &*self.parts;
        (id == own.id.as_str() && serving.load(Ordering::Relaxed)) || (id == ALIAS && alias.load(Ordering::Relaxed))
    }

    /// The executor in this process, and where others reach it.
    pub fn own(&self) -> (&ExecutorId, &HostUri) {
        (&self.parts.own.id, &self.parts.own.host)
    }

    /// The id of the executor in this process, if it takes calls.
    pub fn serving(&self) -> Result<&ExecutorId, Error> {
        if self.parts.serving.load(Ordering::Relaxed) { Ok(&self.parts.own.id) } else { Err(unknown()) }
    }

    /// How many calls run on the executor `id`, as far as they come from here, and how many may, if they are counted.
    pub fn load(&self, id: &str) -> Option<(u64, u64)> {
        let Parts { own, embedded, proxy, .. } = &*self.parts;
        let load = if id == own.id.as_str() { embedded.gate().load() } else { proxy.load(id) };
        load.map(|(running, most)| (number(running), number(most)))
    }

    /// Every record as clients see it, in the order of their ids.
    pub async fn records(&self) -> Result<Vec<Map<String, Value>>, Error> {
        let found = self.query(Query::default()).await?;
        let read = |text: &String| {
            let record = json::parse(text).map_err(|error| Error::internal("an executor could not be read", error))?;
            Ok(record.as_object().cloned().unwrap_or_default())
        };
        found.documents.iter().map(read).collect()
    }

    /// Who answers calls for the executor `id`.
    pub async fn target(&self, id: &str) -> Result<Target, Error> {
        if self.is_here(id) {
            return Ok(Target::Here);
        }
        if let Some(system) = &self.parts.system {
            let own = &self.parts.own.id;
            let why = format!("this server is the executor `{own}` of the system at {system}: ask there for others");
            return Err(Error::new(ErrorKind::NotAvailable, why));
        }
        // Read each time: it is little beside the call, and always what is in force.
        match self.parts.store.read(Kind::Executor, id).await? {
            Some(_) if id == self.parts.own.id.as_str() => Ok(Target::Here),
            Some(record) => Ok(Target::Elsewhere(ExecutorDraft::parse(Value::Object(record.document), None)?.spec)),
            None => Err(unknown()),
        }
    }

    /// That a question which came through `via` would have to be passed on.
    pub fn circle(&self, via: &str, to: &ExecutorSpec) -> Error {
        proxy::circle(via, &self.parts.own.id, &to.id)
    }

    /// Has another executor answer a call. Returns the body of our answer.
    pub async fn forward(&self, to: &ExecutorSpec, call: Forward<'_>) -> Result<String, Error> {
        self.parts.proxy.forward(to, call).await
    }

    /// Registers an executor. Returns what its author should know.
    pub async fn create(&self, body: Value) -> Result<Vec<String>, Error> {
        let own = self.parts.own.id.as_str();
        let entry = self.parts.registry.entity().parse(body)?;
        let (id, warnings) = (entry.id.clone(), entry.warnings.clone());
        loop {
            match self.parts.registry.insert(entry.clone()).await {
                // What is here already is described anew, by whoever knows better than we did.
                Err(error) if error.kind() == ErrorKind::Conflict && id == own => {
                    let describe = |mut document: Map<String, Value>| {
                        document.extend(entry.document.clone());
                        Ok(Value::Object(document))
                    };
                    match self.parts.registry.change(own, describe).await {
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        done => drop(done?),
                    }
                }
                // Whoever had the name before may have said something.
                Ok(created) if created.revision.is_some() => self.parts.store.forget_heartbeat(&id).await?,
                done => drop(done?),
            }
            break;
        }
        self.changed(&id).await?;
        Ok(warnings)
    }

    /// A record as clients see it.
    pub async fn read(&self, id: &str) -> Result<Map<String, Value>, Error> {
        match self.parts.registry.read(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound && id == ALIAS => {
                self.parts.registry.read(self.parts.own.id.as_str()).await
            }
            read => read,
        }
    }

    /// Replaces or changes a record. Returns what its author should know.
    pub async fn update(&self, id: &str, body: Value) -> Result<Vec<String>, Error> {
        let own = self.parts.own.id.as_str();
        let update = Update::parse(body)?.renamed(ExecutorEntity::renamed)?;
        let change = |document| {
            let new = update.apply(document)?;
            let to = new.get("executor_id").and_then(Value::as_str).unwrap_or(id);
            match (id == own, to == own) {
                (true, false) => Err(FieldError::new(
                    "executor_id",
                    "cannot be changed: this server is that executor, under the id it was started with (--executor-id)",
                )),
                (false, true) => Err(FieldError::new(
                    "executor_id",
                    "cannot become that of the executor in this server: register that one with POST instead",
                )),
                _ => Ok(new),
            }
        };
        let changed = self.parts.registry.change(id, change).await?;
        if changed.entry.id != id {
            self.parts.store.forget_heartbeat(id).await?;
        }
        self.changed(id).await?;
        self.changed(&changed.entry.id).await?;
        Ok(changed.entry.warnings)
    }

    /// Removes a record. The executor in this process takes no calls from then on.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        self.parts.registry.delete(id).await?;
        self.parts.store.forget_heartbeat(id).await?;
        self.changed(id).await
    }

    /// The records that match, as clients see them.
    pub async fn query(&self, query: Query) -> Result<Found, Error> {
        self.parts.registry.entity().look_around(&self.parts.store).await?;
        self.parts.registry.query(query).await
    }

    /// Notes that an executor is there.
    pub async fn heartbeat(&self, id: &str, beat: Beat) -> Result<(), Error> {
        if self.parts.store.heartbeat(id, beat.status()).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, self.parts.registry.entity().not_found(id)))
    }

    /// An executor that is asked for something else than a call.
    pub async fn must_exist(&self, id: &str) -> Result<(), Error> {
        self.target(id).await.map(drop)
    }

    async fn changed(&self, id: &str) -> Result<(), Error> {
        self.parts.proxy.forget(id);
        if id == self.parts.own.id.as_str() || id == ALIAS { self.refresh().await } else { Ok(()) }
    }
}

/// Follows what other processes change.
async fn follow(executors: Executors) {
    let mut changes = executors.parts.store.changes();
    while let Some(change) = changes.next().await {
        let concerns = match &change {
            Change::One(Kind::Executor, id) => id == executors.parts.own.id.as_str() || id == ALIAS,
            Change::All => true,
            _ => false,
        };
        if concerns && let Err(error) = executors.refresh().await {
            tracing::error!(error = error.chain(), "it cannot be seen whether this executor is still registered");
        }
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The lower of two limits, where 0 is none.
fn lower(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// Execution routes say it without the full stop of the registry's, as the original does.
fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "Executor not found")
}
