//! The routes of jobs.

mod events;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use lictor_model::job::Submit;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    openapi::{
        Answer, ByStatus, Document, ExecutorId, Filter as FilterBody, JobBody, JobDryRun, JobEvent, JobId, JobRecord,
        JobSubmitted, QueryOptions, RunOptions,
    },
    options::Options,
    registry::{found, read},
    reply,
    router::{Named, Routes, answer, answer_by_status},
};
use crate::access::Caller;
use crate::{error::Error, jobs::TriedOut, placement::Mode};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(query_jobs))
        .routes(routes!(submit_job))
        .routes(routes!(submit_job_anywhere))
        .routes(routes!(read_job))
        .routes(routes!(cancel_job))
        .routes(routes!(watch_job))
}

/// Read a job's record
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "jobs",
    params(JobId),
    responses((status = 200, description = "The record, or why there is none", body = Answer<JobRecord>)),
)]
async fn read_job(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(id): Named,
) -> Response {
    answer(
        async {
            routes.app.jobs.must_see(&id, &caller).await?;
            read(routes.app.jobs.registry(), &id).await
        }
        .await,
    )
}

/// Find jobs
#[utoipa::path(
    post, path = "/jobs/query", tag = "jobs",
    params(QueryOptions),
    request_body = FilterBody,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>)),
)]
async fn query_jobs(State(routes): State<Routes>, request: Request) -> Response {
    answer(found(routes.app.jobs.registry(), request, routes.max_body, "Invalid query filter format.").await)
}

/// Submit a job
///
/// It is durable once it is acknowledged, and runs in the background. The executor `auto`, unless one is registered under
/// that id, stands for any: a policy picks one.
#[utoipa::path(
    post, path = "/jobs/submit/{executor_id}", tag = "jobs",
    params(ExecutorId, RunOptions),
    request_body = JobBody,
    responses(
        (status = 201, description = "It is stored and will run", body = JobSubmitted),
        (status = 200, description = "With `dry_run`: what it would come to", body = JobDryRun),
        ByStatus,
    ),
)]
async fn submit_job(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(id): Named,
    request: Request,
) -> Response {
    answer_by_status(Box::pin(submit(&routes, Some(&id), &caller, request)).await)
}

/// Submit a job to any executor
///
/// A policy picks one.
#[utoipa::path(
    post, path = "/jobs/submit/", tag = "jobs",
    params(RunOptions),
    request_body = JobBody,
    responses(
        (status = 201, description = "It is stored and will run", body = JobSubmitted),
        (status = 200, description = "With `dry_run`: what it would come to", body = JobDryRun),
        ByStatus,
    ),
)]
async fn submit_job_anywhere(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Response {
    answer_by_status(Box::pin(submit(&routes, None, &caller, request)).await)
}

/// Cancel a job
///
/// One that waits does not run, one that runs is stopped. Of this and its end exactly one happens: a job that has ended
/// is answered with 409.
#[utoipa::path(
    post, path = "/jobs/{job_id}/cancel", tag = "jobs",
    params(JobId),
    responses((status = 200, description = "The record", body = Answer<JobRecord>), ByStatus),
)]
async fn cancel_job(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(id): Named,
) -> Response {
    answer_by_status(
        async {
            routes.app.jobs.must_see(&id, &caller).await?;
            let record = routes.app.jobs.cancel(&id).await?;
            Ok(reply::success(&Value::Object(record), &[]))
        }
        .await,
    )
}

/// Watch a job
///
/// Server-sent events: `status` with the record as `data`, at once and after each change, up to the end of the job. A line
/// of comment is sent where nothing happens for 15 seconds.
#[utoipa::path(
    get, path = "/jobs/{job_id}/events", tag = "jobs",
    params(JobId),
    responses(
        (status = 200, description = "The events", body = JobEvent, content_type = "text/event-stream"),
        ByStatus,
    ),
)]
async fn watch_job(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(id): Named,
) -> Response {
    let watch = async {
        routes.app.jobs.must_see(&id, &caller).await?;
        routes.app.jobs.watch(&id).await
    };
    match watch.await {
        Ok(watch) => reply::stream("text/event-stream", events::of(watch, routes.app.stopped())),
        Err(error) => answer_by_status(Err(error)),
    }
}

async fn submit(routes: &Routes, executor_id: Option<&str>, caller: &Caller, request: Request) -> Result<Reply, Error> {
    let options = Options::parse(request.uri().query(), &[])?;
    let body = body::read_value(request, routes.max_body).await?;
    let alloc = body.get("alloc").cloned();
    let submit = Submit::parse(body)?.within(options.timeout_ms).by(caller.id());
    let executor_id = routes.app.placement.place(executor_id, Mode::Job, alloc.as_ref()).await?.executor_id;
    let warnings = submit.warnings.clone();
    if options.dry_run {
        return Ok(match routes.app.jobs.try_out(&executor_id, &submit).await? {
            TriedOut::Job(executor_id) => {
                reply::success(&json!({"dry_run": true, "executor_id": executor_id}), &warnings)
            }
            TriedOut::Refused(checked) => reply::run(&checked, options.usage),
        });
    }
    let job_id = routes.app.jobs.submit(&executor_id, submit).await?;
    Ok(reply::created(&match warnings.as_slice() {
        [] => json!({"success": true, "job_id": job_id}),
        warnings => json!({"success": true, "job_id": job_id, "warnings": warnings}),
    }))
}
