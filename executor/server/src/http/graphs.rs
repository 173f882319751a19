//! The routes of graphs: their registry, and `POST /graph/execute_graph`.

mod answer;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    execute::{present, required, text},
    openapi::{
        Answer, ByStatus, Change, Document, Filter as FilterBody, GraphAnswer, GraphBody, GraphRecord, GraphRunAnswer,
        GraphRunBody, GraphRunOptions, GraphUri, QueryOptions, RunOptions,
    },
    options::Options,
    registry::{found, read},
    reply,
    router::{Named, Routes, answer, answer_by_status},
};
use crate::{
    error::{Error, ErrorKind},
    graphs::GraphCall,
};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(create_graph))
        .routes(routes!(query_graphs))
        .routes(routes!(read_graph, update_graph, delete_graph))
        .routes(routes!(execute_graph))
}

/// What is answered when a graph was made, changed or removed.
fn graph(uri: &str, warnings: &[String]) -> Reply {
    reply::success(&json!({"graph_uri": uri}), warnings)
}

/// Create a graph
///
/// One with a cycle, or without exactly one last node, is refused with the nodes that show it; functions that are not
/// deployed yet are a warning. A graph that is there already, word for word, is a success too.
#[utoipa::path(
    post, path = "/graphs", tag = "graphs",
    request_body = GraphBody,
    responses((status = 200, description = "Which graph it is", body = Answer<GraphAnswer>)),
)]
async fn create_graph(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let body = body::read_value(request, routes.max_body).await?;
            let created = routes.app.graphs.create(body).await?;
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
    answer(read(routes.app.graphs.registry(), &uri).await)
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
            let changed = routes.app.graphs.update(&uri, change).await?;
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
    answer(found(routes.app.graphs.registry(), request, routes.max_body, "").await)
}

/// The body of an execution, with the input left as the text it came as.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    graph_uri: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    input_data: Option<&'a RawValue>,
}

/// Execute a graph
///
/// Nodes without parents are given the input, those with one parent its output, those with several a list of theirs, in
/// the order in which `graph_connection_data` names them. The answer is that of the last node. The first node that fails
/// stops the others and is named in `node`: one that failed or was stopped is an answer, 200, and one that could not be run
/// is a refusal, with the status that has. The time-out is that of the whole graph.
#[utoipa::path(
    post, path = "/graph/execute_graph", tag = "graphs",
    params(RunOptions, GraphRunOptions),
    request_body = GraphRunBody,
    responses((status = 200, description = "What came of it", body = GraphRunAnswer), ByStatus),
)]
async fn execute_graph(State(routes): State<Routes>, request: Request) -> Response {
    answer_by_status(
        async {
            let options = Options::of(&request, &["trace"])?;
            let sent = body::read_text(request, routes.max_body).await?;
            let body: Body<'_> = serde_json::from_str(&sent).map_err(|error| {
                Error::new(ErrorKind::NotJson, format!("the body is not a request to execute a graph: {error}"))
            })?;
            let uri = text("graph_uri", body.graph_uri)?;
            let call = GraphCall {
                input: body.input_data.ok_or_else(|| required("input_data"))?.get(),
                timeout_ms: options.timeout_ms,
                dry_run: options.dry_run,
                trace: options.trace,
                asker: options.asker.clone(),
            };
            let executed = routes.app.graphs.execute(&uri, call).await?;
            Ok(answer::of(executed, &options))
        }
        .await,
    )
}
