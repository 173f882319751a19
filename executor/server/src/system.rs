//! The system that this executor belongs to, where that is another server: `serve --system`.
//!
//! It is asked for policies, and for the files that their code names in its registry of assets, and it is told that this
//! executor is there. What it cannot be asked for fails: an executor does not run a policy that may have been withdrawn.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use lictor_loader::{Asset, Assets, LoadError, system};
use lictor_model::{CodeRef, ExecutorId, HostUri, PolicyUri, field::shorten};
use serde_json::json;

pub use system::Told;

use crate::{
    config::{Config, PeerToken},
    error::{Error, ErrorKind},
};

/// How long the system may take for a record.
const PATIENCE: Duration = Duration::from_secs(5);

/// Another server with the registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct System {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    system: system::System,
    own_id: ExecutorId,
    own_host: HostUri,
}

impl System {
    /// The system of `config`, if it names one.
    pub fn of(config: &Config) -> Result<Option<Self>, Error> {
        let Some(url) = config.system.clone() else { return Ok(None) };
        let system = system::System::at(url, PATIENCE, config.peer_token.as_ref().map(PeerToken::reveal))?;
        let (own_id, own_host) = (config.executor_id.clone(), config.reached_at());
        Ok(Some(Self { parts: Arc::new(Parts { system, own_id, own_host }) }))
    }

    /// Where it is.
    pub fn url(&self) -> &HostUri {
        self.parts.system.url()
    }

    /// The command that makes this executor known to it.
    pub fn how_to_register(&self) -> String {
        let (url, Parts { own_id, own_host, .. }) = (self.url(), &*self.parts);
        let record = json!({"executor_id": own_id.as_str(), "executor_host_uri": own_host.as_str()});
        format!("curl -X POST {url}/executor -H 'Content-Type: application/json' -d '{record}'")
    }

    /// Why a registry that this server does not have cannot be used here.
    pub fn not_here(&self) -> Error {
        let (url, own_id) = (self.url(), &self.parts.own_id);
        let why =
            format!("this server is only the executor `{own_id}`: the registries are those of the system at {url}");
        Error::new(ErrorKind::NotAvailable, why)
    }

    /// The record of a policy; none if it still is the one that `etag` names.
    pub async fn policy(&self, uri: &PolicyUri, etag: Option<&str>) -> Result<Option<Told>, Error> {
        Ok(self.parts.system.policy(uri, etag).await?)
    }

    /// Says that this executor is there.
    pub async fn heartbeat(&self, status: &str) -> Result<(), Error> {
        let path = format!("executor/{}/heartbeat", self.parts.own_id);
        Ok(self.parts.system.post(&path, &json!({"executor_status": status})).await.map(drop)?)
    }
}

impl From<system::Untold> for Error {
    fn from(untold: system::Untold) -> Self {
        match untold.is_not_found() {
            true => Self::new(ErrorKind::NotFound, shorten(&untold.reason(), 300)),
            false => Self::new(ErrorKind::Unreachable, untold.to_string()),
        }
    }
}

impl Assets for System {
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>> {
        self.parts.system.find(code)
    }
}
