//! Answers: every status code, and the envelope around every document.
//!
//! The envelope is the original's: `{"success": true, "data": …}` or `{"success": false, "message": …}`, to which
//! `code` and, where one is to blame, `field` are added. Registry routes answer 200 even for failures, as the
//! original does; clients of theirs look at `success`.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, StatusCode, header};
use lictor_model::{Outcome, Usage};
use lictor_sandbox::Run;
use serde_json::{Map, Value, json};

use super::Reply;
use crate::error::{Error, ErrorKind};

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
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotAvailable => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Load(LoadCode::CodeUnreachable) => StatusCode::BAD_GATEWAY,
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

fn refuse(error: &Error, status: StatusCode) -> Reply {
    let mut message = error.message().to_owned();
    let mut id = None;
    if error.kind() == ErrorKind::Internal {
        let made = uuid::Uuid::now_v7().to_string();
        tracing::error!(id = made, error = error.chain(), "a request failed for a reason of ours");
        message = format!("{message}; the log has more under the id {made}");
        id = Some(made);
    }
    let body = object([
        ("success", Some(json!(false))),
        ("code", Some(json!(error.kind().code()))),
        ("message", Some(json!(message))),
        ("field", error.field().map(|field| json!(field))),
        ("id", id.map(|id| json!(id))),
    ]);
    let mut reply = with_status(status, body.to_string());
    if matches!(error.kind(), ErrorKind::Busy | ErrorKind::ShuttingDown) {
        reply.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    if matches!(error.kind(), ErrorKind::ShuttingDown | ErrorKind::TooLarge | ErrorKind::TooSlow) {
        reply.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    reply
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

/// A body that is no envelope.
pub(super) fn plain(status: StatusCode, media_type: &'static str, body: String) -> Reply {
    let mut reply = with_status(status, body);
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    reply
}

/// What came of a call. A policy that failed or was stopped is an answer: 200, and the body says so.
pub(super) fn run(run: &Run, with_usage: bool) -> Reply {
    let usage = with_usage.then_some(&run.usage);
    let body = match &run.outcome {
        // PERF: the policy's answer is a checked document, so it is put in as it is.
        Outcome::Finished(output) => success_around(output, usage),
        Outcome::Failed(failure) => {
            let details = failure.details.as_deref().and_then(|details| serde_json::from_str::<Value>(details).ok());
            let own = json!({"code": failure.code, "details": details});
            failed("policy_error", &failure.message, Some(&own), usage)
        }
        Outcome::Stopped(stop) => failed(stop.kind.code(), &stop.message, None, usage),
    };
    with_status(StatusCode::OK, body)
}

fn success_around(output: &str, usage: Option<&Usage>) -> String {
    let mut body = String::with_capacity(output.len() + 32);
    body.push_str(r#"{"success":true,"data":"#);
    body.push_str(output);
    if let Some(usage) = usage {
        body.push_str(r#","usage":"#);
        body.push_str(&json!(usage).to_string());
    }
    body.push('}');
    body
}

/// The failure twice: in the envelope, and in `data` for clients that read only that.
fn failed(code: &str, message: &str, failure: Option<&Value>, usage: Option<&Usage>) -> String {
    let body = json!({"success": false, "code": code, "message": message});
    let Value::Object(mut whole) = body.clone() else { return body.to_string() };
    whole.insert("data".into(), body);
    whole.extend(failure.map(|failure| ("failure".to_owned(), failure.clone())));
    whole.extend(usage.map(|usage| ("usage".to_owned(), json!(usage))));
    Value::Object(whole).to_string()
}

/// The router's answer with its body as ready bytes.
pub(super) async fn collect(response: axum::response::Response) -> Result<Reply, Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| Error::internal("an answer could not be made", error))?;
    Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
}
