//! The routes of functions.

use axum::{
    extract::{Request, State},
    response::Response,
};
use hyper::StatusCode;
use lictor_model::{Deploy, FieldError, Outcome, field::shorten};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Reply, body,
    openapi::{
        Answer, ByStatus, DeployAnswer, DeployBody, Document, ExecutorId, Filter as FilterBody, FunctionId,
        FunctionLogs, FunctionName, FunctionRecord, LogOptions, ManageAnswer, ManageBody, QueryOptions, RunAnswer,
        RunOptions, Success, UpgradeBody, Upgraded,
    },
    options::Options,
    registry::{found, read},
    reply,
    router::{Named, Routes, answer_by_status},
};
use crate::{
    app::App,
    error::Error,
    executor::Origin,
    functions::{Deployed, FunctionCall, ManageOptions, Managed, ReplicaAnswer},
    placement::Mode,
};

/// How the original begins to say that a field is missing.
const MISSING: &str = "name and policy_rule_uri are required:";

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(query_functions))
        .routes(routes!(read_function))
        .routes(routes!(create_function))
        .routes(routes!(create_function_anywhere))
        .routes(routes!(remove_function))
        .routes(routes!(call_function))
        .routes(routes!(manage_function))
        .routes(routes!(upgrade_function))
        .routes(routes!(read_function_logs))
}

/// Read a function's record
#[utoipa::path(
    get, path = "/function/{function_id}", tag = "functions",
    params(FunctionId),
    responses((status = 200, description = "The record", body = Answer<FunctionRecord>), ByStatus),
)]
async fn read_function(State(routes): State<Routes>, Named(id): Named) -> Response {
    answer_by_status(read(routes.app.functions.registry(), &id).await)
}

/// Find functions
#[utoipa::path(
    post, path = "/function/query", tag = "functions",
    params(QueryOptions),
    request_body = FilterBody,
    responses((status = 200, description = "The records that match", body = Answer<Vec<Document>>), ByStatus),
)]
async fn query_functions(State(routes): State<Routes>, request: Request) -> Response {
    answer_by_status(found(routes.app.functions.registry(), request, routes.max_body, "Invalid query filter.").await)
}

/// Deploy a function
///
/// It is answered once its replicas are initialised and it is durable. The executor `auto`, unless one is registered
/// under that id, stands for any: a policy picks one.
#[utoipa::path(
    post, path = "/function/deployments/create/{executor_id}", tag = "functions",
    params(ExecutorId, RunOptions),
    request_body = DeployBody,
    responses((status = 200, description = "It is there, or how the policy failed", body = DeployAnswer), ByStatus),
)]
async fn create_function(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer_by_status(Box::pin(create(&routes, Some(&id), request)).await)
}

/// Deploy a function on any executor
///
/// A policy picks one.
#[utoipa::path(
    post, path = "/function/deployments/create/", tag = "functions",
    params(RunOptions),
    request_body = DeployBody,
    responses((status = 200, description = "It is there, or how the policy failed", body = DeployAnswer), ByStatus),
)]
async fn create_function_anywhere(State(routes): State<Routes>, request: Request) -> Response {
    answer_by_status(Box::pin(create(&routes, None, request)).await)
}

/// Remove a function
///
/// Calls that run finish. What it kept goes with it.
#[utoipa::path(
    delete, path = "/function/deployments/remove/{name}", tag = "functions",
    params(FunctionName),
    responses((status = 200, description = "It is gone", body = Success<String>), ByStatus),
)]
async fn remove_function(State(routes): State<Routes>, Named(name): Named) -> Response {
    let removed = Box::pin(routes.app.functions.remove(&name)).await;
    let message = || json!(format!("Deployment '{}' removed successfully.", shorten(&name, 200)));
    answer_by_status(removed.map(|()| reply::success(&message(), &[])))
}

/// Call a function
///
/// The body is the input itself: any JSON value.
#[utoipa::path(
    post, path = "/function/call_function/{name}", tag = "functions",
    params(FunctionName, RunOptions),
    request_body(content = Value, content_type = "application/json"),
    responses((status = 200, description = "What came of it", body = RunAnswer), ByStatus),
)]
async fn call_function(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    answer_by_status(
        async {
            let options = Options::of(&request, &[])?;
            let input = body::read_any(request, routes.max_body).await?;
            run(&routes.app, &name, &input, options).await
        }
        .await,
    )
}

/// The name of the function, if the path is that of the route above and has nothing to decode.
pub(super) fn called(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/function/call_function/")?;
    (!name.contains(['/', '%'])).then_some(name)
}

/// Calls a function, and answers.
pub(super) async fn run(app: &App, name: &str, input: &str, options: Options) -> Result<Reply, Error> {
    let Options { usage, dry_run, timeout_ms, asker, .. } = &options;
    let (usage, dry_run, timeout_ms) = (*usage, *dry_run, *timeout_ms);
    let call = FunctionCall { input, timeout_ms, dry_run, origin: Origin::Function, asker };
    let checked = app.functions.call(name, call).await?;
    Ok(reply::decided(reply::run(&checked, usage), asker))
}

