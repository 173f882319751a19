//! `lictor completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::{Cli, Failure, print};

/// Print a shell's completion script.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// For which shell.
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  lictor completions bash > ~/.local/share/bash-completion/completions/lictor
  lictor completions zsh > ~/.zfunc/_lictor";

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "lictor", &mut script);
        print::line(String::from_utf8_lossy(&script).trim_end())
    }
}
