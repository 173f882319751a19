//! Request bodies: read within bounds, and JSON with errors that say where.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{HeaderMap, Request, body::Body, header};
use lictor_model::{FieldError, json};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a JSON object as text, see [`object`].
pub(super) async fn read_text<B>(request: Request<B>, max: usize) -> Result<String, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    media_type(request.headers())?;
    object(&read(request.into_body(), max).await?).map(str::to_owned)
}

/// Reads any JSON value as text.
pub(super) async fn read_any<B>(request: Request<B>, max: usize) -> Result<String, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    media_type(request.headers())?;
    any(&read(request.into_body(), max).await?).map(str::to_owned)
}

/// What may be a JSON object: UTF-8, begins as one, and is not nested too deeply. The rest is seen by what reads it.
///
/// Its start is looked at here because what reads it behind would also take a list, as the fields in their order.
pub(super) fn object(bytes: &[u8]) -> Result<&str, Error> {
    let text = utf8(bytes)?;
    if !text.trim_ascii_start().starts_with('{') {
        check(text)?;
        return Err(FieldError::new("", "the body must be a JSON object").into());
    }
    json::check_depth(bytes).map_err(not_json)?;
    Ok(text)
}

/// Any JSON value.
pub(super) fn any(bytes: &[u8]) -> Result<&str, Error> {
    let text = utf8(bytes)?;
    check(text)?;
    Ok(text)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::NotJson, "the body is not valid UTF-8"))
}

fn check(text: &str) -> Result<(), Error> {
    json::check(text).map_err(not_json)
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
fn not_json(error: json::JsonError) -> Error {
    Error::new(ErrorKind::NotJson, format!("the body {error}"))
}

/// Reads a body of at most `max` bytes.
pub(super) async fn read<B>(body: B, max: usize) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || Error::new(ErrorKind::TooLarge, format!("the body is larger than {max} bytes"));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let slow = |_| Error::new(ErrorKind::TooSlow, format!("the body did not come within {} s", BODY_TIMEOUT.as_secs()));
    let mut body = std::pin::pin!(gather(body, max));
    // PERF: most bodies are there with their head; the timer is only made for one that is not.
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(body.as_mut().poll(cx))).await;
    let gathered = match first {
        std::task::Poll::Ready(gathered) => gathered,
        std::task::Poll::Pending => Box::pin(tokio::time::timeout(BODY_TIMEOUT, body)).await.map_err(slow)?,
    };
    match gathered {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Error::new(ErrorKind::NotJson, format!("the body cannot be read: {error}"))),
    }
}

async fn gather<B>(body: B, max: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(Limited::new(body, max));
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        // A body that comes in one piece is neither copied nor asked for another.
        if pieces.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        pieces.push(piece);
    }
    Ok(pieces.concat::<u8>().into())
}

pub(super) fn media_type(headers: &HeaderMap) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::new(ErrorKind::MediaType, message));
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        return wrong(format!(
            "the body is encoded as `{}`: send it as it is",
            encoding.to_str().unwrap_or("?").escape_default()
        ));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return wrong("the request has no `Content-Type`: send `application/json`".into());
    };
    let text = value.to_str().unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    let json = essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json");
    if json { Ok(()) } else { wrong(format!("`Content-Type` is `{}`: send `application/json`", text.escape_default())) }
}

/// Reads a JSON body whose fields are ours: an object in which no field stands twice is read as one.
pub(super) async fn read_value<B>(request: Request<B>, max: usize) -> Result<Value, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text = read_text(request, max).await?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    // `read_text` has seen to the depth.
    deserializer.disable_recursion_limit();
    let value = Distinct.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        let what = if error.is_data() { "what is read here" } else { "valid JSON" };
        Error::new(ErrorKind::NotJson, format!("the body is not {what}: {error}"))
    })
}

/// Reads any value; in the outermost object each field may stand once.
struct Distinct;

impl<'de> DeserializeSeed<'de> for Distinct {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Distinct {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(serde::de::Error::custom(format_args!("the field `{name}` stands twice")));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
