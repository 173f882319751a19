//! `POST /executor/{id}/execute_policy/batch`: one policy, many inputs.
//!
//! Each input is a call of its own; what they share is the policy, its parameters and the options. Calls are made at the
//! same time, a bounded number of them, and answered in the order of the inputs: as one document, or line by line to
//! a client that asks for that, which then bounds by its reading what is held here. A client that goes away stops them,
//! and so does the end of the server.

mod calls;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod inputs;

use std::pin::pin;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::{HeaderMap, StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{calls::Calls, inputs::Batch};
use super::{
    body, execute,
    openapi::{BatchAnswer, BatchBody, ByStatus, ExecutorId, RunOptions},
    options::Options,
    reply,
    router::{Named, Routes, answer_by_status},
};
use crate::{
    app::App,
    error::{Error, ErrorKind},
};

/// How long an answer in one document may get before the rest is left out, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The media type of answers line by line.
const LINES: &str = "application/x-ndjson";

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default().routes(routes!(execute_batch))
}

/// Run a policy with many inputs
///
/// Each input is a call of its own, of the same version of the policy, and what came of it stands in its place: an
/// input that fails does not fail the others. With `Accept: application/x-ndjson` there is one line for each input, sent
/// as soon as it and those before it are there. The time-out is that of each call.
#[utoipa::path(
    post, path = "/executor/{executor_id}/execute_policy/batch", tag = "executors",
    params(
        ExecutorId, RunOptions,
        ("accept" = Option<String>, Header, nullable = false, description = "`application/x-ndjson` for one line for each input"),
    ),
    request_body = BatchBody,
    responses(
        (
            status = 200, description = "What came of each input, in their order",
            content((BatchAnswer = "application/json"), (String = "application/x-ndjson")),
        ),
        ByStatus,
    ),
)]
async fn execute_batch(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    run(routes, &id, request).await.unwrap_or_else(|error| answer_by_status(Err(error)))
}

async fn run(routes: Routes, id: &str, request: Request) -> Result<Response, Error> {
    let target = routes.app.executors.target(id).await?;
    let options = Options::parse(request.uri().query(), &[])?;
    let query = request.uri().query().map(str::to_owned);
    let via = execute::header(&request, crate::executors::VIA).map(str::to_owned);
    let lines_wanted = wants_lines(request.headers());
    let text = body::read_text(request, routes.max_body).await?;
    let batch = Batch::parse(text)?;
    let n = batch.len();
    let app = routes.app;
    let calls = Calls::begin(app.clone(), batch, options, target, (query, via)).await?;
    if lines_wanted {
        return Ok(reply::stream(LINES, lines(&app, calls.envelopes(), n)));
    }
    let answer = document(&app, calls.envelopes(), n).await;
    Ok(answer_by_status(Ok(reply::plain(StatusCode::OK, "application/json", answer))))
}

/// Whether lines are accepted, and liked at least as much as one document.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut lines, mut document) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.and_then(|weight| weight.trim().parse::<f32>().ok()).unwrap_or(1.0);
        if media_type.eq_ignore_ascii_case(LINES) {
            lines = weight;
        } else if media_type.eq_ignore_ascii_case("application/json") {
            document = weight;
        }
    }
    0.0 < lines && document <= lines
}

/// All of them in one document. What does not fit any more, or comes too late, is said in its place.
async fn document(app: &App, envelopes: impl Stream<Item = String>, n: usize) -> String {
    let (mut envelopes, mut stopped) = (pin!(envelopes), pin!(app.stopped()));
    let mut body = String::from(r#"{"success":true,"data":["#);
    let mut done = 0;
    let rest = loop {
        if done == n {
            break None;
        }
        if MAX_ANSWER <= body.len() {
            break Some(too_much());
        }
        let envelope = tokio::select! {
            biased;
            () = &mut stopped => break Some(stopping()),
            envelope = envelopes.next() => envelope,
        };
        let Some(envelope) = envelope else { break None };
        push(&mut body, &envelope);
        done += 1;
    };
    if let Some(error) = rest {
        let refusal = reply::envelope(&Err(error), false);
        (done..n).for_each(|_| push(&mut body, &refusal));
    }
    body.push_str("]}");
    body
}

fn push(body: &mut String, envelope: &str) {
    if body.ends_with('}') {
        body.push(',');
    }
    body.push_str(envelope);
}

/// One line for each, and a last one if the server stops before all are there.
fn lines(
    app: &App,
    envelopes: impl Stream<Item = String> + Send + 'static,
    n: usize,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let (envelopes, stopped) = (Box::pin(envelopes), Box::pin(app.stopped()));
    stream::unfold(Some((envelopes, stopped, n)), |state| async move {
        let (mut envelopes, mut stopped, left) = state?;
        if left == 0 {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut stopped => Some((line(reply::envelope(&Err(stopping()), false)), None)),
            next = envelopes.next() => {
                next.map(|envelope| (line(envelope), Some((envelopes, stopped, left.saturating_sub(1)))))
            }
        }
    })
}

/// An envelope as one line. Its document is passed through as the policy wrote it; a line break in JSON text can only
/// stand between its parts, where a space means the same.
fn line(envelope: String) -> Bytes {
    let mut bytes = envelope.into_bytes();
    bytes.iter_mut().filter(|b| matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
    bytes.push(b'\n');
    bytes.into()
}

fn too_much() -> Error {
    let mib = MAX_ANSWER >> 20;
    let why = format!(
        "this input was left out: the answers before it are more than {mib} MiB; with `Accept: {LINES}` they are sent line by line, and all of them are"
    );
    Error::new(ErrorKind::TooLarge, why)
}

fn stopping() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the server is stopping: what follows was not run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_whoever_asks_for_them() {
        for (accept, expected) in [
            ("application/x-ndjson", true),
            ("text/html, Application/X-NDJSON;q=0.5", true),
            ("application/json, application/x-ndjson", true),
            ("*/*, application/x-ndjson; q=0.1", true),
            ("application/x-ndjson;q=0.5, application/json;q=0.9", false),
            ("application/x-ndjson;q=0", false),
            ("application/x-ndjson;q=NaN", false),
            ("application/json", false),
            ("*/*", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(accept))]);
            assert_eq!(wants_lines(&headers), expected, "{accept}");
        }
        assert!(!wants_lines(&HeaderMap::new()));
    }

    #[test]
    fn an_envelope_is_one_line_and_says_the_same() {
        let envelope = "{\"data\":[1,\r\n \"a\\nb\"]}";
        assert_eq!(line(envelope.into()), "{\"data\":[1,   \"a\\nb\"]}\n");
    }
}
