//! The routes of the main listener, and everything that is not there.
//!
//! Each family of routes is a module with `routes()`, merged in [`parts`]. To add a route: write a handler
//! `async fn name(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response`, annotate it with
//! `#[utoipa::path(…)]`, and list it in its module's `routes()` as `.routes(routes!(name, …))`, with the handlers of
//! one path in one `routes!`. That puts it in the router and in the OpenAPI document; the refusals that any route may
//! give (`openapi::refusals`) are put into the document by themselves, and so are 405 and `Allow`.
//!
//! A registry's handler ends in [`answer`], which answers 200 even for its failures; its responses are
//! `(status = 200, body = Answer<Data>)`. The handler of a route that runs something ends in [`answer_by_status`]; its
//! responses are `(status = 200, …), ByStatus`.

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Path, Request, path::ErrorKind as PathErrorKind, rejection::PathRejection},
    http::request::Parts,
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use lictor_model::{FieldError, field::shorten};
use serde::de::DeserializeOwned;
use utoipa_axum::router::OpenApiRouter;

use super::{
    Reply, access, assets, batch, elsewhere, execute, executors, functions, graphs, jobs, openapi, peer, policies,
    reply, shadows,
};
use crate::{
    app::App,
    error::{Error, ErrorKind},
};

/// What a handler may need.
#[derive(Clone)]
pub(super) struct Routes {
    /// The parts of the server.
    pub(super) app: App,
    /// Bytes of a JSON body at most.
    pub(super) max_body: usize,
}

/// Every route of the main listener. The hot one is there too; what is matched before is only its usual case.
pub(super) fn router(app: App, max_body: usize) -> Router {
    let (mut router, _) = parts().split_for_parts();
    if let Some(system) = &app.system {
        router = router.route_layer(from_fn_with_state(system.clone(), elsewhere::refuse));
    }
    router = router.route_layer(from_fn_with_state(app.clone(), peer::refuse_circles));
    // The last one is the first that a request meets.
    router = router.route_layer(from_fn_with_state(app.clone(), access::check));
    router.fallback(no_route).method_not_allowed_fallback(no_method).with_state(Routes { app, max_body })
}

/// The families of routes, with what the document says of them.
pub(super) fn parts() -> OpenApiRouter<Routes> {
    openapi::begin()
        .merge(policies::routes())
        .merge(executors::routes())
        .merge(execute::routes())
        .merge(batch::routes())
        .merge(functions::routes())
        .merge(jobs::routes())
        .merge(graphs::routes())
        .merge(shadows::routes())
        .merge(peer::routes())
        .merge(assets::routes())
        .merge(openapi::routes())
}

async fn no_route(request: Request) -> Response {
    let route = format!("{} {}", request.method(), shorten(request.uri().path(), 100));
    answer(Err(Error::new(ErrorKind::NoRoute, format!("there is no route `{route}`"))))
}

/// The router adds `Allow`.
async fn no_method(request: Request) -> Response {
    let (method, path) = (request.method(), shorten(request.uri().path(), 100));
    answer(Err(Error::new(ErrorKind::Method, format!("`{method}` is not a method of `{path}`"))))
}

/// An answer of a registry's route.
pub(super) fn answer(result: Result<Reply, Error>) -> Response {
    ready(result.unwrap_or_else(|error| reply::registry_refusal(&error)))
}

/// An answer of a route whose failures have a status of their own.
pub(super) fn answer_by_status(result: Result<Reply, Error>) -> Response {
    ready(result.unwrap_or_else(|error| reply::refusal(&error)))
}

fn ready(reply: Reply) -> Response {
    reply.map(|body| Body::new(body.map_err(|never| match never {}))).into_response()
}

/// What a path names, decoded: one parameter, or a tuple of them. One that cannot be decoded is refused in the
/// envelope like everything else.
pub(super) struct Named<T = String>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let named = Path::from_request_parts(parts, state).await;
        named.map(|Path(named)| Self(named)).map_err(|rejection| answer_by_status(Err(not_named(rejection))))
    }
}

fn not_named(rejection: PathRejection) -> Error {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Error::internal("the path could not be read", rejection);
    };
    match failed.into_kind() {
        PathErrorKind::InvalidUtf8InPathParam { key } => {
            FieldError::new(key, "is not UTF-8 where the path is percent-encoded").into()
        }
        other => Error::internal("the path could not be read", other.to_string()),
    }
}
