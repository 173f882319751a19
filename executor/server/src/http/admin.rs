//! The admin listener: health, readiness, metrics, version. Nothing of a policy or a caller is shown here.

use std::sync::Arc;

use http_body_util::Either;
use hyper::{Method, Request, StatusCode, body::Incoming};
use serde_json::json;

use super::{Answer, Reply, access::Session, connections::Answers, guard::Guard, reply};
use crate::{
    app::App,
    error::{Error, ErrorKind},
};

/// What Prometheus calls its text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every connection of the admin listener shares.
pub(super) struct Door {
    pub(super) app: App,
    pub(super) guard: Guard,
}

impl Answers for Door {
    type Visitor = ();

    fn visitor(&self, _session: &Session, _request: &Request<Incoming>) {}

    async fn answer(self: &Arc<Self>, request: Request<Incoming>, (): ()) -> Answer {
        let reply = match route(&self.app, &self.guard, &request).await {
            Ok(reply) => reply,
            Err(error) => reply::refusal(&error),
        };
        reply.map(Either::Left)
    }
}

async fn route(app: &App, guard: &Guard, request: &Request<Incoming>) -> Result<Reply, Error> {
    guard.admit(request, false)?;
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics" | "/version") {
        return Err(Error::new(
            ErrorKind::NoRoute,
            "there are the routes `/healthz`, `/readyz`, `/metrics` and `/version`",
        ));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(Error::new(
            ErrorKind::Method,
            format!("`{}` is not a method of `{path}`: use GET", request.method()),
        ));
    }
    match path {
        "/healthz" => Ok(text(StatusCode::OK, "ok")),
        "/readyz" => Ok(ready(app).await),
        "/metrics" => Ok(reply::plain(StatusCode::OK, OPENMETRICS, app.metrics.render(app.sandbox.live_instances()))),
        _ => Ok(reply::plain(
            StatusCode::OK,
            "application/json",
            json!({"version": env!("CARGO_PKG_VERSION")}).to_string(),
        )),
    }
}

async fn ready(app: &App) -> Reply {
    if app.is_stopping() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    match app.store.ping().await {
        Ok(()) => text(StatusCode::OK, "ready"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the registry does not answer"),
    }
}

fn text(status: StatusCode, text: &str) -> Reply {
    reply::plain(status, "text/plain; charset=utf-8", text.to_owned())
}
