//! Where components are compiled: in a child process that can be killed, or in this one.
//!
//! A component can be made to take very long or very much memory to compile, and a compiler cannot be interrupted
//! from inside. A server therefore runs itself again as `lictor compile-component`, under limits of its own, and
//! kills it when its time is over. A command that runs one policy of its own user compiles in process.
//!
//! The child reads the component from its standard input and writes 32 bytes, the hash of the engine it compiled
//! for, and the native code as `aot::Code` puts it.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf, process::Stdio, time::Duration};

use bytes::Bytes;
use lictor_model::Digest;
use lictor_sandbox::{
    Bounds, Compiler, Facts, OpenError, Refusal, RefusalCode,
    aot::{Artifact, Code},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::Semaphore,
};

use crate::error::{LoadCode, LoadError};

/// How long one component may take to compile.
const TIME: Duration = Duration::from_secs(120);
/// The most native code of one component.
const MAX_CODE: u64 = 512 << 20;
/// Compilations at the same time.
const AT_ONCE: usize = 2;
/// How often a component is compiled whose compiler somebody else killed.
const TRIES: usize = 3;
/// The signal that ends a process whatever it does. What a component does to its compiler ends that in other ways.
const KILLED: i32 = 9;

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum CompileIn {
    /// In this process.
    Process,
    /// In a child: this executable, run as `compile-component`.
    Child(PathBuf),
}

/// How urgent a compilation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Somebody waits.
    Usual,
    /// Nobody waits: the child gives way to what else runs on the machine.
    Low,
}

/// Compiles a few components at a time.
pub(crate) struct Workshop {
    place: CompileIn,
    permits: Semaphore,
}

impl Workshop {
    pub(crate) fn new(place: CompileIn) -> Self {
        Self { place, permits: Semaphore::new(AT_ONCE) }
    }

    /// Inspects and compiles `component`. Never runs on the thread that asks.
    pub(crate) async fn compile(
        &self,
        component: Vec<u8>,
        bounds: Bounds,
        metered: bool,
        priority: Priority,
    ) -> Result<Artifact, LoadError> {
        let _permit = self.permits.acquire().await.map_err(|_| internal("the compiler is closed"))?;
        let (component, facts) = blocking(move || {
            let facts = Facts::read(&component, &bounds)?;
            Ok((component, facts))
        })
        .await?;
        match &self.place {
            CompileIn::Process => blocking(move || Ok(Compiler::new(metered)?.compile(&facts, &component)?)).await,
            CompileIn::Child(exe) => {
                let component = Bytes::from(component);
                for _ in 0..TRIES {
                    if let Some(artifact) =
                        compile_in_child(exe, &facts.digest, component.clone(), metered, priority).await?
                    {
                        return Ok(artifact);
                    }
                }
                Err(internal("the compiler was killed by somebody else, each time: the machine may be out of memory"))
            }
        }
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| internal("loading was interrupted").caused_by(error))?
}

/// None if somebody killed the child, which says nothing of the component.
async fn compile_in_child(
    exe: &PathBuf,
    digest: &Digest,
    component: Bytes,
    metered: bool,
    priority: Priority,
) -> Result<Option<Artifact>, LoadError> {
    let mut command = Command::new(exe);
    command.arg("compile-component").args(metered.then_some("--metered"));
    command.args((priority == Priority::Low).then_some("--low-priority"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).env_clear();
    let mut child = command.spawn().map_err(|error| internal("the compiler cannot be started").caused_by(error))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(internal("the compiler has no pipes"));
    };
    let work = async {
        let (mut code, mut said) = (Vec::new(), String::new());
        let feed = async move {
            // A child that ends early closes the pipe; what it says counts, not that.
            drop(stdin.write_all(&component).await);
        };
        let (mut stdout, mut stderr) = (stdout.take(MAX_CODE), stderr.take(4096));
        let (_, read, _) = tokio::join!(feed, stdout.read_to_end(&mut code), stderr.read_to_string(&mut said));
        let status = child.wait().await;
        (read, status, code, said)
    };
    let too_long = |_| {
        LoadError::new(LoadCode::TooComplex, format!("the component took longer than {} s to compile", TIME.as_secs()))
    };
    let (read, status, code, said) = tokio::time::timeout(TIME, work).await.map_err(too_long)?;
    read.map_err(|error| internal("the compiler cannot be read").caused_by(error))?;
    let status = status.map_err(|error| internal("the compiler got lost").caused_by(error))?;
    if status.signal() == Some(KILLED) {
        tracing::warn!(component = %digest, "the compiler was killed by somebody else");
        return Ok(None);
    }
    if !status.success() {
        let why = if said.trim().is_empty() {
            "the compiler used up its memory or time".into()
        } else {
            said.trim().to_owned()
        };
        return Err(LoadError::new(LoadCode::TooComplex, why));
    }
    let written = Bytes::from(code);
    let (engine, code) = written.split_first_chunk::<32>().ok_or_else(|| internal("the compiler wrote nothing"))?;
    let code =
        Code::from_bytes(&written.slice_ref(code)).ok_or_else(|| internal("the compiler did not write everything"))?;
    Ok(Some(Artifact::new(*digest, *engine, code)))
}

fn internal(message: &str) -> LoadError {
    LoadError::new(LoadCode::Internal, message)
}

impl From<OpenError> for LoadError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused(refusal) => refusal.into(),
            OpenError::Internal(message) => internal(&message),
        }
    }
}

impl From<Refusal> for LoadError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RefusalCode::NotAComponent => LoadCode::NotAComponent,
            RefusalCode::MissingExport => LoadCode::MissingExport,
            RefusalCode::UnknownImport => LoadCode::UnknownImport,
            RefusalCode::TooComplex => LoadCode::TooComplex,
        };
        Self::new(code, refusal.message)
    }
}
