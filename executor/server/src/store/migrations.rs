//! The tables, and how a database of an earlier version gets them.
//!
//! A migration is never changed once it was released: another one is added. `{text}`, `{int}` and `{bytes}` are the
//! types of the database; texts compare by their bytes in both, as Rust does.

use super::{
    Kind,
    db::{Db, Tx},
    documents,
};
use crate::error::{Error, ErrorKind};

/// What one version added to the one before.
struct Migration {
    /// On SQLite.
    sqlite: &'static str,
    /// On PostgreSQL.
    postgres: &'static str,
    /// On both, after that.
    both: &'static str,
    /// Whether what is to be found by an index has to be worked out again from the documents.
    index: bool,
}

const MIGRATIONS: [Migration; 6] = [
    Migration {
        sqlite: "
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
            CREATE TABLE context (
                policy_uri TEXT NOT NULL,
                key TEXT NOT NULL,
                value BLOB NOT NULL,
                PRIMARY KEY (policy_uri, key)
            ) STRICT, WITHOUT ROWID;",
        // Was there before PostgreSQL was.
        postgres: "",
        both: "",
        index: false,
    },
    Migration {
        sqlite: "
            ALTER TABLE policies RENAME TO policies_1;
            ALTER TABLE context RENAME TO context_1;",
        postgres: "",
        both: "
            CREATE TABLE policies (
                id {text} PRIMARY KEY NOT NULL,
                document {text} NOT NULL,
                revision {int} NOT NULL,
                load {text}
            ) {clustered};
            CREATE INDEX policies_to_load ON policies (id) WHERE load IS NULL;
            CREATE TABLE executors (id {text} PRIMARY KEY NOT NULL, document {text} NOT NULL, revision {int} NOT NULL)
                {clustered};
            CREATE TABLE functions (id {text} PRIMARY KEY NOT NULL, document {text} NOT NULL, revision {int} NOT NULL)
                {clustered};
            CREATE TABLE graphs (id {text} PRIMARY KEY NOT NULL, document {text} NOT NULL, revision {int} NOT NULL)
                {clustered};
            CREATE TABLE jobs (id {text} PRIMARY KEY NOT NULL, document {text} NOT NULL, revision {int} NOT NULL)
                {clustered};
            CREATE TABLE assets (id {text} PRIMARY KEY NOT NULL, document {text} NOT NULL, revision {int} NOT NULL)
                {clustered};
            CREATE TABLE terms (
                kind {text} NOT NULL,
                field {text} NOT NULL,
                value {text} NOT NULL,
                id {text} NOT NULL,
                PRIMARY KEY (kind, field, value, id)
            ) {clustered};
            CREATE INDEX terms_of_record ON terms (kind, id);
            CREATE TABLE context (
                policy_uri {text} NOT NULL,
                key {text} NOT NULL,
                value {bytes} NOT NULL,
                PRIMARY KEY (policy_uri, key)
            ) {clustered};
            CREATE TABLE leases (
                executor_id {text} PRIMARY KEY NOT NULL,
                holder {text} NOT NULL,
                session {text} NOT NULL,
                expires_at {int} NOT NULL
            ) {clustered};",
        index: true,
    },
    Migration {
        sqlite: "",
        postgres: "",
        both: "
            CREATE TABLE heartbeats (
                executor_id {text} PRIMARY KEY NOT NULL,
                status {text} NOT NULL,
                at_ms {int} NOT NULL
            ) {clustered};
            CREATE TABLE embedded (executor_id {text} PRIMARY KEY NOT NULL) {clustered};",
        index: false,
    },
    Migration {
        sqlite: "
            CREATE TABLE chunks (
                digest TEXT NOT NULL,
                idx INTEGER NOT NULL,
                bytes BLOB NOT NULL,
                PRIMARY KEY (digest, idx)
            );",
        // What is stored there is packed already.
        postgres: r#"
            CREATE TABLE chunks (
                digest TEXT COLLATE "C" NOT NULL,
                idx BIGINT NOT NULL,
                bytes BYTEA NOT NULL,
                PRIMARY KEY (digest, idx)
            );
            ALTER TABLE chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;"#,
        both: "
            CREATE TABLE blobs (digest {text} PRIMARY KEY NOT NULL, size {int} NOT NULL) {clustered};
            CREATE TABLE asset_files (
                asset_id {text} PRIMARY KEY NOT NULL,
                asset_uri {text} UNIQUE NOT NULL,
                digest {text} NOT NULL
            ) {clustered};
            CREATE INDEX asset_files_by_digest ON asset_files (digest);",
        index: false,
    },
    Migration {
        sqlite: "",
        postgres: "",
        // `command` is the last command that a state has in it. A command without a replica is for all of them.
        // `stage` is what the process of `executor_id` is to do from `at_ms` on: run it (`due`), hand it to another
        // executor (`send`), ask after it there (`follow`); or `done`, to be removed by anybody.
        both: "
            CREATE TABLE function_states (
                function_id {text} NOT NULL,
                replica {int} NOT NULL,
                policy_rule_uri {text} NOT NULL,
                state {bytes} NOT NULL,
                command {int} NOT NULL,
                saved_at_ms {int} NOT NULL,
                PRIMARY KEY (function_id, replica)
            ) {clustered};
            CREATE TABLE function_commands (
                function_id {text} NOT NULL,
                command {int} NOT NULL,
                replica {int},
                action {text} NOT NULL,
                data {text} NOT NULL,
                PRIMARY KEY (function_id, command)
            ) {clustered};
            CREATE TABLE job_schedule (
                job_id {text} PRIMARY KEY NOT NULL,
                executor_id {text} NOT NULL,
                stage {text} NOT NULL,
                at_ms {int} NOT NULL
            ) {clustered};
            CREATE INDEX job_schedule_by_time ON job_schedule (executor_id, stage, at_ms);
            CREATE INDEX job_schedule_to_remove ON job_schedule (at_ms) WHERE stage = 'done';
            CREATE TABLE shadows (
                policy_rule_uri {text} PRIMARY KEY NOT NULL,
                id {text} UNIQUE NOT NULL,
                document {text} NOT NULL
            ) {clustered};",
        index: false,
    },
    Migration {
        sqlite: "",
        postgres: "",
        // A row that was revoked stays: a server that ever had a token does not open by itself.
        both: "
            CREATE TABLE tokens (
                id {text} PRIMARY KEY NOT NULL,
                name {text} NOT NULL,
                role {text} NOT NULL,
                digest {text} UNIQUE NOT NULL,
                created_at_ms {int} NOT NULL,
                expires_at_ms {int},
                revoked_at_ms {int}
            ) {clustered};",
        index: false,
    },
];

