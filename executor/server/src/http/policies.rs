//! The routes of the registry of policies.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body,
    openapi::{Answer, Change, Document, Filter, PolicyBody, PolicyRecord, PolicyUri, QueryOptions},
    registry, reply,
    router::{Named, Routes, answer},
};
use crate::access::Caller;

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default().routes(routes!(create)).routes(routes!(query)).routes(routes!(read, update, remove))
}

/// The uri of a policy in terms of the request that created it.
const CREATED: &str = "{$request.body#/name}:{$request.body#/version}-{$request.body#/release_tag}";

/// Create a policy
///
/// Stores the record and starts loading its code in the background. A record that is there already, word for word,
/// is a success too.
#[utoipa::path(
    post, path = "/policy", tag = "policies", operation_id = "create_policy",
    request_body = PolicyBody,
    responses((status = 200, description = "Whether it was stored", body = Answer<String>, links(
        ("read" = (operation_id = "read_policy", parameters(("policy_rule_uri" = CREATED)))),
        ("change" = (operation_id = "update_policy", parameters(("policy_rule_uri" = CREATED)))),
        ("delete" = (operation_id = "delete_policy", parameters(("policy_rule_uri" = CREATED)))),
    ))),
)]
async fn create(State(routes): State<Routes>, Extension(caller): Extension<Arc<Caller>>, request: Request) -> Response {
    answer(
        async {
            let record = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.policies.create(record, caller.role).await?;
            Ok(reply::success(&json!("Policy created successfully."), &warnings))
        }
        .await,
    )
}

/// Read a policy
///
/// Whoever has a version already sends its `ETag` as `If-None-Match`, and gets 304 as long as nothing changed.
#[utoipa::path(
    get, path = "/policy/{policy_rule_uri}", tag = "policies", operation_id = "read_policy",
    params(PolicyUri),
    responses(
        (status = 200, description = "The record, or why there is none", body = Answer<PolicyRecord>, headers(("ETag" = String, description = "Names this version of the record"))),
        (status = 304, description = "The record is what `If-None-Match` names"),
    ),
)]
async fn read(State(routes): State<Routes>, Named(uri): Named, headers: HeaderMap) -> Response {
    let read = routes.app.policies.read(&uri).await;
    answer(read.map(|record| reply::versioned(&Value::Object(record), &headers)))
}

/// Replace or change a policy
///
/// With `$` operators at its top the body is an update, otherwise a whole record. A change of name, version or release
/// tag moves the policy.
#[utoipa::path(
    put, path = "/policy/{policy_rule_uri}", tag = "policies", operation_id = "update_policy",
    params(PolicyUri),
    request_body = Change<PolicyBody>,
    responses((status = 200, description = "Whether it was changed", body = Answer<String>)),
)]
async fn update(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(uri): Named,
    request: Request,
) -> Response {
    answer(
        async {
            let change = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.policies.update(&uri, change, caller.role).await?;
            Ok(reply::success(&json!("Policy updated successfully."), &warnings))
        }
        .await,
    )
}

/// Delete a policy and its context
#[utoipa::path(
    delete, path = "/policy/{policy_rule_uri}", tag = "policies", operation_id = "delete_policy",
    params(PolicyUri),
    responses((status = 200, description = "Whether it was deleted", body = Answer<String>)),
)]
async fn remove(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(routes.app.policies.delete(&uri).await.map(|()| reply::success(&json!("Policy deleted successfully."), &[])))
}

/// Find policies
#[utoipa::path(
    post, path = "/policy/query", tag = "policies", operation_id = "query_policies",
    params(QueryOptions), request_body = Filter,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>)),
)]
async fn query(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let query = registry::asked(request, routes.max_body).await?;
            Ok(reply::list(routes.app.policies.query(query).await?))
        }
        .await,
    )
}
