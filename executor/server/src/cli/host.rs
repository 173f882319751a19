//! What a command runs a policy with: a small sandbox, compiled code kept between commands, and guests' words on
//! standard error.

use std::sync::Arc;

use lictor_loader::{CompileIn, DiskCache, FetchRules, LoadError, Loader, Verified};
use lictor_model::{Limits, Schemas, address::AllowPrivate, limits::Ceiling};
use lictor_sandbox::{
    Call, CallFacts, Instance, LogLine, Module, Op, Recorder, RunError, Sandbox, SandboxConfig, TapeMode,
    context::Bucket, run,
};
use tokio::runtime::{Builder, Runtime};

use super::{Failure, print, progress};
use crate::{
    checked::{self, Checked},
    config, telemetry,
};

/// Instances that a command has alive at the same time.
const INSTANCES: u32 = 8;

/// What a command runs a policy with.
pub(super) struct Host {
    runtime: Runtime,
    pub(super) sandbox: Sandbox,
    loader: Loader,
}

impl Host {
    /// A host whose guests may reach these addresses beside public ones.
    pub(super) fn new(allow_private: AllowPrivate) -> Result<Self, Failure> {
        Self::sized(allow_private, INSTANCES)
    }

    /// A host for that many instances.
    pub(super) fn sized(allow_private: AllowPrivate, max_instances: u32) -> Result<Self, Failure> {
        telemetry::init("error", telemetry::LogFormat::Text).map_err(Failure::Internal)?;
        let max_memory_bytes = usize::try_from(Ceiling::default().memory_mb << 20).unwrap_or(usize::MAX);
        let sandbox = Sandbox::new(SandboxConfig { max_instances, max_memory_bytes, allow_private });
        let sandbox = sandbox.map_err(Failure::internal)?;
        // A machine without a home folder only compiles anew each time.
        let disk = config::cache_dir().and_then(|dir| DiskCache::open(&dir).ok());
        let loader = Loader::new(sandbox.clone(), FetchRules::default(), disk, CompileIn::Process)?;
        let loader = loader.with_python(config::python_host());
        Ok(Self { runtime: runtime()?, sandbox, loader })
    }

    /// Makes a component ready to run under `limits`.
    pub(super) fn load(&self, component: &Verified, limits: &Limits) -> Result<Module, Failure> {
        let bytes = component.bytes().to_vec();
        let what = format!("compiling {} KiB of WebAssembly", bytes.len() / 1024);
        let loading = self.loader.load_bytes(bytes, limits.fuel().is_some());
        let module = self.runtime.block_on(progress::during(what, loading))?;
        module.fits(limits).map_err(LoadError::from)?;
        Ok(module)
    }

    /// Makes one call of a policy that has these schemas.
    pub(super) fn run(
        &self,
        instance: &mut Instance,
        call: Call<'_>,
        schemas: &Arc<Schemas>,
    ) -> Result<Checked, Failure> {
        let op = call.op;
        self.runtime.block_on(checked::run(schemas, op, run(&self.sandbox, instance, call))).map_err(Failure::from)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// A runtime of this thread alone: a command makes one call at a time.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(format!("no runtime: {error}")))
}

/// A call of a command. Nothing keeps its context but the caller.
pub(super) fn call<'a>(op: Op<'a>, limits: Limits, context: &Arc<Bucket>, recorder: &Arc<dyn Recorder>) -> Call<'a> {
    let facts = CallFacts::now("cli", "cli", &limits);
    let (context, recorder) = (Some(Arc::clone(context)), Arc::clone(recorder));
    Call { op, limits, facts, context, dry_run: false, tape: TapeMode::Off, recorder }
}

/// Passes on what the guest says, on standard error.
pub(super) struct Aloud;

impl Aloud {
    pub(super) fn recorder() -> Arc<dyn Recorder> {
        Arc::new(Self)
    }
}

impl Recorder for Aloud {
    fn log(&self, line: LogLine<'_>) {
        print::note(format_args!("[{}] {}: {}", line.level.as_str(), line.context, line.message));
    }

    fn denied(&self, _policy_rule_uri: &str, missing: &str) {
        print::note(format_args!("[warn] refused: this needs the grant {missing}, in the record or by --grant"));
    }
}
