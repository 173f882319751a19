//! The routes of the registry of policies, and of everything that is not there.

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Path, Request, State},
    http::{Method, request::Parts},
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use http_body_util::BodyExt as _;
use lictor_model::FieldError;
use serde_json::{Value, json};

use super::{Reply, body, reply};
use crate::{
    app::App,
    error::{Error, ErrorKind},
};

#[derive(Clone)]
struct Routes {
    app: App,
    max_body: usize,
}

/// Every route of the main listener but the hot one.
pub(super) fn router(app: App, max_body: usize) -> Router {
    let no_such_method =
        any(|request: Request| async move { answer(Err(wrong_method(request.method(), "another method"))) });
    Router::new()
        .route("/policy", post(create).fallback(method))
        .route("/policy/query", post(query).fallback(method))
        .route("/policy/{uri}", get(read).put(update).delete(remove).fallback(method))
        .route("/executor/{id}/execute_policy", no_such_method)
        .fallback(|request: Request| async move {
            let route = format!("{} {}", request.method(), lictor_model::field::shorten(request.uri().path(), 100));
            answer(Err(Error::new(ErrorKind::NoRoute, format!("there is no route `{route}`"))))
        })
        .with_state(Routes { app, max_body })
}

async fn method(request: Request) -> Response {
    answer(Err(wrong_method(request.method(), request.uri().path())))
}

fn wrong_method(method: &Method, path: &str) -> Error {
    Error::new(
        ErrorKind::Method,
        format!("`{method}` is not a method of `{}`", lictor_model::field::shorten(path, 100)),
    )
}

/// An answer of a registry route.
fn answer(result: Result<Reply, Error>) -> Response {
    let reply = result.unwrap_or_else(|error| reply::registry_refusal(&error));
    reply.map(|body| Body::new(body.map_err(|never| match never {}))).into_response()
}

/// What a path names, decoded. One that cannot be decoded is refused in the envelope like everything else.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Ok(Path(uri)) = Path::from_request_parts(parts, state).await else {
            let error = FieldError::new("policy_rule_uri", "is not UTF-8 where the path is percent-encoded");
            return Err(answer(Ok(reply::refusal(&error.into()))));
        };
        Ok(Self(uri))
    }
}

async fn create(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let record = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.policies.create(record).await?;
            Ok(reply::success(&json!("Policy created successfully."), &warnings))
        }
        .await,
    )
}

async fn read(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(routes.app.policies.read(&uri).await.map(|record| reply::success(&Value::Object(record), &[])))
}

async fn update(State(routes): State<Routes>, Named(uri): Named, request: Request) -> Response {
    answer(
        async {
            let change = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.policies.update(&uri, change).await?;
            Ok(reply::success(&json!("Policy updated successfully."), &warnings))
        }
        .await,
    )
}

async fn remove(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(routes.app.policies.delete(&uri).await.map(|()| reply::success(&json!("Policy deleted successfully."), &[])))
}

async fn query(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let filter = body::read_value(request, routes.max_body).await?;
            let found = routes.app.policies.query(&filter).await?;
            Ok(reply::success(&Value::Array(found.into_iter().map(Value::Object).collect()), &[]))
        }
        .await,
    )
}
