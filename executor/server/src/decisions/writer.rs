//! The thread that writes the log.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use lictor_model::Digest;
use serde::Serialize;

use super::{
    Durability, Lost, Settings, Shared, Version, Written,
    buffer::Buffer,
    chain::{self, Hash},
    files::{self, Head, HeadFile, SegmentFile, Tail},
    id::now_ms,
    key::{PublicKey, SigningKey},
    line::{Checkpoint, Dropped, LostLine, Segment, Started},
};

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(10);
/// How often the log is signed, put on the disk where nobody waits for that, and looked through for what is too old.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait after a write that failed.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes of a segment, where the log may be large.
const SEGMENT: u64 = 64 << 20;
/// A log has room for so many segments.
const SEGMENTS: u64 = 16;
/// Bytes that there is room for while nothing is to be written.
const KEPT: usize = 2 << 20;
/// How lines are written.
pub(super) const FORMAT: u32 = 1;

/// A log that was found or made.
pub(super) struct Opened {
    log: String,
    n: u64,
    hash: Hash,
    /// The segment to go on with; none if another is to be begun.
    segment: Option<SegmentFile>,
    started: Started,
}

impl Opened {
    /// Finds where the log in `folder` ends, and cuts off what was not finished.
    pub(super) fn at(folder: &Path, key: &PublicKey) -> io::Result<Self> {
        let head = files::head(folder).unwrap_or_else(|error| {
            tracing::error!(%error, "the head of the decision log cannot be read; `lictor audit verify` says more");
            None
        });
        let mut started = Started {
            at_ms: now_ms(),
            lictor: env!("CARGO_PKG_VERSION").into(),
            cut_bytes: 0,
            missing: 0,
            headless: false,
        };
        let last = files::segments(folder)?.pop();
        let named = last.as_ref().and_then(|segment| files::log_of(&segment.path));
        let log = head.as_ref().map(|head| head.log.clone()).or(named);
        let log = log.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let known = head.as_ref().map_or(0, |head| head.n);
        let Some(mut segment) = last else {
            started.missing = known;
            let hash = head.as_ref().and_then(|head| chain::parse(&head.hash)).unwrap_or(chain::NOTHING);
            return Ok(Self { log, n: known, hash, segment: None, started });
        };
        started.headless = head.is_none();
        let tail = Tail::of(&segment.path)?;
        if 0 < tail.torn {
            tracing::warn!(
                segment = segment.name(),
                bytes = tail.torn,
                "the decision log ended in an unfinished line, which is cut off"
            );
            let file = files::open(&segment.path)?;
            file.set_len(tail.whole)?;
            file.sync_all()?;
            started.cut_bytes = tail.torn;
            segment.len = tail.whole;
        }
        // Past what cannot be read.
        let lost = (known.max(segment.first), chain::NOTHING);
        let (n, hash) = tail.last.unwrap_or(lost);
        started.missing = known.saturating_sub(n);
        if 0 < started.missing {
            tracing::error!(
                missing = started.missing,
                "the decision log is shorter than it was: it ends at record {n}"
            );
        }
        if started.headless {
            tracing::error!("the head of the decision log is gone, so nothing says where the log ended");
        }
        // A key that was changed is said in the first line of a segment; so is a log whose end cannot be read.
        let goes_on = tail.last.is_some() && head.is_none_or(|head| head.key == key.to_hex());
        Ok(Self { log, n, hash, segment: goes_on.then_some(segment), started })
    }
}

impl Opened {
    /// The last line.
    pub(super) fn last(&self) -> u64 {
        self.n
    }
}

