//! Passes the log on: to standard output, and to a server.
//!
//! Both read what is in the files, so neither can hold up the log, nor lose anything of it but what the log itself drops
//! before it was passed on; that is said. A server is asked again until it takes what there is, at least once each line,
//! and after the end of this process from where it was.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lictor_loader::{Ask, Client, client::Method};
use lictor_model::HostUri;
use tokio_util::task::TaskTracker;

use super::{
    Shared,
    files::{self, number},
};
use crate::error::{Error, ErrorKind};

/// Bytes that are passed on at a time, unless one line has more.
const MOST: usize = 1 << 20;
/// How often somebody looks whether there is more.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
/// The file that says what a server has.
const CURSOR: &str = "http.cursor";

/// A server that is given the log.
#[derive(Clone, Debug)]
pub struct HttpSink {
    /// Where lines are sent: `POST`, an array of them.
    pub url: String,
    /// What it is shown.
    pub token: Option<String>,
}

/// Reads a log as it grows.
struct Follower {
    folder: PathBuf,
    /// The next line.
    next: u64,
    /// Where that is, if it was found already: the segment, and bytes before it.
    place: Option<(PathBuf, u64)>,
}

/// Some lines of a log.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    /// The number of the last of them.
    last: u64,
    /// Lines before them that are gone.
    gone: u64,
}

impl Follower {
    fn new(folder: &Path, next: u64) -> Self {
        Self { folder: folder.to_owned(), next, place: None }
    }

    /// The next whole lines, as they are in the file; empty if there are none yet.
    fn read(&mut self) -> io::Result<Batch> {
        let mut res = Batch { last: self.next.saturating_sub(1), ..Batch::default() };
        loop {
            let Some((path, offset)) = self.find(&mut res)? else { return Ok(res) };
            let mut file = BufReader::new(match File::open(&path) {
                // It was dropped just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.place = None;
                    return Ok(res);
                }
                file => file?,
            });
            file.seek(SeekFrom::Start(offset))?;
            let mut at = offset;
            while res.text.len() < MOST {
                let start = res.text.len();
                let read = (&mut file).take(super::verify::MAX_LINE).read_until(b'\n', &mut res.text)?;
                let line = res.text.get(start..).unwrap_or_default();
                let (n, ended) = (number(line), line.ends_with(b"\n"));
                if !ended || n.is_none_or(|n| n < self.next) {
                    res.text.truncate(start);
                    if !ended {
                        break;
                    }
                } else {
                    res.last = n.unwrap_or(res.last);
                    self.next = res.last.saturating_add(1);
                }
                at = at.saturating_add(read as u64);
            }
            self.place = Some((path, at));
            if !res.text.is_empty() || !self.turn_page()? {
                return Ok(res);
            }
        }
    }

    /// Where the next line is, or would be.
    fn find(&mut self, res: &mut Batch) -> io::Result<Option<(PathBuf, u64)>> {
        if let Some(place) = &self.place {
            return Ok(Some(place.clone()));
        }
        let segments = files::segments(&self.folder)?;
        let Some(oldest) = segments.first() else { return Ok(None) };
        if self.next < oldest.first {
            res.gone = oldest.first.saturating_sub(self.next);
            self.next = oldest.first;
        }
        let has = segments.iter().rfind(|segment| segment.first <= self.next);
        Ok(has.map(|segment| (segment.path.clone(), 0)))
    }

    /// Goes on to the segment that begins with the next line, if there is one.
    fn turn_page(&mut self) -> io::Result<bool> {
        let next = files::segments(&self.folder)?.into_iter().find(|segment| segment.first == self.next);
        let here = self.place.as_ref().map(|(path, _)| path);
        let Some(next) = next.filter(|next| Some(&next.path) != here) else { return Ok(false) };
        self.place = Some((next.path, 0));
        Ok(true)
    }
}

fn say_gone(what: &str, gone: u64) {
    if 0 < gone {
        tracing::error!(records = gone, "records of the decision log were dropped before {what} had them");
    }
}

