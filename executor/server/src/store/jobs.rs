//! Jobs: their records, when each is seen to next, and when its record is removed.
//!
//! Every change of a record names the revision that it was made of, so of two that exclude each other one is made.
//! Times are those of the database, the one clock that all processes on it have.

use std::{collections::HashSet, sync::Arc};

use lictor_model::{
    filter::strings,
    job::{Job, Status},
};
use serde_json::{Map, Value, json};

use super::{
    Kind, Store,
    db::Tx,
    documents::{new_revision, text_of},
    terms::{decode, encode, value_of},
};
use crate::error::Error;

/// What is to be done about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To be run here, by the executor that it is for.
    Due,
    /// To be handed to another executor.
    Send,
    /// To be asked after at another executor.
    Follow,
    /// To be removed.
    Done,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Send => "send",
            Self::Follow => "follow",
            Self::Done => "done",
        }
    }
}

/// One write of many.
#[derive(Clone, Debug)]
pub enum JobWrite {
    /// A job that is not there yet.
    New(NewJob),
    /// Another record in the place of one.
    Change(JobChange),
    /// Nothing new: it is seen to again after so many milliseconds.
    Later(String, i64),
}

/// A job that is not there yet.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub job_id: String,
    /// The executor whose process sees to it.
    pub owner: String,
    /// What that is to do.
    pub stage: Stage,
    document: Map<String, Value>,
    revision: i64,
}

/// Another record in the place of one.
#[derive(Clone, Debug)]
pub struct JobChange {
    /// Whose.
    pub job_id: String,
    /// The revision whose place it takes.
    pub of: i64,
    /// Its own.
    pub revision: i64,
    /// The record as text.
    pub document: Arc<str>,
    /// Its status.
    pub status: &'static str,
    /// What is to be done next, and in how many milliseconds, if that changes.
    pub next: Option<(Stage, i64)>,
}

impl NewJob {
    /// `job`, which the process of `owner` is to see to.
    pub fn new(job: &Job, owner: String, stage: Stage) -> Self {
        Self { job_id: job.id.clone(), owner, stage, document: job.to_document(), revision: new_revision() }
    }
}

impl JobChange {
    /// The change from revision `of` to what `job` is now.
    pub fn new(job: &Job, of: i64, next: Option<(Stage, i64)>) -> Self {
        let document = Value::Object(job.to_document()).to_string().into();
        Self { job_id: job.id.clone(), of, revision: new_revision(), document, status: job.status.name(), next }
    }
}

impl JobWrite {
    /// The job that it is about.
    pub fn job_id(&self) -> &str {
        match self {
            Self::New(new) => &new.job_id,
            Self::Change(change) => &change.job_id,
            Self::Later(job_id, _) => job_id,
        }
    }

    /// The revision that tells whether it was made.
    fn number(&self) -> Option<i64> {
        match self {
            Self::New(new) => Some(new.revision),
            Self::Change(change) => Some(change.revision),
            Self::Later(..) => None,
        }
    }
}

/// What a new job is found by: field, value and id.
fn terms_of(job: &NewJob) -> impl Iterator<Item = Value> {
    Kind::Job.indexed().iter().flat_map(move |field| {
        let texts = strings(&job.document, field).into_iter();
        texts.map(move |text| json!([field, value_of(text), encode(&job.job_id)]))
    })
}

/// Runs a statement that writes these rows; returns the revisions of those that were written.
async fn written(tx: &mut Tx, sql: &str, rows: Value) -> Result<HashSet<i64>, Error> {
    let rows = tx.fetch(sql, &[(&rows.to_string()).into()]).await?;
    rows.iter().map(|row| row.int(0)).collect()
}

/// A job that is to be seen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDue {
    /// Its id.
    pub job_id: String,
    /// In how many milliseconds; less than 1 is now.
    pub in_ms: i64,
}

/// Where the elements of a JSON list are rows: each as `row.value`.
fn rows(tx: &Tx) -> &'static str {
    if tx.is_postgres() { "jsonb_array_elements(CAST($1 AS jsonb))" } else { "json_each($1)" }
}

