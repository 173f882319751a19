//! The command line: what each subcommand takes, and which exit code means what.

mod compile;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs policies that are WebAssembly components: each call in a sandbox with exactly the limits and capabilities
/// it was granted.
#[derive(Parser)]
#[command(name = "lictor", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until told to stop.
    Serve(serve::Serve),
    /// Compile a component from standard input to standard output; `serve` runs this as a child.
    #[command(hide = true)]
    CompileComponent(compile::CompileComponent),
}

/// Why a command did not succeed. Each has its exit code.
pub(crate) enum Failure {
    /// 2: the command, its configuration or its input makes no sense.
    Usage(String),
    /// 5: our own failure.
    Internal(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Internal(_) => 5,
        }
    }

    fn message(&self) -> &str {
        let (Self::Usage(message) | Self::Internal(message)) = self;
        message
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::CompileComponent(compile) => compile.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("lictor: {}", failure.message());
            ExitCode::from(failure.exit_code())
        }
    }
}