/// What only the second migration needs, and only where there was a first.
const MOVE_TO_2: &str = r"
    INSERT INTO policies SELECT uri, document, revision, CASE WHEN load_state <> 'pending'
        THEN json_array(component_digest, load_state, load_code, load_message) END FROM policies_1;
    DROP TABLE policies_1;
    INSERT INTO context SELECT policy_uri,
        replace(replace(key, char(1), char(1) || char(2)), char(0), char(1) || char(1)), value FROM context_1;
    DROP TABLE context_1;";

/// PERF: a row of PostgreSQL beyond 2 KB would have its document compressed and put elsewhere; records of the usual
/// size stay in the row, as they are, so that a scan is one pass over the table.
const KEEP_IN_ROW: &str = "
    ALTER TABLE {table} SET (toast_tuple_target = 8160);
    ALTER TABLE {table} ALTER COLUMN document SET STORAGE EXTERNAL;";

/// Any number of ours: two processes that start together on an empty database make the tables one after the other.
const LOCK: i64 = 0x006c_6963_746f_7200;

/// Brings the tables to this version.
pub(super) async fn migrate(db: &Db) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    let done = version(&mut tx).await?;
    let done = usize::try_from(done).unwrap_or(usize::MAX);
    if MIGRATIONS.len() < done {
        return Err(Error::new(ErrorKind::InvalidInput, "the database was written by a later version of lictor"));
    }
    if done == MIGRATIONS.len() {
        return tx.rollback().await;
    }
    // All in one transaction: a process that dies in between leaves a database that opens.
    for (idx, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        apply(&mut tx, migration).await?;
        if idx == 1 {
            let then = if tx.is_postgres() { keep_in_row() } else { MOVE_TO_2.to_owned() };
            tx.run(&then).await?;
        }
    }
    let index = MIGRATIONS.iter().skip(done).any(|migration| migration.index);
    if index && 0 < done {
        for kind in Kind::ALL {
            documents::index_again(&mut tx, kind).await?;
        }
    }
    set_version(&mut tx, MIGRATIONS.len()).await?;
    tx.commit().await
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<(), Error> {
    let postgres = tx.is_postgres();
    let (own, types) = if postgres {
        (migration.postgres, [r#"TEXT COLLATE "C""#, "BIGINT", "BYTEA", ""])
    } else {
        (migration.sqlite, ["TEXT", "INTEGER", "BLOB", "STRICT, WITHOUT ROWID"])
    };
    let [text, int, bytes, clustered] = types;
    let both = migration.both.replace("{text}", text).replace("{int}", int).replace("{bytes}", bytes);
    tx.run(own).await?;
    tx.run(&both.replace("{clustered}", clustered)).await
}

fn keep_in_row() -> String {
    Kind::ALL.map(|kind| KEEP_IN_ROW.replace("{table}", kind.table())).concat()
}

/// How many migrations the database has.
async fn version(tx: &mut Tx) -> Result<i64, Error> {
    if !tx.is_postgres() {
        return number(tx, "PRAGMA user_version").await;
    }
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()]).await?;
    if number(tx, "SELECT COUNT(to_regclass('lictor_version'))").await? == 0 {
        tx.run("CREATE TABLE lictor_version (version BIGINT NOT NULL)").await?;
    }
    number(tx, "SELECT COALESCE(MAX(version), 0) FROM lictor_version").await
}

