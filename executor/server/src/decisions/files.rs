//! The files of a log: its segments in order, and its head.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    chain::{self, Hash},
    line::Line,
};

/// The folder in a data directory.
pub const FOLDER: &str = "decisions";
/// The file that says where the log stands.
pub(super) const HEAD: &str = "head.json";
/// Bytes of that file: it is written in one piece, and is never shorter than it was.
const HEAD_LEN: usize = 512;

const START: &str = "decisions-";
const END: &str = ".jsonl";

/// Where the log stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The log.
    pub log: String,
    /// The number of its last line.
    pub n: u64,
    /// The hash of that line.
    pub hash: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Over all of that but the time.
    pub signature: String,
    /// The key that checks it, in hexadecimal digits.
    pub key: String,
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// The number of its first line, as its name says.
    pub first: u64,
    /// Bytes.
    pub len: u64,
}

impl SegmentFile {
    /// Its name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The segments in `folder`, oldest first.
pub fn segments(folder: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_prefix(START)?.strip_suffix(END)?.parse().ok());
        if let Some(first) = first {
            found.push(SegmentFile { path: entry.path(), first, len: entry.metadata()?.len() });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Where the segment is that begins with line `first`.
pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    // As many digits as that names sort by age.
    folder.join(format!("{START}{first:016}{END}"))
}

/// Opens a segment to write at its end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Where the log in `folder` says that it stands; none if it never said.
pub fn head(folder: &Path) -> io::Result<Option<Head>> {
    let text = match fs::read_to_string(folder.join(HEAD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    serde_json::from_str(&text).map(Some).map_err(io::Error::other)
}

/// The file of the head, which stays open.
pub(super) struct HeadFile(File);

impl HeadFile {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(HEAD);
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map(Self)
    }

    pub(super) fn write(&self, head: &Head) -> io::Result<()> {
        let mut text = serde_json::to_string(head)?;
        text.extend(std::iter::repeat_n(' ', HEAD_LEN.saturating_sub(text.len().saturating_add(1))));
        text.push('\n');
        self.0.write_all_at(text.as_bytes(), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The log that a segment says it is of.
pub(super) fn log_of(path: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?).take(PIECE).read_until(b'\n', &mut line).ok()?;
    let line: Line<'_> = serde_json::from_slice(&line).ok()?;
    Some(line.segment?.log.into_owned())
}

/// How the last segment ends.
pub(super) struct Tail {
    /// The number and the hash of its last whole line; none if it has no such line.
    pub(super) last: Option<(u64, Hash)>,
    /// Bytes up to there.
    pub(super) whole: u64,
    /// Bytes after that: a line that was not finished.
    pub(super) torn: u64,
}

/// Bytes that are read at a time, from the end of a segment backwards.
const PIECE: u64 = 1 << 16;

impl Tail {
    /// Looks at the end of a segment.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let (mut start, mut text) = (len, Vec::new());
        loop {
            let end_of_last = memchr::memrchr(b'\n', &text);
            let before = end_of_last.and_then(|end| memchr::memrchr(b'\n', text.get(..end).unwrap_or_default()));
            let begin = match (before, start) {
                (Some(before), _) => before.saturating_add(1),
                (None, 0) => 0,
                (None, _) => {
                    let from = start.saturating_sub(PIECE.max(text.len() as u64));
                    let mut piece = vec![0; usize::try_from(start.saturating_sub(from)).map_err(io::Error::other)?];
                    file.seek(SeekFrom::Start(from))?;
                    file.read_exact(&mut piece)?;
                    piece.append(&mut text);
                    (start, text) = (from, piece);
                    continue;
                }
            };
            let Some(end) = end_of_last else { return Ok(Self { last: None, whole: 0, torn: len }) };
            let whole = start.saturating_add(end as u64).saturating_add(1);
            let line = text.get(begin..end).unwrap_or_default();
            let last = chain::split(line).and_then(|(text, hash)| Some((number(text)?, *hash)));
            return Ok(Self { last, whole, torn: len.saturating_sub(whole) });
        }
    }
}

/// The number that a line begins with.
pub fn number(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"{\"n\":")?;
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(len)?;
    matches!(rest.first(), Some(b',')).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &[u8]) -> (Option<u64>, u64, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let Tail { last, whole, torn } = Tail::of(file.path()).unwrap();
        (last.map(|(n, _)| n), whole, torn)
    }

    #[test]
    fn the_last_whole_line_is_found_however_long_lines_are() {
        let mut text = Vec::new();
        let mut before = chain::NOTHING;
        for (n, len) in [(1, 0), (2, 200_000), (3, 70_000)] {
            let start = text.len();
            text.extend_from_slice(format!("{{\"n\":{n},\"a\":\"{}\"", "x".repeat(len)).as_bytes());
            before = chain::seal(&mut text, start, &before);
            let len = text.len() as u64;
            assert_eq!(tail(&text), (Some(n), len, 0));
            for torn in [1, 100, 300_000] {
                assert_eq!(tail(&[text.as_slice(), &vec![b'y'; torn]].concat()), (Some(n), len, torn as u64));
            }
        }
        assert_eq!(tail(b""), (None, 0, 0));
        assert_eq!(tail(b"abc"), (None, 0, 3));
        assert_eq!(tail(b"abc\n"), (None, 4, 0));
    }

    #[test]
    fn a_line_begins_with_its_number() {
        for (text, n) in
            [("{\"n\":12,", Some(12)), ("{\"n\":,", None), ("{\"n\":1", None), ("{\"n\":-1,", None), ("", None)]
        {
            assert_eq!(number(text.as_bytes()), n, "{text}");
        }
    }
}
