//! What goes on beside the jobs: records whose time is over are removed, and what other processes do is noticed.

use std::time::Duration;

use super::{Jobs, board::News};
use crate::store::{Change, Kind, Stage};

/// Records that are removed at once.
const BATCH: usize = 200;
/// How often it is looked for records to remove.
const SWEEP: Duration = Duration::from_secs(1);

/// Removes the records of jobs whose time is over.
pub(super) async fn sweep(jobs: Jobs) {
    let parts = &jobs.parts;
    let sweep = async {
        loop {
            match parts.store.remove_jobs(BATCH).await {
                Ok(removed) => {
                    removed.iter().for_each(|job_id| parts.board.tell(job_id, News::Removed));
                    if !removed.is_empty() {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(error = error.chain(), "jobs whose time is over could not be removed"),
            }
            tokio::time::timeout(SWEEP, parts.board.bell(Stage::Done).notified()).await.ok();
        }
    };
    parts.stopping.run_until_cancelled(sweep).await;
}

/// Follows what other processes do to jobs.
pub(super) async fn follow_changes(jobs: Jobs) {
    let mut changes = jobs.parts.store.changes();
    while let Some(Some(change)) = jobs.parts.stopping.run_until_cancelled(changes.next()).await {
        let concerned: Vec<String> = match change {
            // It may be one for us.
            Change::One(Kind::Job, job_id) => {
                jobs.parts.board.bell(Stage::Due).notify_one();
                Some(job_id).filter(|job_id| jobs.parts.board.concerns(job_id)).into_iter().collect()
            }
            Change::All => jobs.parts.board.of_concern().into_iter().collect(),
            _ => Vec::new(),
        };
        for job_id in concerned {
            if let Err(error) = jobs.look_at(&job_id).await {
                tracing::warn!(job = job_id, error = error.chain(), "it cannot be seen what became of a job");
            }
        }
    }
}