/// Manage a function
///
/// The command is given to every replica in turn, or to the one that is named, and to those that come later.
#[utoipa::path(
    post, path = "/function/management/{name}", tag = "functions",
    params(FunctionName, RunOptions),
    request_body = ManageBody,
    responses((status = 200, description = "What came of it", body = ManageAnswer), ByStatus),
)]
async fn manage_function(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    answer_by_status(
        Box::pin(async {
            let Options { usage, dry_run, timeout_ms, asker, .. } = Options::of(&request, &[])?;
            let body = body::read_value(request, routes.max_body).await?;
            let options = ManageOptions { timeout_ms, dry_run, asker };
            let managed = routes.app.functions.manage(&name, body, options).await?;
            Ok(reply::plain(StatusCode::OK, "application/json", managed_body(managed, usage)))
        })
        .await,
    )
}

/// Upgrade a function to another version of its policy
///
/// Calls go on meanwhile, and the replicas' state is carried over. A version that will not take it is refused, and the
/// function stays as it is.
#[utoipa::path(
    post, path = "/function/{function_id}/upgrade", tag = "functions",
    params(FunctionId, RunOptions),
    request_body = UpgradeBody,
    responses((status = 200, description = "It runs that version", body = Success<Upgraded>), ByStatus),
)]
async fn upgrade_function(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    answer_by_status(
        Box::pin(async {
            let options = Options::parse(request.uri().query(), &[])?;
            let body = body::read_value(request, routes.max_body).await?;
            let data = routes.app.functions.upgrade(&name, body, options.dry_run).await?;
            Ok(reply::success(&Value::Object(data), &[]))
        })
        .await,
    )
}

/// Read what a function said lately
#[utoipa::path(
    get, path = "/function/get_logs/{name}", tag = "functions",
    params(FunctionName, LogOptions),
    responses((status = 200, description = "The last lines", body = FunctionLogs), ByStatus),
)]
async fn read_function_logs(State(routes): State<Routes>, Named(name): Named, request: Request) -> Response {
    let tail = tail(request.uri().query());
    answer_by_status(
        async {
            let logs = routes.app.functions.logs(&name, tail?).await?;
            let body = json!({"success": true, "logs": logs}).to_string();
            Ok(reply::plain(StatusCode::OK, "application/json", body))
        }
        .await,
    )
}

async fn create(routes: &Routes, named: Option<&str>, request: Request) -> Result<Reply, Error> {
    let options = Options::parse(request.uri().query(), &[])?;
    let mut body = body::read_value(request, routes.max_body).await?;
    let alloc = body.as_object_mut().and_then(|body| body.shift_remove("alloc"));
    let mut deploy = Deploy::parse(body).map_err(missing)?;
    let chosen = routes.app.placement.place(named, Mode::Function, alloc.as_ref()).await?;
    if let Some(n) = chosen.replica_count {
        deploy = deploy.with_replicas(n);
    }
    Ok(match routes.app.functions.deploy(&chosen.executor_id, deploy, options.dry_run).await? {
        Deployed::Done { policy, warnings } => reply::success(&Value::Object(policy), &warnings),
        Deployed::Refused(checked) => reply::run(&checked, options.usage),
    })
}

fn missing(error: FieldError) -> Error {
    let required = ["name", "policy_rule_uri"].contains(&error.field()) && error.message() == "is required";
    if required { Error::from(error).after(MISSING) } else { error.into() }
}

/// How many lines of a log are wanted.
pub(super) fn tail(query: Option<&str>) -> Result<Option<u64>, Error> {
    let mut tail = None;
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "tail" {
            return Err(FieldError::new(shorten(name, 40), "is not an option of this route: there is `tail`").into());
        }
        let n = value.parse().map_err(|_| FieldError::new("tail", "must be a whole number of lines, not below 0"))?;
        tail = Some(n);
    }
    Ok(tail)
}

/// What came of a command, as text: the answers of replicas are documents and are put in as they are.
fn managed_body(managed: Managed, with_usage: bool) -> String {
    let (first, replicas) = match managed {
        Managed::Elsewhere(answer) => return Value::Object(answer).to_string(),
        Managed::Here { first, replicas } => (first, replicas),
    };
    let mut res = reply::envelope(&Ok(*first), with_usage);
    res.pop();
    let replicas: Vec<String> = replicas.into_iter().map(one_replica).collect();
    res.push_str(&format!(r#","replicas":[{}]}}"#, replicas.join(",")));
    res
}

fn one_replica(answer: ReplicaAnswer) -> String {
    let ReplicaAnswer { replica, result, rebuilt } = answer;
    let rebuilt = rebuilt.map(|rebuilt| format!(r#","rebuilt":{rebuilt}"#)).unwrap_or_default();
    let said = match &result {
        Ok(checked) => match &checked.run.outcome {
            Outcome::Finished(output) => format!(r#""success":true,"data":{output}"#),
            Outcome::Failed(failure) => failed("policy_error", &failure.message),
            Outcome::Stopped(stop) => failed(stop.kind.code(), &stop.message),
        },
        Err(error) => failed(error.kind().code(), error.message()),
    };
    format!(r#"{{"replica":{replica},{said}{rebuilt}}}"#)
}

fn failed(code: &str, message: &str) -> String {
    format!(r#""success":false,"code":"{code}","message":{}"#, Value::from(message))
}
