//! The registry of assets: files that were uploaded, and places elsewhere that somebody registered.
//!
//! A file's bytes are in the database, once however many assets have them, so that every process on it has them too. A
//! policy whose `code` names an asset gets it from here (`find`) and keeps what it loaded by its digest: an asset may
//! be deleted although policies name it, and those that were loaded go on, wherever their component is still in the
//! cache. One that has to be read again is then unreachable until somebody uploads the asset again.

mod entity;
mod find;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use lictor_model::{
    AssetDraft, AssetUri, Digest, FieldError, HostUri, Query, Update,
    asset::{AssetError, AssetKind, COMPUTED, PUBLIC_URL},
    field::shorten,
};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::entity::Entries;
use crate::{
    config::Config,
    error::{Error, ErrorKind},
    registry::{Found, Registry},
    store::{AssetFile, Kind, Spool, Spooled, Store},
};

/// Files that are received at the same time.
const MAX_UPLOADS: usize = 16;
/// MiB of files that are in memory at the same time, on their way to a client or to be loaded.
const MAX_MEMORY_MB: u32 = 256;
/// How long a file waits for its place in memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// The registry. Cheap to clone.
#[derive(Clone)]
pub struct Assets {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    entries: Registry<Entries>,
    /// The URLs that are this server's, the one that it tells others first.
    own: Vec<HostUri>,
    max_bytes: u64,
    folder: PathBuf,
    uploads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// An upload that may begin.
pub struct Upload {
    /// What came so far.
    pub spool: Spool,
    _permit: OwnedSemaphorePermit,
}

/// What a client says of a file beside its record.
#[derive(Clone, Debug, Default)]
pub struct FileInfo {
    /// What it is called where it comes from.
    pub name: String,
    /// Its media type.
    pub media_type: String,
}

/// An asset that is there now.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What it is called.
    pub uri: AssetUri,
    /// Its id.
    pub id: String,
    /// Where others find it, if it is a file.
    pub public_url: String,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// A file to be sent. Counts as memory that is used until the last of its bytes is dropped.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assets")
    }
}

impl From<AssetError> for Error {
    fn from(error: AssetError) -> Self {
        match error {
            AssetError::Field(error) => error.into(),
            AssetError::Name | AssetError::Version => {
                Self::new(ErrorKind::InvalidInput, error.to_string()).at(Some(error.field()))
            }
        }
    }
}

impl Upload {
    /// Adds bytes.
    pub async fn push(self, bytes: Bytes) -> Result<Self, Error> {
        Ok(Self { spool: self.spool.push(bytes).await?, _permit: self._permit })
    }
}

impl Assets {
    /// The registry in `store`, of the server that `config` describes.
    pub fn new(store: Store, config: &Config) -> Self {
        let own = own_urls(config);
        let entries = Registry::new(store.clone(), Entries::new(own.first().map_or("", HostUri::as_str)));
        let (uploads, memory) = (Semaphore::new(MAX_UPLOADS), Semaphore::new(MAX_MEMORY_MB as usize));
        Self {
            parts: Arc::new(Parts {
                store,
                entries,
                own,
                max_bytes: config.max_asset,
                folder: config.data_dir.clone(),
                uploads: Arc::new(uploads),
                memory: Arc::new(memory),
            }),
        }
    }

    /// The most bytes of a file.
    pub fn max_bytes(&self) -> u64 {
        self.parts.max_bytes
    }

    /// Makes room for a file that is about to come.
    pub async fn begin_upload(&self) -> Result<Upload, Error> {
        let busy = |_| Error::new(ErrorKind::Busy, "too many files are being uploaded: try again in a moment");
        let permit = Arc::clone(&self.parts.uploads).try_acquire_owned().map_err(busy)?;
        Ok(Upload { spool: Spool::new(&self.parts.folder).await?, _permit: permit })
    }

