//! Tells a connection that is used from one that is held open, and one that reads its answers from one that does not.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a connection may go without a request, and the head of one may take; at most twice as long.
const LOOK: Duration = Duration::from_secs(30);
/// Bytes that a peer must take within that time if there are any for it.
const LEAST: u64 = 16 * 1024;

/// Counts what happens on a connection.
///
/// PERF: hyper's own time-out for heads sets a timer for every request; this one looks now and then.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Beginnings and ends of requests. Odd while one is being answered. Only the connection's own task changes it.
    beats: AtomicU64,
    /// Answers that are sent piece by piece, and not at their end.
    streams: AtomicU64,
    /// Bytes that the peer's side took.
    written: AtomicU64,
    /// Whether it took none of the last ones.
    full: AtomicBool,
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It sent no request in time.
    Idle,
    /// It does not read its answers.
    Slow,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    beats: u64,
    written: u64,
}

impl Pulse {
    /// A request begins, or its answer is ready.
    pub(super) fn beat(&self) {
        self.beats.store(self.beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Ends when the connection is to be cut.
    pub(super) async fn stops(&self) -> Cut {
        let mut before = self.look();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.look();
            if let Some(cut) = self.judge(before, now) {
                return cut;
            }
            before = now;
        }
    }

    fn look(&self) -> Seen {
        Seen { beats: self.beats.load(Ordering::Relaxed), written: self.written.load(Ordering::Relaxed) }
    }

    fn judge(&self, before: Seen, now: Seen) -> Option<Cut> {
        if self.full.load(Ordering::Relaxed) {
            return (now.written.wrapping_sub(before.written) < LEAST).then_some(Cut::Slow);
        }
        let busy = !now.beats.is_multiple_of(2) || 0 < self.streams.load(Ordering::Relaxed);
        (!busy && before == now).then_some(Cut::Idle)
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(n)) => {
                self.written.store(self.written.load(Ordering::Relaxed).wrapping_add(*n as u64), Ordering::Relaxed);
                self.full.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.full.store(true, Ordering::Relaxed),
        }
    }
}

/// A connection whose writes are counted.
pub(super) struct Paced<S> {
    inner: S,
    pulse: Arc<Pulse>,
}

impl<S> Paced<S> {
    pub(super) fn new(inner: S, pulse: Arc<Pulse>) -> Self {
        Self { inner, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.pulse.wrote(&written);
        written
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
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.pulse.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// An answer that is sent piece by piece: its connection is not idle before its end.
pub(in crate::http) struct Pieces {
    body: Body,
    pulse: Option<Arc<Pulse>>,
}

impl Pieces {
    pub(in crate::http) fn new(body: Body) -> Self {
        Self { body, pulse: None }
    }

    /// Says on which connection it is sent.
    pub(super) fn on(mut self, pulse: &Arc<Pulse>) -> Self {
        pulse.streams.fetch_add(1, Ordering::Relaxed);
        self.pulse = Some(Arc::clone(pulse));
        self
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a connection on which `meanwhile` happens between two looks.
    fn judged(pulse: &Pulse, meanwhile: impl FnOnce(&Pulse)) -> Option<Cut> {
        let before = pulse.look();
        meanwhile(pulse);
        pulse.judge(before, pulse.look())
    }

    #[test]
    fn one_on_which_nothing_happens_is_idle() {
        let pulse = Pulse::default();
        assert_eq!(judged(&pulse, |_| {}), Some(Cut::Idle));
        assert_eq!(judged(&pulse, Pulse::beat), None);
        // A request that takes long.
        assert_eq!(judged(&pulse, |_| {}), None);
        assert_eq!(judged(&pulse, Pulse::beat), None);
        assert_eq!(judged(&pulse, |_| {}), Some(Cut::Idle));
        // The end of a long answer goes out.
        assert_eq!(judged(&pulse, |pulse| pulse.wrote(&Poll::Ready(Ok(1)))), None);
    }

    #[test]
    fn one_with_an_answer_in_pieces_is_not_idle() {
        let pulse = Arc::new(Pulse::default());
        let pieces = Pieces::new(Body::empty()).on(&pulse);
        assert_eq!(judged(&pulse, |_| {}), None);
        drop(pieces);
        assert_eq!(judged(&pulse, |_| {}), Some(Cut::Idle));
    }

    #[test]
    fn one_that_hardly_reads_is_slow_whatever_it_waits_for() {
        let pulse = Arc::new(Pulse::default());
        let _pieces = Pieces::new(Body::empty()).on(&pulse);
        let takes = |n| {
            move |pulse: &Pulse| {
                pulse.wrote(&Poll::Ready(Ok(n)));
                pulse.wrote(&Poll::Pending);
            }
        };
        assert_eq!(judged(&pulse, takes(usize::try_from(LEAST).unwrap())), None);
        assert_eq!(judged(&pulse, takes(1)), Some(Cut::Slow));
        assert_eq!(judged(&pulse, |_| {}), Some(Cut::Slow));
        assert_eq!(judged(&pulse, |pulse| pulse.wrote(&Poll::Ready(Ok(1)))), None);
    }
}
