//! A server, as the commands speak to it that publish and fetch policies.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lictor_loader::{Answer, Ask, Client, LoadCode, Unanswered, Upload, client::Method};
use lictor_model::{HostUri, field::shorten, json};
use serde_json::Value;

use super::Failure;
use crate::config;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a file may take to go up or to come down.
const FILE_PATIENCE: Duration = Duration::from_secs(600);
/// The longest answer that is JSON.
const MAX_JSON: usize = 16 << 20;
/// The largest file.
const MAX_FILE: usize = 64 << 20;

/// A server that a person named: it is reached at whatever address it has.
pub(super) struct Remote {
    client: Client,
    base: HostUri,
}

/// The text at a JSON pointer, or nothing.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What it answered in its envelope.
pub(super) struct Said {
    /// The envelope.
    pub(super) body: Value,
}

impl Remote {
    /// The server at `url`, which was given as `flag`.
    pub(super) fn at(url: &str, flag: &str) -> Result<Self, Failure> {
        let base = HostUri::parse(url).map_err(|why| Failure::Usage(format!("`{flag}` {why}")))?;
        let client = Client::of_operator(&base)?.with_token(config::token().as_deref())?;
        Ok(Self { client, base })
    }

    /// Where it is.
    pub(super) fn base(&self) -> &HostUri {
        &self.base
    }

    /// GETs a document.
    pub(super) async fn get(&self, path: &str) -> Result<Said, Failure> {
        let answer = self.ask(Method::GET, path, None, PATIENCE, MAX_JSON).await?;
        self.read(&answer)
    }

    /// Sends a document.
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Said, Failure> {
        let body = Bytes::from(body.to_string());
        let answer = self.ask(method, path, Some(body), PATIENCE, MAX_JSON).await?;
        self.read(&answer)
    }

    /// Sends a file as the form that `POST /upload_asset` takes.
    pub(super) async fn upload(&self, name: String, bytes: Bytes, metadata: &Value) -> Result<Said, Failure> {
        let upload = Upload {
            url: &format!("{}/upload_asset", self.base),
            file: ("asset", name, bytes),
            fields: vec![("asset_metadata", metadata.to_string())],
            deadline: Instant::now() + FILE_PATIENCE,
            max_bytes: MAX_JSON,
        };
        let answer = self.client.upload(upload).await.map_err(|error| self.silent(&error))?;
        self.read(&answer)
    }

    /// GETs a file; none if it is not there.
    pub(super) async fn file(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        let answer = self.ask(Method::GET, path, None, FILE_PATIENCE, MAX_FILE).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(self.read(&answer)?.failure()),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        patience: Duration,
        max_bytes: usize,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        let ask = Ask { method, url: &url, headers: &[], body, deadline: Instant::now() + patience, max_bytes };
        self.client.ask(ask).await.map_err(|error| self.silent(&error))
    }

    fn silent(&self, error: &Unanswered) -> Failure {
        Failure::load(LoadCode::CodeUnreachable, format!("the server at {} {error}", self.base))
    }

    fn read(&self, answer: &Answer) -> Result<Said, Failure> {
        let text = str::from_utf8(&answer.body).ok();
        match text.and_then(|text| json::parse(text).ok()) {
            Some(body) if body.get("success").is_some_and(Value::is_boolean) => Ok(Said { body }),
            _ => {
                let why = format!(
                    "the server at {} answered with status {} and something that is no answer of a policies system",
                    self.base, answer.status
                );
                Err(Failure::load(LoadCode::CodeUnreachable, why))
            }
        }
    }
}

impl Said {
    /// Whether it was done.
    pub(super) fn is_success(&self) -> bool {
        self.body.get("success").and_then(Value::as_bool) == Some(true)
    }

    /// The stable code of a refusal.
    pub(super) fn code(&self) -> &str {
        text(&self.body, "/code")
    }

    /// `data`, or the refusal as a failure of the command.
    pub(super) fn data(mut self) -> Result<Value, Failure> {
        if !self.is_success() {
            return Err(self.failure());
        }
        Ok(self.body.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// The refusal as a failure of the command: what was asked made no sense, or the server cannot do it.
    pub(super) fn failure(&self) -> Failure {
        let message = text(&self.body, "/message");
        let message =
            format!("the server refused: {}", shorten(message, 2000).replace("\\'", "'").replace("\\\"", "\""));
        match self.code() {
            "invalid_input" | "conflict" => Failure::Usage(message),
            _ => Failure::load(LoadCode::CodeUnreachable, message),
        }
    }
}
