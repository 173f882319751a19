//! Proves a log whole, or names the first record that is not as it was written.
//!
//! What is checked: that every line has its number and follows from the one before it, over all segments; that every
//! checkpoint is signed; that the log does not end before its head; and that what is missing at its beginning was dropped by
//! the log itself. What no look at the log alone can show: that a copy of the whole folder from earlier was put in its place.
//! Who keeps a head elsewhere can check that too: the log must still have it.

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use super::{
    chain::{self, Hash},
    files::{self, Head, SegmentFile, number},
    id::time,
    key::PublicKey,
    line::Line,
    writer::FORMAT,
};

/// The longest line that is read.
pub(super) const MAX_LINE: u64 = 256 << 20;

/// What a log is checked against, beside itself.
#[derive(Clone, Default)]
pub struct Trust {
    /// Keys that may have signed it. Where none is given, those that the log names itself.
    pub keys: Vec<PublicKey>,
    /// Where it is known to have stood once.
    pub heads: Vec<Head>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that were read.
    pub segments: u64,
    /// The first record that is there.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The hash of that.
    pub hash: String,
    /// Records that are decisions.
    pub decisions: u64,
    /// The last record that a signature covers.
    pub signed: u64,
    /// Who signed.
    pub keys: Vec<String>,
    /// What is no fault of the log's, and still to be known.
    pub notes: Vec<String>,
    /// The first thing that is not as it was written.
    pub finding: Option<Finding>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The record.
    pub n: u64,
    /// Its segment.
    pub segment: String,
    /// The line in that, counted from 1; 0 where it has none.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {} ({}", self.n, self.what, self.segment)?;
        if 0 < self.line { write!(f, ", line {})", self.line) } else { write!(f, ")") }
    }
}

/// Reads the whole log in `folder`.
pub fn verify(folder: &Path, trust: &Trust) -> io::Result<Report> {
    let segments = files::segments(folder)?;
    let mut walk = Walk::new(trust, segments);
    // A head is read first: the log may go on meanwhile, but never back.
    let head = files::head(folder);
    walk.segments()?;
    walk.head(head);
    Ok(walk.report)
}

struct Walk<'a> {
    trust: &'a Trust,
    segments: Vec<SegmentFile>,
    report: Report,
    log: Option<String>,
    before: Hash,
    /// The signing keys that the log names.
    named: Vec<PublicKey>,
    /// Up to where the log says that it dropped records.
    dropped: u64,
    /// Heads that the log must have.
    wanted: HashSet<u64>,
}

/// Where a line is.
#[derive(Clone, Copy)]
struct Place<'a> {
    segment: &'a SegmentFile,
    idx: usize,
    line: u64,
}

impl<'a> Walk<'a> {
    fn new(trust: &'a Trust, segments: Vec<SegmentFile>) -> Self {
        let wanted = trust.heads.iter().map(|head| head.n).collect();
        let (report, log, before, named, dropped) = (Report::default(), None, chain::NOTHING, Vec::new(), 0);
        Self { trust, segments, report, log, before, named, dropped, wanted }
    }

    fn segments(&mut self) -> io::Result<()> {
        for (idx, segment) in self.segments.clone().iter().enumerate() {
            self.report.segments = self.report.segments.saturating_add(1);
            if let Some(finding) = self.segment(idx, segment)? {
                self.report.finding = Some(finding);
                return Ok(());
            }
        }
        self.report.hash = chain::text(&self.before).to_owned();
        Ok(())
    }

    fn segment(&mut self, idx: usize, segment: &SegmentFile) -> io::Result<Option<Finding>> {
        let mut reader = Lines::open(segment)?;
        let mut place = Place { segment, idx, line: 0 };
        while let Some((line, ended)) = reader.next()? {
            place.line = place.line.saturating_add(1);
            if !ended {
                return Ok(self.torn(place, line.len()));
            }
            if let Err(what) = self.line(place, line)? {
                let n = number(line).unwrap_or_else(|| self.expected(place));
                return Ok(Some(Finding {
                    n: what.n.unwrap_or(n),
                    segment: segment.name(),
                    line: place.line,
                    what: what.what,
                }));
            }
        }
        Ok(None)
    }

