//! `POST /executor/{id}/execute_policy`: matched before the router where the executor is this one (`hot`).

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;

use std::borrow::Cow;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use hyper::{Request, StatusCode, body::Body as HttpBody};
use lictor_model::{ExecutorSpec, FieldError, field::shorten};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    openapi::{ByStatus, ExecutorId, RunAnswer, RunBody, RunOptions},
    options::Options,
    reply,
    router::{Named, Routes, answer_by_status},
};
use crate::{
    app::App,
    error::{Error, ErrorKind},
    executor,
    executors::{self, Forward, Target},
};

/// The body, with every document left as the text it came as.
#[derive(Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    policy_rule_uri: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    input_data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    parameters: Option<&'a RawValue>,
}

/// Tells a field that is `null` from one that is not there.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The executor's id, if the path is this route's.
pub(super) fn executor_id(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/executor/")?.strip_suffix("/execute_policy")?;
    (!id.contains('/')).then_some(id)
}

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default().routes(routes!(execute_policy)).routes(routes!(execute_here))
}

/// Run a policy
///
/// Runs it once, in a fresh instance. A policy that failed or was stopped is an answer: 200, and `success` is false.
#[utoipa::path(
    post, path = "/executor/{executor_id}/execute_policy", tag = "executors",
    params(ExecutorId, RunOptions),
    request_body = RunBody,
    responses((status = 200, description = "What came of it", body = RunAnswer), ByStatus),
)]
async fn execute_policy(State(routes): State<Routes>, Named(id): Named, request: axum::extract::Request) -> Response {
    answer_by_status(
        async {
            match routes.app.executors.target(&id).await? {
                Target::Here => answer(&routes.app, request, routes.max_body).await,
                Target::Elsewhere(to) => pass_on(&routes, &to, request).await,
            }
        }
        .await,
    )
}

/// Run a policy on this executor
///
/// The executor's own API, by which a system passes calls on: the same body and the same answers as on a system's
/// route, but 202 where that has 200, as the original has it.
#[utoipa::path(
    post, path = "/execute_policy", tag = "executors",
    params(
        RunOptions,
        ("x-lictor-executor" = Option<String>, Header, nullable = false, description = "The executor that the call is for; if that is not this one, 409"),
    ),
    request_body = RunBody,
    responses((status = 202, description = "What came of it", body = RunAnswer), ByStatus),
)]
async fn execute_here(State(routes): State<Routes>, request: axum::extract::Request) -> Response {
    answer_by_status(
        async {
            for_this_executor(&routes.app, &request)?;
            let mut reply = answer(&routes.app, request, routes.max_body).await?;
            *reply.status_mut() = StatusCode::ACCEPTED;
            Ok(reply)
        }
        .await,
    )
}

/// Whether the executor in this process takes what is asked of it, and is the one that it is for.
pub(super) fn for_this_executor<B>(app: &App, request: &Request<B>) -> Result<(), Error> {
    let own = app.executors.serving()?;
    match header(request, executors::FOR).filter(|expected| *expected != own.as_str()) {
        None => Ok(()),
        Some(expected) => {
            let why = format!("this executor is `{own}`, the caller expected `{}`", shorten(expected, 100));
            Err(Error::new(ErrorKind::Conflict, why))
        }
    }
}

/// Reads the request and has another executor answer it.
async fn pass_on(routes: &Routes, to: &ExecutorSpec, request: axum::extract::Request) -> Result<Reply, Error> {
    let options = Options::parse(request.uri().query(), &[])?;
    let query = request.uri().query().map(str::to_owned);
    let via = header(&request, executors::VIA).map(str::to_owned);
    let text = body::read_text(request, routes.max_body).await?;
    let body: Body<'_> = serde_json::from_str(&text).map_err(|error| not_a_request(&error))?;
    let (uri, input) = (body.uri()?, body.input_data.ok_or_else(|| required("input_data"))?);
    let (uri, parameters) = (Value::String(uri.into_owned()), body.parameters()?.unwrap_or("null"));
    let body = format!(r#"{{"policy_rule_uri":{uri},"input_data":{input},"parameters":{parameters}}}"#);
    let call =
        Forward { body: body.into(), query: query.as_deref(), timeout_ms: options.timeout_ms, via: via.as_deref() };
    let answered = routes.app.executors.forward(to, call).await?;
    Ok(reply::plain(StatusCode::OK, "application/json", answered))
}

/// The value of a header; one that is no text is still one.
pub(super) fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Reads the request, runs the policy here, and answers.
async fn answer<B>(app: &App, request: Request<B>, max_body: usize) -> Result<Reply, Error>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let options = Options::of(&request, &[])?;
    let text = body::read_text(request, max_body).await?;
    run(app, &text, options).await
}

/// Runs the policy here as the body asks for it, and answers.
pub(super) async fn run(app: &App, body: &str, options: Options) -> Result<Reply, Error> {
    let body: Body<'_> = serde_json::from_str(body).map_err(|error| not_a_request(&error))?;
    let uri = body.uri()?;
    let input = body.input_data.ok_or_else(|| required("input_data"))?;
    let request = executor::Request {
        policy_rule_uri: &uri,
        input: input.get(),
        parameters: body.parameters()?,
        timeout_ms: options.timeout_ms,
        dry_run: options.dry_run,
        asker: Some(&options.asker),
        ..executor::Request::default()
    };
    let checked = app.executor.execute(&request).await?;
    Ok(reply::decided(reply::run(&checked, options.usage), &options.asker))
}

pub(super) fn not_a_request(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::NotJson, format!("the body is not a request to run a policy: {error}"))
}

pub(super) fn required(field: &str) -> Error {
    FieldError::new(field, "is required").into()
}

impl<'a> Body<'a> {
    fn uri(&self) -> Result<Cow<'a, str>, Error> {
        text("policy_rule_uri", self.policy_rule_uri)
    }

    fn parameters(&self) -> Result<Option<&'a str>, Error> {
        parameters(self.parameters)
    }
}

/// The string that a body has in one of its fields.
pub(super) fn text<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, Error> {
    let raw = raw.ok_or_else(|| required(field))?.get();
    // PERF: borrowed and not parsed again, as a uri has nothing to unescape.
    let plain = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).filter(|text| !text.contains('\\'));
    let text = plain.map(Cow::Borrowed).or_else(|| serde_json::from_str(raw).map(Cow::Owned).ok());
    text.ok_or_else(|| FieldError::new(field, format!("must be a string, not `{}`", shorten(raw, 40))).into())
}

/// The call's own parameters; `null` stands for none, as in the original.
pub(super) fn parameters(raw: Option<&RawValue>) -> Result<Option<&str>, Error> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(raw) if raw.starts_with('{') => Ok(Some(raw)),
        Some(raw) => {
            Err(FieldError::new("parameters", format!("must be an object or null, not `{}`", shorten(raw, 40))).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_path_is_matched() {
        assert_eq!(executor_id("/executor/executor-001/execute_policy"), Some("executor-001"));
        for path in ["/executor/a/b/execute_policy", "//executor/e/execute_policy", "/executor/execute_policy"] {
            assert_eq!(executor_id(path), None, "{path}");
        }
    }
}
