//! The routes of graphs, functions and jobs, and how every registry is asked.

use axum::{
    extract::{Query as QueryString, Request, State},
    response::Response,
};
use lictor_model::{FieldError, Filter, Query, query::Options};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    openapi::{
        Answer, ByStatus, Change, Document, Filter as FilterBody, FunctionId, FunctionRecord, GraphAnswer, GraphBody,
        GraphRecord, GraphUri, JobId, JobRecord, QueryOptions,
    },
    reply,
    router::{Named, Routes, answer, answer_by_status},
};
use crate::{
    error::{Error, ErrorKind},
    registry::{Entity, Registry},
};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(create_graph))
        .routes(routes!(query_graphs))
        .routes(routes!(read_graph, update_graph, delete_graph))
        .routes(routes!(query_functions))
        .routes(routes!(read_function))
        .routes(routes!(query_jobs))
        .routes(routes!(read_job))
}

/// The query that a request to a `…/query` route asks: the filter in its body, the options in its query string.
pub(super) async fn asked(request: Request, max_body: usize) -> Result<Query, Error> {
    let pairs = QueryString::<Vec<(String, String)>>::try_from_uri(request.uri());
    let filter = Filter::parse(&body::read_value(request, max_body).await?)?;
    let pairs = pairs.map_err(|_| FieldError::new("", "the query string of the address cannot be read"))?;
    let options = Options::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok(Query { filter, options })
}

/// What a registry answers to a query. What is wrong with one is told after `complaint`, the original's.
async fn found<E: Entity>(
    registry: &Registry<E>,
    request: Request,
    max_body: usize,
    complaint: &str,
) -> Result<Reply, Error> {
    let query = asked(request, max_body).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => error.after(complaint),
        _ => error,
    })?;
    Ok(reply::list(registry.query(query).await?))
}

/// What a registry answers when one record is asked for.
async fn read<E: Entity>(registry: &Registry<E>, id: &str) -> Result<Reply, Error> {
    Ok(reply::success(&Value::Object(registry.read(id).await?), &[]))
}

/// What is answered when a graph was made, changed or removed.
fn graph(uri: &str, warnings: &[String]) -> Reply {
    reply::success(&json!({"graph_uri": uri}), warnings)
}

/// Create a graph
///
/// Whether it can run (its functions, no cycle, one last function) is seen when it is executed. A graph that is there
/// already, word for word, is a success too.
#[utoipa::path(
    post, path = "/graphs", tag = "graphs",
    request_body = GraphBody,
    responses((status = 200, description = "Which graph it is", body = Answer<GraphAnswer>)),
)]
async fn create_graph(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let body = body::read_value(request, routes.max_body).await?;
            let created = routes.app.graphs.create(body).await?.entry;
            Ok(graph(&created.id, &created.warnings))
        }
        .await,
    )
}

/// Read a graph
#[utoipa::path(
    get, path = "/graphs/{graph_uri}", tag = "graphs",
    params(GraphUri),
    responses((status = 200, description = "The record, or why there is none", body = Answer<GraphRecord>)),
)]
async fn read_graph(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(read(&routes.app.graphs, &uri).await)
}

/// Replace or change a graph
///
/// With `$` operators at its top the body is an update, otherwise a whole record. A change of name, version or release
/// tag moves the graph.
#[utoipa::path(
    put, path = "/graphs/{graph_uri}", tag = "graphs",
    params(GraphUri),
    request_body = Change<GraphBody>,
    responses((status = 200, description = "Which graph was changed, by the uri that it had", body = Answer<GraphAnswer>)),
)]
async fn update_graph(State(routes): State<Routes>, Named(uri): Named, request: Request) -> Response {
    answer(
        async {
            let change = body::read_value(request, routes.max_body).await?;
            let changed = routes.app.graphs.update(&uri, change).await?.entry;
            Ok(graph(&uri, &changed.warnings))
        }
        .await,
    )
}

/// Delete a graph
#[utoipa::path(
    delete, path = "/graphs/{graph_uri}", tag = "graphs",
    params(GraphUri),
    responses((status = 200, description = "Which graph was deleted", body = Answer<GraphAnswer>)),
)]
async fn delete_graph(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(routes.app.graphs.delete(&uri).await.map(|()| graph(&uri, &[])))
}

/// Find graphs
#[utoipa::path(
    post, path = "/graphs/query", tag = "graphs",
    params(QueryOptions),
    request_body = FilterBody,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>)),
)]
async fn query_graphs(State(routes): State<Routes>, request: Request) -> Response {
    answer(found(&routes.app.graphs, request, routes.max_body, "").await)
}

/// Read a function's record
#[utoipa::path(
    get, path = "/function/{function_id}", tag = "functions",
    params(FunctionId),
    responses((status = 200, description = "The record", body = Answer<FunctionRecord>), ByStatus),
)]
async fn read_function(State(routes): State<Routes>, Named(id): Named) -> Response {
    answer_by_status(read(&routes.app.functions, &id).await)
}

/// Find functions
#[utoipa::path(
    post, path = "/function/query", tag = "functions",
    params(QueryOptions),
    request_body = FilterBody,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>), ByStatus),
)]
async fn query_functions(State(routes): State<Routes>, request: Request) -> Response {
    answer_by_status(found(&routes.app.functions, request, routes.max_body, "Invalid query filter.").await)
}

/// Read a job's record
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "jobs",
    params(JobId),
    responses((status = 200, description = "The record, or why there is none", body = Answer<JobRecord>)),
)]
async fn read_job(State(routes): State<Routes>, Named(id): Named) -> Response {
    answer(read(&routes.app.jobs, &id).await)
}

/// Find jobs
#[utoipa::path(
    post, path = "/jobs/query", tag = "jobs",
    params(QueryOptions),
    request_body = FilterBody,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>)),
)]
async fn query_jobs(State(routes): State<Routes>, request: Request) -> Response {
    answer(found(&routes.app.jobs, request, routes.max_body, "Invalid query filter format.").await)
}
