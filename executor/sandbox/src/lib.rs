//! Runs one policy call inside a WebAssembly sandbox. The only crate that names wasmtime.
//!
//! Code goes up a ladder of types, each rung a cost that is paid once:
//!
//! ```text
//! bytes ──Facts::read──► Facts        what it is, imports and exports; refused here if it is not a policy
//!   └──Compiler::compile──► Artifact  native code, kept on disk under a MAC (`aot`)
//!         └──Sandbox::open──► Module  mapped, linked, its types checked; cheap to clone
//!               └──Instance::new      a module with the settings of one policy
//!                     └──run──► Run   the one door: every call of a guest goes through it
//! ```
//!
//! A policy in Python is the module of an interpreter with a source of its own (`source`).
//!
//! What a guest may reach is decided in `imports`; what it may use, in `state`.

pub mod aot;
mod attempt;
pub mod checked;
pub mod context;
mod engine;
mod host;
mod imports;
mod inspect;
mod log;
mod module;
mod pages;
mod recorder;
mod run;
mod source;
mod spare;
mod state;
mod tape;
mod twin;

pub use checked::Checked;
pub use engine::{Compiler, Sandbox, SandboxConfig};
pub use host::HostFunctions;
pub use imports::known::Provision;
pub use inspect::{Bounds, Facts, Refusal, RefusalCode};
pub use log::{Level, LogLine};
pub use module::{Module, OpenError};
pub use recorder::{Canned, Recorder, TracingRecorder};
pub use run::{
    Call, CallFacts, Frozen, Instance, Op, Policy, Run, RunError, Uncompiled, compile, freeze, instrumented, run,
};
pub use source::Source;
pub use tape::{Data, Event, HttpAnswer, Matching, TapeMode, Told, Transcript};
