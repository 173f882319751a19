//! A client that keeps its connection, so that what is measured is the server.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Res;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection.
pub(crate) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// An answer and how long it took to have all of it.
pub(crate) struct Timed {
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Res<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { address, stream: BufReader::with_capacity(1 << 20, stream) })
    }

    /// Sends a request and reads the whole answer, which must be a success.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> Res<Timed> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let started = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut line) = (String::new(), None, String::new());
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the connection was closed".into());
            }
            if status.is_empty() {
                status.push_str(line.trim());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut bytes = vec![0; length.ok_or("an answer without a length")?];
        self.stream.read_exact(&mut bytes)?;
        let timed = Timed { body: bytes, took: started.elapsed() };
        if status.contains(" 20") {
            Ok(timed)
        } else {
            Err(format!("{method} {path}: {status} {}", timed.text()).into())
        }
    }

    /// Sends a request that must succeed, and gives `data`.
    pub(crate) fn data(&mut self, method: &str, path: &str, body: &str) -> Res<(Value, Duration)> {
        let timed = self.send(method, path, body)?;
        let mut answer: Value = serde_json::from_slice(&timed.body)?;
        if answer["success"] != true {
            return Err(format!("{method} {path} {body}: {}", timed.text()).into());
        }
        Ok((answer["data"].take(), timed.took))
    }
}

impl Timed {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(500).collect()
    }
}
