//! One way to run statements on either database: text with `$1` placeholders in, rows out.
//!
//! SQLite has one connection that writes, so that writers queue here instead of trying again and again, and some that
//! read. PostgreSQL has one pool for both. A transaction that is dropped before its commit takes its connection with
//! it, which undoes it also where its future was dropped in the middle of a statement.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection as _, Database, Decode, Encode, Executor, IntoArguments, PgConnection,
    Postgres, Row as _, Sqlite, Type,
    pool::{Pool, PoolConnection},
    postgres::{PgPool, PgPoolOptions, PgRow},
    query::Query,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::location::Location;
use crate::error::{Error, ErrorKind};

/// Connections that read at the same time, and on PostgreSQL those that write too.
const CONNECTIONS: u32 = 8;
/// How long a free connection is waited for. On PostgreSQL, making one counts.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long PostgreSQL may take for one statement. A server that fell silent must not hold requests for ever.
const STATEMENT: Duration = Duration::from_secs(30);

/// The database. Cheap to clone.
#[derive(Clone)]
pub(super) enum Db {
    /// A file.
    Sqlite {
        /// One connection.
        write: SqlitePool,
        /// Several.
        read: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// A connection for several statements.
pub(super) enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A transaction: all of it or nothing.
pub(super) struct Tx {
    conn: Conn,
    ended: bool,
}

/// A row of an answer; columns are read by their place.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A value for a placeholder.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
    Bytes(&'a [u8]),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(n: Option<i64>) -> Self {
        Self::Int(n)
    }
}

impl From<i64> for Arg<'_> {
    fn from(n: i64) -> Self {
        Self::Int(Some(n))
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

/// What a failure of the database is to us.
#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
pub(super) fn failed(error: sqlx::Error) -> Error {
    match &error {
        // Whoever can break a rule of the tables knows which, and says it better.
        sqlx::Error::Database(cause) if cause.is_unique_violation() => {
            Error::new(ErrorKind::Conflict, "there is already another one of this name")
        }
        _ => Error::internal("the registry cannot be used", error.to_string()),
    }
}

fn silent() -> Error {
    Error::internal("the registry cannot be used", "the database did not answer in time")
}

impl Db {
    /// Opens the file, or reaches the server.
    pub(super) async fn open(location: &Location) -> Result<Self, Error> {
        match location {
            Location::File(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    // PERF: several records of the usual size fit into a page, so that a scan is one pass over the
                    // file. It is set when a file is made.
                    .page_size(16384)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(10))
                    .foreign_keys(true);
                let pool = |n| SqlitePoolOptions::new().max_connections(n).acquire_timeout(Duration::from_secs(60));
                let write = pool(1).connect_with(options.clone()).await.map_err(failed)?;
                let read = pool(CONNECTIONS).connect_lazy_with(options);
                Ok(Self::Sqlite { write, read })
            }
            Location::Server(server) => {
                // A pool tries again until its time is over, and then does not say why: the first try is made by hand.
                let options = server.options();
                let first = tokio::time::timeout(ACQUIRE, PgConnection::connect_with(options)).await;
                let first = first.map_err(|_| server.unreachable("it does not answer"))?;
                let why = |error: sqlx::Error| match error.as_database_error() {
                    Some(error) => server.unreachable(error.message()),
                    None => server.unreachable(&error.to_string()),
                };
                let first = first.map_err(why)?;
                first.close().await.map_err(failed)?;
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
                Ok(Self::Postgres(pool.connect_lazy_with(options.clone())))
            }
        }
    }

    /// Waits for what is under way, and closes the connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            // What waits for a server that fell silent is not waited for.
            Self::Postgres(pool) => tokio::time::timeout(ACQUIRE, pool.close()).await.unwrap_or_default(),
        }
    }

    /// A connection to read with.
    pub(super) async fn read(&self) -> Result<Conn, Error> {
        Ok(match self {
            Self::Sqlite { read, .. } => Conn::Sqlite(acquire(read).await?),
            Self::Postgres(pool) => Conn::Postgres(acquire(pool).await?),
        })
    }

    async fn write(&self) -> Result<Conn, Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => Conn::Sqlite(acquire(write).await?),
            Self::Postgres(pool) => Conn::Postgres(acquire(pool).await?),
        })
    }

    /// A transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let conn = self.write().await?;
        let begin = if conn.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" };
        Tx::begin(conn, begin).await
    }

    /// A transaction that only reads, and all of it the same state.
    pub(super) async fn snapshot(&self) -> Result<Tx, Error> {
        let conn = self.read().await?;
        let begin = if conn.is_postgres() { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
        Tx::begin(conn, begin).await
    }

    /// Runs one statement that writes; returns how many rows it changed.
    pub(super) async fn execute(&self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Error> {
        self.write().await?.execute(sql, args).await
    }

    /// Runs one statement that reads.
    pub(super) async fn fetch(&self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        self.read().await?.fetch(sql, args).await
    }

    /// Runs one statement that reads at most one row.
    pub(super) async fn fetch_one(&self, sql: &str, args: &[Arg<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// The pool, if this is PostgreSQL.
    pub(super) fn postgres(&self) -> Option<&PgPool> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(pool) => Some(pool),
        }
    }
}

/// PERF: boxed, since it is large, and what runs a statement is part of the future of every request.
async fn acquire<DB: Database>(pool: &Pool<DB>) -> Result<PoolConnection<DB>, Error> {
    Box::pin(pool.acquire()).await.map_err(failed)
}

/// A statement with its values.
fn query<'q, DB: Database>(sql: &str, args: &[Arg<'q>]) -> Query<'q, DB, DB::Arguments>
where
    DB::Arguments: IntoArguments<DB>,
    Option<&'q str>: Encode<'q, DB> + Type<DB>,
    Option<i64>: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
{
    // Every text comes from this module's own sources; what users send is in `args`.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match *arg {
            Arg::Text(text) => query.bind(text),
            Arg::Int(n) => query.bind(n),
            Arg::Bytes(bytes) => query.bind(bytes),
        };
    }
    query
}

