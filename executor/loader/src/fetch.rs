//! Gets the bytes behind a code reference, and makes them *verified*.
//!
//! ```text
//! CodeRef ──fetch──► Fetched ──verify──► Verified ──component_of──► Verified ──compile──► a module
//!  parsed            capped, hashed      pinned, or                 the member
//!                                        known by its hash
//! ```
//! A [`Verified`] cannot be had in another way, so nothing compiles bytes that skipped a rung. What is fetched is
//! hashed as it arrives and bounded in size and in time, whoever sends it. Never unpacks, and never caches.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use lictor_model::{address::AllowPrivate, code::CodeRef, digest::Digest};
use tokio::{task, time};

use crate::{
    assets::{Asset, Assets},
    compile::blocking,
    error::{LoadCode, LoadError, quoted, size},
};

mod file;
mod web;

/// What may be fetched, and how much patience there is.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// Addresses that may be reached although they are not public.
    pub allow_private: AllowPrivate,
    /// Folders that `file://` may read from, at any depth.
    pub allow_file: Vec<PathBuf>,
    /// Whether a bare path may be read: for the command line, where the person who typed it may read it anyway.
    pub admit_paths: bool,
    /// The most bytes that are taken.
    pub max_bytes: u64,
    /// How long one connection may take to open, TLS included.
    pub connect_timeout: Duration,
    /// How long nothing at all may arrive.
    pub idle_timeout: Duration,
    /// How long everything may take, redirects included.
    pub total_timeout: Duration,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// What is asked before anything is fetched, if there is a registry of assets.
    pub assets: Option<Arc<dyn Assets>>,
}

impl Default for FetchRules {
    fn default() -> Self {
        Self {
            allow_private: AllowPrivate::default(),
            allow_file: Vec::new(),
            admit_paths: false,
            max_bytes: 64 << 20,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(60),
            max_redirects: 3,
            assets: None,
        }
    }
}

/// Fetches code under one set of rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    rules: Arc<FetchRules>,
    web: web::Web,
}

impl Fetcher {
    /// A fetcher under `rules`. Reads the machine's CA certificates, once; does not connect.
    pub fn new(rules: FetchRules) -> Result<Self, LoadError> {
        let web = web::Web::new(&rules)?;
        Ok(Self { rules: Arc::new(rules), web })
    }

    /// The bytes behind `code`, within the time and size that the rules give.
    ///
    /// Dropping the future closes the connection; a file that is being read is read to its end on its own thread.
    pub async fn fetch(&self, code: &CodeRef) -> Result<Fetched, LoadError> {
        let fetching = time::timeout(self.rules.total_timeout, self.fetch_patiently(code));
        fetching.await.unwrap_or_else(|_| Err(unreachable(code, "took too long altogether")))
    }

    async fn fetch_patiently(&self, code: &CodeRef) -> Result<Fetched, LoadError> {
        let Some(assets) = &self.rules.assets else { return self.fetch_elsewhere(code).await };
        match assets.find(code).await? {
            Asset::Not => self.fetch_elsewhere(code).await,
            Asset::Bytes(bytes) => self.at_hand(code, bytes).await,
            Asset::At(place) => self.fetch_elsewhere(&place).await,
        }
    }

    async fn at_hand(&self, code: &CodeRef, bytes: Bytes) -> Result<Fetched, LoadError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.rules.max_bytes {
            return Err(unreachable(code, format!("is larger than {}", size(self.rules.max_bytes))));
        }
        blocking(move || Ok(Fetched::of(bytes))).await
    }

    async fn fetch_elsewhere(&self, code: &CodeRef) -> Result<Fetched, LoadError> {
        match code {
            CodeRef::Http(url) => self.web.fetch(url, &self.rules).await,
            CodeRef::File(_) => self.read(code, file::read_admitted).await,
            CodeRef::Python(text) => self.at_hand(code, Bytes::copy_from_slice(text.as_bytes())).await,
            CodeRef::Path(_) if self.rules.admit_paths => self.read(code, file::read_path).await,
            CodeRef::Path(path) => {
                let message =
                    format!("{} is a bare path, where a URL or an asset is needed", quoted(&path.to_string_lossy()));
                Err(LoadError::new(LoadCode::InvalidInput, message))
            }
            CodeRef::Asset(_) => {
                let message = format!(
                    "{} is in a server's registry of assets, and there is none here",
                    quoted(&code.to_string())
                );
                Err(LoadError::new(LoadCode::NotAvailable, message))
            }
        }
    }

    async fn read(
        &self,
        code: &CodeRef,
        read: fn(&CodeRef, &FetchRules) -> Result<Bytes, LoadError>,
    ) -> Result<Fetched, LoadError> {
        let (code, rules) = (code.clone(), Arc::clone(&self.rules));
        let reading = task::spawn_blocking(move || read(&code, &rules).map(Fetched::of));
        reading
            .await
            .unwrap_or_else(|error| Err(LoadError::new(LoadCode::Internal, "reading was stopped").caused_by(error)))
    }
}

/// Bytes that came from outside, and their digest. Nothing is known of them yet.
#[derive(Clone)]
pub struct Fetched {
    bytes: Bytes,
    digest: Digest,
}

impl Fetched {
    /// Bytes that were not fetched from anywhere: an upload, a file the caller has read. Hashes them.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The sha256 of the bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Checks the bytes against a digest that was promised; without one, they are whatever their digest says.
    pub fn verify(self, expected: Option<&Digest>) -> Result<Verified, LoadError> {
        match expected {
            Some(expected) if *expected != self.digest => {
                let message = format!("digest mismatch: expected {expected}, got {}", self.digest);
                Err(LoadError::new(LoadCode::DigestMismatch, message))
            }
            _ => Ok(Verified { bytes: self.bytes, digest: self.digest }),
        }
    }
}

/// Bytes that are what they were promised to be, and their digest: the only thing that is unpacked or compiled.
#[derive(Clone)]
pub struct Verified {
    bytes: Bytes,
    digest: Digest,
}

impl Verified {
    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The sha256 of the bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// A part of these bytes, unpacked: as verified as the whole that it came from.
    pub(crate) fn member(&self, bytes: Bytes) -> Self {
        Self { digest: Digest::of(&bytes), bytes }
    }
}

// The bytes themselves have no place in a log.
impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetched({} bytes, {})", self.bytes.len(), self.digest)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// `code` gave nothing usable: it `did` this instead.
fn unreachable(code: &CodeRef, did: impl fmt::Display) -> LoadError {
    LoadError::new(LoadCode::CodeUnreachable, format!("{} {did}", quoted(&code.to_string())))
}

#[cfg(test)]
mod tests;
