//! `lictor audit`: what the decision log says, and whether it is what was written.

mod list;
pub(super) mod place;
pub(super) mod show;
mod stats;
mod verify;
pub(super) mod wanted;

use std::{io, path::Path};

use clap::{Args, Subcommand};

use super::Failure;

/// Read the decision log, and prove it whole.
///
/// The log is in the folder `decisions` of a server's data directory. These commands read it, whether or not the server
/// runs, and change nothing.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Verify(verify::Verify),
    Show(show::Show),
    List(list::List),
    Stats(stats::Stats),
}

const EXAMPLES: &str = "\
Examples:
  lictor audit verify --data-dir /var/lib/lictor
  lictor audit verify --data-dir /var/lib/lictor --key $(cat key.pub) --head head-of-yesterday.json
  lictor audit show 0198c0de-0000-7000-8000-000000000000 --data-dir /var/lib/lictor
  lictor audit list --data-dir /var/lib/lictor --since 1h --outcome timeout
  lictor audit stats --data-dir /var/lib/lictor --since 7d

Exit codes:
  0  it is done; of `verify`: the log is whole
  1  the log is not what was written, or has no such decision
  2  the command makes no sense
  5  a failure of lictor's own";

pub(super) fn unreadable(folder: &Path, error: &io::Error) -> Failure {
    Failure::Internal(format!("the log in `{}` cannot be read: {error}", folder.display()))
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Verify(verify) => verify.run(),
            What::Show(show) => show.run(),
            What::List(list) => list.run(),
            What::Stats(stats) => stats.run(),
        }
    }
}