    /// Keeps a file under the record `metadata`. The same again is fine, anything else under its uri is a conflict.
    pub async fn upload(&self, metadata: Value, info: &FileInfo, upload: Upload) -> Result<Kept, Error> {
        let draft = AssetDraft::parse(metadata, AssetKind::File)?;
        let file = upload.spool.finish();
        let id = new_id();
        let document = file_document(&draft, &id, info, &file);
        loop {
            if let Some(there) = self.parts.store.read(Kind::Asset, draft.uri.as_str()).await? {
                return self.same(draft, &there.document, Some(file.digest));
            }
            let done = self.parts.store.insert_asset(draft.uri.as_str(), &id, &document, &file).await?;
            if done.is_some() {
                return Ok(self.kept(draft, id));
            }
            // Somebody else took the uri in between.
        }
    }

    /// Registers a place elsewhere.
    pub async fn create(&self, body: Value) -> Result<Kept, Error> {
        let draft = AssetDraft::parse(body, AssetKind::External)?;
        let id = new_id();
        let document = with_identity(&draft, &id);
        loop {
            if let Some(there) = self.parts.store.read(Kind::Asset, draft.uri.as_str()).await? {
                return self.same(draft, &there.document, None);
            }
            if self.parts.store.insert(Kind::Asset, draft.uri.as_str(), &document).await?.is_some() {
                return Ok(self.kept(draft, id));
            }
        }
    }

    /// What is answered if `there` is what `draft` asks for, with the file `digest` if it is one.
    fn same(&self, draft: AssetDraft, there: &Map<String, Value>, digest: Option<Digest>) -> Result<Kept, Error> {
        let author = AssetDraft::parse(Value::Object(there.clone()), kind_of(there))?.document;
        let same_file = digest_of(there) == digest.map(|digest| digest.to_string()).as_deref();
        if same_file && author == draft.document {
            return Ok(self.kept(draft, id_of(there).to_owned()));
        }
        let what = if same_file { "the same file with another record" } else { "another file" };
        let why = format!("there is already `{}`, {what}: give this one another version or tag", draft.uri);
        Err(Error::new(ErrorKind::Conflict, why))
    }

    fn kept(&self, draft: AssetDraft, id: String) -> Kept {
        let public_url = self.parts.entries.entity().public_url(&id);
        Kept { public_url, uri: draft.uri, id, warnings: draft.warnings }
    }

    /// The record of an asset.
    pub async fn read(&self, uri: &str) -> Result<Map<String, Value>, Error> {
        self.parts.entries.read(uri).await
    }

    /// Changes a record: the fields of `body` take the place of the old ones, or its operators are applied.
    pub async fn update(&self, uri: &str, body: Value) -> Result<Vec<String>, Error> {
        let update = Update::parse(as_update(body)?)?;
        loop {
            let before = self.parts.entries.stored(uri).await?;
            let kind = kind_of(&before.document);
            let draft = AssetDraft::parse(update.apply(before.document.clone())?, kind)?;
            let document = with_computed(&draft, &before.document);
            let new_uri = draft.uri.as_str();
            if self.parts.store.replace_asset((uri, before.revision), new_uri, &document).await?.is_some() {
                return Ok(draft.warnings);
            }
            // Somebody else changed it in between: this is applied to what they left.
        }
    }

    /// Removes an asset, and its file if no other asset has the same.
    pub async fn delete(&self, uri: &str) -> Result<(), Error> {
        if self.parts.store.remove_asset(uri).await? { Ok(()) } else { Err(entity::not_found(uri)) }
    }

    /// The records that match.
    pub async fn query(&self, query: Query) -> Result<Found, Error> {
        self.parts.entries.query(query).await
    }

    /// What the file of the asset with this id is, without its bytes.
    pub async fn file(&self, id: &str) -> Result<AssetFile, Error> {
        self.parts.store.asset_file(id).await?.ok_or_else(|| no_file(id))
    }

    /// The file of the asset with this id.
    pub async fn object(&self, id: &str) -> Result<Object, Error> {
        let file = self.file(id).await?;
        self.bytes(file).await?.ok_or_else(|| no_file(id))
    }

