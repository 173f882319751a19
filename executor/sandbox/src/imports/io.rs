//! `wasi:io`: wasmtime's own streams and pollables, with the tape between them and the guest.
//!
//! How much of a stream is there, and which of several things is ready first, is chance: it is recorded, and in a replay
//! it is as it was. What the bytes are follows from what made the stream, so they are not recorded here.

use wasmtime::{Result, component::Resource};
use wasmtime_wasi_io::{
    bindings::wasi::io::{
        error, poll,
        streams::{self, HostInputStream, HostOutputStream},
    },
    poll::DynPollable,
    streams::{DynInputStream, DynOutputStream, Error, StreamError, StreamResult},
};

use crate::{
    state::{State, Stopped},
    tape::{Event, Question, Unknown},
};

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

impl From<Stopped> for StreamError {
    fn from(stopped: Stopped) -> Self {
        Self::Trap(stopped.into())
    }
}

/// The same resource, for another look at it.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

impl poll::Host for State {
    async fn poll(&mut self, all: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        let told = self.tape.told(&Question::new("poll", Unknown::Fine), |event| match event {
            Event::Poll { ready } => Some(ready.clone()),
            _ => None,
        })?;
        let Some(told) = told.filter(|_| self.tape.is_exact()) else {
            let ready = poll::Host::poll(&mut self.table, all).await?;
            self.tape.note(|| Event::Poll { ready: ready.clone() });
            return Ok(ready);
        };
        for idx in &told {
            let pollable = usize::try_from(*idx).ok().and_then(|idx| all.get(idx));
            let pollable =
                pollable.ok_or_else(|| wasmtime::format_err!("the record polls more than the guest does"))?;
            poll::HostPollable::block(&mut self.table, again(pollable)).await?;
        }
        Ok(told)
    }
}

impl poll::HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        let told = self.tape.told(&Question::new("pollable.ready", Unknown::Fine), |event| match event {
            Event::Ready { ready } => Some(*ready),
            _ => None,
        })?;
        let Some(told) = told.filter(|_| self.tape.is_exact()) else {
            let ready = poll::HostPollable::ready(&mut self.table, pollable).await?;
            self.tape.note(|| Event::Ready { ready });
            return Ok(ready);
        };
        if told {
            poll::HostPollable::block(&mut self.table, pollable).await?;
        }
        Ok(told)
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        poll::HostPollable::block(&mut self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl error::Host for State {}

impl error::HostError for State {
    fn to_debug_string(&mut self, error: Resource<Error>) -> Result<String> {
        error::HostError::to_debug_string(&mut self.table, error)
    }

    fn drop(&mut self, error: Resource<Error>) -> Result<()> {
        error::HostError::drop(&mut self.table, error)
    }
}

impl streams::Host for State {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(&mut self.table, error)
    }
}

impl State {
    /// How many bytes a read gave, by the record.
    fn told_read(&mut self) -> Result<Option<u64>, Stopped> {
        let told = self.tape.told(&Question::new("stream.read", Unknown::Fine), |event| match event {
            Event::Read { bytes } => Some(*bytes),
            _ => None,
        })?;
        // Of a stream that had ended, the end is there in a replay too.
        Ok(told.flatten().filter(|_| self.tape.is_exact()))
    }

    fn note_read(&mut self, bytes: Option<usize>) {
        self.tape.note(|| Event::Read { bytes: bytes.map(|bytes| bytes as u64) });
    }

    /// So many bytes of a stream, which in a replay are all there.
    fn take(&mut self, stream: &Input, n: u64) -> StreamResult<Vec<u8>> {
        let mut res = Vec::new();
        while let left @ 1.. = n.saturating_sub(res.len() as u64) {
            let read = HostInputStream::read(&mut self.table, again(stream), left)?;
            if read.is_empty() {
                return Err(StreamError::trap("the record reads more of a stream than there is"));
            }
            res.extend(read);
        }
        Ok(res)
    }
}

