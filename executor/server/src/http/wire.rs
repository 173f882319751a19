//! What comes in, watched for requests that could mean two things.
//!
//! hyper takes lines that end in a bare LF, and of a request with both a length and chunks it takes the chunks; a
//! proxy in front of it may read either differently, and then one request hides in another. [`Strict`] follows the
//! requests of a connection line by line and body by body, and where one is ambiguous it spoils the end of that
//! line, so that hyper refuses it: 400, and the connection is closed. It never changes a request that is not refused.
//!
//! After a chunked body, whose end it would have to find as hyper does, it lets everything through: hyper's own
//! reading of chunks is strict.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest name that is looked for, with its colon.
const LONGEST: usize = b"transfer-encoding:".len();
const LENGTH: &[u8] = b"content-length:";

/// A connection whose ambiguous requests are refused.
pub(super) struct Strict<S> {
    inner: S,
    watch: Watch,
}

impl<S> Strict<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, watch: Watch::Head(Head::default()) }
    }
}

/// Where in the stream of requests we are.
#[derive(Debug)]
enum Watch {
    Head(Head),
    /// So many bytes of a body are to come.
    Body(u64),
    /// Nothing is looked at any more.
    Off,
}

/// The head of a request, up to where it is known.
#[derive(Debug, Default)]
struct Head {
    /// The start of the current line, in lower case.
    start: [u8; LONGEST],
    /// The length of the current line, without its end.
    line: usize,
    last: u8,
    /// Whether there was a line with something in it.
    begun: bool,
    chunked: bool,
    length: Option<u64>,
    /// The number in the current line, if that is a length.
    digits: Option<u64>,
}

impl Watch {
    /// Looks at what came, and spoils what is ambiguous.
    fn look(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let n = match self {
                Self::Off => return,
                Self::Body(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left = left.saturating_sub(n as u64);
                    if *left == 0 {
                        *self = Self::Head(Head::default());
                    }
                    n
                }
                Self::Head(head) => match head.take_whole_line(bytes) {
                    Some(n) => n,
                    None => self.take_line(bytes),
                },
            };
            bytes = bytes.get_mut(n..).unwrap_or_default();
        }
    }

    /// Takes the rest of a line byte by byte, and returns how much that was.
    fn take_line(&mut self, bytes: &mut [u8]) -> usize {
        let mut n = 0_usize;
        for b in bytes {
            let Self::Head(head) = self else { break };
            n = n.saturating_add(1);
            let ends = *b == b'\n';
            if let Some(next) = head.take(b) {
                *self = next;
            }
            if ends {
                break;
            }
        }
        n
    }
}

impl Head {
    /// Takes a line that is there as a whole and leaves the request as clear as it was; returns its length.
    ///
    /// PERF: most lines are such; byte by byte, a head took as long as parsing it.
    fn take_whole_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let first = *bytes.first().filter(|_| self.line == 0 && self.digits.is_none())?;
        let end = memchr::memchr(b'\n', bytes)?;
        let line = bytes.get(..end)?.strip_suffix(b"\r").filter(|_| first != b'\r')?;
        if matches!(first.to_ascii_lowercase(), b'c' | b't') {
            if begins_with(line, b"transfer-encoding:") || memchr::memchr(b'\r', line).is_some() {
                return None;
            }
            if begins_with(line, LENGTH) {
                let value = line.get(LENGTH.len()..).filter(|_| !self.chunked)?;
                self.length = Some(value.iter().fold(0, |n, b| digit(n, *b)));
            }
        }
        (self.begun, self.last) = (true, 0);
        Some(end.saturating_add(1))
    }

    /// Takes one byte, and spoils it if it makes the request ambiguous. At the end of the head, says what follows.
    fn take(&mut self, b: &mut u8) -> Option<Watch> {
        if *b != b'\n' {
            self.grow(*b);
            return None;
        }
        self.length = self.digits.take().or(self.length);
        self.chunked |= LONGEST <= self.line && self.start == *b"transfer-encoding:";
        if self.last != b'\r' || (self.chunked && self.length.is_some()) {
            *b = 0;
            return Some(Watch::Off);
        }
        let over = self.line == 0 && self.begun;
        // What ended this line does not end the next one.
        (self.begun, self.line, self.last) = (self.begun || self.line != 0, 0, 0);
        over.then(|| self.body())
    }

    fn body(&self) -> Watch {
        match self.length {
            _ if self.chunked => Watch::Off,
            None | Some(0) => Watch::Head(Self::default()),
            Some(length) => Watch::Body(length),
        }
    }

    fn grow(&mut self, b: u8) {
        self.last = b;
        if b == b'\r' {
            return;
        }
        if let Some(at) = self.start.get_mut(self.line) {
            *at = b.to_ascii_lowercase();
        }
        self.line = self.line.saturating_add(1);
        if self.line == LENGTH.len() && self.start.starts_with(LENGTH) {
            self.digits = Some(0);
        } else if let Some(n) = &mut self.digits {
            *n = digit(*n, b);
        }
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// A length with one more of its bytes.
fn digit(n: u64, b: u8) -> u64 {
    match b {
        b'0'..=b'9' => n.saturating_mul(10).saturating_add(u64::from(b & 15)),
        b' ' | b'\t' => n,
        // Not a length: hyper refuses it.
        _ => u64::MAX,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.watch.look(buf.filled_mut().get_mut(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `sent` when it comes in pieces of `size` bytes.
    fn seen(sent: &str, size: usize) -> String {
        let mut watch = Watch::Head(Head::default());
        let mut bytes = sent.as_bytes().to_vec();
        bytes.chunks_mut(size).for_each(|piece| watch.look(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn check(sent: &str, expected: &str) {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(seen(sent, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_clear_is_left_alone() {
        let get = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\ncontent-LENGTH:  12 \r\nx-transfer-encoding: y\r\n\r\n{\n\"a\": 1\n}\n\n";
        let empty = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\n}\r\n0\r\n\r\n";
        check(
            &format!("{get}{post}{empty}{post}{post}{get}{chunked}"),
            &format!("{get}{post}{empty}{post}{post}{get}{chunked}"),
        );
    }

    #[test]
    fn what_is_ambiguous_is_spoiled_where_it_becomes_so() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{\n}";
        for (sent, expected) in [
            ("GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\0Host: a\n\n"),
            ("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "GET / HTTP/1.1\r\nA: b\0C: d\r\n\r\n"),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\n", "GET / HTTP/1.1\r\nContent-Length: 0\r\n\0"),
            ("GET / HTTP/1.1\r\ncontent-type: x\nC: d\r\n\r\n", "GET / HTTP/1.1\r\ncontent-type: x\0C: d\r\n\r\n"),
            (
                "P\r\nContent-Length: 3\r\nTRANSFER-encoding: chunked\r\n\r\n",
                "P\r\nContent-Length: 3\r\nTRANSFER-encoding: chunked\r\0\r\n",
            ),
            (
                "P\r\nTransfer-Encoding:x\r\nContent-Length:0\r\n\r\n",
                "P\r\nTransfer-Encoding:x\r\nContent-Length:0\r\0\r\n",
            ),
        ] {
            check(sent, expected);
            check(&format!("{post}{sent}"), &format!("{post}{expected}"));
        }
    }
}