    /// The bytes of a file, once there is room for them; none if it went away.
    async fn bytes(&self, file: AssetFile) -> Result<Option<Object>, Error> {
        let mib = u32::try_from(file.size.div_ceil(1 << 20)).unwrap_or(u32::MAX).clamp(1, MAX_MEMORY_MB);
        let room = Arc::clone(&self.parts.memory).acquire_many_owned(mib);
        let busy = || Error::new(ErrorKind::Busy, "too many files are being read: try again in a moment");
        let room = tokio::time::timeout(PATIENCE, room).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let bytes = self.parts.store.blob(file).await?;
        Ok(bytes.map(|bytes| Object { bytes: Bytes::from_owner(Held { bytes, _room: room }), digest: file.digest }))
    }
}

/// Bytes with the room they take.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The URLs under which this server is spoken to, the one for others first.
fn own_urls(config: &Config) -> Vec<HostUri> {
    let (ip, port) = (config.listen.ip(), config.listen.port());
    let mut hosts = vec![ip.to_string()];
    if ip.is_loopback() || ip.is_unspecified() {
        hosts.extend(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    }
    config.public_url.clone().into_iter().chain(hosts.iter().filter_map(|host| HostUri::of(host, port))).collect()
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn no_file(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("File not found: there is no file with the asset_id `{}`", shorten(id, 60)))
}

/// Whether a stored record is one of a file: only other assets have a URL in what is stored.
fn kind_of(document: &Map<String, Value>) -> AssetKind {
    if document.contains_key(PUBLIC_URL) { AssetKind::External } else { AssetKind::File }
}

fn id_of(document: &Map<String, Value>) -> &str {
    document.get("asset_id").and_then(Value::as_str).unwrap_or_default()
}

fn digest_of(document: &Map<String, Value>) -> Option<&str> {
    match kind_of(document) {
        AssetKind::File => document.get("asset_file_info")?.get("digest")?.as_str(),
        AssetKind::External => None,
    }
}

fn with_identity(draft: &AssetDraft, id: &str) -> Map<String, Value> {
    let mut document = draft.document.clone();
    document.insert("asset_uri".into(), json!(draft.uri.as_str()));
    document.insert("asset_id".into(), json!(id));
    document
}

fn file_document(draft: &AssetDraft, id: &str, info: &FileInfo, file: &Spooled) -> Map<String, Value> {
    let mut document = with_identity(draft, id);
    let added = json!({
        "file_name": info.name,
        "file_type": info.media_type,
        "file_size": file.size,
        "digest": file.digest.to_string(),
    });
    add_info(&mut document, added.as_object());
    document
}

fn add_info(document: &mut Map<String, Value>, added: Option<&Map<String, Value>>) {
    if let (Some(Value::Object(info)), Some(added)) = (document.get_mut("asset_file_info"), added) {
        info.extend(added.clone());
    }
}

/// The record with what the registry added to it before: neither is the author's to change.
fn with_computed(draft: &AssetDraft, before: &Map<String, Value>) -> Map<String, Value> {
    let mut document = with_identity(draft, id_of(before));
    if kind_of(before) == AssetKind::File {
        let info = before.get("asset_file_info").and_then(Value::as_object);
        let added = ["file_name", "file_type", "file_size", "digest"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), info?.get(name)?.clone())));
        add_info(&mut document, Some(&added.collect()));
    }
    document
}

/// A `PUT` sends the fields that it changes, as the original's does, or operators.
fn as_update(body: Value) -> Result<Value, FieldError> {
    let Value::Object(mut fields) = body else {
        return Err(FieldError::new("", "the body must be a JSON object: the fields to change"));
    };
    if fields.keys().any(|name| name.starts_with('$')) {
        return Ok(Value::Object(fields));
    }
    for name in COMPUTED {
        fields.shift_remove(name);
    }
    Ok(json!({"$set": fields}))
}
