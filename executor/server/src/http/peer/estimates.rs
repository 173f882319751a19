//! Whether something fits, and what is done only if it does: on this executor, and by a system on another one.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use lictor_model::{Deploy, FieldError, alloc::Estimate, field::shorten};
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Reply, body,
        execute::for_this_executor,
        openapi::{
            ByStatus, DeployBody, DoneIfItFits, DoneThereIfItFits, EstimateAnswer, EstimateBody, ExecutorId,
            ForExecutor, JobHereBody, RunOptions,
        },
        options::Options,
        reply,
        router::{Named, Routes, answer_by_status},
    },
    create_it, deploy_it, deployed, read_job, says, told_twice,
};
use crate::access::Caller;
use crate::{error::Error, executors::Target, functions::Deployed};

const DEPLOYMENT: &str = "deployment";
const JOB: &str = "job";

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(estimate))
        .routes(routes!(deploy_here_if_it_fits))
        .routes(routes!(create_job_here_if_it_fits))
        .routes(routes!(deploy_if_it_fits))
        .routes(routes!(submit_job_if_it_fits))
}

/// Estimate whether a policy fits on this executor
///
/// The estimator, a policy, compares the record's `resource_estimates` with what is free here. That it does not fit is an
/// answer: 200, and `success` is false.
#[utoipa::path(
    post, path = "/estimator/estimate", tag = "executors",
    params(ForExecutor),
    request_body = EstimateBody,
    responses((status = 200, description = "Whether it fits", body = EstimateAnswer), ByStatus),
)]
async fn estimate(State(routes): State<Routes>, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let asked = body::read_value(request, routes.max_body).await?;
            let placement = &routes.app.placement;
            let kind = kind(&asked)?;
            let estimate = match policy(&asked)? {
                Policy::Adhoc(record) => placement.estimate(record, kind).await?,
                Policy::Stored(uri) => placement.estimate_of(uri, kind).await?,
            };
            Ok(match lacking(&estimate) {
                Some(refused) => refused,
                None => reply::success(&told(&estimate), &[]),
            })
        }
        .await,
    )
}

/// Deploy a function on this executor if it fits
///
/// The executor's own API.
#[utoipa::path(
    post, path = "/deployments/deploy-with-estimate", tag = "executors",
    params(ForExecutor, RunOptions),
    request_body = DeployBody,
    responses((status = 200, description = "It is deployed, or does not fit", body = DoneIfItFits), ByStatus),
)]
async fn deploy_here_if_it_fits(State(routes): State<Routes>, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let options = Options::parse(request.uri().query(), &[])?;
            let mut deploy = Deploy::parse(body::read_value(request, routes.max_body).await?)?;
            let estimate = routes.app.placement.estimate_of(&deploy.policy_rule_uri, DEPLOYMENT).await?;
            if let Some(refused) = lacking(&estimate) {
                return Ok(refused);
            }
            deploy.node_selector = node(&estimate);
            deploy_it(&routes, deploy, &options).await
        }
        .await,
    )
}

/// Run a job on this executor if it fits
///
/// The executor's own API.
#[utoipa::path(
    post, path = "/create_job_with_estimate", tag = "executors",
    params(ForExecutor),
    request_body = JobHereBody,
    responses(
        (status = 201, description = "It is stored and will run", body = super::super::openapi::Done),
        (status = 200, description = "It does not fit", body = DoneIfItFits),
        ByStatus,
    ),
)]
async fn create_job_here_if_it_fits(State(routes): State<Routes>, request: Request) -> Response {
    told_twice(
        async {
            for_this_executor(&routes.app, &request)?;
            let (job_id, mut submit) = read_job(body::read_value(request, routes.max_body).await?)?;
            let estimate = routes.app.placement.estimate_of(&submit.policy_rule_uri, JOB).await?;
            if let Some(refused) = lacking(&estimate) {
                return Ok(refused);
            }
            submit.node_selector = node(&estimate);
            create_it(&routes, job_id, submit).await
        }
        .await,
    )
}

/// Deploy a function if it fits
///
/// The executor is asked first. That it does not fit is an answer: 200, and `success` is false.
#[utoipa::path(
    post, path = "/function/deployments/create-with-estimate/{executor_id}", tag = "functions",
    params(ExecutorId, RunOptions),
    request_body = DeployBody,
    responses((status = 200, description = "It is deployed, or does not fit", body = DoneThereIfItFits), ByStatus),
)]
async fn deploy_if_it_fits(State(routes): State<Routes>, Named(id): Named, request: Request) -> Response {
    answer_by_status(
        async {
            let options = Options::parse(request.uri().query(), &[])?;
            let mut deploy = Deploy::parse(body::read_value(request, routes.max_body).await?)?;
            let estimate = estimate_at(&routes, &id, &deploy.policy_rule_uri, DEPLOYMENT).await?;
            if let Some(refused) = lacking(&estimate) {
                return Ok(refused);
            }
            deploy.node_selector = node(&estimate);
            let message = deployed(&deploy.name, &options);
            Ok(match Box::pin(routes.app.functions.deploy(&id, deploy, options.dry_run)).await? {
                Deployed::Done { warnings, .. } => done_there(&message, None, &warnings),
                Deployed::Refused(checked) => reply::run(&checked, options.usage),
            })
        }
        .await,
    )
}

