//! When executors last said that they are there, and which executors were embedded in a process of ours.
//!
//! A heartbeat is no record: it is written every few seconds, says nothing that must outlive the machine, and is never
//! queried by itself.

use std::{collections::HashMap, time::Duration};

use super::{
    Store,
    db::Row,
    terms::{decode, encode},
};
use crate::error::Error;

/// What an executor last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// `healthy` or `busy`.
    pub status: String,
    /// How long ago.
    pub age: Duration,
}

impl Store {
    /// Whether other processes may use this database too.
    pub fn is_shared(&self) -> bool {
        self.db.postgres().is_some()
    }

    /// Notes that an executor is there; false if no executor of this id is registered.
    pub async fn heartbeat(&self, executor_id: &str, status: &str) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO heartbeats (executor_id, status, at_ms) SELECT id, $2, {now} FROM executors WHERE id = $1
             ON CONFLICT (executor_id) DO UPDATE SET status = excluded.status, at_ms = excluded.at_ms",
            now = self.now()
        );
        Ok(self.db.execute(&sql, &[(&*encode(executor_id)).into(), status.into()]).await? == 1)
    }

    /// The last heartbeat of every executor that sent one, or of this one only.
    pub async fn heartbeats(&self, executor_id: Option<&str>) -> Result<HashMap<String, Heartbeat>, Error> {
        let sql = format!("SELECT executor_id, status, {} - at_ms FROM heartbeats", self.now());
        let rows = match executor_id {
            None => self.db.fetch(&sql, &[]).await?,
            Some(id) => self.db.fetch(&format!("{sql} WHERE executor_id = $1"), &[(&*encode(id)).into()]).await?,
        };
        rows.iter().map(heartbeat).collect()
    }

    /// Forgets what an executor said.
    pub async fn forget_heartbeat(&self, executor_id: &str) -> Result<(), Error> {
        let sql = "DELETE FROM heartbeats WHERE executor_id = $1";
        self.db.execute(sql, &[(&*encode(executor_id)).into()]).await.map(drop)
    }

    /// Notes that the executor of this id is embedded in a process.
    pub async fn note_embedded(&self, executor_id: &str) -> Result<(), Error> {
        let sql = "INSERT INTO embedded (executor_id) VALUES ($1) ON CONFLICT DO NOTHING";
        self.db.execute(sql, &[(&*encode(executor_id)).into()]).await.map(drop)
    }

    /// Whether the executor of this id was ever embedded in a process.
    pub async fn was_embedded(&self, executor_id: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM embedded WHERE executor_id = $1";
        Ok(self.db.fetch_one(sql, &[(&*encode(executor_id)).into()]).await?.is_some())
    }

    /// The time in milliseconds by the clock of the database: the one clock that all processes on it have.
    pub(super) fn now(&self) -> &'static str {
        if self.is_shared() {
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        } else {
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
        }
    }
}

fn heartbeat(row: &Row) -> Result<(String, Heartbeat), Error> {
    let age = Duration::from_millis(u64::try_from(row.int(2)?).unwrap_or(0));
    Ok((decode(row.text(0)?).into_owned(), Heartbeat { status: row.text(1)?.to_owned(), age }))
}
