//! Where something runs that no executor was named for: the allocator, and whether it fits there: the estimator.
//!
//! ```text
//! builtin    the two policies that the server carries
//! clusters   what allocators are told of every executor      free    what estimators are told of this one
//! ```
//!
//! Both are policies like every other, asked with what they decide by. A request, or the configuration, may name others.
//! One that fails or is stopped is what came of the request; one that answers with something else than a decision is a
//! failure of what is behind us.

mod builtin;
mod clusters;
mod free;

use std::sync::Arc;

use lictor_model::{
    Failure, Outcome, PolicyUri,
    alloc::{Alloc, Allocation},
    field::shorten,
    json,
};
use lictor_sandbox::HostFunctions;
use serde_json::{Map, Value, json};

pub use lictor_model::alloc::Estimate;

use self::builtin::Builtin;
use crate::{
    checked::Checked,
    config::Config,
    error::{Error, ErrorKind},
    executor::{Executor, Origin, Request, With},
    executors::Executors,
    functions::Functions,
    policies::Policies,
    store::Store,
    system::System,
};

/// The id that stands for no executor in particular, unless one is registered by that name.
const ANY: &str = "auto";

/// What is to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A function.
    Function,
    /// A job.
    Job,
}

impl Mode {
    /// The word for it, as allocators are told.
    fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Job => "job",
        }
    }
}

/// Where something is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The executor.
    pub executor_id: String,
    /// How many replicas, if an allocator of somebody's own said so; the one that is built in leaves that to the request.
    pub replica_count: Option<u64>,
}

/// Asks the policies that decide where things run. Cheap to clone.
#[derive(Clone)]
pub struct Placement {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    policies: Policies,
    executor: Executor,
    executors: Executors,
    functions: Functions,
    /// Where policies' records are, if not in the registry here.
    system: Option<System>,
    allocator: Asked,
    estimator: Asked,
    max_replicas: u64,
    max_queued_jobs: u64,
}

/// A policy that is asked where the request names none.
struct Asked {
    /// What it is called in messages.
    name: &'static str,
    /// Which, if the configuration names one.
    policy_rule_uri: Option<PolicyUri>,
    builtin: Builtin,
}

/// One question.
struct Question<'a> {
    /// The policy, if it is not the one that is built in.
    uri: Option<&'a str>,
    input: Value,
    parameters: Option<String>,
    with: With,
}

/// What placement looks at.
pub struct Around<'a> {
    /// What the server is run with.
    pub config: &'a Config,
    /// What is durable.
    pub store: Store,
    /// The registry of policies.
    pub policies: Policies,
    /// The executor in this process.
    pub executor: Executor,
    /// All executors.
    pub executors: Executors,
    /// The functions.
    pub functions: Functions,
    /// The system that this executor belongs to, if that is another server.
    pub system: Option<System>,
}

impl Placement {
    /// Asks about what is `around`.
    pub fn new(around: Around<'_>) -> Self {
        let Around { config, store, policies, executor, executors, functions, system } = around;
        let asked = |name, uri: &Option<PolicyUri>, carried| Asked {
            name,
            policy_rule_uri: uri.clone(),
            builtin: Builtin::new(carried),
        };
        let parts = Parts {
            allocator: asked("the allocator", &config.allocator_policy_uri, &builtin::ALLOCATOR),
            estimator: asked("the estimator", &config.estimator_policy_uri, &builtin::ESTIMATOR),
            max_replicas: u64::try_from(config.max_replicas).unwrap_or(u64::MAX),
            max_queued_jobs: config.max_queued_jobs,
            store,
            policies,
            executor,
            executors,
            functions,
            system,
        };
        Self { parts: Arc::new(parts) }
    }

    /// The executor that was named, or, where none was or it is `auto`, one that the allocator picks. `alloc` is that of
    /// the request's body.
    pub async fn place(&self, named: Option<&str>, mode: Mode, alloc: Option<&Value>) -> Result<Chosen, Error> {
        match named {
            Some(named) if named != ANY || self.is_registered(named).await => {
                Ok(Chosen { executor_id: named.to_owned(), replica_count: None })
            }
            _ => self.choose(mode, alloc).await,
        }
    }

    async fn is_registered(&self, executor_id: &str) -> bool {
        let there = self.parts.executors.must_exist(executor_id).await;
        !matches!(there, Err(error) if error.kind() == ErrorKind::NotFound)
    }

