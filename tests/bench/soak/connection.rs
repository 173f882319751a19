//! A connection that is kept from one request to the next, made anew when it is over.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than any answer takes, also of a server that was suspended. Who waits for longer has been forgotten.
const PATIENCE: Duration = Duration::from_secs(100);
/// The longest answer that is read.
const MAX_BODY: usize = 64 << 20;

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A client with one connection.
#[derive(Default)]
pub(crate) struct Connection {
    open: Option<(SocketAddr, BufReader<TcpStream>)>,
}

impl Connection {
    /// Sends a request and reads the whole answer. After an error nobody knows whether the request was carried out.
    pub(crate) fn send(&mut self, to: SocketAddr, head: &str, body: &[u8]) -> io::Result<Reply> {
        let mut stream = match self.open.take() {
            Some((address, stream)) if address == to && still_open(&stream) => stream,
            _ => connect(to)?,
        };
        let head = format!("{head}\r\nHost: {to}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let (reply, keep) = read_reply(&mut stream)?;
        self.open = keep.then_some((to, stream));
        Ok(reply)
    }
}

fn connect(to: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Whether the other side has not closed it since the last answer, as a server may that nobody asked for a while.
fn still_open(stream: &BufReader<TcpStream>) -> bool {
    let socket = stream.get_ref();
    let looked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let open = matches!(&looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).is_ok() && open
}

fn read_reply(stream: &mut BufReader<TcpStream>) -> io::Result<(Reply, bool)> {
    let status = line(stream)?;
    let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| wrong("an answer without a status"))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            None => break,
            Some(("content-length", value)) => length = value.parse::<usize>().ok(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("connection", value)) => keep = value != "close",
            Some(_) => {}
        }
    }
    let body = match length {
        _ if chunked => read_chunks(stream)?,
        Some(length) if length <= MAX_BODY => read_exactly(stream, length)?,
        _ => return Err(wrong("an answer of no length, or of one that nobody reads")),
    };
    Ok((Reply { status, body }, keep))
}

fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| wrong("a chunk without a size"))?;
        if MAX_BODY < body.len() + size {
            return Err(wrong("an answer that has no end"));
        }
        body.extend(read_exactly(stream, size)?);
        if !line(stream)?.is_empty() {
            return Err(wrong("a chunk longer than it says"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
