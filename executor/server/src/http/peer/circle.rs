//! Routes that are both a system's and the executor's own: where a system asks, they answer for this process only.
//!
//! A system asks executors of our kind for more than the original's know: management, upgrades, and the records of jobs. An
//! executor that has a registry of its own would pass such a question on, were the function or the job somebody else's;
//! from a system it is refused, so that no circle of records becomes a circle of questions.

use axum::{
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    middleware::Next,
    response::Response,
};

use super::super::{
    execute::{for_this_executor, header},
    router::answer_by_status,
};
use crate::{
    app::App,
    error::{Error, ErrorKind},
    executors::{self, Target},
};

/// Refuses what a system asks of an executor that would have to ask another one.
pub(in crate::http) async fn refuse(
    State(app): State<App>,
    path: MatchedPath,
    names: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let Some(via) = header(&request, executors::VIA).map(str::to_owned) else { return next.run(request).await };
    // What cannot be read is refused by the route itself.
    let name = names.ok().and_then(|names| names.iter().next().map(|(_, name)| name.to_owned()));
    let checked = match (about(path.as_str()), name) {
        (Some(about), Some(name)) => for_this_executor(&app, &request).map(|()| Some((about, name))),
        _ => Ok(None),
    };
    match checked {
        Ok(None) => next.run(request).await,
        Ok(Some((about, name))) => match passes(&app, about, &name, &via).await {
            Ok(()) => next.run(request).await,
            Err(error) => answer_by_status(Err(error)),
        },
        Err(error) => answer_by_status(Err(error)),
    }
}

/// What a route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum About {
    /// One function.
    Function,
    /// One job.
    Job,
}

/// What such a route is about, by its template; none of any other route.
pub(in crate::http) fn about(path: &str) -> Option<About> {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["function", "management", _] | ["function", _, "upgrade"] => Some(About::Function),
        ["jobs", name] if name.starts_with('{') => Some(About::Job),
        ["jobs", _, "cancel"] => Some(About::Job),
        _ => None,
    }
}

async fn passes(app: &App, about: About, name: &str, via: &str) -> Result<(), Error> {
    let (record, field) = match about {
        About::Function => (app.functions.registry().stored(name).await, "function_executor_id"),
        About::Job => (app.jobs.registry().stored(name).await, "executor_id"),
    };
    let record = match record {
        Ok(record) => record,
        // The route says it best.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let id = record.document.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
    if id == app.executors.own().0.as_str() {
        return Ok(());
    }
    match app.executors.target(id).await? {
        Target::Here => Ok(()),
        Target::Elsewhere(to) => Err(app.executors.circle(via, &to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_may_go_further_are_known() {
        for (path, expected) in [
            ("/function/management/{name}", Some(About::Function)),
            ("/function/{function_id}/upgrade", Some(About::Function)),
            ("/jobs/{job_id}", Some(About::Job)),
            ("/jobs/{job_id}/cancel", Some(About::Job)),
            ("/function/{function_id}", None),
            ("/function/query", None),
            ("/jobs/query", None),
            ("/jobs/submit/{executor_id}", None),
            ("/jobs/{job_id}/events", None),
            ("/deployments/{name}", None),
        ] {
            assert_eq!(about(path), expected, "{path}");
        }
    }
}
