//! `lictor token`: the tokens that open the API, written to the database that the server reads them from.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lictor_model::Time;
use serde_json::json;

use super::{Failure, host, print, serve::private_files};
use crate::{
    access::{self, Role, is_good, now_ms},
    config::{self, Flags},
    store::{Store, TokenRow},
};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// The longest name, in bytes.
const MAX_NAME: usize = 200;
/// The most days that a token may be good for: a hundred years.
const MAX_DAYS: i64 = 36_500;

/// Make, list and revoke the tokens that open the API.
///
/// A server needs a token of every caller from when the first one is made, and goes on doing so when all are revoked. It
/// takes up what is written here within a second. This command reads and writes the database itself, so it needs what
/// `lictor serve` was given of --data-dir, --store and --config, and no server.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token, and print it: it is shown this once, and never again.
#[derive(Args)]
struct Create {
    /// What to call it: who uses it, and for what.
    name: String,
    /// What it is good for: admin (everything), deployer (grants, functions, graphs, jobs; and what systems and executors
    /// use between them), author (policies and assets, without granting them anything), caller (decisions), auditor
    /// (reading).
    #[arg(long)]
    role: Role,
    /// For how many days it is good [default: until it is revoked].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MAX_DAYS))]
    days: Option<i64>,
    #[command(flatten)]
    place: Place,
}

/// List the tokens: a JSON object a line, the oldest first. None has its text.
#[derive(Args)]
struct List {
    #[command(flatten)]
    place: Place,
}

/// Revoke a token: from within a second on, it opens nothing.
#[derive(Args)]
struct Revoke {
    /// Its id, as `lictor token list` shows it.
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Where the database is, as `lictor serve` is told.
#[derive(Args)]
struct Place {
    /// The server's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database; by default SQLite in the data directory.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The server's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lictor token create ops --role admin --data-dir /var/lib/lictor
  TOKEN=$(lictor token create checkout --role caller --days 90 --data-dir /var/lib/lictor)
  curl -H \"Authorization: Bearer $TOKEN\" …
  lictor token revoke 3f1c0a9b2d4e --data-dir /var/lib/lictor

Other commands show a server the token in the environment variable LICTOR_TOKEN.

Exit codes:
  0  it is done
  2  the command makes no sense, or there is no such token
  5  a failure of lictor's own";

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        private_files();
        host::runtime()?.block_on(async {
            match self.what {
                What::Create(create) => create.run().await,
                What::List(list) => list.run().await,
                What::Revoke(revoke) => revoke.run().await,
            }
        })
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let plain = !self.name.is_empty() && self.name.len() <= MAX_NAME && !self.name.contains(char::is_control);
        if !plain {
            let why = format!("the name must be at most {MAX_NAME} bytes, without control characters, and not empty");
            return Err(Failure::Usage(why));
        }
        let (token, now) = (access::Token::new(), now_ms());
        let expires = self.days.map(|days| now.saturating_add(days.saturating_mul(DAY)));
        let row = token.row(&self.name, self.role, now, expires);
        let store = self.place.open().await?;
        store.add_token(&row).await?;
        store.close().await;
        let until =
            expires.map_or_else(|| "until it is revoked".into(), |at| format!("until {}", Time::from_millis(at)));
        print::note(format_args!(
            "lictor: the token {} of the role {} is good {until}; it is not shown again",
            row.id, row.role
        ));
        print::line(token.reveal())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let store = self.place.open().await?;
        let rows = store.tokens().await?;
        store.close().await;
        rows.iter().try_for_each(|row| print::json_line(&line(row, now_ms())))
    }
}

fn line(row: &TokenRow, now_ms: i64) -> String {
    let state = match row {
        TokenRow { revoked_at_ms: Some(_), .. } => "revoked",
        row if is_good(row, now_ms) => "good",
        _ => "expired",
    };
    let time = |ms: Option<i64>| ms.map(|ms| Time::from_millis(ms).to_string());
    json!({
        "id": row.id, "name": row.name, "role": row.role, "state": state, "created_at": time(Some(row.created_at_ms)),
        "expires_at": time(row.expires_at_ms), "revoked_at": time(row.revoked_at_ms),
    })
    .to_string()
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let store = self.place.open().await?;
        let revoked = store.revoke_token(&self.id, now_ms()).await?;
        store.close().await;
        if revoked { Ok(()) } else { Err(Failure::Usage(format!("no token `{}` is there to be revoked", self.id))) }
    }
}

impl Place {
    async fn open(&self) -> Result<Store, Failure> {
        let flags = Flags { data_dir: self.data_dir.clone(), store: self.store.clone(), ..Flags::default() };
        let location = config::location(self.config.clone(), &flags).map_err(Failure::Usage)?;
        location.make_folder().map_err(Failure::Usage)?;
        Ok(Store::open(&location).await?)
    }
}
