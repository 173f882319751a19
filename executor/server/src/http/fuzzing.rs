//! What must hold for any bytes of a connection or of a request, for a fuzzer and for its corpora in `tests/fuzz/corpus`.
//!
//! In the server, since what reads requests is private. Nothing of this is in a server that is served.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::wire::Strict;
pub use super::{batch::fuzzing::batch, execute::fuzzing::body};

/// What comes on a connection. It is seen as the same in one piece and in pieces of any size, up to where it is spoiled
/// it is what was sent, and nothing is lost.
pub fn wire(data: &[u8]) {
    let whole = seen(data, usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(seen(data, size), whole, "in pieces of {size}");
    }
    let changed: Vec<_> = data.iter().zip(&whole).filter(|(sent, seen)| sent != seen).collect();
    assert!(whole.len() == data.len() && matches!(changed[..], [] | [(b'\n', 0)]), "{changed:?}");
}

/// What is left of what was sent when it comes in pieces of this size.
fn seen(data: &[u8], size: usize) -> Vec<u8> {
    let (mut strict, mut seen) = (Strict::new(Pieces { left: data, size }), Vec::new());
    let mut piece = vec![0; size.min(data.len())];
    loop {
        let mut buf = ReadBuf::new(&mut piece);
        let read = Pin::new(&mut strict).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        assert!(matches!(read, Poll::Ready(Ok(()))));
        if buf.filled().is_empty() {
            return seen;
        }
        seen.extend_from_slice(buf.filled());
    }
}

/// A connection on which so many bytes come at a time.
struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (piece, left) = self.left.split_at(self.size.min(buf.remaining()).min(self.left.len()));
        buf.put_slice(piece);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzzed::replay;

    #[test]
    fn what_was_found_before_still_holds() {
        replay("wire", super::wire);
        replay("body", super::body);
        replay("batch", super::batch);
    }
}