/// Passes on everything after line `last` to standard output, until the server stops and nothing more comes.
pub(super) fn to_stdout(folder: &Path, last: u64, shared: Arc<Shared>) -> io::Result<()> {
    let mut follower = Follower::new(folder, last.saturating_add(1));
    let run = move || {
        loop {
            // Asked before there is a look: what came before it is passed on.
            let is_last = shared.written_all.load(Ordering::Acquire);
            let some = follower.read().and_then(|some| {
                say_gone("standard output", some.gone);
                io::stdout().lock().write_all(&some.text).and_then(|()| io::stdout().lock().flush())?;
                Ok(!some.text.is_empty())
            });
            match some {
                Ok(true) => {}
                Ok(false) if is_last => return,
                Ok(false) => std::thread::sleep(AGAIN),
                Err(error) => {
                    tracing::error!(%error, "the decision log cannot be passed on to standard output any more");
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("decisions-out".into()).spawn(run).map(drop)
}

/// Passes on everything to a server, for as long as this one runs.
pub(super) fn to_server(sink: &HttpSink, folder: &Path, tasks: &TaskTracker) -> Result<(), Error> {
    let unfit = |why: String| Error::new(ErrorKind::InvalidInput, format!("`decisions.http.url`: {why}"));
    let url = url::Url::parse(&sink.url).map_err(|error| unfit(format!("is no URL: {error}")))?;
    let host = HostUri::parse(&url.origin().ascii_serialization()).map_err(unfit)?;
    let client = Client::of_operator(&host)?.with_token(sink.token.as_deref())?;
    let cursor = folder.join(CURSOR);
    let last = fs::read_to_string(&cursor).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_u64);
    let sender =
        Sender { client, url: sink.url.clone(), cursor, follower: Follower::new(folder, last.saturating_add(1)) };
    tasks.spawn(sender.run());
    Ok(())
}

struct Sender {
    client: Client,
    url: String,
    cursor: PathBuf,
    follower: Follower,
}

impl Sender {
    async fn run(mut self) {
        loop {
            match self.follower.read() {
                Ok(some) if some.text.is_empty() => tokio::time::sleep(AGAIN).await,
                Ok(some) => {
                    say_gone("the server of `decisions.http`", some.gone);
                    self.send_at_last(array(&some.text)).await;
                    if let Err(error) = keep(&self.cursor, some.last) {
                        tracing::warn!(%error, "what was passed on of the decision log is passed on again after the next start");
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the decision log cannot be read to be passed on");
                    tokio::time::sleep(MAX_PAUSE).await;
                }
            }
        }
    }

    /// Sends something until it is taken.
    async fn send_at_last(&self, body: Bytes) {
        let mut pause = PAUSE;
        loop {
            let deadline = Instant::now().checked_add(PATIENCE).unwrap_or_else(Instant::now);
            let (method, url, body) = (Method::POST, self.url.as_str(), Some(body.clone()));
            let ask = Ask { method, url, headers: &[], body, deadline, max_bytes: MAX_ANSWER };
            let why = match self.client.ask(ask).await {
                Ok(answer) if (200..300).contains(&answer.status) => return,
                Ok(answer) => format!("answered {}", answer.status),
                Err(error) => error.to_string(),
            };
            tracing::warn!(seconds = pause.as_secs(), "the server of `decisions.http` {why}; it is asked again");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
    }
}

/// Lines as a JSON array.
fn array(lines: &[u8]) -> Bytes {
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    Bytes::from([b"[".as_slice(), &lines.join(&b","[..]), b"]"].concat())
}

fn keep(cursor: &Path, last: u64) -> io::Result<()> {
    let aside = cursor.with_extension("new");
    fs::write(&aside, format!("{last}\n"))?;
    fs::rename(aside, cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u64) -> String {
        format!("{{\"n\":{n},\"a\":1}}\n")
    }

    fn write(folder: &Path, first: u64, lines: impl Iterator<Item = u64>, rest: &str) {
        let text: String = lines.map(line).collect();
        fs::write(files::segment_path(folder, first), text + rest).unwrap();
    }

    fn text(batch: &Batch) -> String {
        String::from_utf8(batch.text.clone()).unwrap()
    }

    #[test]
    fn a_log_is_followed_over_its_segments() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut follower = Follower::new(folder, 2);
        assert_eq!(text(&follower.read().unwrap()), "");
        write(folder, 1, 1..=3, "{\"n\":4");
        let batch = follower.read().unwrap();
        assert_eq!((text(&batch), batch.last, batch.gone), (line(2) + &line(3), 3, 0));
        assert_eq!(text(&follower.read().unwrap()), "");
        write(folder, 1, 1..=4, "");
        write(folder, 5, 5..=6, "");
        assert_eq!(text(&follower.read().unwrap()), line(4));
        let batch = follower.read().unwrap();
        assert_eq!((text(&batch), batch.last), (line(5) + &line(6), 6));
        assert_eq!(array(&batch.text), "[{\"n\":5,\"a\":1},{\"n\":6,\"a\":1}]");
        // What was dropped before it was read is counted.
        fs::remove_file(files::segment_path(folder, 1)).unwrap();
        let batch = Follower::new(folder, 2).read().unwrap();
        assert_eq!((text(&batch), batch.gone), (line(5) + &line(6), 3));
    }
}
