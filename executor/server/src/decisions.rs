//! The decision log: what every call of a policy was asked and what came of it, in files that show it when they are touched.
//!
//! ```text
//! a call ends ──► a buffer of its thread ──► the writer: numbers, chains, writes ──► decisions/decisions-<number>.jsonl
//!                                              └─ every second a signed checkpoint; the head of the log after each write
//! ```
//!
//! A line is a JSON object. Its first member `n` is its number, its last one `hash` the sha256 of the hash before it and of
//! the line up to there: see [`chain`]. What a decision was made by is a line of its own, once for each segment, to which
//! decisions refer by its number.
//!
//! PERF: a call writes its line as text into a buffer that only its own thread uses, and does not wait; one thread numbers,
//! hashes and writes what has gathered. Whoever must know that a line is on the disk waits for the next sync, together with
//! all others who do.

mod buffer;
pub mod chain;
mod entry;
pub mod files;
mod id;
pub mod key;
pub mod line;
pub mod read;
mod record;
mod sink;
pub mod verify;
mod version;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, Thread},
};

use lictor_model::Limits;
use lictor_sandbox::{Policy, TapeMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use self::{
    buffer::Buffer,
    id::Ids,
    key::SigningKey,
    writer::{Opened, Writer},
};
pub use self::{
    entry::Entry,
    files::FOLDER,
    id::{DecisionId, time},
    record::{Decision, account},
    sink::HttpSink,
    version::{Version, timeout_ms},
};
use crate::{
    error::{Error, ErrorKind},
    stripes::Striped,
    telemetry::Metrics,
};

/// When a decision counts as recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Never: it is written soon, and the operating system puts it on the disk when it likes.
    None,
    /// It is written within some milliseconds, which the end of the process may take along, and on the disk within a second.
    #[default]
    Batched,
    /// It is on the disk before the call is answered.
    BeforeAnswer,
}

/// What to do when decisions cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Decide nothing that is not recorded: calls are answered 503.
    #[default]
    Refuse,
    /// Go on, count what is lost, and say it in the log as soon as that can be written again.
    Count,
}

/// How much of a text is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// All of it.
    #[default]
    Whole,
    /// Its sha256.
    Hashed,
}

/// What is recorded of the calls of some policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Of inputs, parameters that calls bring, and the data of management commands.
    pub input: Share,
    /// Of answers.
    pub output: Share,
    /// JSON pointers into a decision, such as `/input/user/email`, at which everything is replaced by `"***"`.
    pub mask: Vec<String>,
}

/// How decisions are recorded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub folder: PathBuf,
    /// When they count as recorded.
    pub durability: Durability,
    /// What to do when they cannot be.
    pub when_full: WhenFull,
    /// The most that is kept, in bytes.
    pub keep_bytes: u64,
    /// How long it is kept, if not for as long as there is room.
    pub keep_ms: Option<u64>,
    /// The most of what one call is told by the world outside; nothing of it is kept where this is 0.
    pub transcript_bytes: usize,
    /// The key that signs, if not one of the log's own.
    pub key: Option<PathBuf>,
    /// What is recorded of some policies, by uri or by a beginning of it and `*`.
    pub policies: Vec<(String, Privacy)>,
    /// Whether it is passed on to standard output.
    pub stdout: bool,
    /// Where else it is passed on to.
    pub http: Option<HttpSink>,
}

/// The decision log. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    parts: Option<Arc<Parts>>,
}

struct Parts {
    settings: Settings,
    ids: Ids,
    shared: Arc<Shared>,
    thread: Thread,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// The last line that was there before this process.
    last: u64,
}

/// What calls and the writer share.
struct Shared {
    buffers: Striped<Mutex<Buffer>>,
    /// Of the lines that are put into buffers now.
    epoch: AtomicU64,
    /// The epoch up to which all is written, and durable where somebody waits for that.
    written: watch::Sender<Written>,
    /// Whether the writer sleeps until somebody wakes it.
    asleep: AtomicBool,
    /// Whether the last write failed.
    failing: AtomicBool,
    stopping: AtomicBool,
    /// Whether the writer has ended.
    written_all: AtomicBool,
    lost: Mutex<Lost>,
    metrics: Metrics,
}

#[derive(Clone, Copy, Debug, Default)]
struct Written {
    epoch: u64,
    /// Whether what comes after it could not be written.
    failing: bool,
}

