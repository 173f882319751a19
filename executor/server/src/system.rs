//! The system that this executor belongs to, where that is another server: `serve --system`.
//!
//! It is asked for policies by the route that every client of the registry uses, and for the files that their code
//! names in its registry of assets, and it is told that this executor is there. Nothing else is known of it, so that
//! the original's may be one. Its URL was chosen by whoever started this server, and is reached at whatever address it
//! has. What it cannot be asked for fails: an executor does not run a policy that may have been withdrawn.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lictor_loader::{Answer, Ask, Asset, Assets, Client, LoadCode, LoadError, Unanswered, client::Method};
use lictor_model::{CodeRef, ExecutorId, HostUri, PolicyUri, asset, code::AssetRef, field::shorten, json};
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    error::{Error, ErrorKind},
};

/// How long the system may take for a record.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take for a file.
const FILE_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a record at most.
const MAX_RECORD: usize = 32 << 20;
/// Bytes of a file at most: what is fetched from elsewhere has the same bound.
const MAX_FILE: usize = 64 << 20;

/// Another server with the registries. Cheap to clone.
#[derive(Clone)]
pub struct System {
    parts: Arc<Parts>,
}

struct Parts {
    client: Client,
    url: HostUri,
    own_id: ExecutorId,
    own_host: HostUri,
}

/// A record, and how the system names this version of it.
pub struct Told {
    /// The record.
    pub document: Map<String, Value>,
    /// What to send along with the next question.
    pub etag: Option<String>,
}

impl System {
    /// The system of `config`, if it names one.
    pub fn of(config: &Config) -> Result<Option<Self>, Error> {
        let Some(url) = config.system.clone() else { return Ok(None) };
        let client = Client::of_operator(&url)?;
        let (own_id, own_host) = (config.executor_id.clone(), config.reached_at());
        Ok(Some(Self { parts: Arc::new(Parts { client, url, own_id, own_host }) }))
    }

    /// Where it is.
    pub fn url(&self) -> &HostUri {
        &self.parts.url
    }

    /// The command that makes this executor known to it.
    pub fn how_to_register(&self) -> String {
        let Parts { url, own_id, own_host, .. } = &*self.parts;
        let record = json!({"executor_id": own_id.as_str(), "executor_host_uri": own_host.as_str()});
        format!("curl -X POST {url}/executor -H 'Content-Type: application/json' -d '{record}'")
    }

    /// Why a registry that this server does not have cannot be used here.
    pub fn not_here(&self) -> Error {
        let Parts { url, own_id, .. } = &*self.parts;
        let why =
            format!("this server is only the executor `{own_id}`: the registries are those of the system at {url}");
        Error::new(ErrorKind::NotAvailable, why)
    }

    /// The record of a policy; none if it still is the one that `etag` names.
    pub async fn policy(&self, uri: &PolicyUri, etag: Option<&str>) -> Result<Option<Told>, Error> {
        let headers: Vec<_> = etag.iter().map(|etag| ("if-none-match", *etag)).collect();
        let answer = self.get(&format!("/policy/{uri}"), &headers, PATIENCE, MAX_RECORD).await;
        let answer = answer.map_err(|why| self.silent(&why))?;
        if answer.status == 304 && etag.is_some() {
            return Ok(None);
        }
        let document = self.data(&answer)?;
        Ok(Some(Told { document, etag: answer.etag }))
    }

    /// Says that this executor is there.
    pub async fn heartbeat(&self, status: &str) -> Result<(), Error> {
        let path = format!("/executor/{}/heartbeat", self.parts.own_id);
        let body = Some(Bytes::from(json!({"executor_status": status}).to_string()));
        let answer = self.ask(Method::POST, &path, &[], body, PATIENCE, MAX_RECORD).await;
        self.envelope(&answer.map_err(|why| self.silent(&why))?).map(drop)
    }

