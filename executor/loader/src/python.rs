//! Policies that are Python classes: their files as one package, and the component that runs them.
//!
//! A package is identified by the sha256 of its canonical text, so the same files are the same policy however they were
//! packed. It is kept where components are kept, and takes their place: what loads a component loads it too.

mod freezer;
mod package;

use std::path::{Path, PathBuf};

use lictor_model::{Digest, Limits, LimitsSpec, limits::Ceiling};
use lictor_sandbox::{Module, Source, Uncompiled, compile};
use tokio::sync::OnceCell;

pub(crate) use self::freezer::{Freezer, run as freeze_for};
pub use self::package::Package;
use crate::{
    Shared,
    compile::{Priority, blocking},
    error::{LoadCode, LoadError},
};

/// The file that the Python host component is in.
pub const HOST: &str = "python_host.wasm";
/// How long compiling or loading a policy's files may take, and how much memory.
const TIMEOUT_MS: u64 = 20_000;
const MEMORY_MB: u64 = 512;
/// What they may be compiled to.
const COMPILED_KB: u64 = 64 << 10;

/// Where the Python host component is, unless somebody says otherwise: beside this executable, where `make guests` leaves
/// it, or where packages of a distribution would.
pub fn usual_host() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let folder = exe.parent()?;
    let places = ["", "../guests", "../lib/lictor", "../share/lictor"];
    places.iter().map(|place| folder.join(place).join(HOST)).find(|path| path.is_file())
}

/// The Python host component.
#[derive(Default)]
pub(crate) struct Host {
    place: Option<PathBuf>,
    /// What it was when it was first needed, and that which counts fuel. One that is exchanged later is for the next
    /// process. Never forgotten: a second copy would take its memory again.
    modules: [OnceCell<Module>; 2],
}

impl Host {
    pub(crate) fn at(place: Option<PathBuf>) -> Self {
        Self { place, ..Self::default() }
    }

    fn module(&self, metered: bool) -> &OnceCell<Module> {
        let [plain, counting] = &self.modules;
        if metered { counting } else { plain }
    }

    /// Whether there is one, as far as can be seen from outside.
    pub(crate) fn is_there(&self) -> bool {
        self.place.as_deref().is_some_and(Path::is_file)
    }

    /// Says what is missing, before anything is fetched in vain.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.modules.iter().any(OnceCell::initialized) || self.is_there() {
            return Ok(());
        }
        Err(missing(self.place.as_deref()))
    }

    /// Its component, and what that is.
    pub(crate) async fn read(&self) -> Result<(Digest, Vec<u8>), LoadError> {
        let place = self.place.clone().ok_or_else(|| missing(None))?;
        blocking(move || {
            let read = std::fs::read(&place).map_err(|error| {
                let why = format!("the Python host component `{}` cannot be read: {error}", place.display());
                LoadError::new(LoadCode::NotAvailable, why).caused_by(error)
            });
            read.map(|bytes| (Digest::of(&bytes), bytes))
        })
        .await
    }
}

fn missing(place: Option<&Path>) -> LoadError {
    let place = place.map(|place| format!(", and `{}` is none", place.display())).unwrap_or_default();
    let why = format!(
        "policies of type `python_class_v1` need the Python host component, `{HOST}`{place}: `make guests` builds it, and \
         the setting `python_host` says where it is"
    );
    LoadError::new(LoadCode::NotAvailable, why)
}

impl Shared {
    /// What an interpreter may use that compiles or loads a policy's files.
    fn patience(&self) -> Limits {
        let wanted = LimitsSpec {
            timeout_ms: Some(TIMEOUT_MS),
            memory_mb: Some(MEMORY_MB),
            output_kb: Some(COMPILED_KB),
            ..LimitsSpec::default()
        };
        let memory_mb = (self.sandbox.config().max_memory_bytes >> 20) as u64;
        wanted.within(&Ceiling { memory_mb, output_kb: COMPILED_KB, ..Ceiling::default() })
    }

    /// Compiles the interpreter, if that was not done before. Only policies in Python have it mapped.
    pub(crate) async fn prepare_python(&self) -> Result<(), LoadError> {
        let (digest, bytes) = self.python.read().await?;
        let engine = self.sandbox.engine_hash(false)?;
        if self.disk.as_ref().is_some_and(|disk| disk.has_artifact(&digest, &engine)) {
            return Ok(());
        }
        self.found(digest, bytes, false, Priority::Low).await.map(drop)
    }

    /// The module of the interpreter.
    async fn python_host(&self, metered: bool) -> Result<Module, LoadError> {
        let made = self.python.module(metered).get_or_try_init(async || {
            let (digest, bytes) = self.python.read().await?;
            self.found(digest, bytes, metered, Priority::Usual).await
        });
        made.await.cloned()
    }

    /// The module of a package.
    pub(crate) async fn interpreted(
        &self,
        digest: Digest,
        package: Vec<u8>,
        metered: bool,
    ) -> Result<Module, LoadError> {
        let host = self.python_host(metered).await?;
        let module = self.interpreted_by(&host, digest, &package).await?;
        let disk = self.disk.clone();
        blocking(move || {
            if let Some(disk) = disk {
                disk.keep_component(&digest, &package);
            }
            Ok(())
        })
        .await?;
        Ok(module)
    }

    /// The module of a package that this interpreter runs.
    pub(crate) async fn interpreted_by(
        &self,
        host: &Module,
        digest: Digest,
        package: &[u8],
    ) -> Result<Module, LoadError> {
        let compiled = compile(&self.sandbox, host, package, self.patience()).await.map_err(refused)?;
        let module = host.interpreting(Source::new(digest, compiled))?;
        if let Some(freezer) = &self.freezer {
            freezer.watch(&module);
        }
        Ok(module)
    }
}

/// What the interpreter says of files that it does not take.
fn refused(why: Uncompiled) -> LoadError {
    let failure = match why {
        Uncompiled::Refused(failure) => failure,
        Uncompiled::Stopped(why) => {
            return LoadError::new(LoadCode::TooComplex, format!("compiling the policy's Python was stopped: {why}"));
        }
        Uncompiled::Internal(why) => return LoadError::new(LoadCode::Internal, why),
    };
    let codes = [LoadCode::NotAComponent, LoadCode::MissingExport, LoadCode::UnknownImport, LoadCode::BadArchive];
    let code = codes.into_iter().find(|code| code.as_str() == failure.code).unwrap_or(LoadCode::BadArchive);
    LoadError::new(code, failure.message)
}
