//! A policies system on another server: records of policies, and the files of its registry of assets.
//!
//! Its URL was chosen by an operator or an application, and is reached at whatever address it has. It is asked by the
//! routes that every client of the registries uses, so that the original's may be one; that says only in words what is not
//! there.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lictor_model::{CodeRef, HostUri, PolicyUri, asset, code::AssetRef, json};
use serde_json::{Map, Value};

use crate::{
    assets::{Asset, Assets},
    client::{Answer, Ask, Client, Method, Unanswered},
    error::{LoadCode, LoadError},
};

/// How long it may take for a file.
const FILE_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a record at most.
const MAX_RECORD: usize = 32 << 20;
/// Bytes of a file at most: what is fetched from elsewhere has the same bound.
const MAX_FILE: usize = 64 << 20;
/// Where the files of a registry of assets are, below its URL.
const FILES: &str = "asset-object/";
/// The longest text of somebody else's in a message, in characters.
const MAX_MESSAGE: usize = 2000;

/// Another server with the registries. Cheap to clone.
#[derive(Clone)]
pub struct System {
    client: Client,
    url: HostUri,
    patience: Duration,
}

/// A record, and how the system names this version of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The record.
    pub document: Map<String, Value>,
    /// What to send along with the next question.
    pub etag: Option<String>,
}

/// Why a system, or an executor, told nothing.
#[derive(Clone, Debug)]
pub enum Untold {
    /// It gave no answer to go by: who, and what happened instead.
    Silent(String),
    /// It refused: who, and the envelope that it gave.
    Refused(String, Map<String, Value>),
}

impl Untold {
    /// Whether it says that something is not there.
    pub fn is_not_found(&self) -> bool {
        let Self::Refused(_, envelope) = self else { return false };
        match envelope.get("code").and_then(Value::as_str) {
            Some(code) => code == "not_found",
            None => self.reason().to_ascii_lowercase().contains("not found"),
        }
    }

    /// The reason that it gave, or what happened.
    pub fn reason(&self) -> String {
        let envelope = match self {
            Self::Silent(what) => return what.clone(),
            Self::Refused(_, envelope) => envelope,
        };
        let text = |name: &str| envelope.get(name).and_then(Value::as_str);
        let reason = text("message").or_else(|| text("error")).unwrap_or("it gave no reason");
        reason.chars().take(MAX_MESSAGE).collect()
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(what) => f.write_str(what),
            Self::Refused(who, _) => write!(f, "{who} answered: {}", self.reason()),
        }
    }
}

impl std::error::Error for Untold {}

/// What is under `data` in the answer of `who`, which must say `success`.
pub fn data(who: &dyn fmt::Display, answer: &Answer) -> Result<Value, Untold> {
    let parsed = str::from_utf8(&answer.body).ok().and_then(|text| json::parse(text).ok());
    match parsed {
        Some(Value::Object(mut envelope)) => match envelope.get("success") {
            Some(Value::Bool(true)) => Ok(envelope.remove("data").unwrap_or_default()),
            Some(Value::Bool(false)) => Err(Untold::Refused(who.to_string(), envelope)),
            _ => Err(garbage(who, answer)),
        },
        _ => Err(garbage(who, answer)),
    }
}

fn garbage(who: &dyn fmt::Display, answer: &Answer) -> Untold {
    Untold::Silent(format!("{who} answered with status {} and no answer of a policies system", answer.status))
}

impl System {
    /// The system at this URL, which may take so long for a record, and is shown this token.
    pub fn at(url: HostUri, patience: Duration, token: Option<&str>) -> Result<Self, LoadError> {
        Ok(Self { client: Client::of_operator(&url)?.with_token(token)?, url, patience })
    }

    /// Where it is.
    pub fn url(&self) -> &HostUri {
        &self.url
    }

    /// The record of a policy; none if it still is the one that `etag` names.
    pub async fn policy(&self, uri: &PolicyUri, etag: Option<&str>) -> Result<Option<Told>, Untold> {
        let headers: Vec<_> = etag.iter().map(|etag| ("if-none-match", *etag)).collect();
        let answer = self.get(&format!("policy/{uri}"), &headers, self.patience, MAX_RECORD).await?;
        if answer.status == 304 && etag.is_some() {
            return Ok(None);
        }
        let document = self.record(&answer)?;
        Ok(Some(Told { document, etag: answer.etag }))
    }

