//! `lictor audit list`.

use std::ops::ControlFlow;

use clap::Args;

use super::{
    super::{Failure, print},
    place::Place,
    unreadable,
    wanted::Wanted,
};
use crate::decisions::read::each;

/// List decisions: the record of each, a line of JSON, the oldest first.
#[derive(Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (folder, filter) = (self.place.log()?, self.wanted.filter()?);
        let (mut left, mut printed) = (self.limit.unwrap_or(u64::MAX), Ok(()));
        if left == 0 {
            return Ok(());
        }
        let read = each(&folder, &filter, |found| {
            printed = print::json_line(&found.text);
            left = left.saturating_sub(1);
            if printed.is_err() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.map_err(|error| unreadable(&folder, &error))?;
        printed
    }
}
