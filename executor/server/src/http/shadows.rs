//! The routes of candidates that run beside a policy.

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body,
    openapi::{Answer, PolicyUri, ShadowBody, ShadowRecord},
    reply,
    router::{Named, Routes, answer},
};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default().routes(routes!(read_shadow, set_shadow, delete_shadow))
}

/// Put a candidate beside a policy
///
/// From now on calls of the policy by itself are put before the candidate too, once they were answered: with the same
/// input, parameters and context, as a dry run. The same candidate again keeps what was counted; another one begins anew.
#[utoipa::path(
    put, path = "/policy/{policy_rule_uri}/shadow", tag = "policies",
    params(PolicyUri),
    request_body = ShadowBody,
    responses((status = 200, description = "How it stands, or why it was not put there", body = Answer<ShadowRecord>)),
)]
async fn set_shadow(State(routes): State<Routes>, Named(uri): Named, request: Request) -> Response {
    answer(
        async {
            let asked = body::read_value(request, routes.max_body).await?;
            let shadow = routes.app.policies.set_shadow(&uri, asked).await?;
            Ok(reply::success(&Value::Object(shadow), &[]))
        }
        .await,
    )
}

/// Read what a candidate answered otherwise
#[utoipa::path(
    get, path = "/policy/{policy_rule_uri}/shadow", tag = "policies",
    params(PolicyUri),
    responses((status = 200, description = "The candidate, or why there is none", body = Answer<ShadowRecord>)),
)]
async fn read_shadow(State(routes): State<Routes>, Named(uri): Named) -> Response {
    let shadow = routes.app.policies.shadow(&uri).await;
    answer(shadow.map(|shadow| reply::success(&Value::Object(shadow), &[])))
}

/// Take the candidate beside a policy away
///
/// What was counted goes with it.
#[utoipa::path(
    delete, path = "/policy/{policy_rule_uri}/shadow", tag = "policies",
    params(PolicyUri),
    responses((status = 200, description = "Whether it was taken away", body = Answer<String>)),
)]
async fn delete_shadow(State(routes): State<Routes>, Named(uri): Named) -> Response {
    let removed = routes.app.policies.remove_shadow(&uri).await;
    answer(removed.map(|()| reply::success(&json!("Shadow deleted successfully."), &[])))
}