    /// Sends a document to one of its routes, and returns what is under `data`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Untold> {
        let (url, deadline) = (format!("{}/{path}", self.url), Instant::now() + self.patience);
        let body = Some(Bytes::from(body.to_string()));
        let ask = Ask { method: Method::POST, url: &url, headers: &[], body, deadline, max_bytes: MAX_RECORD };
        let answer = self.client.ask(ask).await.map_err(|why| self.silent(&why))?;
        data(self, &answer)
    }

    async fn get(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        patience: Duration,
        max_bytes: usize,
    ) -> Result<Answer, Untold> {
        let (url, deadline) = (format!("{}/{path}", self.url), Instant::now() + patience);
        let ask = Ask { method: Method::GET, url: &url, headers, body: None, deadline, max_bytes };
        self.client.ask(ask).await.map_err(|why| self.silent(&why))
    }

    fn record(&self, answer: &Answer) -> Result<Map<String, Value>, Untold> {
        match data(self, answer)? {
            Value::Object(record) => Ok(record),
            _ => Err(Untold::Silent(format!("{self} answered with something else than a record"))),
        }
    }

    fn silent(&self, why: &Unanswered) -> Untold {
        Untold::Silent(format!("{self} {why}"))
    }

    /// What its registry of assets has for a code reference.
    async fn asset(&self, code: &CodeRef) -> Result<Asset, LoadError> {
        match code {
            CodeRef::Asset(AssetRef::Id(id)) => self.file(id).await?.ok_or_else(|| missing(code)),
            CodeRef::Asset(AssetRef::Uri(uri)) => self.file_of(code, uri).await,
            // The system says so of its own files, and may be at an address that only its operator can admit.
            CodeRef::Http(url) => match self.url.below(url.as_str()).and_then(|path| path.strip_prefix(FILES)) {
                Some(id) => self.file(id).await?.ok_or_else(|| missing(code)),
                None => Ok(Asset::Not),
            },
            _ => Ok(Asset::Not),
        }
    }

    /// The file that the record of an asset names.
    async fn file_of(&self, code: &CodeRef, uri: &str) -> Result<Asset, LoadError> {
        let answer = self.get(&format!("asset/{uri}"), &[], self.patience, MAX_RECORD).await;
        let record = match answer.and_then(|answer| self.record(&answer)) {
            Ok(record) => record,
            Err(untold) if untold.is_not_found() => return Err(missing(code)),
            Err(untold) => return Err(unreachable(untold.to_string())),
        };
        if let Some(id) = record.get("asset_id").and_then(Value::as_str)
            && let Some(file) = self.file(id).await?
        {
            return Ok(file);
        }
        match asset::place(&record) {
            Ok(Some(place @ CodeRef::Http(_))) => Ok(Asset::At(place)),
            _ => Err(missing(code)),
        }
    }

    /// The file of this id, if there is one.
    async fn file(&self, id: &str) -> Result<Option<Asset>, LoadError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !id.bytes().all(plain) {
            return Ok(None);
        }
        let answer = self.get(&format!("{FILES}{id}"), &[], FILE_PATIENCE, MAX_FILE).await;
        let answer = answer.map_err(|untold| unreachable(untold.to_string()))?;
        match answer.status {
            200 => Ok(Some(Asset::Bytes(answer.body))),
            404 => Ok(None),
            status => Err(unreachable(format!("{self} answered with status {status} where a file should be"))),
        }
    }
}

fn missing(code: &CodeRef) -> LoadError {
    unreachable(format!("the system's registry of assets has no `{code}`"))
}

fn unreachable(why: String) -> LoadError {
    LoadError::new(LoadCode::CodeUnreachable, why)
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system at {}", self.url)
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "System({})", self.url)
    }
}

impl Assets for System {
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>> {
        Box::pin(self.asset(code))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, etag: None, retry_after: None, body: body.to_owned().into() }
    }

    #[test]
    fn an_envelope_is_opened() {
        for (body, found, not_there) in [
            (json!({"success": true, "data": {"a": 1}}), r#"{"a":1}"#, false),
            (json!({"success": true}), "null", false),
            (json!({"success": false, "code": "not_found", "message": "no"}), "it answered: no", true),
            (json!({"success": false, "code": "busy", "message": "not found"}), "it answered: not found", false),
            (json!({"success": false, "message": "Policy not found."}), "it answered: Policy not found.", true),
            (json!({"success": false, "error": "no disk"}), "it answered: no disk", false),
            (json!({"success": false}), "it answered: it gave no reason", false),
            (json!({"success": "yes"}), "it answered with status 200 and no answer of a policies system", false),
            (json!([]), "it answered with status 200 and no answer of a policies system", false),
        ] {
            let opened = data(&"it", &answer(&body.to_string()));
            assert_eq!(opened.as_ref().is_err_and(Untold::is_not_found), not_there, "{body}");
            assert_eq!(opened.map_or_else(|untold| untold.to_string(), |data| data.to_string()), found, "{body}");
        }
        assert!(matches!(data(&"it", &answer("<html>")), Err(Untold::Silent(_))));
    }
}
