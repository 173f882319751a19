//! Where the database is: `--store`, as it is typed and as it is meant.

use std::{
    fmt,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use crate::error::{Error, ErrorKind};

/// The parameters that the URL of a PostgreSQL database may have.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Location {
    /// SQLite, in this file.
    File(PathBuf),
    /// PostgreSQL.
    Server(Server),
}

/// Makes a folder that nobody else may look into, unless it is there.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A database of a PostgreSQL server. Shows no password.
#[derive(Clone)]
pub struct Server {
    options: Box<PgConnectOptions>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Location {
    /// Makes the folder that the database is in, if that is ours to make.
    pub fn make_folder(&self) -> Result<(), String> {
        let folder = match self {
            Self::File(path) => path.parent(),
            Self::Server(_) => None,
        };
        let failed = |folder: &Path, error| format!("the folder `{}` cannot be made: {error}", folder.display());
        folder.map_or(Ok(()), |folder| private_folder(folder).map_err(|error| failed(folder, error)))
    }

    /// Reads `sqlite:PATH` or `postgres://…`; without any, it is a file in the data directory.
    pub fn parse(url: Option<&str>, data_dir: &Path) -> Result<Self, String> {
        let Some(url) = url else { return Ok(Self::File(data_dir.join("lictor.db"))) };
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Ok(Self::File(data_dir.join("lictor.db"))),
                _ if path.starts_with(":memory:") || path.contains('?') => {
                    Err("`store` must name a file after `sqlite:`, and nothing else".into())
                }
                path => Ok(Self::File(data_dir.join(path))),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Server(Server::parse(url)?));
        }
        // What was typed may hold a password, so it is never repeated.
        Err("`store` must be `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`".into())
    }
}

impl Server {
    fn parse(url: &str) -> Result<Self, String> {
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let names = parameters.split('&').filter(|pair| !pair.is_empty());
        let names = names.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        for name in names {
            if !PARAMETERS.contains(&name) {
                return Err(format!("`store` has a parameter that is not one of {}", PARAMETERS.join(", ")));
            }
        }
        // The driver's own message may repeat what was typed.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| "`store` must have the form `postgres://USER:PASSWORD@HOST:PORT/DATABASE`")?;
        // Its statements are ours and say nothing to anybody else.
        Ok(Self { options: Box::new(options.application_name("lictor").disable_statement_logging()) })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Without the password.
    fn shown(&self) -> String {
        let options = &self.options;
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        format!("{}@{place}/{}", options.get_username(), options.get_database().unwrap_or_default())
    }

    /// Why there is no start without it.
    pub(super) fn unreachable(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "the PostgreSQL database {} cannot be used: {why}: start it, or give another --store",
                self.shown()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: Option<&str>) -> Result<Location, String> {
        Location::parse(url, Path::new("/data"))
    }

    #[test]
    fn a_file_is_in_the_data_directory_unless_it_says_where() {
        for (url, expected) in [
            (None, "/data/lictor.db"),
            (Some("sqlite:"), "/data/lictor.db"),
            (Some("sqlite:other.db"), "/data/other.db"),
            (Some("sqlite:/tmp/x.db"), "/tmp/x.db"),
            (Some("sqlite:///tmp/x.db"), "/tmp/x.db"),
        ] {
            let Location::File(path) = parse(url).unwrap() else { panic!("{url:?}") };
            assert_eq!(path, Path::new(expected), "{url:?}");
        }
    }

    #[test]
    fn a_server_is_shown_without_its_password() {
        for url in [
            "postgres://ann:secret@db.example:6543/lictor",
            "postgresql://ann:secret@db.example:6543/lictor?sslmode=disable",
            "postgres://db.example:6543/lictor?user=ann&password=secret",
        ] {
            let Location::Server(server) = parse(Some(url)).unwrap() else { panic!("{url}") };
            assert_eq!(format!("{server:?}"), "ann@db.example:6543/lictor");
            assert!(!server.unreachable("no").message().contains("secret"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for url in [
            "",
            "mysql://ann:secret@host/db",
            "secret",
            "sqlite::memory:",
            "sqlite:x?mode=secret",
            "postgres://ann:secret@host:port/db",
            "postgres://ann@host/db?passwort=secret",
            "postgres://ann@host/db?sslmode=secret",
        ] {
            let error = parse(Some(url)).unwrap_err();
            assert!(error.starts_with("`store` ") && !error.contains("secret"), "{url}: {error}");
        }
    }
}
