//! The routes of the registry of executors.

use axum::{
    extract::{Request, State},
    response::Response,
};
use lictor_model::{FieldError, executor::forbidden_in_kubeconfig, field::shorten};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    openapi::{
        Answer, ByStatus, Change, Document, ExecutorBody, ExecutorId, ExecutorRecord, Filter, HeartbeatBody, InfraBody,
        QueryOptions,
    },
    registry::asked,
    reply,
    router::{Named, Routes, answer, answer_by_status},
};
use crate::{
    error::{Error, ErrorKind},
    executors::Beat,
};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(create_executor))
        .routes(routes!(query_executors))
        .routes(routes!(read_executor, update_executor, delete_executor))
        .routes(routes!(heartbeat))
        .routes(routes!(create_infra))
        .routes(routes!(remove_infra))
}

/// Register an executor
///
/// The executor of this server needs no host, and may be registered again at any time: that replaces its metadata and
/// hardware info, and puts it back into service where it was deleted. Any other one needs `executor_host_uri` or
/// `cluster_public_ip`.
#[utoipa::path(
    post, path = "/executor", tag = "executors",
    request_body = ExecutorBody,
    responses((status = 200, description = "Whether it was registered", body = Answer<String>)),
)]
async fn create_executor(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let record = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.executors.create(record).await?;
            Ok(reply::success(&json!("Executor created successfully."), &warnings))
        }
        .await,
    )
}

/// Read an executor
///
/// `executor_status` is what is known of its health now.
#[utoipa::path(
    get, path = "/executor/{executor_id}", tag = "executors",
    params(ExecutorId),
    responses((status = 200, description = "The record, or why there is none", body = Answer<ExecutorRecord>)),
)]
async fn read_executor(State(routes): State<Routes>, Named(id): Named) -> Response {
    answer(routes.app.executors.read(&id).await.map(|record| reply::success(&Value::Object(record), &[])))
}

/// Replace or change an executor
///
/// With `$` operators at its top the body is an update, in which `metadata` stands for `executor_metadata`; otherwise it
/// is a whole record.
#[utoipa::path(
    put, path = "/executor/{executor_id}", tag = "executors",
    params(ExecutorId), request_body = Change<ExecutorBody>,
    responses((status = 200, description = "Whether it was changed", body = Answer<String>)),
)]
async fn update_executor(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer(
        async {
            let change = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.executors.update(&id, change).await?;
            Ok(reply::success(&json!("Executor updated successfully."), &warnings))
        }
        .await,
    )
}

/// Delete an executor
///
/// The executor of this server then takes no calls, also after a restart, until it is registered again.
#[utoipa::path(
    delete, path = "/executor/{executor_id}", tag = "executors",
    params(ExecutorId),
    responses((status = 200, description = "Whether it was deleted", body = Answer<String>)),
)]
async fn delete_executor(State(routes): State<Routes>, Named(id): Named) -> Response {
    let deleted = routes.app.executors.delete(&id).await;
    answer(deleted.map(|()| reply::success(&json!("Executor deleted successfully."), &[])))
}

/// Find executors
#[utoipa::path(
    post, path = "/executor/query", tag = "executors",
    params(QueryOptions), request_body = Filter,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>)),
)]
async fn query_executors(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let query = asked(request, routes.max_body).await?;
            Ok(reply::list(routes.app.executors.query(query).await?))
        }
        .await,
    )
}

/// Say that an executor is there
///
/// Registers nothing. One that said so once and then falls silent is `unreachable`.
#[utoipa::path(
    post, path = "/executor/{executor_id}/heartbeat", tag = "executors",
    params(ExecutorId), request_body = HeartbeatBody,
    responses((status = 200, description = "Whether it was noted", body = Answer<String>)),
)]
async fn heartbeat(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer(
        async {
            let beat = Beat::parse(&body::read_value(request, routes.max_body).await?)?;
            routes.app.executors.heartbeat(&id, beat).await?;
            Ok(reply::success(&json!("Heartbeat noted."), &[]))
        }
        .await,
    )
}

/// Make an executor's infrastructure on Kubernetes
///
/// Not available yet. Nothing of the body is kept.
#[utoipa::path(
    post, path = "/executor/{executor_id}/create-infra", tag = "executors",
    params(ExecutorId), request_body = InfraBody,
    responses(ByStatus),
)]
async fn create_infra(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer_by_status(infra(&routes, &id, request).await)
}

/// Remove an executor's infrastructure from Kubernetes
///
/// Not available yet. Nothing of the body is kept.
#[utoipa::path(
    delete, path = "/executor/{executor_id}/remove-infra", tag = "executors",
    params(ExecutorId), request_body = InfraBody,
    responses(ByStatus),
)]
async fn remove_infra(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer_by_status(infra(&routes, &id, request).await)
}

/// Checks a request for infrastructure as far as it can be checked without any.
///
/// The body is somebody's way into a cluster: it is dropped here, and no message repeats a value of it.
async fn infra(routes: &Routes, id: &str, request: Request) -> Result<Reply, Error> {
    routes.app.executors.must_exist(id).await?;
    let body = body::read_value(request, routes.max_body).await?;
    let wrong = |field: &str, why: &str| Err(FieldError::new(field, why).into());
    match body.get("cluster_config") {
        None => return wrong("cluster_config", "is required: the cluster's kubeconfig as JSON"),
        Some(config) if !config.is_object() => {
            return wrong("cluster_config", "must be an object: a kubeconfig as JSON");
        }
        Some(config) => {
            if let Some(path) = forbidden_in_kubeconfig(config) {
                let field = format!("cluster_config.{}", shorten(&path, 200));
                return wrong(
                    &field,
                    "is refused: it would have this server run a program or ask a place of your choice",
                );
            }
        }
    }
    if body.get("max_processes").is_some_and(|n| !n.is_u64()) {
        return wrong("max_processes", "must be a whole number, where 0 is no limit");
    }
    let why = "executors on Kubernetes are not available in this version: start one there with `lictor serve --system`, and register it with POST /executor";
    Err(Error::new(ErrorKind::NotAvailable, why))
}
