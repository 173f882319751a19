//! The routes of registries on a server that has none: an executor of another system.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::{
    peer::about,
    router::{answer, answer_by_status},
};
use crate::system::System;

/// The first parts of the paths of registries.
const REGISTRIES: [&str; 10] =
    ["policy", "executor", "function", "graph", "graphs", "jobs", "upload_asset", "asset", "assets", "asset-object"];

/// Refuses what only the system can answer, and says where that is.
pub(super) async fn refuse(State(system): State<System>, path: MatchedPath, request: Request, next: Next) -> Response {
    let path = path.as_str();
    // Each executor keeps the functions that it has, and the jobs that it was given.
    if !is_of_a_registry(path) || about(path).is_some() {
        return next.run(request).await;
    }
    let refused = Err(system.not_here());
    if has_statuses(path) { answer_by_status(refused) } else { answer(refused) }
}

fn is_of_a_registry(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    REGISTRIES.contains(&first) && !path.contains("/execute_policy")
}

/// Whether failures of the route have a status of their own.
fn has_statuses(path: &str) -> bool {
    path.starts_with("/function/")
        || path.starts_with("/graph/execute_graph")
        || path.starts_with("/jobs/submit")
        || path.ends_with("-infra")
        || path.starts_with("/asset")
        || path.starts_with("/upload_asset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_and_documents_are_answered_here() {
        for (path, registry) in [
            ("/execute_policy", false),
            ("/executor/{executor_id}/execute_policy", false),
            ("/executor/{executor_id}/execute_policy/batch", false),
            ("/openapi.json", false),
            ("/policy", true),
            ("/executor/{executor_id}", true),
            ("/executor/{executor_id}/create-infra", true),
            ("/jobs/query", true),
            ("/asset-object/{asset_id}", true),
        ] {
            assert_eq!(is_of_a_registry(path), registry, "{path}");
        }
    }
}
