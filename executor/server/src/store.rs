//! The durable registries: the only file that names the database driver.
//!
//! SQLite in write-ahead mode, synced at every commit: what was acknowledged survives the end of the process and of
//! the machine. A policy's document is kept whole; the columns beside it are what queries narrow by and what loading
//! found.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use lictor_model::{Digest, PolicyUri, json};
use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, Row as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::error::{Error, ErrorKind};

/// Made in order; a database remembers how many of them it has.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE policies (
        uri TEXT PRIMARY KEY NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        revision INTEGER NOT NULL,
        component_digest TEXT,
        load_state TEXT NOT NULL,
        load_code TEXT,
        load_message TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX policies_by_name ON policies (name);
    CREATE TABLE context (
        policy_uri TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (policy_uri, key)
    ) STRICT, WITHOUT ROWID;
"];

/// Tables on disk. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// A policy as it is stored.
#[derive(Clone, Debug)]
pub struct PolicyRow {
    /// The record, normalised.
    pub document: Map<String, Value>,
    /// Another one with every change of the record, and never one that was there before.
    pub revision: i64,
    /// The component that loading found.
    pub component: Option<Digest>,
    /// How loading stands.
    pub load: LoadState,
}

/// How the loading of a policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Not finished.
    Pending,
    /// It can run.
    Ready,
    /// It cannot.
    Failed {
        /// A stable code.
        code: String,
        /// For a person.
        message: String,
    },
}

