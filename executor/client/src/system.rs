//! The policies system, as far as a local evaluator asks it: records of policies, and the files of its registry of assets.
//!
//! Its URL was chosen by the application, and is reached at whatever address it has.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use lictor_loader::{Answer, Ask, Asset, Assets, Client, LoadCode, LoadError, client::Method};
use lictor_model::{CodeRef, HostUri, PolicyUri, asset, code::AssetRef};
use serde_json::{Map, Value};

use crate::{Error, envelope};

/// How long the system may take for a record.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take for a file.
const FILE_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a record at most.
const MAX_RECORD: usize = 32 << 20;
/// Bytes of a file at most.
const MAX_FILE: usize = 64 << 20;
/// Where the files of the registry of assets are, below the system's URL.
const FILES: &str = "asset-object/";

pub(crate) struct System {
    client: Client,
    url: HostUri,
}

impl System {
    pub(crate) fn at(url: HostUri) -> Result<Self, Error> {
        Ok(Self { client: Client::of_operator(&url)?, url })
    }

    /// The record of a policy.
    pub(crate) async fn policy(&self, uri: &PolicyUri) -> Result<Map<String, Value>, Error> {
        let answer = self.get(&format!("policy/{uri}"), PATIENCE, MAX_RECORD).await?;
        match self.record(&answer) {
            Err(error) if envelope::is_not_found(&error) => Err(Error::NotFound(uri.to_string())),
            told => told,
        }
    }

    async fn get(&self, path: &str, patience: Duration, max_bytes: usize) -> Result<Answer, Error> {
        let (url, deadline) = (format!("{}/{path}", self.url), Instant::now() + patience);
        let ask = Ask { method: Method::GET, url: &url, headers: &[], body: None, deadline, max_bytes };
        self.client.ask(ask).await.map_err(|why| Error::Unreachable(format!("{self} {why}")))
    }

    fn record(&self, answer: &Answer) -> Result<Map<String, Value>, Error> {
        match envelope::read(self, answer)? {
            Value::Object(record) => Ok(record),
            _ => Err(Error::Unreachable(format!("{self} answered with something else than a record"))),
        }
    }

    async fn asset(&self, code: &CodeRef) -> Result<Asset, LoadError> {
        match code {
            CodeRef::Asset(AssetRef::Id(id)) => self.file(id).await?.ok_or_else(|| missing(code)),
            CodeRef::Asset(AssetRef::Uri(uri)) => self.file_of(code, uri).await,
            // The system says so of its own files, and may be at an address that only the application can admit.
            CodeRef::Http(url) => match self.url.below(url.as_str()).and_then(|path| path.strip_prefix(FILES)) {
                Some(id) => self.file(id).await?.ok_or_else(|| missing(code)),
                None => Ok(Asset::Not),
            },
            _ => Ok(Asset::Not),
        }
    }

    /// The file that the record of an asset names.
    async fn file_of(&self, code: &CodeRef, uri: &str) -> Result<Asset, LoadError> {
        let answer = self.get(&format!("asset/{uri}"), PATIENCE, MAX_RECORD).await;
        let record = match answer.and_then(|answer| self.record(&answer)) {
            Ok(record) => record,
            Err(error) if envelope::is_not_found(&error) => return Err(missing(code)),
            Err(error) => return Err(unreachable(error.to_string())),
        };
        if let Some(id) = record.get("asset_id").and_then(Value::as_str)
            && let Some(file) = self.file(id).await?
        {
            return Ok(file);
        }
        match asset::place(&record) {
            Ok(Some(place @ CodeRef::Http(_))) => Ok(Asset::At(place)),
            _ => Err(missing(code)),
        }
    }

    /// The file of this id, if there is one.
    async fn file(&self, id: &str) -> Result<Option<Asset>, LoadError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !id.bytes().all(plain) {
            return Ok(None);
        }
        let answer = self.get(&format!("{FILES}{id}"), FILE_PATIENCE, MAX_FILE).await;
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        match answer.status {
            200 => Ok(Some(Asset::Bytes(answer.body))),
            404 => Ok(None),
            status => Err(unreachable(format!("{self} answered with status {status} where a file should be"))),
        }
    }
}

fn missing(code: &CodeRef) -> LoadError {
    unreachable(format!("the system's registry of assets has no `{code}`"))
}

fn unreachable(why: String) -> LoadError {
    LoadError::new(LoadCode::CodeUnreachable, why)
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system at {}", self.url)
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.url)
    }
}

impl Assets for System {
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>> {
        Box::pin(self.asset(code))
    }
}
