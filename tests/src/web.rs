//! A web server in the test's own process: what code, allowlists and policies' requests are sent to.
//!
//! It answers as told, path by path, and remembers who asked for what.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::Value;

use crate::wait::PATIENCE;

/// What a path is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    UntilClosed,
    Endless,
    HalfThenHeld,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A web server on a port of loopback. Stops when dropped.
pub struct CodeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Vec<Answer>>>,
    seen: Mutex<Vec<Seen>>,
    /// Whether held answers may go, and whether the server is over.
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Default)]
struct Gate {
    open: bool,
    over: bool,
}

impl Answer {
    /// 200 with these bytes.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), framing: Framing::Length, held: false }
    }

    /// 200 with this document.
    pub fn json(body: &Value) -> Self {
        Self::ok(body.to_string()).header("Content-Type", "application/json")
    }

    /// Another status, with a body of one line.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("no\n") }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// 302 to another place.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Without `Content-Length`: the body ends with the connection.
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.framing = Framing::UntilClosed;
        self
    }

    /// The body again and again, without `Content-Length`, until the other side has enough.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.framing = Framing::Endless;
        self
    }

    /// Nothing before `CodeServer::release`.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// The head and half of the body, the rest after `CodeServer::release`.
    #[must_use]
    pub fn half_then_held(mut self) -> Self {
        self.framing = Framing::HalfThenHeld;
        self
    }
}

impl CodeServer {
    /// A server that answers everything with 404.
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback can be bound");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.gate.lock().unwrap().over {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A client that goes away is its own affair.
                thread::spawn(move || drop(shared.converse(&stream)));
            }
        });
        Self { address, shared }
    }

    /// Answers a path, every time.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answers(path, [answer]);
    }

    /// Answers a path with these in turn; the last one stays.
    pub fn answers(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.answers.lock().unwrap().insert(path.into(), answers.into_iter().collect());
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Scheme, host and port: what an HTTP grant is given for.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How often a path was asked for.
    pub fn hits(&self, path: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.path == path).count()
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Lets every held answer go, from now on.
    pub fn release(&self) {
        self.shared.gate.lock().unwrap().open = true;
        self.shared.opened.notify_all();
    }
}

impl Drop for CodeServer {
    fn drop(&mut self) {
        if let Ok(mut gate) = self.shared.gate.lock() {
            (gate.open, gate.over) = (true, true);
        }
        self.shared.opened.notify_all();
        // Wakes the loop that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(seen) = read_request(&mut reader)? {
            let path = seen.path.clone();
            self.seen.lock().unwrap().push(seen);
            let answer = self.next_answer(&path);
            if answer.held {
                self.wait_for_release();
            }
            self.write(&mut { stream }, &answer)?;
            if answer.framing != Framing::Length {
                break;
            }
        }
        Ok(())
    }

    fn next_answer(&self, path: &str) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        match answers.get_mut(path) {
            Some(queue) if 1 < queue.len() => queue.remove(0),
            Some(queue) if !queue.is_empty() => queue[0].clone(),
            _ => Answer::status(404),
        }
    }

    fn wait_for_release(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.opened.wait_while(gate, |gate| !gate.open).unwrap());
    }

    fn write(&self, stream: &mut &TcpStream, answer: &Answer) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", answer.status);
        match answer.framing {
            Framing::Length | Framing::HalfThenHeld => {
                head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
            }
            Framing::UntilClosed | Framing::Endless => head.push_str("Connection: close\r\n"),
        }
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        match answer.framing {
            Framing::Length | Framing::UntilClosed => stream.write_all(&answer.body),
            Framing::Endless => loop {
                stream.write_all(&answer.body)?;
            },
            Framing::HalfThenHeld => {
                let (first, rest) = answer.body.split_at(answer.body.len() / 2);
                stream.write_all(first)?;
                self.wait_for_release();
                stream.write_all(rest)
            }
        }
    }
}

/// The next request, or none if the connection is over.
fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split(' ').map(str::to_owned);
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let body = if header("transfer-encoding") == Some("chunked") {
        read_chunks(reader)?
    } else {
        let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        body
    };
    Ok(Some(Seen { method, path, headers, body }))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        // Each chunk is followed by an empty line; after the last one, that is the end.
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}