/// Submit a job if it fits
///
/// The executor is asked first. That it does not fit is an answer: 200, and `success` is false. The job's id may be chosen.
#[utoipa::path(
    post, path = "/jobs/submit-with-estimate/{executor_id}", tag = "jobs",
    params(ExecutorId),
    request_body = JobHereBody,
    responses((status = 200, description = "It is stored and will run, or does not fit", body = DoneThereIfItFits), ByStatus),
)]
async fn submit_job_if_it_fits(
    State(routes): State<Routes>,
    Extension(caller): Extension<Arc<Caller>>,
    Named(id): Named,
    request: Request,
) -> Response {
    answer_by_status(
        async {
            let (job_id, submit) = read_job(body::read_value(request, routes.max_body).await?)?;
            let mut submit = submit.by(caller.id());
            let estimate = estimate_at(&routes, &id, &submit.policy_rule_uri, JOB).await?;
            if let Some(refused) = lacking(&estimate) {
                return Ok(refused);
            }
            submit.node_selector = node(&estimate);
            let message = format!("Job '{}' created successfully.", submit.name);
            let warnings = submit.warnings.clone();
            let job_id = routes.app.jobs.submit_as(&id, job_id, submit).await?;
            Ok(done_there(&message, Some(&job_id), &warnings))
        }
        .await,
    )
}

/// Asks the executor `id` whether a policy fits there.
async fn estimate_at(routes: &Routes, id: &str, policy_rule_uri: &str, kind: &str) -> Result<Estimate, Error> {
    let executors = &routes.app.executors;
    match executors.target(id).await? {
        Target::Here => routes.app.placement.estimate_of(policy_rule_uri, kind).await,
        Target::Elsewhere(to) => executors.estimate_at(&to, policy_rule_uri, kind).await,
    }
}

/// The policy that is to be estimated.
enum Policy<'a> {
    /// The one of this record.
    Adhoc(&'a Map<String, Value>),
    /// The stored one of this uri.
    Stored(&'a str),
}

fn policy(asked: &Value) -> Result<Policy<'_>, FieldError> {
    let wrong = |field: &str, why: &str| Err(FieldError::new(field, why));
    let adhoc = match asked.get("mode") {
        Some(Value::String(mode)) => mode == "adhoc",
        Some(_) => return wrong("mode", "must be a string: `adhoc`, or any other for a stored policy"),
        None => return wrong("mode", "is required: `adhoc`, or any other for a stored policy"),
    };
    let field = if adhoc { "policy" } else { "policy_rule_uri" };
    match (adhoc, asked.get(field)) {
        (true, Some(Value::Object(record))) => Ok(Policy::Adhoc(record)),
        (true, Some(_)) => wrong(field, "must be an object: a policy's record"),
        (true, None) => wrong(field, "is required with the mode `adhoc`: a policy's record"),
        (false, Some(Value::String(uri))) => Ok(Policy::Stored(uri)),
        (false, Some(_)) => wrong(field, "must be a string"),
        (false, None) => wrong(field, "is required: a stored policy's, or its record with the mode `adhoc`"),
    }
}

fn kind(asked: &Value) -> Result<&'static str, FieldError> {
    let kind = match asked.get("estimate_type") {
        None => return Ok(DEPLOYMENT),
        Some(kind) => kind,
    };
    let known = [DEPLOYMENT, JOB].into_iter().find(|known| kind == known);
    known.ok_or_else(|| {
        let shown = shorten(&kind.to_string(), 60);
        FieldError::new("estimate_type", format!("must be `{DEPLOYMENT}` or `{JOB}`, not {shown}"))
    })
}

/// The estimate as it is told.
fn told(estimate: &Estimate) -> Value {
    let Estimate { allowed, node_id, reason } = estimate;
    match reason {
        Some(reason) => json!({"allowed": allowed, "node_id": node_id, "reason": reason}),
        None => json!({"allowed": allowed, "node_id": node_id}),
    }
}

/// The answer where it does not fit.
fn lacking(estimate: &Estimate) -> Option<Reply> {
    if estimate.allowed {
        return None;
    }
    let reason = estimate.reason.as_deref().unwrap_or("the estimator gave no reason");
    let message = format!("the policy does not fit on this executor: {reason}");
    let body = json!({"success": false, "code": "busy", "message": message, "error": message, "data": told(estimate)});
    Some(reply::plain(StatusCode::OK, "application/json", body.to_string()))
}

/// The nodes that it may run on: the one that it fits on.
fn node(estimate: &Estimate) -> Map<String, Value> {
    let node = Some(&estimate.node_id).filter(|node| !node.is_null());
    node.map(|node| ("nodeID".to_owned(), node.clone())).into_iter().collect()
}

fn done_there(message: &str, job_id: Option<&str>, warnings: &[String]) -> Reply {
    says(StatusCode::OK, "data", message, job_id, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_estimated_is_a_record_or_a_stored_policy() {
        let field = |body: Value| policy(&body).err().map(|error| error.field().to_owned());
        assert_eq!(field(json!({"mode": "adhoc", "policy": {}})), None);
        assert_eq!(field(json!({"mode": "stored", "policy_rule_uri": "a:1-b"})), None);
        for (body, wrong) in [
            (json!({}), "mode"),
            (json!({"mode": 1}), "mode"),
            (json!({"mode": "adhoc", "policy_rule_uri": "a:1-b"}), "policy"),
            (json!({"mode": "adhoc", "policy": "a:1-b"}), "policy"),
            (json!({"mode": "", "policy": {}}), "policy_rule_uri"),
            (json!({"mode": "stored", "policy_rule_uri": {}}), "policy_rule_uri"),
        ] {
            assert_eq!(field(body).as_deref(), Some(wrong));
        }
        assert_eq!(kind(&json!({})).unwrap(), DEPLOYMENT);
        assert_eq!(kind(&json!({"estimate_type": "job"})).unwrap(), JOB);
        assert_eq!(kind(&json!({"estimate_type": null})).unwrap_err().field(), "estimate_type");
    }
}
