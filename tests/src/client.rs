//! An HTTP/1.1 client in a page: one request a connection, and nothing corrected on the way out.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
};

use serde_json::{Value, json};

use crate::wait::{PATIENCE, eventually};

/// Speaks to one listener.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    /// What every request shows that shows nothing else.
    token: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came back for bytes that need not be a request.
#[derive(Clone, Debug)]
pub struct RawReply {
    /// Everything up to the end of the connection.
    pub bytes: Vec<u8>,
    /// Whether the server closed the connection, as against our giving up.
    pub closed: bool,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Where it speaks to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection, with time-outs so that nothing waits for ever.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends bytes as they are and reads to the end of the connection.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> RawReply {
        let mut stream = self.connect().expect("the server accepts connections");
        // A server that refuses early may close before it has read everything.
        let _refused_early = stream.write_all(bytes);
        read_to_end(stream)
    }

    /// Like [`raw`](Self::raw), and says that nothing more will come.
    #[track_caller]
    pub fn raw_and_no_more(&self, bytes: &[u8]) -> RawReply {
        let mut stream = self.connect().expect("the server accepts connections");
        let _refused_early = stream.write_all(bytes);
        let _closed_already = stream.shutdown(Shutdown::Write);
        read_to_end(stream)
    }

    /// Sends a request with exactly these headers, `Host`, `Connection: close` and, with a body, its length.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Like [`send`](Self::send), for a server that may be gone.
    pub fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (!body.is_empty() || matches!(method, "POST" | "PUT")) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if let Some(token) = self.token.as_ref().filter(|_| !has("authorization")) {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = self.connect()?;
        // One write: a request in two packets is another test.
        let sent = stream.write_all(&[head.as_bytes(), body].concat());
        let reply = read_to_end(stream);
        match (reply.parse(), sent) {
            (Some(reply), _) => Ok(reply),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("no whole answer: {:?}", String::from_utf8_lossy(&reply.bytes)),
            )),
        }
    }

    /// GETs a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// DELETEs a path.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], b"")
    }

    /// POSTs JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string())
    }

    /// POSTs text as JSON, whatever it is.
    #[track_caller]
    pub fn post_text(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// PUTs JSON.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Creates a policy, which must succeed, and returns its uri.
    #[track_caller]
    pub fn create_policy(&self, record: &Value) -> String {
        let reply = self.post("/policy", record);
        assert_eq!((reply.status, &reply.json()["success"]), (200, &json!(true)), "{}", reply.text());
        let part = |name: &str| record[name].as_str().expect("is a string").to_owned();
        format!("{}:{}-{}", part("name"), part("version"), part("release_tag"))
    }

    /// The record of a policy that is there.
    #[track_caller]
    pub fn policy(&self, uri: &str) -> Value {
        let reply = self.get(&format!("/policy/{uri}"));
        let mut body = reply.json();
        assert_eq!(body["success"], true, "{body}");
        body["data"].take()
    }

    /// Waits until loading ended either way; returns `load`.
    #[track_caller]
    pub fn wait_loaded(&self, uri: &str) -> Value {
        eventually(&format!("`{uri}` to be loaded"), || {
            let mut record = self.policy(uri);
            let load = record["load"].take();
            if load["state"] == "pending" { Err(load) } else { Ok(load) }
        })
    }

    /// Creates a policy and waits until it is ready; returns its uri.
    #[track_caller]
    pub fn load(&self, record: &Value) -> String {
        let uri = self.create_policy(record);
        let load = self.wait_loaded(&uri);
        assert_eq!(load, json!({"state": "ready"}), "{record}");
        uri
    }

    /// Runs a policy on the embedded executor.
    #[track_caller]
    pub fn execute(&self, uri: &str, input: &Value) -> Reply {
        self.execute_as("", &json!({"policy_rule_uri": uri, "input_data": input}))
    }

    /// Runs a policy with a query string such as `?usage=1` and a whole body.
    #[track_caller]
    pub fn execute_as(&self, query: &str, body: &Value) -> Reply {
        self.post(&format!("/executor/executor-001/execute_policy{query}"), body)
    }
}

fn read_to_end(mut stream: TcpStream) -> RawReply {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    let closed = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break true,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error.kind() == io::ErrorKind::ConnectionReset,
        }
    };
    RawReply { bytes, closed }
}

impl RawReply {
    /// The first answer in it, if there is a whole one.
    pub fn parse(&self) -> Option<Reply> {
        let end = self.bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut body = self.bytes[end + 4..].to_vec();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        if let Some((_, length)) = length {
            let length = length.parse().ok()?;
            // Nothing follows the head of an answer to HEAD.
            if !body.is_empty() && body.len() < length {
                return None;
            }
            body.truncate(length);
        }
        Some(Reply { status, headers, body })
    }

    /// The status of the first answer in it, if there is one.
    pub fn status(&self) -> Option<u16> {
        let line = self.bytes.split(|b| *b == b'\r').next()?;
        str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {:?}", self.status, self.text()))
    }

    /// The header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Checks that it is a success, and returns `data`.
    #[track_caller]
    pub fn data(&self) -> Value {
        let mut body = self.json();
        assert_eq!((self.status, &body["success"]), (200, &json!(true)), "{body}");
        body["data"].take()
    }

    /// The status and the stable code: what most rows of tables compare.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["success"], false, "{body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        (self.status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}