/// The one number that a statement gives.
async fn number(tx: &mut Tx, sql: &str) -> Result<i64, Error> {
    tx.fetch(sql, &[]).await?.first().map_or(Ok(0), |row| row.int(0))
}

async fn set_version(tx: &mut Tx, version: usize) -> Result<(), Error> {
    // A pragma takes no bound value.
    let sql = if tx.is_postgres() {
        format!("DELETE FROM lictor_version; INSERT INTO lictor_version VALUES ({version})")
    } else {
        format!("PRAGMA user_version = {version}")
    };
    tx.run(&sql).await
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};
    use crate::store::{LoadState, Location, tests::ids_by};

    /// A database as the first version left it.
    async fn first_version(db: &Db) {
        let mut tx = db.begin().await.unwrap();
        apply(&mut tx, &MIGRATIONS[0]).await.unwrap();
        tx.run(
            r#"INSERT INTO policies VALUES
                ('a:1-x', 'a', '{"name":"a","policy_rule_uri":"a:1-x","tags":"t,u"}', 7, 'sha256:00', 'ready', NULL, NULL),
                ('b:1-x', 'b', '{"name":"b","policy_rule_uri":"b:1-x","tags":["t"]}', 8, NULL, 'failed', 'bad_archive', 'why'),
                ('c:1-x', 'c', '{"name":"c","policy_rule_uri":"c:1-x"}', 9, NULL, 'pending', NULL, NULL);
            INSERT INTO context VALUES ('a:1-x', 'k', x'0102'), ('a:1-x', 'l' || char(0), x'03');"#,
        )
        .await
        .unwrap();
        set_version(&mut tx, 1).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn what_the_first_version_stored_is_there_and_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("lictor.db"));
        let db = Db::open(&location).await.unwrap();
        first_version(&db).await;
        db.close().await;
        let store = Store::open(&location).await.unwrap();
        let row = store.policy("b:1-x").await.unwrap().unwrap();
        assert_eq!((row.revision, row.document["name"].as_str()), (8, Some("b")));
        assert_eq!(row.load, LoadState::Failed { code: "bad_archive".into(), message: "why".into() });
        assert_eq!(store.policy("a:1-x").await.unwrap().unwrap().load, LoadState::Ready);
        assert_eq!(store.pending().await.unwrap(), ["c:1-x"]);
        assert_eq!(ids_by(&store, Kind::Policy, "name", "a").await, ["a:1-x"]);
        assert_eq!(ids_by(&store, Kind::Policy, "tags", "t").await, ["b:1-x"]);
        let context = store.context("a:1-x").await.unwrap();
        assert_eq!(context.into_iter().collect::<Vec<_>>(), [("k".into(), vec![1, 2]), ("l\0".into(), vec![3])]);
        store.close().await;
        // Opening it again changes nothing.
        assert_eq!(Store::open(&location).await.unwrap().pending().await.unwrap(), ["c:1-x"]);
    }

    #[tokio::test]
    async fn a_database_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("lictor.db"));
        let db = Db::open(&location).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        set_version(&mut tx, MIGRATIONS.len() + 1).await.unwrap();
        tx.commit().await.unwrap();
        let error = Store::open(&location).await.err().unwrap();
        assert!(error.message().contains("later version"), "{error}");
    }
}