/// Decisions that are in no log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lost {
    decisions: u64,
    from_ms: u64,
    to_ms: u64,
}

/// A call that is to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// The decision's id, which is also the call's.
    pub id: DecisionId,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Decisions {
    /// The log as it is configured: none records nothing.
    pub fn of(settings: Option<&Settings>, metrics: &Metrics, tasks: &TaskTracker) -> Result<Self, Error> {
        match settings {
            Some(settings) => Self::start(settings, metrics, tasks),
            None => Ok(Self { parts: None }),
        }
    }

    /// Opens the log and starts its writer.
    fn start(settings: &Settings, metrics: &Metrics, tasks: &TaskTracker) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            let folder = settings.folder.display();
            Error::new(ErrorKind::InvalidInput, format!("the decision log in `{folder}` cannot be written: {error}"))
        };
        crate::store::private_folder(&settings.folder).map_err(failed)?;
        let key = SigningKey::open(&settings.folder, settings.key.as_deref())?;
        let opened = Opened::at(&settings.folder, &key.public()).map_err(failed)?;
        let last = opened.last();
        let shared = Arc::new(Shared {
            buffers: Striped::default(),
            epoch: AtomicU64::new(1),
            written: watch::Sender::new(Written::default()),
            asleep: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            written_all: AtomicBool::new(false),
            lost: Mutex::default(),
            metrics: metrics.clone(),
        });
        let writer = Writer::new(Arc::clone(&shared), settings.clone(), key, opened).map_err(failed)?;
        if let Some(http) = &settings.http {
            sink::to_server(http, &settings.folder, tasks)?;
        }
        let running = std::thread::Builder::new().name("decisions".into()).spawn(move || writer.run());
        let running = running.map_err(|error| Error::internal("the decision log has no thread", error))?;
        let thread = running.thread().clone();
        let parts = Parts {
            settings: settings.clone(),
            ids: Ids::new(),
            shared,
            thread,
            writer: Mutex::new(Some(running)),
            last,
        };
        Ok(Self { parts: Some(Arc::new(parts)) })
    }

    /// Begins to pass the log on to standard output, if that is wanted: not before whoever started the server has read there
    /// where it listens.
    pub fn speak(&self) -> std::io::Result<()> {
        match self.parts.as_deref().filter(|parts| parts.settings.stdout) {
            Some(Parts { settings, shared, last, .. }) => sink::to_stdout(&settings.folder, *last, Arc::clone(shared)),
            None => Ok(()),
        }
    }

    /// What decisions of this policy are recorded as made by; none where nothing is recorded.
    pub fn version(
        &self,
        policy: &Policy,
        limits: &Limits,
        schemas: Option<&Map<String, Value>>,
    ) -> Option<Arc<Version>> {
        let settings = &self.parts.as_ref()?.settings;
        Some(Arc::new(Version::new(policy, limits, schemas, settings.privacy(&policy.uri))))
    }

    /// Begins a call, unless it could not be recorded and is to be refused for that.
    pub fn begin(&self) -> Result<Begun, Error> {
        let Some(parts) = &self.parts else { return Ok(Ids::unrecorded()) };
        if parts.shared.failing.load(Ordering::Relaxed) && parts.settings.when_full == WhenFull::Refuse {
            return Err(unrecorded("the decision log cannot be written, and nothing is decided that is not recorded"));
        }
        Ok(parts.ids.next())
    }

    /// What is to become of what a call is told.
    pub fn tape(&self) -> TapeMode {
        match self.parts.as_ref().map_or(0, |parts| parts.settings.transcript_bytes) {
            0 => TapeMode::Off,
            max_bytes => TapeMode::Record { max_bytes },
        }
    }

    /// Records a decision. Waits only where it must be on the disk before anybody hears of it.
    pub async fn record(&self, decision: &Decision<'_>) -> Result<(), Error> {
        let Some(parts) = &self.parts else { return Ok(()) };
        let Some(epoch) = parts.put(decision, false) else {
            return Box::pin(parts.put_late(decision)).await;
        };
        match parts.settings.durability {
            Durability::None | Durability::Batched => Ok(()),
            // PERF: boxed, so that the future of a call that does not wait stays small.
            Durability::BeforeAnswer => Box::pin(parts.durable(epoch)).await,
        }
    }

    /// Records that nobody waited for a call.
    pub fn record_abandoned(&self, decision: &Decision<'_>) {
        if let Some(parts) = &self.parts {
            // There may be as many of them as there are calls, and nobody is there to wait until there is room.
            parts.put(decision, true);
        }
    }

    /// Writes what there is, and ends the writer.
    pub async fn stop(&self) {
        let Some(parts) = self.parts.clone() else { return };
        let stop = move || {
            parts.shared.stopping.store(true, Ordering::Release);
            parts.thread.unpark();
            let writer = parts.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(writer) = writer {
                writer.join().ok();
            }
            parts.shared.written_all.store(true, Ordering::Release);
        };
        tokio::task::spawn_blocking(stop).await.ok();
    }
}