    /// A line without an end: what a crash leaves at the end of a log, and nowhere else.
    fn torn(&mut self, place: Place<'_>, bytes: usize) -> Option<Finding> {
        if place.idx.saturating_add(1) == self.segments.len() {
            self.report.notes.push(format!(
                "{} ends with {bytes} bytes of an unfinished line, which the next start cuts off",
                place.segment.name()
            ));
            return None;
        }
        let n = self.expected(place);
        Some(Finding {
            n,
            segment: place.segment.name(),
            line: place.line,
            what: "truncated: the line has no end".into(),
        })
    }

    fn expected(&self, place: Place<'_>) -> u64 {
        if self.report.first == 0 { place.segment.first } else { self.report.last.saturating_add(1) }
    }

    fn line(&mut self, place: Place<'_>, line: &[u8]) -> io::Result<Result<(), Wrong>> {
        let Some((text, hash)) = chain::split(line) else { return Ok(wrong("altered: it has no hash at its end")) };
        let Some(n) = number(text) else { return Ok(wrong("altered: it does not begin with its number")) };
        let expected = self.expected(place);
        if n != expected {
            return self.out_of_order(place, n, expected);
        }
        let whole = [text, b"}"].concat();
        let parsed = serde_json::from_slice::<Line<'_>>(&whole);
        let before = match parsed.as_ref().ok().and_then(|line| line.segment.as_ref()) {
            Some(segment) if place.line == 1 => {
                let Some(previous) = chain::parse(&segment.previous) else {
                    return Ok(wrong("altered: the segment does not say what it follows"));
                };
                previous
            }
            Some(_) => return Ok(wrong("altered: a segment begins in the middle of one")),
            None => self.before,
        };
        if chain::hash(&before, text) != *hash {
            return Ok(wrong("altered: its hash is not that of its text after the record before it"));
        }
        let Ok(parsed) = parsed else {
            return Ok(wrong("it is no record of a decision log, though its hash is right"));
        };
        if let Err(what) = self.meaning(place, &parsed, &before) {
            return Ok(Err(Wrong { n: None, what }));
        }
        (self.before, self.report.last) = (*hash, n);
        if self.report.first == 0 {
            self.report.first = n;
        }
        Ok(self.known(n, hash))
    }

    fn meaning(&mut self, place: Place<'_>, line: &Line<'_>, before: &Hash) -> Result<(), String> {
        if let Some(segment) = &line.segment {
            if segment.format != FORMAT {
                return Err(format!("the segment is of format {}, and only {FORMAT} is known here", segment.format));
            }
            if 0 < self.report.last && self.before != *before {
                return Err("swapped: the segment does not follow the one before it".into());
            }
            if self.log.as_deref().is_some_and(|log| log != segment.log) {
                return Err("swapped: the segment is of another log".into());
            }
            self.log = Some(segment.log.clone().into_owned());
            let key = PublicKey::parse(&segment.key).ok_or("the segment does not say who signs it")?;
            if !self.trust.keys.is_empty() && !self.trust.keys.contains(&key) {
                return Err(format!(
                    "the segment is signed with the key {}, which is none of those given",
                    segment.key
                ));
            }
            if !self.named.contains(&key) {
                self.report.keys.push(key.to_hex());
                self.named.push(key);
            }
        } else if place.line == 1 {
            return Err("swapped: the segment has no first line".into());
        }
        if let Some(checkpoint) = &line.checkpoint {
            let n = line.n.saturating_sub(1);
            let log = self.log.as_deref().unwrap_or_default();
            if !self.named.iter().any(|key| key.signed(log, n, before, &checkpoint.signature)) {
                return Err("forged: its signature is not that of the log's key".into());
            }
            self.report.signed = n;
        }
        if let Some(started) = &line.started {
            if 0 < started.missing {
                let missing = started.missing;
                return Err(format!(
                    "truncated: before it, the last {missing} records of the log were gone when the server started"
                ));
            }
            if started.headless {
                return Err("truncated, perhaps: the head of the log was gone when the server started, so nothing says where the log had ended".into());
            }
            if 0 < started.cut_bytes {
                let bytes = started.cut_bytes;
                self.report.notes.push(format!("record {}: a server that did not stop left {bytes} bytes of an unfinished line, which were cut off", line.n));
            }
        }
        if let Some(lost) = &line.lost {
            let (decisions, from, to) = (lost.decisions, time(lost.from_ms), time(lost.to_ms));
            self.report
                .notes
                .push(format!("record {}: {decisions} decisions from {from} to {to} could not be recorded", line.n));
        }
        if let Some(dropped) = &line.dropped {
            self.dropped = self.dropped.max(dropped.through);
        }
        self.report.decisions = self.report.decisions.saturating_add(u64::from(line.decision.is_some()));
        Ok(())
    }

