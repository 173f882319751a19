//! The durable registries, on SQLite or PostgreSQL: the only module that names the database driver.
//!
//! ```text
//! location   --store, as it is typed
//! db         connections, transactions, rows: the same statements for both databases
//! migrations the tables
//! documents  records: insert, read, replace, remove       terms    what an index finds them by
//! scan       going through records, off the threads that answer calls; narrow: through which
//! loads      how each policy's loading stands              context  what policies keep
//! changes    what other processes change                  leases   which of them has an executor id
//! assets     the files of assets
//! heartbeats when executors last said that they are there
//! functions  what replicas of functions need to be there again
//! jobs       which job is due when                          shadows  which policy has a candidate beside it
//! tokens     who may come in, and as what
//! ```
//!
//! A record's document is kept whole, as the text it was written as. What was acknowledged survives the end of the
//! process and of the machine: SQLite runs in write-ahead mode and is synced at every commit, PostgreSQL does so by
//! itself.
//!
//! A part that has tables of its own adds a file here with an `impl Store`: `self.db` runs single statements (`fetch`,
//! `fetch_one`, `execute`), `self.db.begin()` gives a transaction (`Tx`: `execute`, `fetch`, `commit`, `rollback`).
//! Values go in as `&[text.into(), 5.into()]` for `$1`, `$2`; texts that users choose pass `terms::encode` on the way
//! in and `terms::decode` on the way out. Its tables are one more entry of `migrations::MIGRATIONS`.

mod active;
mod assets;
mod changes;
mod chunks;
mod context;
mod db;
mod documents;
mod functions;
mod heartbeats;
mod jobs;
mod leases;
mod loads;
mod location;
mod migrations;
mod narrow;
mod scan;
mod shadows;
mod spool;
mod terms;
mod tokens;

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::Semaphore;

pub use active::ActiveJobs;
pub use assets::AssetFile;
pub use changes::{Change, Changes};
pub use context::ContextWrite;
pub use documents::document_of;
pub use functions::{KeptCommand, SavedState, context_of};
pub use heartbeats::Heartbeat;
pub use jobs::{JobChange, JobDue, JobWrite, NewJob, Stage};
pub use leases::Lease;
pub use loads::{LoadState, PolicyRow};
pub use location::{Location, private_folder};
pub use scan::{Candidate, Visit};
pub use shadows::ShadowRow;
pub use spool::{Spool, Spooled};
pub use tokens::TokenRow;

use crate::error::Error;

/// Scans at the same time: more would only take the connections that others wait for.
const MAX_SCANS: usize = 2;

/// The kinds of records; each has its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Policies.
    Policy,
    /// Executors.
    Executor,
    /// Functions.
    Function,
    /// Graphs.
    Graph,
    /// Jobs.
    Job,
    /// Assets.
    Asset,
}

/// A record as it is stored.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// The document, normalised.
    pub document: Map<String, Value>,
    /// Another one with every change of the record, and never one that was there before.
    pub revision: i64,
}

/// Tables on disk. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: db::Db,
    feed: changes::Feed,
    scans: Arc<Semaphore>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Policy, Self::Executor, Self::Function, Self::Graph, Self::Job, Self::Asset];

    /// The word for one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Executor => "executor",
            Self::Function => "function",
            Self::Graph => "graph",
            Self::Job => "job",
            Self::Asset => "asset",
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Policy => "policies",
            Self::Executor => "executors",
            Self::Function => "functions",
            Self::Graph => "graphs",
            Self::Job => "jobs",
            Self::Asset => "assets",
        }
    }

    /// The field of the document that is the id.
    fn id_field(self) -> &'static str {
        match self {
            Self::Policy => "policy_rule_uri",
            Self::Executor => "executor_id",
            Self::Function => "function_id",
            Self::Graph => "graph_uri",
            Self::Job => "job_id",
            Self::Asset => "asset_uri",
        }
    }

    /// The fields that records are found by, those first that few records share.
    ///
    /// A change takes another migration, with `index`.
    fn indexed(self) -> &'static [&'static str] {
        match self {
            Self::Policy => &["name", "tags", "version", "release_tag", "type"],
            // There are few of them.
            Self::Executor => &[],
            Self::Function => &["function_policy_rule_uri", "function_tags", "function_executor_id"],
            Self::Graph => &["graph_name", "graph_search_tags", "graph_version", "graph_release_tag"],
            Self::Job => &["name", "policy_rule_uri", "job_policy_rule_uri", "executor_id", "job_status"],
            Self::Asset => &["asset_name", "asset_tags", "asset_id"],
        }
    }
}

impl Store {
    /// Opens the database, or makes its tables.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let db = db::Db::open(location).await?;
        migrations::migrate(&db).await?;
        let feed = changes::Feed::new();
        if let Location::Server(server) = location {
            feed.start(feed.clone().listen(server.clone()));
        }
        Ok(Self { db, feed, scans: Arc::new(Semaphore::new(MAX_SCANS)) })
    }

    /// Waits until everything is written, and closes the database.
    pub async fn close(&self) {
        self.feed.close();
        self.db.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.db.fetch("SELECT 1", &[]).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