impl Conn {
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Runs one statement; returns how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Error> {
        match self {
            Self::Sqlite(conn) => {
                Ok(query::<Sqlite>(sql, args).execute(&mut **conn).await.map_err(failed)?.rows_affected())
            }
            Self::Postgres(conn) => {
                let done = query::<Postgres>(sql, args).execute(&mut **conn);
                Ok(in_time(tokio::time::timeout(STATEMENT, done).await, conn)?.rows_affected())
            }
        }
    }

    /// Runs one statement and returns its rows.
    pub(super) async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        Ok(match self {
            Self::Sqlite(conn) => {
                let rows = query::<Sqlite>(sql, args).fetch_all(&mut **conn).await.map_err(failed)?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(conn) => {
                let rows = query::<Postgres>(sql, args).fetch_all(&mut **conn);
                let rows = in_time(tokio::time::timeout(STATEMENT, rows).await, conn)?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs several statements without values.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite(conn) => conn.execute(sql).await.map_err(failed).map(drop),
            Self::Postgres(conn) => conn.execute(sql).await.map_err(failed).map(drop),
        }
    }

    fn close_on_drop(&mut self) {
        match self {
            Self::Sqlite(conn) => conn.close_on_drop(),
            Self::Postgres(conn) => conn.close_on_drop(),
        }
    }
}

type InTime<T> = Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>;

fn in_time<T>(done: InTime<T>, conn: &mut PoolConnection<Postgres>) -> Result<T, Error> {
    match done {
        Ok(done) => done.map_err(failed),
        Err(_) => {
            // Its answer may still come, and nobody would know to what.
            conn.close_on_drop();
            Err(silent())
        }
    }
}

impl Tx {
    /// CANCEL: whoever gives up here may leave a transaction that has begun: it must not go back to the pool.
    async fn begin(conn: Conn, begin: &str) -> Result<Self, Error> {
        let mut tx = Self { conn, ended: false };
        tx.execute(begin, &[]).await?;
        Ok(tx)
    }

    /// See [`Conn::is_postgres`].
    pub(super) fn is_postgres(&self) -> bool {
        self.conn.is_postgres()
    }

    /// See [`Conn::execute`].
    pub(super) async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Error> {
        self.conn.execute(sql, args).await
    }

    /// See [`Conn::fetch`].
    pub(super) async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        self.conn.fetch(sql, args).await
    }

    /// See [`Conn::run`].
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.conn.run(sql).await
    }

    /// Makes it last.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.conn.execute("COMMIT", &[]).await?;
        self.ended = true;
        Ok(())
    }

    /// Undoes it. Dropping does so too, at the price of the connection.
    pub(super) async fn rollback(mut self) -> Result<(), Error> {
        self.conn.execute("ROLLBACK", &[]).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.conn.close_on_drop();
        }
    }
}

impl Row {
    fn get<'r, T>(&'r self, idx: usize) -> Result<T, Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
        usize: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(idx).map_err(failed),
            Self::Postgres(row) => row.try_get(idx).map_err(failed),
        }
    }

    /// A text.
    pub(super) fn text(&self, idx: usize) -> Result<&str, Error> {
        self.get(idx)
    }

    /// A text that may be absent.
    pub(super) fn maybe_text(&self, idx: usize) -> Result<Option<&str>, Error> {
        self.get(idx)
    }

    /// A number.
    pub(super) fn int(&self, idx: usize) -> Result<i64, Error> {
        self.get(idx)
    }

    /// A number that may be absent.
    pub(super) fn maybe_int(&self, idx: usize) -> Result<Option<i64>, Error> {
        self.get(idx)
    }

    /// Whether something holds.
    pub(super) fn flag(&self, idx: usize) -> Result<bool, Error> {
        self.get(idx)
    }

    /// Bytes.
    pub(super) fn bytes(&self, idx: usize) -> Result<&[u8], Error> {
        self.get(idx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use super::*;

    /// Polls `work` so many times and gives up, once what it began had time to happen.
    async fn give_up_after(polls: usize, work: impl Future) {
        let (mut work, mut left) = (pin!(work), polls);
        poll_fn(|cx| {
            left = left.saturating_sub(1);
            if work.as_mut().poll(cx).is_ready() || left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    #[tokio::test]
    async fn a_transaction_that_nobody_waits_for_any_more_is_not_left_open() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&Location::File(folder.path().join("lictor.db"))).await.unwrap();
        db.execute("CREATE TABLE t (n INTEGER)", &[]).await.unwrap();
        // How many polls each takes depends on the thread of the database.
        for polls in [1, 2, 3, 4, 5, 6].repeat(10) {
            give_up_after(polls, db.begin()).await;
            let tx = db.begin().await.unwrap_or_else(|error| panic!("after {polls} polls: {}", error.chain()));
            tx.rollback().await.unwrap();
            give_up_after(polls, db.snapshot()).await;
            db.snapshot().await.unwrap().rollback().await.unwrap();
        }
    }
}