/// One change of a policy's context.
pub struct ContextWrite {
    /// Whose.
    pub policy_uri: String,
    /// The key.
    pub key: String,
    /// The new value, or none if the key went.
    pub value: Option<Vec<u8>>,
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
fn failed(error: sqlx::Error) -> Error {
    Error::internal("the registry cannot be used", error.to_string())
}

impl Store {
    /// Opens or makes the database file `path`.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(failed)?;
        let store = Self { pool };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), Error> {
        let done: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&self.pool).await.map_err(failed)?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if MIGRATIONS.len() < done {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the data directory was written by a later version of lictor",
            ));
        }
        // Each with its number in one transaction: a process that dies in between leaves a database that opens.
        for (idx, migration) in MIGRATIONS.iter().enumerate().skip(done) {
            let mut tx = self.pool.begin().await.map_err(failed)?;
            sqlx::raw_sql(*migration).execute(&mut *tx).await.map_err(failed)?;
            // A pragma takes no bound value.
            let version = AssertSqlSafe(format!("PRAGMA user_version = {}", idx + 1));
            sqlx::raw_sql(version).execute(&mut *tx).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        Ok(())
    }

    /// Waits until everything is written, and closes the files.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(failed).map(drop)
    }

    /// Stores a policy that is not there yet; false if one is.
    pub async fn insert_policy(&self, uri: &PolicyUri, document: &Map<String, Value>) -> Result<bool, Error> {
        // Revisions start anywhere, so that a policy deleted and made again is not taken for the one it was.
        let done = sqlx::query(
            "INSERT INTO policies (uri, name, document, revision, load_state)
             VALUES (?, ?, ?, abs(random() / 2), 'pending') ON CONFLICT (uri) DO NOTHING",
        )
        .bind(uri.as_str())
        .bind(name_of(document))
        .bind(text_of(document))
        .bind(new_revision())
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// The policy with this uri.
    pub async fn policy(&self, uri: &str) -> Result<Option<PolicyRow>, Error> {
        let row = sqlx::query("SELECT * FROM policies WHERE uri = ?").bind(uri).fetch_optional(&self.pool).await;
        row.map_err(failed)?.map(|row| policy_row(&row)).transpose()
    }

    /// The revision of the policy with this uri.
    pub async fn revision(&self, uri: &str) -> Result<Option<i64>, Error> {
        let found = sqlx::query_scalar("SELECT revision FROM policies WHERE uri = ?").bind(uri);
        found.fetch_optional(&self.pool).await.map_err(failed)
    }

    /// The policies with this uri and this name, where given.
    pub async fn policies(&self, uri: Option<&str>, name: Option<&str>) -> Result<Vec<PolicyRow>, Error> {
        let found = match (uri, name) {
            (Some(uri), _) => sqlx::query("SELECT * FROM policies WHERE uri = ?").bind(uri).fetch_all(&self.pool).await,
            (None, Some(name)) => {
                sqlx::query("SELECT * FROM policies WHERE name = ? ORDER BY uri").bind(name).fetch_all(&self.pool).await
            }
            (None, None) => sqlx::query("SELECT * FROM policies ORDER BY uri").fetch_all(&self.pool).await,
        };
        found.map_err(failed)?.iter().map(policy_row).collect()
    }

    /// The uris of policies whose loading is not finished.
    pub async fn pending(&self) -> Result<Vec<String>, Error> {
        let found =
            sqlx::query_scalar("SELECT uri FROM policies WHERE load_state = 'pending'").fetch_all(&self.pool).await;
        found.map_err(failed)
    }

    /// Puts `document` in the place of revision `revision` of `uri`, under the uri `new_uri`; its loading starts again
    /// unless `keep_load`. False if there is no such revision any more, an error if `new_uri` is taken.
    pub async fn replace_policy(
        &self,
        uri: &PolicyUri,
        revision: i64,
        new_uri: &PolicyUri,
        document: &Map<String, Value>,
        keep_load: bool,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE policies SET uri = ?1, name = ?2, document = ?3, revision = ?7,
                component_digest = CASE WHEN ?4 THEN component_digest END,
                load_state = CASE WHEN ?4 THEN load_state ELSE 'pending' END,
                load_code = CASE WHEN ?4 THEN load_code END,
                load_message = CASE WHEN ?4 THEN load_message END
             WHERE uri = ?5 AND revision = ?6",
        )
        .bind(new_uri.as_str())
        .bind(name_of(document))
        .bind(text_of(document))
        .bind(keep_load)
        .bind(uri.as_str())
        .bind(revision)
        .bind(new_revision())
        .execute(&self.pool)
        .await;
        match done {
            Ok(done) => Ok(done.rows_affected() == 1),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::new(ErrorKind::Conflict, format!("there is already a policy `{new_uri}`")))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Notes how the loading of one revision ended. Nothing happens if the record has changed since.
    pub async fn loaded(
        &self,
        uri: &str,
        revision: i64,
        component: Option<Digest>,
        load: &LoadState,
    ) -> Result<(), Error> {
        let (state, code, message) = match load {
            LoadState::Pending => ("pending", None, None),
            LoadState::Ready => ("ready", None, None),
            LoadState::Failed { code, message } => ("failed", Some(code), Some(message)),
        };
        let update = sqlx::query(
            "UPDATE policies SET component_digest = COALESCE(?1, component_digest), load_state = ?2, load_code = ?3, load_message = ?4
             WHERE uri = ?5 AND revision = ?6",
        );
        let update = update
            .bind(component.map(|digest| digest.to_string()))
            .bind(state)
            .bind(code)
            .bind(message)
            .bind(uri)
            .bind(revision);
        update.execute(&self.pool).await.map_err(failed).map(drop)
    }

    /// Removes a policy and its context; false if there is none.
    pub async fn delete_policy(&self, uri: &str) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await.map_err(failed)?;
        let done =
            sqlx::query("DELETE FROM policies WHERE uri = ?").bind(uri).execute(&mut *tx).await.map_err(failed)?;
        sqlx::query("DELETE FROM context WHERE policy_uri = ?").bind(uri).execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// The context of a policy.
    pub async fn context(&self, uri: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let rows =
            sqlx::query("SELECT key, value FROM context WHERE policy_uri = ?").bind(uri).fetch_all(&self.pool).await;
        let entry = |row: SqliteRow| Ok((row.try_get("key")?, row.try_get("value")?));
        rows.map_err(failed)?.into_iter().map(entry).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    /// Commits changes of contexts, all together.
    pub async fn write_context(&self, writes: &[ContextWrite]) -> Result<(), Error> {
        let mut tx = self.pool.begin().await.map_err(failed)?;
        for ContextWrite { policy_uri, key, value } in writes {
            let change = match value {
                Some(value) => sqlx::query("INSERT OR REPLACE INTO context (policy_uri, key, value) VALUES (?, ?, ?)")
                    .bind(policy_uri)
                    .bind(key)
                    .bind(value),
                None => sqlx::query("DELETE FROM context WHERE policy_uri = ? AND key = ?").bind(policy_uri).bind(key),
            };
            change.execute(&mut *tx).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }
}

/// A number that no record had before, also not one that was deleted: what finished loading late must not be taken for
/// the loading of its successor.
fn new_revision() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    if last < now { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 }
}

fn name_of(document: &Map<String, Value>) -> &str {
    document.get("name").and_then(Value::as_str).unwrap_or("")
}

fn text_of(document: &Map<String, Value>) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

fn policy_row(row: &SqliteRow) -> Result<PolicyRow, Error> {
    let damaged = |what: &str| Error::internal("a stored policy cannot be read", what.to_owned());
    let document: String = row.try_get("document").map_err(failed)?;
    let component: Option<String> = row.try_get("component_digest").map_err(failed)?;
    let state: String = row.try_get("load_state").map_err(failed)?;
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default).map_err(failed);
    let load = match state.as_str() {
        "pending" => LoadState::Pending,
        "ready" => LoadState::Ready,
        "failed" => LoadState::Failed { code: text("load_code")?, message: text("load_message")? },
        _ => return Err(damaged("unknown load state")),
    };
    let Value::Object(document) = json::parse(&document).map_err(|error| damaged(&error.to_string()))? else {
        return Err(damaged("not an object"));
    };
    Ok(PolicyRow {
        document,
        revision: row.try_get("revision").map_err(failed)?,
        component: component.and_then(|text| text.parse().ok()),
        load,
    })
}