    /// Picks an executor. `alloc` is the `alloc` of the request's body, if it has one.
    async fn choose(&self, mode: Mode, alloc: Option<&Value>) -> Result<Chosen, Error> {
        let Parts { system, allocator, .. } = &*self.parts;
        let alloc = alloc.map(Alloc::parse).transpose()?;
        if let Some(system) = system {
            return Err(system.not_here());
        }
        let clusters = self.parts.clusters().await?;
        let input = json!({"cluster_data": clusters.data, "inputs": {"mode": mode.name()}});
        let configured = allocator.policy_rule_uri.as_ref().map(PolicyUri::as_str);
        let (named, settings, parameters) = match alloc {
            Some(Alloc { policy_rule_uri, settings, parameters }) => (Some(policy_rule_uri), settings, parameters),
            None => (None, None, None),
        };
        let uri = named.as_deref().or(configured);
        let settings = settings.map(|settings| Value::Object(settings).to_string().into());
        let with = With { settings, ..With::default() };
        let parameters = parameters.map(|parameters| Value::Object(parameters).to_string());
        let asked = self.ask(allocator, Question { uri, input, parameters, with }).await;
        let answer = asked.map_err(|error| match named {
            Some(_) if error.kind() == ErrorKind::NotFound => error.at(Some("alloc.resource_allocator_policy_uri")),
            _ => error,
        })?;
        let Allocation { cluster_id, replica_count } =
            Allocation::parse(&answer).map_err(|why| nonsense(allocator, &answer, &why))?;
        let executor_id = clusters.executor(&cluster_id);
        let executor_id =
            executor_id.ok_or_else(|| nonsense(allocator, &answer, "a cluster that there is not"))?.to_owned();
        Ok(Chosen { executor_id, replica_count: replica_count.filter(|_| uri.is_some()) })
    }

    /// Whether `policy`, a whole record, fits as a `deployment` or a `job` on the executor in this process.
    pub async fn estimate(&self, policy: &Map<String, Value>, kind: &str) -> Result<Estimate, Error> {
        let estimator = &self.parts.estimator;
        let parts = Arc::clone(&self.parts);
        let get_metrics = move |_args: String| {
            let parts = Arc::clone(&parts);
            async move { parts.free().await.map(|free| free.to_string()).map_err(|error| unseen(&error)) }
        };
        let with = With { functions: HostFunctions::default().with("get_metrics", get_metrics), ..With::default() };
        let input = json!({"policy": policy, "type_": kind});
        let uri = estimator.policy_rule_uri.as_ref().map(PolicyUri::as_str);
        let answer = self.ask(estimator, Question { uri, input, parameters: None, with }).await?;
        Estimate::parse(&answer).map_err(|why| nonsense(estimator, &answer, &why))
    }

    /// The same of the policy of this uri.
    pub async fn estimate_of(&self, policy_rule_uri: &str, kind: &str) -> Result<Estimate, Error> {
        let policy = match &self.parts.system {
            None => self.parts.policies.read(policy_rule_uri).await?,
            Some(system) => record_at(system, policy_rule_uri).await?,
        };
        self.estimate(&policy, kind).await
    }

    async fn ask(&self, asked: &Asked, question: Question<'_>) -> Result<Value, Error> {
        let Parts { policies, executor, .. } = &*self.parts;
        let input = question.input.to_string();
        let mut request = Request {
            input: &input,
            parameters: question.parameters.as_deref(),
            origin: Origin::System,
            with: Some(&question.with),
            ..Request::default()
        };
        let checked = match question.uri {
            Some(uri) => {
                request.policy_rule_uri = uri;
                let run = Box::pin(executor.execute(&request)).await;
                run.map_err(|error| error.after(&format!("{} `{}`:", asked.name, shorten(uri, 200))))?
            }
            None => {
                let ready = asked.builtin.ready(policies).await?;
                let uri = Arc::clone(&ready.policy.uri);
                request.policy_rule_uri = &uri;
                Box::pin(executor.execute_ready(&ready, &request)).await?
            }
        };
        decision(asked, checked)
    }
}

/// The record of a policy that another server has.
async fn record_at(system: &System, policy_rule_uri: &str) -> Result<Map<String, Value>, Error> {
    let missing = || Error::new(ErrorKind::NotFound, "Policy not found.");
    let uri = policy_rule_uri.parse().map_err(|_| missing())?;
    Ok(system.policy(&uri, None).await?.ok_or_else(missing)?.document)
}

/// What it decided; that it failed or was stopped is what came of the whole request.
fn decision(asked: &Asked, mut checked: Checked) -> Result<Value, Error> {
    let by = |message: &str| format!("{}: {message}", asked.name);
    match &mut checked.run.outcome {
        Outcome::Finished(output) => {
            return json::parse(output).map_err(|error| Error::internal("a decision could not be read", error));
        }
        Outcome::Failed(failure) => failure.message = by(&failure.message),
        Outcome::Stopped(stop) => stop.message = by(&stop.message),
    }
    Err(Error::outcome(checked))
}

/// That what it answered is no decision.
fn nonsense(asked: &Asked, answer: &Value, why: &str) -> Error {
    let answer = shorten(&answer.to_string(), 200);
    Error::new(ErrorKind::Upstream, format!("{} answered with {why}: {answer}", asked.name))
}

fn unseen(error: &Error) -> Failure {
    tracing::error!(error = error.chain(), "it cannot be seen what is free");
    Failure { code: "internal".into(), message: "it cannot be seen what is free".into(), details: None }
}
