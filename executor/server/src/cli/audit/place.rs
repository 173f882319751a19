//! Where the log is that a command reads.

use std::path::PathBuf;

use clap::Args;

use super::super::Failure;
use crate::{
    config::{self, Flags},
    decisions::FOLDER,
};

/// Where the log is.
#[derive(Args)]
pub(in crate::cli) struct Place {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) data_dir: Option<PathBuf>,
    /// The server's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The data directory.
    pub(in crate::cli) fn data_dir(&self) -> Result<PathBuf, Failure> {
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        config::data_dir(self.config.clone(), &flags).map_err(Failure::Usage)
    }

    /// The folder of the log.
    pub(in crate::cli) fn log(&self) -> Result<PathBuf, Failure> {
        let folder = self.data_dir()?.join(FOLDER);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(Failure::Usage(format!("there is no decision log: `{}` is not there", folder.display())))
    }
}
