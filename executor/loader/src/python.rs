//! Policies that are Python classes: their files as one package, and the component that runs them.
//!
//! A package is identified by the sha256 of its canonical text, so the same files are the same policy however they were
//! packed. It is kept where components are kept, and takes their place: what loads a component loads it too.

mod freezer;
mod package;

use std::path::{Path, PathBuf};

use lictor_model::{Digest, LimitsSpec, limits::Ceiling};
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
/// How long compiling a policy's files may take, and how much memory.
const COMPILING: (u64, u64) = (20_000, 512);
/// What is compiled at most.
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

    pub(crate) async fn read(&self) -> Result<Vec<u8>, LoadError> {
        let place = self.place.clone().ok_or_else(|| missing(None))?;
        blocking(move || {
            std::fs::read(&place).map_err(|error| {
                let why = format!("the Python host component `{}` cannot be read: {error}", place.display());
                LoadError::new(LoadCode::NotAvailable, why).caused_by(error)
            })
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
    /// The module of the interpreter.
    pub(crate) async fn python_host(&self, metered: bool, priority: Priority) -> Result<Module, LoadError> {
        let made = self.python.module(metered).get_or_try_init(async || {
            let bytes = self.python.read().await?;
            let (digest, bytes) = blocking(move || Ok((Digest::of(&bytes), bytes))).await?;
            self.found(digest, bytes, metered, priority).await
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
        let host = self.python_host(metered, Priority::Usual).await?;
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
        let (timeout_ms, memory_mb) = COMPILING;
        let most = (self.sandbox.config().max_memory_bytes >> 20) as u64;
        let ceiling =
            Ceiling { timeout_ms, memory_mb: memory_mb.min(most), output_kb: COMPILED_KB, ..Ceiling::default() };
        let wanted = LimitsSpec {
            timeout_ms: Some(timeout_ms),
            memory_mb: Some(memory_mb),
            output_kb: Some(COMPILED_KB),
            ..LimitsSpec::default()
        };
        let compiled = compile(&self.sandbox, host, package, wanted.within(&ceiling)).await.map_err(refused)?;
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