impl Parts {
    /// Puts a decision where the writer finds it. The epoch that it is written in; none if there is no room.
    fn put(&self, decision: &Decision<'_>, must: bool) -> Option<u64> {
        let shared = &*self.shared;
        let epoch = {
            let mut buffer = shared.buffers.own().lock().unwrap_or_else(PoisonError::into_inner);
            buffer.push(decision, must).then(|| shared.epoch.load(Ordering::Relaxed))
        };
        if shared.asleep.load(Ordering::Relaxed) && shared.asleep.swap(false, Ordering::Relaxed) {
            self.thread.unpark();
        }
        epoch
    }

    /// Puts a decision where the writer finds it as soon as there is room, if there will be some.
    async fn put_late(&self, decision: &Decision<'_>) -> Result<(), Error> {
        let mut written = self.shared.written.subscribe();
        loop {
            self.thread.unpark();
            let seen = *written.borrow_and_update();
            if let Some(epoch) = self.put(decision, false) {
                return match self.settings.durability {
                    Durability::None | Durability::Batched => Ok(()),
                    Durability::BeforeAnswer => self.durable(epoch).await,
                };
            }
            if seen.failing || written.changed().await.is_err() {
                self.shared.lose(decision.begun.at_ms);
                return match self.settings.when_full {
                    WhenFull::Refuse => Err(unrecorded("the call was made, but could not be recorded")),
                    WhenFull::Count => Ok(()),
                };
            }
        }
    }

    /// Waits until an epoch is on the disk.
    async fn durable(&self, epoch: u64) -> Result<(), Error> {
        let mut written = self.shared.written.subscribe();
        let reached =
            written.wait_for(|written| epoch <= written.epoch || written.failing).await.map(|written| *written);
        match reached {
            Ok(written) if epoch <= written.epoch => Ok(()),
            _ if self.settings.when_full == WhenFull::Count => Ok(()),
            _ => Err(unrecorded("the call was made, but is not recorded yet: the decision log cannot be written")),
        }
    }
}

fn unrecorded(why: &str) -> Error {
    Error::new(ErrorKind::Unrecorded, why)
}

impl Shared {
    fn lose(&self, at_ms: u64) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.decisions == 0 {
            *lost = Lost { decisions: 0, from_ms: at_ms, to_ms: at_ms };
        }
        lost.decisions = lost.decisions.saturating_add(1);
        (lost.from_ms, lost.to_ms) = (lost.from_ms.min(at_ms), lost.to_ms.max(at_ms));
        self.metrics.decisions_lost(1);
    }
}

impl Privacy {
    /// Whether anything is not recorded as it is.
    fn hides(&self) -> bool {
        self.input == Share::Hashed || self.output == Share::Hashed || !self.mask.is_empty()
    }
}

impl Settings {
    /// A log in `data_dir` as it is by default.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            durability: Durability::default(),
            when_full: WhenFull::default(),
            keep_bytes: 1 << 30,
            keep_ms: None,
            transcript_bytes: 1 << 20,
            key: None,
            policies: Vec::new(),
            stdout: false,
            http: None,
        }
    }

    /// What is recorded of a policy: by what names it most exactly.
    fn privacy(&self, uri: &str) -> Privacy {
        let named = self.policies.iter().filter(|(pattern, _)| read::names(pattern, uri));
        named
            .max_by_key(|(pattern, _)| (!pattern.ends_with('*'), pattern.len()))
            .map(|(_, it)| it.clone())
            .unwrap_or_default()
    }
}
