//! Who changed what: one line of JSON for each request that changes something, and for each that was refused for its role.
//!
//! A line is written before the request is answered. What is written survives the end of the process at once, and of
//! the machine within a second. The folder has a bound; the oldest file goes first, and the log says so.

use std::{
    fs::{File, OpenOptions, rename},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lictor_model::Time;
use serde::Serialize;
use tokio_util::task::TaskTracker;

use super::{Caller, now_ms};
use crate::{
    error::{Error, ErrorKind},
    store::private_folder,
};

/// Bytes of a file; the next line begins another one.
const MAX_FILE: u64 = 64 << 20;
/// Files beside the one that is written.
const MAX_FILES: usize = 15;
/// How often what was written is put where the machine's end does not reach it.
const SYNC: Duration = Duration::from_secs(1);
/// Characters of a path.
const MAX_PATH: usize = 1000;
/// Lines a second for requests without a good token, which anybody can send.
const STRANGERS: std::num::NonZeroU32 = std::num::NonZeroU32::new(10).unwrap();
/// The file that is written.
const CURRENT: &str = "audit.jsonl";

/// The record of who changed what. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    parts: Arc<Parts>,
}

struct Parts {
    folder: PathBuf,
    bound: u64,
    file: Mutex<Open>,
    strangers: DefaultDirectRateLimiter,
}

struct Open {
    file: File,
    len: u64,
    synced: bool,
    /// Lines for strangers that were left out since the last one.
    left_out: u64,
}

