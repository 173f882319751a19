//! From where a policy's code is said to be to a module that can run.
//!
//! ```text
//! CodeRef ──fetch──► Fetched ──verify──► Verified ──archive──► component ──compile──► Artifact ──open──► Module
//! ```
//!
//! A policy in Python has a package of its files in the place of the component (`python`).
//!
//! A module is identified by the sha256 of its component, so once that is known nothing is fetched again: it is in
//! memory, or its compiled code is on disk, or its bytes are. Requests that want the same thing at the same time
//! share one load.

pub mod archive;
pub mod assets;
pub mod cache;
pub mod client;
pub mod compile;
pub mod error;
pub mod fetch;
pub mod python;
mod reach;
pub mod system;

use std::{path::PathBuf, sync::Arc};

use lictor_model::{CodeRef, Digest, record::PolicyKind};
use lictor_sandbox::{Bounds, Module, Sandbox};
use moka::future::Cache;

pub use assets::{Asset, Assets};
pub use cache::DiskCache;
pub use client::{Answer, Ask, Client, Unanswered, Upload};
pub use compile::CompileIn;
use compile::{Priority, Workshop, blocking};
pub use error::{LoadCode, LoadError};
pub use fetch::{FetchRules, Fetched, Fetcher, Verified};
pub use python::Package;
pub use system::{System, Told, Untold};

/// Native code that is kept mapped while nobody uses it, in bytes.
const MAX_MAPPED: u64 = 2 << 30;
/// Modules that are kept so, however small: each takes about ten mappings of the 65,530 that Linux gives a process, and
/// two descriptors.
const MAX_KEPT: u64 = 1000;

/// Where modules come from. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

struct Shared {
    sandbox: Sandbox,
    fetcher: Fetcher,
    disk: Option<Arc<DiskCache>>,
    workshop: Workshop,
    bounds: Bounds,
    modules: Cache<(Digest, bool), Module>,
    /// Fetches in flight. A finished one is forgotten at once: the next load asks again.
    fetches: Cache<Fetch, Digest>,
    python: python::Host,
    freezer: Option<python::Freezer>,
}

/// What is fetched: a kind of code, by reference and pin.
type Fetch = (PolicyKind, CodeRef, Option<Digest>);

/// What is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What kind of code it is.
    pub kind: PolicyKind,
    /// Where its code is.
    pub code: &'a CodeRef,
    /// What the bytes there must hash to.
    pub code_digest: Option<&'a Digest>,
    /// The component that an earlier load found there; then `code` is used only if that is nowhere to be had.
    pub component: Option<Digest>,
    /// Whether its calls are to count fuel.
    pub metered: bool,
}

impl Loader {
    /// A loader that keeps what it made in `disk`, if it is given one.
    pub fn new(
        sandbox: Sandbox,
        rules: FetchRules,
        disk: Option<DiskCache>,
        place: CompileIn,
    ) -> Result<Self, LoadError> {
        let weigh = |_: &(Digest, bool), module: &Module| weight(module.code_bytes());
        let bounds = Bounds { initial_memory_bytes: sandbox.config().max_memory_bytes as u64, ..Bounds::default() };
        let shared = Shared {
            sandbox,
            fetcher: Fetcher::new(rules)?,
            disk: disk.map(Arc::new),
            workshop: Workshop::new(place),
            bounds,
            modules: Cache::builder().max_capacity(MAX_MAPPED).weigher(weigh).build(),
            fetches: Cache::new(1000),
            python: python::Host::default(),
            freezer: None,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same, for policies in Python too: `host` is where the Python host component is.
    #[must_use]
    pub fn with_python(mut self, host: Option<PathBuf>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.python = python::Host::at(host);
        }
        self
    }

    /// The same, with snapshots of policies in Python whose code takes `budget` bytes at most. Needs a runtime.
    #[must_use]
    pub fn with_snapshots(mut self, budget: usize) -> Self {
        if budget == 0 {
            return self;
        }
        let (freezer, asked) = python::Freezer::new();
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.freezer = Some(freezer);
        }
        tokio::spawn(python::freeze_for(Arc::downgrade(&self.shared), asked, budget));
        self
    }

