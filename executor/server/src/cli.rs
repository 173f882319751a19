//! The command line: what each subcommand takes, and which exit code means what.

mod answer;
mod audit;
mod bench;
mod compile;
mod completions;
mod document;
mod eval;
mod flags;
mod host;
mod inspect;
mod new;
mod pack;
mod print;
mod progress;
mod pull;
mod push;
mod remote;
mod replay;
mod serve;
mod source;
mod test;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lictor_loader::{LoadCode, LoadError};

/// Runs policies that are WebAssembly components: each call in a sandbox with exactly the limits and capabilities
/// it was granted.
#[derive(Parser)]
#[command(name = "lictor", version, max_term_width = 100, help_template = HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// clap lists commands in one block; a newcomer looks for what to do first.
const HELP: &str = "\
{about}

Usage: lictor <COMMAND>

Run a policy
  eval         Ask a policy for a decision
  manage       Give a policy a management command
  test         Check a policy's answers against its fixtures
  bench        Measure how fast a policy answers

Make a policy
  new          Start a new policy in Rust
  pack         Build a policy and write its package and record
  inspect      Show what a component is, and what it would need to run
  push         Publish a policy on a server
  pull         Fetch a policy from a server

Serve policies
  serve        Serve the API until told to stop
  token        Make, list and revoke the tokens that open the API
  audit        Read the decision log, and prove it whole
  replay       Make recorded decisions again, or ask another version of the policy
  completions  Print a shell's completion script

Options
  -h, --help     Print help
  -V, --version  Print the version

`lictor COMMAND --help` explains a command. Try one:
  lictor eval target/guests/ip_allowlist.zip --settings '{}' --input '{\"ip\": \"127.0.0.1\"}'
";

/// What the exit codes mean, for the help of the commands that run policies.
const EXIT_CODES: &str = "\
Exit codes:
  0  the policy answered
  1  it answered with an error, trapped, or gave bad output
  2  the command or its input makes no sense
  3  the policy could not be loaded or verified
  4  a limit stopped it
  5  a failure of lictor's own";

#[derive(Subcommand)]
enum Command {
    Eval(eval::Eval),
    Manage(eval::Manage),
    Test(test::Test),
    Bench(bench::Bench),
    New(new::New),
    Pack(pack::Pack),
    Inspect(inspect::Inspect),
    Push(push::Push),
    Pull(pull::Pull),
    /// Serve the API until told to stop.
    Serve(serve::Serve),
    Token(token::Token),
    Audit(audit::Audit),
    Replay(replay::Replay),
    Completions(completions::Completions),
    /// Compile a component from standard input to standard output; `serve` runs this as a child.
    #[command(hide = true)]
    CompileComponent(compile::CompileComponent),
}

/// Why a command did not succeed. Each has its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: the policy's own fault, or a test that failed; standard output has said so.
    Policy,
    /// 2: the command, its configuration or its input makes no sense.
    Usage(String),
    /// 3: the policy could not be loaded or verified.
    Load(LoadError),
    /// 4: a limit stopped the policy; standard output has said so.
    Limit,
    /// 5: our own failure.
    Internal(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Policy => 1,
            Self::Usage(_) => 2,
            Self::Load(_) => 3,
            Self::Limit => 4,
            Self::Internal(_) => 5,
        }
    }

    fn message(&self) -> Option<&str> {
        match self {
            Self::Policy | Self::Limit => None,
            Self::Usage(message) | Self::Internal(message) => Some(message),
            Self::Load(error) => Some(error.message()),
        }
    }

    /// Our own failure, from an error of somebody else's.
    fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// The policy cannot be had.
    fn load(code: LoadCode, message: impl Into<String>) -> Self {
        Self::Load(LoadError::new(code, message))
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error.code() {
            LoadCode::Internal => Self::Internal(error.message().to_owned()),
            _ => Self::Load(error),
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Eval(eval) => eval.run(),
        Command::Manage(manage) => manage.run(),
        Command::Test(test) => test.run(),
        Command::Bench(bench) => bench.run(),
        Command::New(new) => new.run(),
        Command::Pack(pack) => pack.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Push(push) => push.run(),
        Command::Pull(pull) => pull.run(),
        Command::Serve(serve) => serve.run(),
        Command::Token(token) => token.run(),
        Command::Audit(audit) => audit.run(),
        Command::Replay(replay) => replay.run(),
        Command::Completions(completions) => completions.run(),
        Command::CompileComponent(compile) => compile.run(),
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message() {
        print::note(format_args!("lictor: {message}"));
    }
    ExitCode::from(failure.exit_code())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let line = format!("\n  {:<12} ", command.get_name());
            assert!(HELP.contains(&line), "{line}");
        }
    }
}
