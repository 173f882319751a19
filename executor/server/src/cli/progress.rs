//! Shows that something is going on: on standard error, if that is a terminal, and only once it takes a while.

use std::{pin::pin, time::Duration};

use indicatif::ProgressBar;

/// How long something may take before it is worth a word.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Awaits `work`, saying `what` it is if it takes longer.
pub(super) async fn during<T>(what: String, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let spinner = spinner(what);
    let done = work.await;
    spinner.finish_and_clear();
    done
}

/// A spinner that turns by itself until it is finished. Draws nothing where standard error is no terminal.
pub(super) fn spinner(what: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(TURN);
    spinner
}