/// A request that changed something, or was refused.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who; none if nobody who is known here.
    pub caller: Option<&'a Caller>,
    /// From where.
    pub address: IpAddr,
    /// How.
    pub method: &'a str,
    /// What: the path, as it was sent.
    pub path: &'a str,
    /// The status of the answer; none if whoever asked did not wait for it.
    pub status: Option<u16>,
    /// The code of the refusal, if it was not done.
    pub code: Option<&'static str>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    token: Option<&'a str>,
    name: Option<&'a str>,
    role: Option<&'a str>,
    address: IpAddr,
    method: &'a str,
    path: String,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Trail {
    /// The record in `folder`, which is made if it is not there. What is written is put on the disk every second.
    pub fn start(folder: &Path, tasks: &TaskTracker) -> Result<Self, Error> {
        let trail = Self::bounded(folder, MAX_FILE)?;
        tasks.spawn(trail.clone().keep());
        Ok(trail)
    }

    fn bounded(folder: &Path, bound: u64) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            let why = format!("the record of changes in `{}` cannot be written: {error}", folder.display());
            Error::new(ErrorKind::InvalidInput, why)
        };
        private_folder(folder).map_err(failed)?;
        let open = Open::at(&folder.join(CURRENT)).map_err(failed)?;
        let strangers = RateLimiter::direct(Quota::per_second(STRANGERS));
        let parts = Parts { folder: folder.to_owned(), bound, file: Mutex::new(open), strangers };
        Ok(Self { parts: Arc::new(parts) })
    }

    async fn keep(self) {
        loop {
            tokio::time::sleep(SYNC).await;
            self.sync().await;
        }
    }

    /// Puts what was written on the disk.
    pub async fn sync(&self) {
        let trail = self.clone();
        tokio::task::spawn_blocking(move || {
            let file = {
                let mut open = trail.lock();
                if std::mem::replace(&mut open.synced, true) {
                    return;
                }
                open.file.try_clone()
            };
            if let Err(error) = file.and_then(|file| file.sync_data()) {
                tracing::error!(%error, "the record of changes cannot be put on the disk");
            }
        })
        .await
        .ok();
    }

    /// Writes one line. One that cannot be written goes to the log of the process instead.
    pub fn note(&self, entry: &Entry<'_>) {
        let stranger = entry.caller.is_none();
        let mut open = self.lock();
        if stranger && self.parts.strangers.check().is_err() {
            open.left_out = open.left_out.saturating_add(1);
            return;
        }
        let token = entry.caller.and_then(|caller| caller.token.as_deref());
        let line = Line {
            at: Time::from_millis(now_ms()).to_string(),
            token: token.map(|token| token.id.as_str()),
            name: token.map(|token| token.name.as_str()),
            role: entry.caller.map(|caller| caller.role.name()),
            address: entry.address,
            method: entry.method,
            path: entry.path.chars().take(MAX_PATH).collect(),
            status: entry.status,
            code: entry.code,
            left_out: std::mem::take(&mut open.left_out),
        };
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        if let Err(error) = self.append(&mut open, &text) {
            tracing::error!(%error, line = text.trim_end(), "the record of changes cannot be written");
        }
    }

    fn append(&self, open: &mut Open, text: &str) -> io::Result<()> {
        if self.parts.bound < open.len {
            self.rotate(open)?;
        }
        open.synced = false;
        let before = open.len;
        open.len = before.saturating_add(text.len() as u64);
        // All of a line or none of it: what a full disk took of it must not be the beginning of the next.
        open.file.write_all(text.as_bytes()).inspect_err(|_| {
            open.file.set_len(before).ok();
            open.len = before;
        })
    }

    /// Begins another file, and drops the oldest where there are too many.
    fn rotate(&self, open: &mut Open) -> io::Result<()> {
        let (folder, current) = (&self.parts.folder, self.parts.folder.join(CURRENT));
        // By its time, so that names sort by age.
        let name = format!("audit-{}-{}.jsonl", now_ms(), uuid::Uuid::now_v7().simple());
        open.file.sync_data()?;
        rename(&current, folder.join(name))?;
        *open = Open { left_out: open.left_out, ..Open::at(&current)? };
        let mut old: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        old.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit-")));
        old.sort();
        for path in old.iter().take(old.len().saturating_sub(MAX_FILES)) {
            std::fs::remove_file(path)?;
            tracing::warn!(file = %path.display(), "the oldest part of the record of changes was dropped");
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.parts.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len, synced: true, left_out: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::{Value, json};

    use super::*;
    use crate::access::{Named, Role};

    fn entry(caller: Option<&Caller>) -> Entry<'_> {
        let address = Ipv4Addr::LOCALHOST.into();
        Entry { caller, address, method: "PUT", path: "/policy/a\n\"b", status: Some(200), code: Some("conflict") }
    }

    fn caller() -> Caller {
        let token = Named { id: "1".into(), name: "n".into() };
        Caller { token: Some(Arc::new(token)), role: Role::Author, allowance: None }
    }

    fn lines(path: &Path) -> Vec<Value> {
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_says_who_did_what() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::bounded(folder.path(), MAX_FILE).unwrap();
        trail.note(&entry(Some(&caller())));
        let mut lines = lines(&folder.path().join(CURRENT));
        lines[0].as_object_mut().unwrap().remove("at").unwrap();
        let expected = json!({
            "token": "1", "name": "n", "role": "author", "address": "127.0.0.1", "method": "PUT",
            "path": "/policy/a\n\"b", "status": 200, "code": "conflict",
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn strangers_do_not_fill_it_and_what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::bounded(folder.path(), MAX_FILE).unwrap();
        for _ in 0..1000 {
            trail.note(&entry(None));
        }
        trail.note(&entry(Some(&caller())));
        let lines = lines(&folder.path().join(CURRENT));
        let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        assert_eq!(lines.len() as u64 - 1 + left_out, 1000);
        assert!(lines.len() < 1000, "{}", lines.len());
        assert_eq!(lines.last().unwrap()["role"], "author");
    }

    #[test]
    fn files_are_bounded_and_so_is_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::bounded(folder.path(), 1000).unwrap();
        for _ in 0..200 {
            trail.note(&entry(Some(&caller())));
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), MAX_FILES + 1);
        for file in files {
            assert!(std::fs::metadata(&file).unwrap().len() < 1300);
            assert!(!lines(&file).is_empty());
        }
        // Opened again, it goes on where it was.
        let before = lines(&folder.path().join(CURRENT)).len();
        Trail::bounded(folder.path(), 1_000_000).unwrap().note(&entry(Some(&caller())));
        assert_eq!(lines(&folder.path().join(CURRENT)).len(), before + 1);
    }
}
