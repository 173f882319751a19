//! Code from files of this machine.
//!
//! A `file://` reference comes from whoever may write a record, so it reaches only below the folders an operator
//! admitted, wherever links lead, and its errors do not tell what else there is on the machine. A path on the command
//! line comes from a person who could read the file anyway.
//! Only regular files are opened: opening a pipe waits for its other end, and opening a device may do anything.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use lictor_model::code::CodeRef;
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::{FetchRules, unreachable};
use crate::error::{LoadError, size};

/// Should the file be swapped for a pipe after it was looked at, opening it does not wait.
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Reads the file behind a `file://` reference, if it is in a folder that the rules admit. Blocks.
pub(super) fn read_admitted(code: &CodeRef, rules: &FetchRules) -> Result<Bytes, LoadError> {
    let CodeRef::File(path) = code else { return Err(unreachable(code, "is not a `file` URL")) };
    let Some((folder, below)) = admitted(path, &rules.allow_file) else {
        return Err(unreachable(code, "does not exist, or is not in a folder that `--allow-file` admits"));
    };
    let failed = |error: io::Error| unreachable(code, describe(&error)).caused_by(error);
    let (folder, name) = open_folder(&folder, &below).map_err(failed)?;
    let stat = fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(error.into()))?;
    check_regular(&stat, code)?;
    let file =
        fs::openat(&folder, &name, OPEN | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| failed(error.into()))?;
    read_open(file, code, rules)
}

/// Reads the file at a bare path. Blocks.
pub(super) fn read_path(code: &CodeRef, rules: &FetchRules) -> Result<Bytes, LoadError> {
    let CodeRef::Path(path) = code else { return Err(unreachable(code, "is not a path")) };
    let failed = |error: io::Error| unreachable(code, describe(&error)).caused_by(error);
    let stat = fs::statat(CWD, path, AtFlags::empty()).map_err(|error| failed(error.into()))?;
    check_regular(&stat, code)?;
    let file = fs::open(path, OPEN, Mode::empty()).map_err(|error| failed(error.into()))?;
    read_open(file, code, rules)
}

/// The folder that admits `path`, and the way from there, both without links.
fn admitted(path: &Path, folders: &[PathBuf]) -> Option<(PathBuf, PathBuf)> {
    let path = path.canonicalize().ok()?;
    folders.iter().filter_map(|folder| folder.canonicalize().ok()).find_map(|folder| {
        let below = path.strip_prefix(&folder).ok()?.to_path_buf();
        Some((folder, below))
    })
}

/// Goes down from `folder` without following a link, so that one put there meanwhile leads nowhere; gives the last
/// folder and the name in it.
fn open_folder(folder: &Path, below: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let mut res = fs::open(folder, OPEN_FOLDER, Mode::empty())?;
    let Some(name) = below.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    for part in below.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        res = fs::openat(&res, part, OPEN_FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok((res, name.into()))
}

fn read_open(file: OwnedFd, code: &CodeRef, rules: &FetchRules) -> Result<Bytes, LoadError> {
    let failed = |error: io::Error| unreachable(code, describe(&error)).caused_by(error);
    // Of what was opened, not of what was looked at before.
    let stat = fs::fstat(file.as_fd()).map_err(|error| failed(error.into()))?;
    check_regular(&stat, code)?;
    let mut bytes = Vec::new();
    let n_read = File::from(file).take(rules.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(n_read).unwrap_or(u64::MAX) > rules.max_bytes {
        return Err(unreachable(code, format!("is larger than {}", size(rules.max_bytes))));
    }
    Ok(bytes.into())
}

fn check_regular(stat: &Stat, code: &CodeRef) -> Result<(), LoadError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(unreachable(code, "is a folder")),
        _ => Err(unreachable(code, "is not a regular file")),
    }
}

/// What a person needs of an I/O error; the rest is in the log.
fn describe(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist",
        io::ErrorKind::PermissionDenied => "may not be read",
        io::ErrorKind::IsADirectory => "is a folder",
        _ => "cannot be read",
    }
}
