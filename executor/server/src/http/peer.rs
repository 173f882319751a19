//! The executor's own API: what a system asks of an executor beside calls of policies.
//!
//! Everything here is about this process alone, whatever other executors it knows; so nothing that is asked here goes
//! any further. What is wrong is told twice, under `message` and under `error`, where clients of the original look for it.

mod circle;
mod estimates;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use lictor_model::{Deploy, FieldError, job::Submit};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::circle::{about, refuse as refuse_circles};
use super::{
    Reply, body,
    execute::for_this_executor,
    functions::tail,
    openapi::{
        ByStatus, DeployBody, Done, DoneAnswer, ForExecutor, FunctionName, JobHereBody, LogOptions, RunAnswer,
        RunOptions, Success,
    },
    options::Options,
    reply,
    router::{Named, Routes, answer_by_status},
};
use crate::{
    error::Error,
    executor::Origin,
    functions::{Deployed, FunctionCall},
};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(deploy_here))
        .routes(routes!(remove_here))
        .routes(routes!(call_function_here))
        .routes(routes!(read_logs_here))
        .routes(routes!(create_job_here))
        .merge(estimates::routes())
}

/// An answer whose refusals are told twice.
fn told_twice(result: Result<Reply, Error>) -> Response {
    answer_by_status(Ok(result.unwrap_or_else(|error| reply::refusal_told_twice(&error))))
}

/// Deploy a function on this executor
///
/// The executor's own API, by which a system deploys functions. Only this process has it: the record is the system's.
#[utoipa::path(
    post, path = "/deployments", tag = "executors",
    params(ForExecutor, RunOptions),
    request_body = DeployBody,
    responses((status = 200, description = "It is deployed", body = DoneAnswer), ByStatus),
)]
async fn deploy_here(State(routes): State<Routes>, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let options = Options::parse(request.uri().query(), &[])?;
            let deploy = Deploy::parse(body::read_value(request, routes.max_body).await?)?;
            deploy_it(&routes, deploy, &options).await
        }
        .await,
    )
}

/// Remove a function from this executor
///
/// The executor's own API.
#[utoipa::path(
    delete, path = "/deployments/{name}", tag = "executors",
    params(FunctionName, ForExecutor),
    responses((status = 200, description = "It is removed", body = Done), ByStatus),
)]
async fn remove_here(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    // Not within the future: a request cannot be shared between threads.
    let for_us = for_this_executor(&routes.app, &request);
    told_twice(
        async {
            for_us?;
            routes.app.functions.remove_here(&name).await?;
            Ok(done(StatusCode::OK, &format!("Deployment '{name}' removed successfully."), None, &[]))
        }
        .await,
    )
}

/// Call a function on this executor
///
/// The executor's own API: the body is the input, any JSON value.
#[utoipa::path(
    post, path = "/call_function/{name}", tag = "executors",
    params(FunctionName, ForExecutor, RunOptions),
    request_body(content = Value, content_type = "application/json"),
    responses((status = 200, description = "What came of it", body = RunAnswer), ByStatus),
)]
async fn call_function_here(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let Options { timeout_ms, dry_run, usage, asker, .. } = Options::of(&request, &[])?;
            let input = body::read_any(request, routes.max_body).await?;
            let origin = Origin::Function;
            let call = FunctionCall { input: &input, timeout_ms, dry_run, origin, asker: &asker };
            let checked = Box::pin(routes.app.functions.call_here(&name, call)).await?;
            Ok(reply::decided(reply::run(&checked, usage), &asker))
        }
        .await,
    )
}

/// Read what a function on this executor said
///
/// The executor's own API.
#[utoipa::path(
    get, path = "/get_function_logs/{name}", tag = "executors",
    params(
        FunctionName, ForExecutor, LogOptions,
    ),
    responses((status = 200, description = "Its log", body = Success<String>), ByStatus),
)]
async fn read_logs_here(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    told_twice(
        for_this_executor(&routes.app, &request)
            .and_then(|()| tail(request.uri().query()))
            .and_then(|tail| routes.app.functions.logs_here(&name, tail))
            .map(|text| reply::success(&json!(text), &[])),
    )
}

/// Run a job on this executor
///
/// The executor's own API. Its id is the system's, which may ask again: the same job under the same id is one job.
#[utoipa::path(
    post, path = "/create_job", tag = "executors",
    params(ForExecutor),
    request_body = JobHereBody,
    responses((status = 201, description = "It is stored and will run", body = Done), ByStatus),
)]
async fn create_job_here(State(routes): State<Routes>, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let (job_id, submit) = read_job(body::read_value(request, routes.max_body).await?)?;
            create_it(&routes, job_id, submit).await
        }
        .await,
    )
}

/// Deploys what passed every check, and says so.
async fn deploy_it(routes: &Routes, deploy: Deploy, options: &Options) -> Result<Reply, Error> {
    let name = deploy.name.clone();
    match Box::pin(routes.app.functions.deploy_here(deploy, options.dry_run)).await? {
        Deployed::Done { warnings, .. } => Ok(done(StatusCode::OK, &deployed(&name, options), None, &warnings)),
        Deployed::Refused(checked) => Ok(reply::run(&checked, options.usage)),
    }
}

/// What is said of a function that was deployed.
fn deployed(name: &str, options: &Options) -> String {
    let what = if options.dry_run { "would be created." } else { "created successfully." };
    format!("Deployment '{name}' {what}")
}

async fn create_it(routes: &Routes, job_id: Option<String>, submit: Submit) -> Result<Reply, Error> {
    let (name, warnings) = (submit.name.clone(), submit.warnings.clone());
    let job_id = routes.app.jobs.submit_here(job_id, submit).await?;
    Ok(done(StatusCode::CREATED, &format!("Job '{name}' created successfully."), Some(&job_id), &warnings))
}

/// A job, and the id that its author chose for it.
fn read_job(mut body: Value) -> Result<(Option<String>, Submit), FieldError> {
    let job_id = match body.as_object_mut().and_then(|body| body.shift_remove("job_id")) {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id),
        Some(_) => return Err(FieldError::new("job_id", "must be a string")),
    };
    Ok((job_id, Submit::parse(body)?))
}

fn done(status: StatusCode, message: &str, job_id: Option<&str>, warnings: &[String]) -> Reply {
    says(status, "message", message, job_id, warnings)
}

/// A success that says under `name` what was done.
fn says(status: StatusCode, name: &str, what: &str, job_id: Option<&str>, warnings: &[String]) -> Reply {
    let warnings = (!warnings.is_empty()).then(|| json!(warnings));
    let fields = [
        ("success", Some(json!(true))),
        (name, Some(json!(what))),
        ("job_id", job_id.map(|id| json!(id))),
        ("warnings", warnings),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    reply::plain(status, "application/json", Value::Object(fields.collect()).to_string())
}
