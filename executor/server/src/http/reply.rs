//! Answers: every status code, and the envelope around every document.
//!
//! The envelope is the original's: `{"success": true, "data": …}` or `{"success": false, "message": …}`, to which
//! `code` and, where one is to blame, `field` are added. Registry routes answer 200 even for failures, as the
//! original does; clients of theirs look at `success`.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Response, StatusCode, header};
use lictor_model::{Digest, Outcome, Usage, Violation};
use serde_json::{Map, Value, json};
use tokio::sync::SemaphorePermit;

use super::Reply;
use crate::{
    access::Asker,
    checked::Checked,
    error::{Error, ErrorKind},
    registry::Found,
};

/// The header that says under which id a decision is in the log.
const DECISION: header::HeaderName = header::HeaderName::from_static("lictor-decision");

/// The status of each kind of trouble on an execution route, and on every route for what is no matter of a registry.
fn status(kind: ErrorKind) -> StatusCode {
    use lictor_loader::LoadCode;
    match kind {
        ErrorKind::InvalidInput | ErrorKind::NotJson => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::NoRoute | ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Method => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Outcome => StatusCode::OK,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::ShuttingDown | ErrorKind::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotAvailable => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Load(LoadCode::CodeUnreachable) | ErrorKind::Unreachable | ErrorKind::Upstream => {
            StatusCode::BAD_GATEWAY
        }
        ErrorKind::Load(LoadCode::Internal) | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Load(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Kinds that registry routes answer with 200 and `success: false`.
fn is_registry_matter(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::NotAvailable
            | ErrorKind::Load(_)
    )
}

fn with_status(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    reply
}

/// A refusal with the status that the kind has on execution routes.
pub(super) fn refusal(error: &Error) -> Reply {
    refuse(error, status(error.kind()))
}

/// A refusal as registry routes give it.
pub(super) fn registry_refusal(error: &Error) -> Reply {
    let status = if is_registry_matter(error.kind()) { StatusCode::OK } else { status(error.kind()) };
    refuse(error, status)
}

/// A refusal where clients of the original read `error`: its registry of assets, and the executor's own API.
pub(super) fn refusal_told_twice(error: &Error) -> Reply {
    refuse_as(error, status(error.kind()), true)
}

fn refuse(error: &Error, status: StatusCode) -> Reply {
    refuse_as(error, status, false)
}

/// `twice` gives the message under `error` too.
fn refuse_as(error: &Error, status: StatusCode, twice: bool) -> Reply {
    if let Some(checked) = error.came_to() {
        return run(checked, false);
    }
    let mut body = refusal_body(error);
    if twice && let Value::Object(body) = &mut body {
        body.extend(body.get("message").cloned().map(|message| ("error".to_owned(), message)));
    }
    refused(error, status, body.to_string())
}

/// A refusal with the status that the kind has on execution routes, and more in its body: members as text, which stays as
/// it is.
pub(super) fn refusal_with(error: &Error, more: &[(&str, String)]) -> Reply {
    let mut body = refusal_body(error).to_string();
    body.truncate(body.len().saturating_sub(1));
    for (name, value) in more {
        body.push_str(&format!(r#","{name}":{value}"#));
    }
    body.push('}');
    refused(error, status(error.kind()), body)
}

fn refused(error: &Error, status: StatusCode, body: String) -> Reply {
    let mut reply = with_status(status, body);
    reply.extensions_mut().insert(Refused(error.kind().code()));
    if error.kind() == ErrorKind::Unauthorized {
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if matches!(error.kind(), ErrorKind::Busy | ErrorKind::ShuttingDown | ErrorKind::Unrecorded) {
        reply.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    if matches!(error.kind(), ErrorKind::ShuttingDown | ErrorKind::TooLarge | ErrorKind::TooSlow) {
        reply.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    reply
}

/// A refusal as its body says it; our own failures are written to the log here.
fn refusal_body(error: &Error) -> Value {
    let mut message = error.message().to_owned();
    let mut id = None;
    if error.kind() == ErrorKind::Internal {
        let made = uuid::Uuid::now_v7().to_string();
        tracing::error!(id = made, error = error.chain(), "a request failed for a reason of ours");
        message = format!("{message}; the log has more under the id {made}");
        id = Some(made);
    }
    object([
        ("success", Some(json!(false))),
        ("code", Some(json!(error.kind().code()))),
        ("message", Some(json!(message))),
        ("field", error.field().map(|field| json!(field))),
        ("id", id.map(|id| json!(id))),
    ])
}

/// An object of the fields that are there.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// A success with `data` and what the caller should know.
pub(super) fn success(data: &Value, warnings: &[String]) -> Reply {
    let warnings = (!warnings.is_empty()).then(|| json!(warnings));
    let body = object([("success", Some(json!(true))), ("data", Some(data.clone())), ("warnings", warnings)]);
    with_status(StatusCode::OK, body.to_string())
}

/// Says under which id a decision is in the log.
pub(super) fn decided(mut reply: Reply, asker: &Asker) -> Reply {
    if let Some(value) = asker.decision.get().and_then(|id| header::HeaderValue::from_str(id.as_str()).ok()) {
        reply.headers_mut().insert(DECISION, value);
    }
    reply
}

/// Says that something is there now; `body` is the whole answer.
pub(super) fn created(body: &Value) -> Reply {
    with_status(StatusCode::CREATED, body.to_string())
}

/// A success with an `ETag`, or 304 where the caller has it already.
pub(super) fn versioned(data: &Value, asked: &HeaderMap) -> Reply {
    let body = json!({"success": true, "data": data}).to_string();
    let tag = format!("\"{}\"", Digest::of(body.as_bytes()));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut reply = if known.split(',').any(|known| known.trim() == tag) {
        let mut unchanged = Response::new(Full::default());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        with_status(StatusCode::OK, body)
    };
    if let Ok(tag) = header::HeaderValue::try_from(tag) {
        reply.headers_mut().insert(header::ETAG, tag);
    }
    reply
}

/// A success with what a query found.
pub(super) fn list(found: Found) -> Reply {
    let Found { documents, held } = found;
    let mut text = String::with_capacity(documents.iter().map(|document| document.len() + 1).sum::<usize>() + 32);
    text.push_str(r#"{"success":true,"data":["#);
    for (idx, document) in documents.into_iter().enumerate() {
        text.push_str(if idx == 0 { "" } else { "," });
        text.push_str(&document);
    }
    text.push_str("]}");
    let mut reply = with_status(StatusCode::OK, String::new());
    *reply.body_mut() = Full::new(Bytes::from_owner(List { text, _held: held }));
    reply
}

/// The text of a list, which counts against what all lists take until it was sent.
struct List {
    text: String,
    _held: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for List {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// A body that is no envelope.
pub(super) fn plain(status: StatusCode, media_type: &'static str, body: String) -> Reply {
    let mut reply = with_status(status, body);
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    reply
}

/// What came of a call. A policy that failed or was stopped is an answer: 200, and the body says so.
pub(super) fn run(checked: &Checked, with_usage: bool) -> Reply {
    with_status(StatusCode::OK, run_body(checked, with_usage))
}

fn run_body(checked: &Checked, with_usage: bool) -> String {
    let Checked { run, warnings } = checked;
    let beside = Beside { warnings, usage: with_usage.then_some(&run.usage) };
    match &run.outcome {
        // PERF: the policy's answer is a checked document, so it is put in as it is.
        Outcome::Finished(output) => success_around(output, &beside),
        Outcome::Failed(failure) => {
            let details = failure.details.as_deref().and_then(|details| serde_json::from_str::<Value>(details).ok());
            let own = json!({"code": failure.code, "details": details});
            let body = json!({"success": false, "code": "policy_error", "message": failure.message});
            failed(body, Some(own), &beside)
        }
        Outcome::Stopped(stop) => failed(stop.to_json(), None, &beside),
    }
}

/// What stands beside what came of a call.
struct Beside<'a> {
    warnings: &'a [Violation],
    usage: Option<&'a Usage>,
}

impl Beside<'_> {
    fn members(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let warnings = (!self.warnings.is_empty()).then(|| self.warnings.iter().map(Violation::to_string).collect());
        [("warnings", warnings), ("usage", self.usage.map(|usage| json!(usage)))]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

fn success_around(output: &str, beside: &Beside<'_>) -> String {
    const BEFORE: &str = r#"{"success":true,"data":"#;
    // Exactly as long as it becomes, since what is shorter than its room is moved or counted once more.
    let mut body = String::with_capacity(BEFORE.len() + output.len() + 1);
    body.push_str(BEFORE);
    body.push_str(output);
    for (name, value) in beside.members() {
        body.push_str(&format!(r#","{name}":{value}"#));
    }
    body.push('}');
    body
}

/// The failure twice: in the envelope, and in `data` for clients that read only that.
fn failed(body: Value, failure: Option<Value>, beside: &Beside<'_>) -> String {
    let Value::Object(mut whole) = body.clone() else { return body.to_string() };
    whole.insert("data".into(), body);
    whole.extend(failure.map(|failure| ("failure".to_owned(), failure)));
    whole.extend(beside.members().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(whole).to_string()
}

/// Marks an answer that is a refusal, with its code.
#[derive(Clone, Copy)]
struct Refused(&'static str);

/// The code of the refusal, if the answer is one.
pub(super) fn refused_as(response: &axum::response::Response) -> Option<&'static str> {
    response.extensions().get::<Refused>().map(|refused| refused.0)
}

/// Marks an answer that is sent piece by piece.
#[derive(Clone, Copy)]
struct Stream;

/// An answer that is sent piece by piece. It must end when the server stops: see `App::stopped`.
pub(super) fn stream(
    media_type: &'static str,
    pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static,
) -> axum::response::Response {
    let pieces = pieces.map(Ok::<_, std::convert::Infallible>);
    let mut response = axum::response::Response::new(axum::body::Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Stream);
    response
}

/// Whether the answer is sent piece by piece.
pub(super) fn is_stream(response: &axum::response::Response) -> bool {
    response.extensions().get::<Stream>().is_some()
}

/// What came of a call as one line of text, an envelope without its status.
pub(super) fn envelope(result: &Result<Checked, Error>, with_usage: bool) -> String {
    match result {
        Ok(checked) => run_body(checked, with_usage),
        Err(error) => refusal_body(error).to_string(),
    }
}

/// The router's answer with its body as ready bytes.
pub(super) async fn collect(response: axum::response::Response) -> Result<Reply, Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| Error::internal("an answer could not be made", error))?;
    Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
}
