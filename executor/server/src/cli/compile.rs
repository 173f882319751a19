//! `lictor compile-component`: the child process that compiles. Sees one component and nothing else.
//!
//! It puts itself under limits of memory and processor time before it reads a byte, so a component that is made to
//! exhaust the compiler exhausts only this process. One that takes the compiler over finds no file, no socket and no
//! secret: nothing can be opened any more, and the environment is empty.

use std::io::{Read as _, Write as _};

use clap::Args;
use lictor_sandbox::{Bounds, Compiler, Facts};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::Failure;

/// Address space, in bytes.
const MEMORY: u64 = 6 << 30;
/// Processor seconds.
const SECONDS: u64 = 120;
/// How far it gives way: what it makes relieves a busy machine, so it must get on there too.
const NICENESS: i32 = 5;
/// Descriptors: the three pipes that it was started with.
const OPEN: u64 = 3;

/// Compile a component from standard input to standard output.
#[derive(Args)]
pub(super) struct CompileComponent {
    /// For calls that count fuel.
    #[arg(long)]
    metered: bool,
    /// Give way to what else runs on the machine.
    #[arg(long)]
    low_priority: bool,
}

impl CompileComponent {
    pub(super) fn run(self) -> Result<(), Failure> {
        limit(Resource::As, MEMORY, MEMORY)?;
        // Past the first it is ended by a signal of its own, which tells it from one that somebody killed.
        limit(Resource::Cpu, SECONDS, SECONDS + 5)?;
        limit(Resource::Core, 0, 0)?;
        limit(Resource::Fsize, 0, 0)?;
        limit(Resource::Nofile, OPEN, OPEN)?;
        // Nobody reads what it compiles once the server is gone; or rather the thread that started it, which is one of the
        // runtime's and lasts as long.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| internal(std::io::Error::from(error)))?;
        if self.low_priority {
            // One that may not even do this compiles all the same.
            rustix::process::nice(NICENESS).ok();
        }
        let mut component = Vec::new();
        let bounds = Bounds::default();
        std::io::stdin().take(bounds.bytes as u64 + 1).read_to_end(&mut component).map_err(internal)?;
        let facts = Facts::read(&component, &bounds).map_err(|refusal| Failure::Usage(refusal.to_string()))?;
        let compiler = Compiler::new(self.metered).map_err(internal)?;
        let code = compiler.code(&facts, &component).map_err(internal)?;
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(&compiler.hash())
            .and_then(|()| stdout.write_all(&code.to_bytes()))
            .and_then(|()| stdout.flush())
            .map_err(internal)
    }
}

fn limit(resource: Resource, soft: u64, hard: u64) -> Result<(), Failure> {
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    setrlimit(resource, limit).map_err(|error| internal(std::io::Error::from(error)))
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(error.to_string())
}
