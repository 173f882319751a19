//! A database of its own for each test, on the PostgreSQL that `tests/postgres.sh` started.

use std::{path::PathBuf, process::Command};

/// Names the PostgreSQL server to test with: a URL whose user may make databases.
const SERVER: &str = "LICTOR_TEST_POSTGRES";
/// Where servers of tests keep their records if the test does not say: `postgres`, or in their folder.
const STORE: &str = "LICTOR_TEST_STORE";

/// An empty database. Dropped with its value, whoever still uses it.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A new one, if this run of the tests is one on PostgreSQL.
    #[track_caller]
    pub(crate) fn if_asked_for(name: &str) -> Option<Self> {
        match variable(STORE).as_deref() {
            Some("postgres") => Some(Self::new(name)),
            Some("sqlite") | None => None,
            Some(other) => panic!("{STORE} is `{other}`: it can be `sqlite` or `postgres`"),
        }
    }

    /// A new one.
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let server = variable(SERVER).unwrap_or_else(|| {
            panic!("this test needs PostgreSQL: {SERVER}=$(tests/postgres.sh start), as `make test` does it")
        });
        let database = Self { server, name: name.into() };
        database.sql(&database.server, &format!("CREATE DATABASE \"{name}\""));
        database
    }

    /// What `--store` takes.
    #[track_caller]
    pub(crate) fn url(&self) -> String {
        let (server, options) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (host, _database) = server.rsplit_once('/').expect("the server's URL names a database");
        let separator = if options.is_empty() { "" } else { "?" };
        format!("{host}/{}{separator}{options}", self.name)
    }

    /// The password in that URL.
    #[track_caller]
    pub(crate) fn password(&self) -> &str {
        let user = self.server.split_once("://").and_then(|(_, rest)| Some(rest.split_once('@')?.0));
        user.and_then(|user| Some(user.split_once(':')?.1)).expect("the server's URL has a password")
    }

    /// Runs a statement in it, as another program would, and returns what it answers: a line for each row.
    #[track_caller]
    pub(crate) fn run(&self, sql: &str) -> String {
        self.sql(&self.url(), sql)
    }

    #[track_caller]
    fn sql(&self, url: &str, sql: &str) -> String {
        let output = psql(url, sql).output().expect("psql can be run");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        // It goes with the whole server, at the latest.
        let _dropped_later = psql(&self.server, &drop).output();
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// `psql` with a statement, nothing of the user's settings, and a bound on everything it waits for.
fn psql(url: &str, sql: &str) -> Command {
    let mut command = Command::new(program());
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    command.args(["--command", sql, url]);
    command.env("PGCONNECT_TIMEOUT", "10").env("PGOPTIONS", "-c statement_timeout=60000");
    command
}

/// The program itself where it is known to be; what Debian has in `PATH` first looks for it, which takes longer.
fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin/psql")).filter(|path| path.exists());
    installed.max().unwrap_or_else(|| "psql".into())
}