impl HostInputStream for State {
    fn read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        if let Some(n) = self.told_read()? {
            return self.take(&stream, n);
        }
        let read = HostInputStream::read(&mut self.table, stream, len);
        self.note_read(read.as_ref().ok().map(Vec::len));
        read
    }

    async fn blocking_read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        if let Some(n) = self.told_read()? {
            return self.take(&stream, n);
        }
        let read = HostInputStream::blocking_read(&mut self.table, stream, len).await;
        self.note_read(read.as_ref().ok().map(Vec::len));
        read
    }

    fn skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        HostInputStream::read(self, stream, len).map(|skipped| skipped.len() as u64)
    }

    async fn blocking_skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        HostInputStream::blocking_read(self, stream, len).await.map(|skipped| skipped.len() as u64)
    }

    fn subscribe(&mut self, stream: Input) -> Result<Resource<DynPollable>> {
        HostInputStream::subscribe(&mut self.table, stream)
    }

    async fn drop(&mut self, stream: Input) -> Result<()> {
        HostInputStream::drop(&mut self.table, stream).await
    }
}

impl State {
    /// Whether what a stream takes is chance. Standard output and error take everything.
    fn is_chance(&self, stream: &Output) -> bool {
        !self.spoken.contains(&stream.rep())
    }

    /// Whether the record says that a stream had ended when this was written to it.
    fn had_ended(&mut self, stream: &Output) -> Result<bool, Stopped> {
        if !self.is_chance(stream) {
            return Ok(false);
        }
        let told = self.tape.told(&Question::new("stream.write", Unknown::Fine), |event| match event {
            Event::Write { ended } => Some(*ended),
            _ => None,
        })?;
        Ok(told.is_some_and(|ended| ended && self.tape.is_exact()))
    }

    fn note_write(&mut self, is_chance: bool, written: &StreamResult<()>) {
        if is_chance {
            self.tape.note(|| Event::Write { ended: written.is_err() });
        }
    }
}

/// A function that writes to a stream: as recorded, or else done and taken down.
macro_rules! write {
    ($state:ident, $stream:ident, $done:expr) => {{
        if $state.had_ended(&$stream)? {
            return Err(StreamError::Closed);
        }
        let is_chance = $state.is_chance(&$stream);
        let written = $done;
        $state.note_write(is_chance, &written);
        written
    }};
}

impl HostOutputStream for State {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        if !self.is_chance(&stream) {
            return HostOutputStream::check_write(&mut self.table, stream);
        }
        let told = self.tape.told(&Question::new("stream.check-write", Unknown::Fine), |event| match event {
            Event::CheckWrite { bytes } => Some(*bytes),
            _ => None,
        })?;
        if let Some(told) = told.filter(|_| self.tape.is_exact()) {
            return told.ok_or(StreamError::Closed);
        }
        let bytes = HostOutputStream::check_write(&mut self.table, stream);
        self.tape.note(|| Event::CheckWrite { bytes: bytes.as_ref().ok().copied() });
        bytes
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::write(&mut self.table, stream, bytes))
    }

    async fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::blocking_write_and_flush(&mut self.table, stream, bytes).await)
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::flush(&mut self.table, stream))
    }

    async fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::blocking_flush(&mut self.table, stream).await)
    }

    fn write_zeroes(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::write_zeroes(&mut self.table, stream, len))
    }

    async fn blocking_write_zeroes_and_flush(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        write!(self, stream, HostOutputStream::blocking_write_zeroes_and_flush(&mut self.table, stream, len).await)
    }

    fn splice(&mut self, stream: Output, from: Input, len: u64) -> StreamResult<u64> {
        if let Some(n) = self.told_read()? {
            let bytes = self.take(&from, n)?;
            HostOutputStream::write(&mut self.table, stream, bytes)?;
            return Ok(n);
        }
        let spliced = HostOutputStream::splice(&mut self.table, stream, from, len);
        self.note_read(spliced.as_ref().ok().and_then(|n| usize::try_from(*n).ok()));
        spliced
    }

    async fn blocking_splice(&mut self, stream: Output, from: Input, len: u64) -> StreamResult<u64> {
        if let Some(n) = self.told_read()? {
            let bytes = self.take(&from, n)?;
            HostOutputStream::blocking_write_and_flush(&mut self.table, stream, bytes).await?;
            return Ok(n);
        }
        let spliced = HostOutputStream::blocking_splice(&mut self.table, stream, from, len).await;
        self.note_read(spliced.as_ref().ok().and_then(|n| usize::try_from(*n).ok()));
        spliced
    }

    fn subscribe(&mut self, stream: Output) -> Result<Resource<DynPollable>> {
        HostOutputStream::subscribe(&mut self.table, stream)
    }

    async fn drop(&mut self, stream: Output) -> Result<()> {
        self.spoken.retain(|spoken| *spoken != stream.rep());
        HostOutputStream::drop(&mut self.table, stream).await
    }
}