    async fn get(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        patience: Duration,
        max_bytes: usize,
    ) -> Result<Answer, Unanswered> {
        self.ask(Method::GET, path, headers, None, patience, max_bytes).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Bytes>,
        patience: Duration,
        max_bytes: usize,
    ) -> Result<Answer, Unanswered> {
        let url = format!("{}{path}", self.parts.url);
        let deadline = Instant::now() + patience;
        self.parts.client.ask(Ask { method, url: &url, headers, body, deadline, max_bytes }).await
    }

    /// The object under `data` of a success.
    fn data(&self, answer: &Answer) -> Result<Map<String, Value>, Error> {
        match self.envelope(answer)? {
            Value::Object(data) => Ok(data),
            _ => Err(self.silent(&"answered with something else than a record")),
        }
    }

    /// What is under `data` of a success. The original says what is not there only in words.
    fn envelope(&self, answer: &Answer) -> Result<Value, Error> {
        let text = str::from_utf8(&answer.body).unwrap_or_default();
        let Ok(Value::Object(mut envelope)) = json::parse(text) else {
            return Err(self.silent(&format_args!("answered with status {} and no document", answer.status)));
        };
        if envelope.get("success") == Some(&Value::Bool(true)) {
            return Ok(envelope.remove("data").unwrap_or_default());
        }
        let text = |name: &str| envelope.get(name).and_then(Value::as_str).unwrap_or_default();
        let (code, message) = (text("code"), text("message"));
        if code == "not_found" || (code.is_empty() && message.to_ascii_lowercase().contains("not found")) {
            return Err(Error::new(ErrorKind::NotFound, shorten(message, 300)));
        }
        Err(self.silent(&format_args!("answered: {}", shorten(message, 300))))
    }

    /// The system gave no answer to go by: it `did` this instead.
    fn silent(&self, did: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the system at {} {did}", self.parts.url))
    }

    /// What the system's registry of assets has for a code reference.
    async fn asset(&self, code: &CodeRef) -> Result<Asset, LoadError> {
        match code {
            CodeRef::Asset(AssetRef::Id(id)) => self.file(id).await?.ok_or_else(|| missing(code)),
            CodeRef::Asset(AssetRef::Uri(uri)) => self.file_of(code, uri).await,
            // The system says so of its own files, and may be at an address that only the operator can admit.
            CodeRef::Http(url) => match self.parts.url.below(url.as_str()).and_then(|path| path.strip_prefix(FILES)) {
                Some(id) => self.file(id).await?.ok_or_else(|| missing(code)),
                None => Ok(Asset::Not),
            },
            _ => Ok(Asset::Not),
        }
    }

    /// The file that an asset's record names.
    async fn file_of(&self, code: &CodeRef, uri: &str) -> Result<Asset, LoadError> {
        let answer = self.get(&format!("/asset/{uri}"), &[], PATIENCE, MAX_RECORD).await;
        let answer = answer.map_err(|why| self.no_file(&why))?;
        let record = match self.data(&answer) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing(code)),
            Err(error) => return Err(LoadError::new(LoadCode::CodeUnreachable, error.message())),
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
        let answer = self.get(&format!("/{FILES}{id}"), &[], FILE_PATIENCE, MAX_FILE).await;
        let answer = answer.map_err(|why| self.no_file(&why))?;
        match answer.status {
            200 => Ok(Some(Asset::Bytes(answer.body))),
            404 => Ok(None),
            status => Err(self.no_file(&format_args!("answered with status {status}"))),
        }
    }

    fn no_file(&self, did: &dyn fmt::Display) -> LoadError {
        LoadError::new(LoadCode::CodeUnreachable, self.silent(did).message())
    }
}

/// Where the files of a registry of assets are, below its URL.
const FILES: &str = "asset-object/";

fn missing(code: &CodeRef) -> LoadError {
    LoadError::new(LoadCode::CodeUnreachable, format!("the system's registry of assets has no `{code}`"))
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.parts.url)
    }
}

impl Assets for System {
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>> {
        Box::pin(self.asset(code))
    }
}