/// What writes the log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: Settings,
    key: SigningKey,
    log: String,
    /// The last line.
    n: u64,
    hash: Hash,
    file: File,
    segment: SegmentFile,
    head: HeadFile,
    /// Which line of this segment says what decisions of a version were made by.
    versions: HashMap<Digest, u64>,
    /// Lines that are to be written: sealed, and not in the file yet.
    text: Vec<u8>,
    /// Taken from a thread, which has the other one.
    spare: Buffer,
    /// Lines since the last checkpoint.
    unsigned: u64,
    looked_at: Instant,
    dirty: bool,
    syncer: mpsc::SyncSender<File>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings, key: SigningKey, opened: Opened) -> io::Result<Self> {
        let Opened { log, n, hash, segment, started } = opened;
        let begins = segment.is_none();
        let segment = segment.unwrap_or_else(|| next_segment(&settings.folder, n));
        let (file, head) = (files::open(&segment.path)?, HeadFile::open(&settings.folder)?);
        let syncer = syncer()?;
        let (versions, text, spare) = (HashMap::new(), Vec::new(), Buffer::default());
        let (unsigned, looked_at, dirty) = (0, Instant::now(), false);
        let mut writer = Self {
            shared,
            settings,
            key,
            log,
            n,
            hash,
            file,
            segment,
            head,
            versions,
            text,
            spare,
            unsigned,
            looked_at,
            dirty,
            syncer,
        };
        if begins {
            writer.begin_segment();
        }
        // Written with what comes first: a server also starts on a disk that is full.
        writer.line("started", &started);
        writer.checkpoint();
        Ok(writer)
    }

    pub(super) fn run(mut self) {
        loop {
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            let epoch = self.shared.epoch.fetch_add(1, Ordering::AcqRel);
            let took = self.take();
            self.every_second(stopping);
            if !self.text.is_empty() && !self.write_at_last() {
                return;
            }
            self.shared.written.send_replace(Written { epoch, failing: false });
            if stopping {
                return self.end();
            }
            self.wait(took);
        }
    }

    /// Waits until something may be there to be written.
    fn wait(&self, took: bool) {
        let at_once = self.settings.durability == Durability::BeforeAnswer;
        if took && !at_once {
            return std::thread::park_timeout(GATHER);
        }
        self.shared.asleep.store(true, Ordering::Release);
        // Whoever put something in before that did not see that nobody was awake.
        let waiting = self.shared.buffers.iter().any(|buffer| !lock(buffer).is_empty());
        if !waiting {
            std::thread::park_timeout(EVERY);
        }
        self.shared.asleep.store(false, Ordering::Release);
        if !at_once {
            // The first of several has come.
            std::thread::park_timeout(GATHER);
        }
    }

    /// Takes what has gathered; false if there was nothing.
    fn take(&mut self) -> bool {
        let (shared, mut spare, mut took) = (Arc::clone(&self.shared), std::mem::take(&mut self.spare), false);
        for buffer in shared.buffers.iter() {
            {
                let mut buffer = lock(buffer);
                if buffer.is_empty() {
                    continue;
                }
                std::mem::swap(&mut *buffer, &mut spare);
            }
            took = true;
            for (version, rest) in spare.lines() {
                self.decision(version, rest);
            }
            spare.clear();
        }
        self.spare = spare;
        took
    }

    fn decision(&mut self, version: &Arc<Version>, rest: &[u8]) {
        let made_by = match self.versions.get(&version.key) {
            Some(made_by) => *made_by,
            None => {
                self.seal(|_, text| text.extend_from_slice(&version.text));
                self.versions.insert(version.key, self.n);
                self.n
            }
        };
        self.seal(|_, text| {
            text.extend_from_slice(b",\"version\":");
            text.extend_from_slice(itoa::Buffer::new().format(made_by).as_bytes());
            text.extend_from_slice(rest);
        });
        if self.segment_bytes() <= self.segment.len.saturating_add(self.text.len() as u64) {
            self.rotate();
        }
    }

    /// Adds a line: its number, what `rest` writes, its hash.
    fn seal(&mut self, rest: impl FnOnce(&Self, &mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.text);
        let start = text.len();
        self.n = self.n.saturating_add(1);
        text.extend_from_slice(b"{\"n\":");
        text.extend_from_slice(itoa::Buffer::new().format(self.n).as_bytes());
        rest(self, &mut text);
        self.hash = chain::seal(&mut text, start, &self.hash);
        self.unsigned = self.unsigned.saturating_add(1);
        self.text = text;
    }

    /// Adds a line that says one thing.
    fn line(&mut self, name: &str, value: &impl Serialize) {
        let value = serde_json::to_string(value).unwrap_or_default();
        self.seal(|_, text| text.extend_from_slice(format!(",\"{name}\":{value}").as_bytes()));
    }

    fn checkpoint(&mut self) {
        let signature = self.key.sign(&self.log, self.n, &self.hash).into();
        self.line("checkpoint", &Checkpoint { at_ms: now_ms(), signature });
        self.unsigned = 0;
    }

    fn begin_segment(&mut self) {
        let segment = Segment {
            log: self.log.clone().into(),
            format: FORMAT,
            previous: chain::text(&self.hash).to_owned().into(),
            at_ms: now_ms(),
            key: self.key.public().to_hex().into(),
        };
        self.versions.clear();
        self.line("segment", &segment);
    }

    /// Ends this segment and begins the next.
    fn rotate(&mut self) {
        self.checkpoint();
        // What cannot be written stays in memory, and in this segment.
        if !self.write_at_last() {
            return;
        }
        let next = next_segment(&self.settings.folder, self.n);
        match files::open(&next.path) {
            Ok(file) => {
                if self.settings.durability != Durability::None {
                    self.file.sync_data().ok();
                }
                (self.file, self.segment) = (file, next);
                self.begin_segment();
            }
            Err(error) => tracing::error!(%error, "the decision log has no next segment yet"),
        }
        self.make_room();
    }

    /// Removes the oldest segments where there is too much, or what is too old. That is said before it is done.
    fn make_room(&mut self) {
        let Ok(segments) = files::segments(&self.settings.folder) else { return };
        let mut total: u64 = segments.iter().map(|segment| segment.len).sum();
        let oldest_ms = self.settings.keep_ms.map(|keep| now_ms().saturating_sub(keep));
        let most = self.settings.keep_bytes.saturating_sub(self.segment_bytes());
        let mut going = Vec::new();
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            let is_old = oldest_ms.is_some_and(|oldest| written_ms(&segment.path).is_some_and(|at| at < oldest));
            if total <= most && !is_old {
                break;
            }
            total = total.saturating_sub(segment.len);
            going.push((segment.path.clone(), next.first.saturating_sub(1)));
        }
        let Some((_, through)) = going.last() else { return };
        self.line("dropped", &Dropped { through: *through, at_ms: now_ms() });
        if !self.write_at_last() {
            return;
        }
        for (path, _) in going {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "an old segment of the decision log cannot be removed");
            }
        }
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT.min(self.settings.keep_bytes / SEGMENTS)
    }

    fn every_second(&mut self, stopping: bool) {
        if !stopping && self.looked_at.elapsed() < EVERY {
            return;
        }
        self.looked_at = Instant::now();
        let lost = std::mem::take(&mut *lock(&self.shared.lost));
        if lost != Lost::default() {
            let Lost { decisions, from_ms, to_ms } = lost;
            tracing::error!(decisions, "decisions were made that are not in the log");
            self.line("lost", &LostLine { decisions, from_ms, to_ms });
        }
        if 0 < self.unsigned {
            self.checkpoint();
        }
        if self.settings.keep_ms.is_some() {
            self.make_room();
        }
        if self.settings.durability == Durability::Batched
            && std::mem::take(&mut self.dirty)
            && let Ok(file) = self.file.try_clone()
        {
            // One that is busy is putting the same file on the disk.
            self.syncer.try_send(file).ok();
        }
    }

    /// Writes what there is, however often it takes; false if the server stops meanwhile.
    fn write_at_last(&mut self) -> bool {
        let mut said = false;
        loop {
            let Err(error) = self.write() else {
                if said {
                    tracing::warn!("the decision log can be written again");
                }
                self.shared.failing.store(false, Ordering::Relaxed);
                return true;
            };
            self.shared.failing.store(true, Ordering::Relaxed);
            self.shared.written.send_modify(|written| written.failing = true);
            if !said {
                tracing::error!(%error, "the decision log cannot be written; it is tried again");
                said = true;
            }
            if self.shared.stopping.load(Ordering::Acquire) {
                tracing::error!(
                    bytes = self.text.len(),
                    "the server stops, and what was not written of the decision log is lost"
                );
                return false;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Writes what there is: all of it or nothing.
    fn write(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let syncs = self.settings.durability == Durability::BeforeAnswer;
        let written = self.file.write_all(&self.text).and_then(|()| if syncs { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // A part of a line would be the beginning of the next, and a whole one would be there twice.
            self.file.set_len(self.segment.len).ok();
            return Err(error);
        }
        self.segment.len = self.segment.len.saturating_add(self.text.len() as u64);
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.dirty = true;
        self.tell_head()
    }

    fn tell_head(&self) -> io::Result<()> {
        self.head.write(&Head {
            log: self.log.clone(),
            n: self.n,
            hash: chain::text(&self.hash).to_owned(),
            at_ms: now_ms(),
            signature: self.key.sign(&self.log, self.n, &self.hash),
            key: self.key.public().to_hex(),
        })
    }

    /// Puts everything on the disk.
    fn end(self) {
        if self.settings.durability == Durability::None {
            return;
        }
        if let Err(error) = self.file.sync_all().and_then(|()| self.head.sync()) {
            tracing::error!(%error, "the decision log cannot be put on the disk");
        }
    }
}

fn lock<T>(of: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_segment(folder: &Path, n: u64) -> SegmentFile {
    let first = n.saturating_add(1);
    SegmentFile { path: files::segment_path(folder, first), first, len: 0 }
}

/// When a segment was last written.
fn written_ms(path: &Path) -> Option<u64> {
    let since = fs::metadata(path).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A thread that puts files on the disk, which may take long, and for which nobody waits.
fn syncer() -> io::Result<mpsc::SyncSender<File>> {
    let (files, inbox) = mpsc::sync_channel::<File>(1);
    std::thread::Builder::new().name("decisions-sync".into()).spawn(move || {
        for file in inbox {
            if let Err(error) = file.sync_data() {
                tracing::error!(%error, "the decision log cannot be put on the disk");
            }
        }
    })?;
    Ok(files)
}
