//! What the record of an executor must hold, and what is said of its health.
//!
//! Health is known in four ways, the first that applies: the executor in this process is seen; one that sends
//! heartbeats is believed while they come; one that does not is judged by the calls that were passed on to it; of any
//! other its record is believed.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use lictor_model::{
    Entry, ExecutorDraft, ExecutorId, FieldError, HostUri,
    address::{AllowPrivate, is_public},
};
use serde_json::{Map, Value, json};

use super::proxy::Judged;
use crate::{
    config::Config,
    error::Error,
    executor::Executor,
    registry::Entity,
    store::{Candidate, Heartbeat, Kind, Store},
};

/// Heartbeats that may be missed.
const MISSED: u32 = 3;

/// The executor in this process.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) id: ExecutorId,
    /// Where others reach it.
    pub(super) host: HostUri,
    listen: SocketAddr,
}

/// The kind of record.
pub(super) struct ExecutorEntity {
    own: Own,
    allow_private: AllowPrivate,
    embedded: Executor,
    judged: Judged,
    /// A heartbeat older than this is from an executor that is gone.
    believed_for: Duration,
    /// What [`ExecutorEntity::look_around`] saw.
    heartbeats: ArcSwap<HashMap<String, Heartbeat>>,
}

impl Own {
    pub(super) fn new(config: &Config) -> Self {
        Self { id: config.executor_id.clone(), host: config.reached_at(), listen: config.listen }
    }

    /// Whether `host` is this very server.
    fn is_at(&self, host: &HostUri) -> bool {
        if *host == self.host {
            return true;
        }
        let local = host.host().eq_ignore_ascii_case("localhost") || host.ip().is_some_and(|ip| ip.is_loopback());
        let any = self.listen.ip().is_unspecified() || self.listen.ip().is_loopback();
        let same = host.ip() == Some(self.listen.ip()) || (local && any);
        same && host.port() == self.listen.port()
    }
}

impl ExecutorEntity {
    pub(super) fn new(
        own: Own,
        allow_private: AllowPrivate,
        embedded: Executor,
        judged: Judged,
        heartbeat: Duration,
    ) -> Self {
        let believed_for = heartbeat.saturating_mul(MISSED);
        Self { own, allow_private, embedded, judged, believed_for, heartbeats: ArcSwap::default() }
    }

    /// Sees what all executors last said, for the query that follows.
    pub(super) async fn look_around(&self, store: &Store) -> Result<(), Error> {
        self.heartbeats.store(Arc::new(store.heartbeats(None).await?));
        Ok(())
    }

    /// The health of an executor, if more is known than what its record says.
    fn status(&self, id: &str, heartbeat: Option<&Heartbeat>) -> Option<String> {
        if id == self.own.id.as_str() {
            return Some(if self.embedded.gate().is_full() { "busy" } else { "healthy" }.into());
        }
        match heartbeat {
            Some(heartbeat) if self.believed_for < heartbeat.age => Some("unreachable".into()),
            Some(heartbeat) => Some(heartbeat.status.clone()),
            None => self.judged.status(id).map(str::to_owned),
        }
    }

    fn laid_over(&self, id: &str, heartbeat: Option<&Heartbeat>) -> Map<String, Value> {
        let status = self.status(id, heartbeat).map(|status| ("executor_status".to_owned(), json!(status)));
        status.into_iter().collect()
    }

    /// What is not forbidden and will not work all the same.
    fn unreached(&self, host: &HostUri) -> Option<String> {
        let local = host.host().eq_ignore_ascii_case("localhost");
        let refused = match host.ip() {
            Some(ip) => !self.allow_private.permits(host.host(), ip),
            // Any loopback address: what admits one admits the name, as far as can be known without asking.
            None => local && !self.allow_private.permits("localhost", [127, 0, 0, 1].into()),
        };
        let private = local || host.ip().is_some_and(|ip| !is_public(ip));
        (refused && private).then(|| {
            let shown = host.host().trim_matches(['[', ']']);
            format!("calls to {host} are refused: it is not a public address; `--allow-private {shown}` at the start of this server admits it")
        })
    }
}

impl Entity for ExecutorEntity {
    const KIND: Kind = Kind::Executor;
    const NOUN: &'static str = "executor";
    const ID: &'static str = "executor_id";
    const COMPUTED: &'static [&'static str] = &["executor_status"];
    const OVERRIDES: bool = true;

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        let own = (&self.own.id, &self.own.host);
        let mut draft = ExecutorDraft::parse(body, Some(own))?;
        if draft.spec.id != self.own.id {
            if self.own.is_at(&draft.spec.host) {
                let why =
                    format!("is this server, whose executor is `{}`: calls would go round in a circle", self.own.id);
                return Err(FieldError::new("executor_host_uri", why));
            }
            draft.warnings.extend(self.unreached(&draft.spec.host));
        }
        Ok(Entry { id: draft.spec.id.as_str().into(), document: draft.document, warnings: draft.warnings })
    }

    fn not_found(&self, _id: &str) -> String {
        "Executor not found.".into()
    }

    /// The document's own sample of an update speaks of `metadata`.
    fn renamed(path: &str) -> Option<String> {
        let rest = path.strip_prefix("metadata")?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("executor_metadata{rest}"))
    }

    fn computed(&self, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        Ok(self.laid_over(&candidate.id, self.heartbeats.load().get(&*candidate.id)))
    }

    async fn read(&self, store: &Store, id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let Some(record) = store.read(Kind::Executor, id).await? else { return Ok(None) };
        let heartbeats = store.heartbeats(Some(id)).await?;
        let mut document = record.document;
        document.extend(self.laid_over(id, heartbeats.get(id)));
        Ok(Some(document))
    }
}