    /// What it means that another number comes than the next one.
    fn out_of_order(&self, place: Place<'_>, n: u64, expected: u64) -> io::Result<Result<(), Wrong>> {
        let before = expected.saturating_sub(1);
        if place.line == 1 && n != place.segment.first {
            return Ok(wrong(format!("swapped: the segment begins with record {n}, which is not what its name says")));
        }
        if n < expected {
            let what = if n == before { "duplicated" } else { "reordered" };
            return Ok(wrong(format!("{what}: it comes again, or late, after record {before}")));
        }
        let what = match self.comes_later(place, expected)? {
            true => format!("reordered: it comes only after record {n}"),
            false if n.saturating_sub(1) == expected => "removed: it is not there".into(),
            false => format!("removed: it and those up to {} are not there", n.saturating_sub(1)),
        };
        Ok(Err(Wrong { n: Some(expected), what }))
    }

    fn comes_later(&self, place: Place<'_>, wanted: u64) -> io::Result<bool> {
        for segment in self.segments.iter().skip(place.idx) {
            let mut reader = Lines::open(segment)?;
            let mut at = 0_u64;
            while let Some((line, _)) = reader.next()? {
                at = at.saturating_add(1);
                let later = place.segment != segment || place.line < at;
                if later && number(line) == Some(wanted) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Compares with where the log is known to have stood.
    fn known(&mut self, n: u64, hash: &Hash) -> Result<(), Wrong> {
        if !self.wanted.remove(&n) {
            return Ok(());
        }
        let log = self.log.as_deref();
        let same = |head: &&Head| head.n == n && Some(head.log.as_str()) == log && head.hash == chain::text(hash);
        if self.trust.heads.iter().any(|head| same(&head)) {
            return Ok(());
        }
        Err(Wrong { n: None, what: "altered: the log once had another record here, as the given head says".into() })
    }

    /// What the head says, once all segments are read.
    fn head(&mut self, head: io::Result<Option<Head>>) {
        if self.report.finding.is_some() {
            return;
        }
        let Report { first, last, .. } = self.report;
        let found = |n, what: String| Some(Finding { n, segment: files::HEAD.to_owned(), line: 0, what });
        self.report.finding = match head {
            Err(error) => found(last, format!("the head of the log cannot be read: {error}")),
            Ok(None) if last == 0 => None,
            Ok(None) => found(last, "the head of the log is not there, so nothing says where the log ends".into()),
            Ok(Some(head)) => self.ends_before(&head).and_then(|what| found(last, what)),
        };
        if self.report.finding.is_none() && 1 < first && self.dropped < first.saturating_sub(1) {
            self.report.finding = found(
                first,
                "removed: the records before it are not there, and the log does not say that it dropped them".into(),
            );
        }
        if let (None, Some(n)) = (&self.report.finding, self.wanted.iter().min()) {
            let what = "truncated or removed: the log once had this record, as the given head says";
            self.report.finding = found(*n, what.into());
        }
    }

    fn ends_before(&mut self, head: &Head) -> Option<String> {
        let last = self.report.last;
        if last < head.n {
            return Some(format!(
                "truncated: the log ends here, and its head knows {} more records",
                head.n.saturating_sub(last)
            ));
        }
        let hash = chain::parse(&head.hash).unwrap_or(chain::NOTHING);
        let signed = self.named.iter().any(|key| key.signed(&head.log, head.n, &hash, &head.signature));
        if !signed || self.log.as_ref().is_some_and(|log| *log != head.log) {
            return Some("forged: the head of the log is not signed with the log's key".into());
        }
        if last == head.n {
            if head.hash != chain::text(&self.before) {
                return Some("altered: the head of the log knows another record here".into());
            }
            self.report.signed = last;
        }
        None
    }
}

/// What is wrong with a line, and of which record, if not of this one.
struct Wrong {
    n: Option<u64>,
    what: String,
}

fn wrong(what: impl Into<String>) -> Result<(), Wrong> {
    Err(Wrong { n: None, what: what.into() })
}

/// The lines of a segment, one at a time.
pub struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    /// From the beginning of `segment`.
    pub fn open(segment: &SegmentFile) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(1 << 20, File::open(&segment.path)?), line: Vec::new() })
    }

    /// The next line, and whether it has an end.
    #[expect(clippy::should_implement_trait, reason = "lends what it reads")]
    pub fn next(&mut self) -> io::Result<Option<(&[u8], bool)>> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        Ok(Some(match self.line.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (self.line.as_slice(), false),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::key::SigningKey;

    /// A small log of two segments.
    fn log(folder: &Path) {
        let key = SigningKey::open(folder, None).unwrap();
        let (mut n, mut hash) = (0, chain::NOTHING);
        for _ in 0..2 {
            let (mut text, first) = (Vec::new(), n + 1);
            let (public, previous) = (key.public().to_hex(), chain::text(&hash).to_owned());
            let header =
                format!(r#""segment":{{"log":"l","format":1,"previous":"{previous}","at_ms":1,"key":"{public}"}}"#);
            let decision = |idx: u64| format!(r#""version":2,"decision":"d{idx}","outcome":"ok""#);
            let mut rest = vec![header, r#""policy":{}"#.to_owned(), decision(1), decision(2), String::new()];
            for rest in &mut rest {
                if rest.is_empty() {
                    *rest = format!(r#""checkpoint":{{"at_ms":1,"signature":"{}"}}"#, key.sign("l", n, &hash));
                }
                n += 1;
                let start = text.len();
                text.extend_from_slice(format!("{{\"n\":{n},{rest}").as_bytes());
                hash = chain::seal(&mut text, start, &hash);
            }
            std::fs::write(files::segment_path(folder, first), text).unwrap();
        }
        let signature = key.sign("l", n, &hash);
        let key = key.public().to_hex();
        let head = Head { log: "l".into(), n, hash: chain::text(&hash).into(), at_ms: 1, signature, key };
        files::HeadFile::open(folder).unwrap().write(&head).unwrap();
    }

    #[test]
    fn every_byte_of_a_log_counts() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path());
        let report = verify(folder.path(), &Trust::default()).unwrap();
        assert_eq!(report.finding, None);
        assert_eq!((report.first, report.last, report.signed, report.decisions), (1, 10, 10, 4));
        for segment in files::segments(folder.path()).unwrap() {
            let whole = std::fs::read(&segment.path).unwrap();
            for at in 0..whole.len() {
                let mut touched = whole.clone();
                touched[at] ^= 1 << (at % 8);
                std::fs::write(&segment.path, &touched).unwrap();
                let report = verify(folder.path(), &Trust::default()).unwrap();
                assert!(report.finding.is_some(), "byte {at} of {}", segment.name());
            }
            std::fs::write(&segment.path, &whole).unwrap();
        }
        assert_eq!(verify(folder.path(), &Trust::default()).unwrap().finding, None);
    }

    #[test]
    fn what_is_no_log_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verify(folder.path(), &Trust::default()).unwrap().finding, None);
        for text in ["x\n", "{}\n", "{\"n\":1}\n", "\n", "{\"n\":1,\"hash\":\"\"}\n"] {
            std::fs::write(files::segment_path(folder.path(), 1), text).unwrap();
            assert!(verify(folder.path(), &Trust::default()).unwrap().finding.is_some(), "{text}");
        }
    }
}
