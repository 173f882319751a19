//! How many jobs each executor has, out of what records are found by.

use std::collections::HashMap;

use super::{Kind, Store, db::Row, terms::decode};
use crate::error::Error;

/// Jobs that are not over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActiveJobs {
    /// Those that run.
    pub running: u64,
    /// Those that wait.
    pub pending: u64,
}

impl Store {
    /// Jobs that are not over yet, by the id of their executor; one that has none is left out.
    pub async fn active_jobs(&self) -> Result<HashMap<String, ActiveJobs>, Error> {
        let sql = "SELECT executor.value, status.value, COUNT(*) FROM terms AS status
             JOIN terms AS executor ON executor.kind = $1 AND executor.id = status.id AND executor.field = 'executor_id'
             WHERE status.kind = $1 AND status.field = 'job_status' AND status.value IN ('pending', 'running')
             GROUP BY executor.value, status.value";
        let mut res = HashMap::<String, ActiveJobs>::new();
        for row in self.db.fetch(sql, &[Kind::Job.name().into()]).await? {
            let jobs = res.entry(decode(row.text(0)?).into_owned()).or_default();
            let n = count(&row)?;
            if row.text(1)? == "running" { jobs.running = n } else { jobs.pending = n }
        }
        Ok(res)
    }
}

fn count(row: &Row) -> Result<u64, Error> {
    Ok(u64::try_from(row.int(2)?).unwrap_or(0))
}
