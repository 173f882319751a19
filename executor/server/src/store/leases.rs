//! Which process has an executor id, where several share a database.
//!
//! An id is held for a short time and held again before that is over, by the database's clock. The holder is the data
//! directory, so that a process that was killed has its id again at once when it is started in the same place; the
//! session is the process, so that of two with copies of one data directory the first one notices.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Store, db::Db, terms::encode};
use crate::error::{Error, ErrorKind};

/// How long an id is held at a time.
const HELD_MS: i64 = 10_000;
/// How often it is held again.
const AGAIN: Duration = Duration::from_secs(3);
/// Milliseconds by the clock of PostgreSQL.
const NOW: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// An executor id that is held. On SQLite, which has one process, nothing is to be done for it.
#[derive(Clone)]
pub struct Lease {
    executor_id: String,
    holder: String,
    session: String,
    lost: CancellationToken,
    /// Whether it was given back. Locked while it is held again, which would undo that.
    released: Arc<Mutex<bool>>,
}

impl Store {
    /// Takes the executor id, if no other data directory has it, and holds it from then on.
    pub async fn hold(&self, executor_id: &str, data_dir: &Path) -> Result<Lease, Error> {
        let shared = self.db.postgres().is_some();
        let lease = Lease {
            executor_id: executor_id.to_owned(),
            holder: if shared { instance(data_dir)? } else { String::new() },
            session: Uuid::now_v7().to_string(),
            lost: CancellationToken::new(),
            released: Arc::default(),
        };
        if shared {
            if !lease.take(&self.db).await? {
                return Err(taken(executor_id));
            }
            self.feed.start(lease.clone().keep(self.db.clone()));
        }
        Ok(lease)
    }

    /// Gives an executor id back, for others to take at once.
    pub async fn release(&self, lease: &Lease) -> Result<(), Error> {
        if self.db.postgres().is_none() {
            return Ok(());
        }
        *lease.released.lock().await = true;
        let sql = "DELETE FROM leases WHERE executor_id = $1 AND session = $2";
        self.db.execute(sql, &[(&*encode(&lease.executor_id)).into(), (&lease.session).into()]).await.map(drop)
    }
}

impl Lease {
    /// Waits until another process has taken the id.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether another process has taken the id.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Takes the id if it is free, or was held from the same data directory.
    async fn take(&self, db: &Db) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO leases (executor_id, holder, session, expires_at) VALUES ($1, $2, $3, {NOW} + {HELD_MS})
             ON CONFLICT (executor_id) DO UPDATE
             SET holder = excluded.holder, session = excluded.session, expires_at = excluded.expires_at
             WHERE leases.holder = excluded.holder OR leases.expires_at < {NOW}"
        );
        let id = encode(&self.executor_id);
        Ok(db.execute(&sql, &[(&*id).into(), (&self.holder).into(), (&self.session).into()]).await? == 1)
    }

    /// Holds the id again; false if another process has it. It may have been free in between.
    async fn hold_again(&self, db: &Db) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO leases (executor_id, holder, session, expires_at) VALUES ($1, $2, $3, {NOW} + {HELD_MS})
             ON CONFLICT (executor_id) DO UPDATE SET expires_at = excluded.expires_at
             WHERE leases.session = excluded.session"
        );
        let id = encode(&self.executor_id);
        Ok(db.execute(&sql, &[(&*id).into(), (&self.holder).into(), (&self.session).into()]).await? == 1)
    }

    /// Holds the id until another process has it.
    ///
    /// A database that cannot be reached is no reason to stop: nobody can take the id there either, and calls of
    /// policies that are ready need no database. Whoever took it meanwhile is seen when the database is back.
    async fn keep(self, db: Db) {
        let mut failing = false;
        loop {
            tokio::time::sleep(AGAIN).await;
            let released = self.released.lock().await;
            if *released {
                return;
            }
            match self.hold_again(&db).await {
                Ok(true) => failing = false,
                Ok(false) => break,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let id = &self.executor_id;
                        tracing::error!(
                            executor_id = id,
                            error = error.chain(),
                            "the executor id cannot be held again"
                        );
                    }
                }
            }
        }
        tracing::error!(executor_id = self.executor_id, "another process has taken the executor id: stopping");
        self.lost.cancel();
    }
}

fn taken(executor_id: &str) -> Error {
    let why = format!(
        "the executor id `{executor_id}` is in use by another process on the same database: give this one another id with --executor-id, or stop the other (if it was killed, wait {} seconds)",
        HELD_MS / 1000
    );
    Error::new(ErrorKind::InvalidInput, why)
}

/// What tells this data directory from others.
fn instance(data_dir: &Path) -> Result<String, Error> {
    let path = data_dir.join("instance");
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::InvalidInput, format!("`{}` cannot be used: {error}", path.display()))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().parse::<Uuid>().is_ok() => return Ok(text.trim().to_owned()),
        // Cut short by the end of a machine.
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let instance = Uuid::now_v7().to_string();
    std::fs::write(&path, &instance).map_err(failed)?;
    Ok(instance)
}