    /// Compiles the interpreter of policies in Python if that was not done yet, while nobody waits: it takes as long as a
    /// hundred policies. Needs a runtime.
    pub fn prepare_python(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            if !shared.python.is_there() {
                return;
            }
            if let Err(error) = shared.prepare_python().await {
                let error = error.message().to_owned();
                tracing::warn!(error, "policies in Python cannot be run");
            }
        });
    }

    /// The module for `wanted`: from memory, from disk, or fetched, verified and compiled.
    pub async fn load(&self, wanted: Wanted<'_>) -> Result<Module, LoadError> {
        if wanted.kind == PolicyKind::PythonClass {
            self.shared.python.check()?;
        }
        if let Some(digest) = wanted.component {
            match self.module(digest, wanted.metered).await {
                Err(error) if error.code() == LoadCode::CodeUnreachable => {}
                found => return found,
            }
        }
        let digest = self.fetch_once(&wanted).await?;
        if let Some(expected) = wanted.component.filter(|expected| *expected != digest) {
            let message = format!(
                "the code now holds another component than the one that was loaded: expected {expected}, got {digest}"
            );
            return Err(LoadError::new(LoadCode::DigestMismatch, message));
        }
        self.module(digest, wanted.metered).await
    }

    /// The module if it is in memory. Never waits.
    pub async fn in_memory(&self, component: Digest, metered: bool) -> Option<Module> {
        self.shared.modules.get(&(component, metered)).await
    }

    /// Loads a component that is at hand.
    pub async fn load_bytes(&self, component: Vec<u8>, metered: bool) -> Result<Module, LoadError> {
        let digest = Digest::of(&component);
        self.shared.found(digest, component, metered, Priority::Usual).await
    }

    /// Loads a package of Python files that is at hand, to be run by this interpreter and no other.
    pub async fn load_interpreted(
        &self,
        package: Vec<u8>,
        interpreter: Vec<u8>,
        metered: bool,
    ) -> Result<Module, LoadError> {
        let host = self.shared.found(Digest::of(&interpreter), interpreter, metered, Priority::Usual).await?;
        self.shared.interpreted_by(&host, Digest::of(&package), &package).await
    }

    async fn fetch_once(&self, wanted: &Wanted<'_>) -> Result<Digest, LoadError> {
        // The reference itself: as text, two that differ in a query's value would look alike.
        let key = (wanted.kind, wanted.code.clone(), wanted.code_digest.copied());
        let fetched = self.shared.fetches.try_get_with(key.clone(), self.shared.fetch(wanted)).await;
        self.shared.fetches.invalidate(&key).await;
        fetched.map_err(unshare)
    }

    async fn module(&self, digest: Digest, metered: bool) -> Result<Module, LoadError> {
        self.shared.module(digest, metered).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
fn unshare(error: Arc<LoadError>) -> LoadError {
    LoadError::clone(&error)
}

impl Shared {
    /// Fetches, verifies and unpacks; keeps the component, and compiles it once to see whether it is a policy.
    async fn fetch(&self, wanted: &Wanted<'_>) -> Result<Digest, LoadError> {
        let verified = self.fetcher.fetch(wanted.code).await?.verify(wanted.code_digest)?;
        let kind = wanted.kind;
        let component = blocking(move || archive::code_of(&verified, kind)).await?;
        let digest = component.digest();
        self.found(digest, component.bytes().to_vec(), wanted.metered, Priority::Usual).await?;
        Ok(digest)
    }

    async fn module(&self, digest: Digest, metered: bool) -> Result<Module, LoadError> {
        self.modules.try_get_with((digest, metered), self.make(digest, metered)).await.map_err(unshare)
    }

    async fn found(
        &self,
        digest: Digest,
        component: Vec<u8>,
        metered: bool,
        priority: Priority,
    ) -> Result<Module, LoadError> {
        let made = async {
            match self.kept(digest, metered).await? {
                Some(module) => Ok(module),
                None => self.compile(digest, component, metered, priority).await,
            }
        };
        self.modules.try_get_with((digest, metered), made).await.map_err(unshare)
    }

    /// Makes a module of which only the digest is known.
    async fn make(&self, digest: Digest, metered: bool) -> Result<Module, LoadError> {
        if let Some(module) = self.kept(digest, metered).await? {
            return Ok(module);
        }
        let disk = self.disk.clone();
        let component = blocking(move || Ok(disk.and_then(|disk| disk.component(&digest)))).await?;
        let gone = || LoadError::new(LoadCode::CodeUnreachable, format!("the component {digest} is no longer at hand"));
        self.compile(digest, component.ok_or_else(gone)?, metered, Priority::Usual).await
    }

    /// The module from compiled code on disk, if there is some that can be trusted.
    async fn kept(&self, digest: Digest, metered: bool) -> Result<Option<Module>, LoadError> {
        let Some(disk) = self.disk.clone() else { return Ok(None) };
        let sandbox = self.sandbox.clone();
        blocking(move || kept(&sandbox, &disk, &digest, metered)).await
    }

    async fn compile(
        &self,
        digest: Digest,
        component: Vec<u8>,
        metered: bool,
        priority: Priority,
    ) -> Result<Module, LoadError> {
        if Package::is(&component) {
            // Boxed, since the interpreter is a module as well.
            return Box::pin(self.interpreted(digest, component, metered)).await;
        }
        let artifact = self.workshop.compile(component.clone(), self.bounds, metered, priority).await?;
        let (sandbox, disk) = (self.sandbox.clone(), self.disk.clone());
        blocking(move || {
            let module = sandbox.open(&artifact, metered)?;
            let Some(disk) = disk else { return Ok(module) };
            // Kept only now: what is no policy never gets into the cache.
            disk.keep_component(&digest, &component);
            disk.keep_artifact(&artifact, &sandbox.engine_hash(metered)?);
            if !module.has_twin() {
                return Ok(module);
            }
            // Of one that is read back, the component's code stays on the disk.
            Ok(kept(&sandbox, &disk, &digest, metered)?.unwrap_or(module))
        })
        .await
    }
}

/// The module from compiled code on disk, if there is some that can be trusted.
fn kept(sandbox: &Sandbox, disk: &DiskCache, digest: &Digest, metered: bool) -> Result<Option<Module>, LoadError> {
    let Some(artifact) = disk.artifact(digest, sandbox.engine_hash(metered)?) else { return Ok(None) };
    let opened = sandbox.open(&artifact, metered);
    if let Err(error) = &opened {
        tracing::warn!(%digest, %error, "compiled code in the cache does not load; it is made again");
    }
    Ok(opened.ok())
}

/// What keeping a module counts for, of [`MAX_MAPPED`].
fn weight(code_bytes: usize) -> u32 {
    u32::try_from((code_bytes as u64).max(MAX_MAPPED / MAX_KEPT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEPT, MAX_MAPPED, weight};

    #[test]
    fn no_more_modules_are_kept_than_a_process_may_map_however_small_they_are() {
        assert!(MAX_MAPPED / u64::from(weight(1)) <= MAX_KEPT + 1);
        assert_eq!(weight(64 << 20), 64 << 20);
    }
}