impl Store {
    /// Makes all these writes, or none. Says of each whether it was made: a new job may be there already, and a changed
    /// one may have been changed by somebody else.
    ///
    /// PERF: a few statements for all of them, since each statement is a way to another thread or to a server and back.
    pub async fn write_jobs(&self, writes: &[&JobWrite]) -> Result<Vec<bool>, Error> {
        let (mut new, mut changes, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for write in writes {
            match write {
                JobWrite::New(job) => new.push(job),
                JobWrite::Change(change) => changes.push(change),
                JobWrite::Later(job_id, after) => later.push((job_id, *after)),
            }
        }
        let mut tx = self.db.begin().await?;
        let mut made = self.insert_jobs(&mut tx, &new).await?;
        made.extend(self.change_jobs(&mut tx, &changes).await?);
        for (job_id, after) in later {
            let sql =
                format!("UPDATE job_schedule SET at_ms = {} + $2 WHERE job_id = $1 AND stage <> 'done'", self.now());
            tx.execute(&sql, &[(&*encode(job_id)).into(), after.into()]).await?;
        }
        tx.commit().await?;
        Ok(writes.iter().map(|write| write.number().is_none_or(|number| made.remove(&number))).collect())
    }

    /// Stores those that are not there yet. Returns their revisions.
    async fn insert_jobs(&self, tx: &mut Tx, new: &[&NewJob]) -> Result<HashSet<i64>, Error> {
        if new.is_empty() {
            return Ok(HashSet::new());
        }
        let row = |job: &&NewJob| json!([encode(&job.job_id), text_of(&job.document), job.revision]);
        let sql = format!(
            "INSERT INTO jobs (id, document, revision)
             SELECT row.value ->> 0, row.value ->> 1, CAST(row.value ->> 2 AS BIGINT) FROM {} AS row WHERE TRUE
             ON CONFLICT (id) DO NOTHING RETURNING revision",
            rows(tx)
        );
        let made = written(tx, &sql, new.iter().map(row).collect()).await?;
        let new: Vec<&&NewJob> = new.iter().filter(|job| made.contains(&job.revision)).collect();
        let sql = format!(
            "INSERT INTO terms (kind, field, value, id)
             SELECT 'job', row.value ->> 0, row.value ->> 1, row.value ->> 2 FROM {} AS row WHERE TRUE
             ON CONFLICT DO NOTHING",
            rows(tx)
        );
        let terms: Value = new.iter().flat_map(|job| terms_of(job)).collect();
        tx.execute(&sql, &[(&terms.to_string()).into()]).await?;
        let sql = format!(
            "INSERT INTO job_schedule (job_id, executor_id, stage, at_ms)
             SELECT row.value ->> 0, row.value ->> 1, row.value ->> 2, {} FROM {} AS row",
            self.now(),
            rows(tx)
        );
        let row = |job: &&&NewJob| json!([encode(&job.job_id), encode(&job.owner), job.stage.name()]);
        tx.execute(&sql, &[(&new.iter().map(row).collect::<Value>().to_string()).into()]).await?;
        for job in new {
            self.announce(tx, Kind::Job, &encode(&job.job_id)).await?;
        }
        Ok(made)
    }

    /// Puts those in place whose place is still what they were made of. Returns their revisions.
    ///
    /// Of what a record is found by only the status changes, so that is changed alone.
    async fn change_jobs(&self, tx: &mut Tx, changes: &[&JobChange]) -> Result<HashSet<i64>, Error> {
        if changes.is_empty() {
            return Ok(HashSet::new());
        }
        let row = |change: &&JobChange| json!([encode(&change.job_id), change.of, &*change.document, change.revision]);
        let sql = format!(
            "UPDATE jobs SET document = row.value ->> 2, revision = CAST(row.value ->> 3 AS BIGINT) FROM {} AS row
             WHERE jobs.id = row.value ->> 0 AND jobs.revision = CAST(row.value ->> 1 AS BIGINT) RETURNING revision",
            rows(tx)
        );
        let made = written(tx, &sql, changes.iter().map(row).collect()).await?;
        let changes: Vec<&&JobChange> = changes.iter().filter(|change| made.contains(&change.revision)).collect();
        // Not by the field, which all jobs have: by the ids, which is what databases take once the other cannot be.
        let sql = format!(
            "UPDATE terms SET value = $2 WHERE kind = 'job' AND field || '' = 'job_status'
             AND id IN (SELECT row.value ->> 0 FROM {} AS row)",
            rows(tx)
        );
        for status in Status::ALL.map(Status::name) {
            let of_status = changes.iter().filter(|change| change.status == status);
            let ids: Vec<Value> = of_status.map(|change| json!([encode(&change.job_id)])).collect();
            if !ids.is_empty() {
                tx.execute(&sql, &[(&Value::from(ids).to_string()).into(), status.into()]).await?;
            }
        }
        let row = |change: &&&JobChange| {
            let (stage, after) = change.next?;
            Some(json!([encode(&change.job_id), stage.name(), after]))
        };
        let next: Vec<Value> = changes.iter().filter_map(row).collect();
        if !next.is_empty() {
            let sql = format!(
                "UPDATE job_schedule SET stage = row.value ->> 1, at_ms = {} + CAST(row.value ->> 2 AS BIGINT)
                 FROM {} AS row WHERE job_id = row.value ->> 0",
                self.now(),
                rows(tx)
            );
            tx.execute(&sql, &[(&Value::from(next).to_string()).into()]).await?;
        }
        for change in changes {
            self.announce(tx, Kind::Job, &encode(&change.job_id)).await?;
        }
        Ok(made)
    }

    /// The jobs that `owner` is to see to in this way: the most urgent first, so many at most.
    pub async fn jobs_due(&self, owner: &str, stage: Stage, most: usize) -> Result<Vec<JobDue>, Error> {
        let sql = format!(
            "SELECT job_id, at_ms - {} FROM job_schedule WHERE executor_id = $1 AND stage = $2
             ORDER BY at_ms LIMIT $3",
            self.now()
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.db.fetch(&sql, &[(&*encode(owner)).into(), stage.name().into(), most.into()]).await?;
        let due = |row: &super::db::Row| Ok(JobDue { job_id: decode(row.text(0)?).into_owned(), in_ms: row.int(1)? });
        rows.iter().map(due).collect()
    }

    /// How many jobs `owner` has to see to.
    pub async fn jobs_queued(&self, owner: &str) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM job_schedule WHERE executor_id = $1 AND stage IN ('due', 'send', 'follow')";
        let row = self.db.fetch_one(sql, &[(&*encode(owner)).into()]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))?.try_into().unwrap_or(0))
    }

    /// Removes jobs whose time is over, so many at most. Returns their ids.
    pub async fn remove_jobs(&self, most: usize) -> Result<Vec<String>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let over = format!("stage = 'done' AND at_ms <= {}", self.now());
        // Most times there is nothing, and nobody must wait for that.
        if self.db.fetch_one(&format!("SELECT 1 FROM job_schedule WHERE {over} LIMIT 1"), &[]).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin().await?;
        // What another process is removing is left to it.
        let lock = if tx.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
        let sql = format!("SELECT job_id FROM job_schedule WHERE {over} ORDER BY at_ms LIMIT $1 {lock}");
        let rows = tx.fetch(&sql, &[most.into()]).await?;
        let ids: Vec<String> = rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<Result<_, Error>>()?;
        let list = if tx.is_postgres() {
            "SELECT jsonb_array_elements_text(CAST($1 AS jsonb))"
        } else {
            "SELECT value FROM json_each($1)"
        };
        let text = Value::from(ids.clone()).to_string();
        for sql in [
            format!("DELETE FROM jobs WHERE id IN ({list})"),
            format!("DELETE FROM terms WHERE kind = 'job' AND id IN ({list})"),
            format!("DELETE FROM job_schedule WHERE job_id IN ({list})"),
        ] {
            tx.execute(&sql, &[(&text).into()]).await?;
        }
        for id in &ids {
            self.announce(&mut tx, Kind::Job, id).await?;
        }
        tx.commit().await?;
        Ok(ids.iter().map(|id| decode(id).into_owned()).collect())
    }
}

#[cfg(test)]
mod tests;
