//! Functions: policies that are deployed to stay.
//!
//! ```text
//! deploy     they come, go, and are there again        directory  which are here, and how many replicas there may be
//! deployment one of them: its pool and what is known   pool       who has which replica
//! replica    a resident instance, and how one is brought up     version  what it runs
//! keeper     replicas that are down                    scaling    how many there are
//! manage     commands to each of them                  upgrade    another version in their place
//! states     what they remember, on disk               logs       what they said
//! entity     the record
//! ```
//!
//! A call of a function that is here takes a replica from its pool, makes one call of it, and gives it back: no disk, and
//! no lock but for a look at a map. Everything that changes a function takes its `change` first, one after the other.

mod deploy;
mod deployment;
mod directory;
mod entity;
mod keeper;
mod logs;
mod manage;
mod pool;
mod replica;
mod scaling;
mod states;
mod upgrade;
mod version;

use std::sync::Arc;

use lictor_model::{Deploy, ExecutorSpec, FieldError, FunctionSpec, Outcome, field::shorten, function::Manage};
use lictor_sandbox::Op;
use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    deploy::Deployed,
    entity::FunctionEntity,
    manage::{ManageOptions, Managed, ReplicaAnswer},
};
use self::{
    deployment::Deployment,
    directory::Directory,
    replica::{Ask, Cradle, Place, why},
    states::Saver,
};
use crate::{
    access::Asker,
    checked::Checked,
    contexts::Contexts,
    error::{Error, ErrorKind},
    executor::{Effects, Executor, Origin},
    executors::{Executors, Target},
    policies::Policies,
    registry::Registry,
    store::Store,
    telemetry::Metrics,
};

/// The functions of this server, and those that other executors have for it. Cheap to clone.
#[derive(Clone)]
pub struct Functions {
    parts: Arc<Parts>,
}

struct Parts {
    registry: Registry<FunctionEntity>,
    store: Store,
    executors: Executors,
    policies: Policies,
    contexts: Contexts,
    metrics: Metrics,
    directory: Arc<Directory>,
    cradle: Cradle,
    saver: Saver,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What functions stand on.
pub struct Ground {
    /// What is durable.
    pub store: Store,
    /// Where they run.
    pub executor: Executor,
    /// Who else has some.
    pub executors: Executors,
    /// What they run.
    pub policies: Policies,
    /// What they keep beside what they remember.
    pub contexts: Contexts,
    /// What is counted.
    pub metrics: Metrics,
}

/// One call of a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCall<'a> {
    /// JSON text.
    pub input: &'a str,
    /// A time-out lower than the policy's.
    pub timeout_ms: Option<u64>,
    /// Whether nothing of it is to last.
    pub dry_run: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// Who asks.
    pub asker: &'a Asker,
}

/// Where a function is.
enum Where {
    Here(Arc<Deployment>),
    Elsewhere(ExecutorSpec),
}

impl Functions {
    /// The functions in the store. Those of the executor in this process are brought back in the background.
    pub async fn start(ground: Ground, max_replicas: usize, tasks: &TaskTracker) -> Result<Self, Error> {
        let Ground { store, executor, executors, policies, contexts, metrics } = ground;
        let directory = Directory::new(max_replicas);
        let registry = Registry::new(store.clone(), FunctionEntity::new(Arc::clone(&directory)));
        let cradle = Cradle { executor, store: store.clone() };
        let saver = Saver::start(store.clone(), tasks);
        let (tasks, stop) = (tasks.clone(), CancellationToken::new());
        let parts =
            Parts { registry, store, executors, policies, contexts, metrics, directory, cradle, saver, tasks, stop };
        let functions = Self { parts: Arc::new(parts) };
        functions.adopt_all().await?;
        let tasks = &functions.parts.tasks;
        tasks.spawn(functions.clone().save_every_second());
        tasks.spawn(functions.clone().scale_by_load());
        tasks.spawn(functions.clone().follow());
        Ok(functions)
    }

    /// Their records.
    pub fn registry(&self) -> &Registry<FunctionEntity> {
        &self.parts.registry
    }

    /// The record of a function as clients see it.
    pub async fn read(&self, name: &str) -> Result<Map<String, Value>, Error> {
        self.parts.registry.read(name).await
    }

    /// Deploys a function on this executor.
    pub async fn deploy(&self, executor_id: &str, deploy: Deploy, dry_run: bool) -> Result<Deployed, Error> {
        match self.parts.executors.target(executor_id).await? {
            Target::Here => self.deploy_here(deploy, dry_run).await,
            Target::Elsewhere(to) => {
                let functions = self.clone();
                self.to_the_end(async move { functions.deploy_elsewhere(&to, deploy, dry_run).await }).await
            }
        }
    }

    async fn deploy_elsewhere(&self, to: &ExecutorSpec, deploy: Deploy, dry_run: bool) -> Result<Deployed, Error> {
        let _turn = self.parts.directory.turn(&deploy.name).await;
        if let Some(policy) = self.there_already(&deploy, to.id.as_str()).await? {
            return Ok(Deployed::Done { policy, warnings: deploy.warnings });
        }
        let policy = self.parts.policies.read(&deploy.policy_rule_uri).await?;
        if !dry_run {
            self.parts.executors.deploy_at(to, &deploy.to_body()).await?;
            let record = deploy.record(to.id.as_str(), to.host.as_str(), &policy);
            let stored = self.parts.store.insert(crate::store::Kind::Function, &deploy.name, &record).await;
            // An executor that shares this database has stored it itself.
            let kept = match stored {
                Ok(Some(_)) => Ok(()),
                Ok(None) => self.there_already(&deploy, to.id.as_str()).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                self.parts.executors.remove_at(to, &deploy.name).await.ok();
                return Err(error);
            }
        }
        Ok(Deployed::Done { policy, warnings: deploy.warnings })
    }

    /// Removes a function, wherever it is.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let record = self.parts.registry.stored(name).await?;
        let spec = FunctionSpec::read(&record.document)?;
        if spec.executor_id == self.parts.executors.own().0.as_str() {
            return self.remove_here(name).await;
        }
        match self.parts.executors.target(&spec.executor_id).await {
            Ok(Target::Elsewhere(to)) => self.parts.executors.remove_at(&to, name).await?,
            Ok(Target::Here) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(function = name, executor = spec.executor_id, "its executor is no longer registered");
            }
            Err(error) => return Err(error),
        }
        // An executor that shares this database has removed it itself.
        self.parts.store.remove_function(name).await.map(drop)
    }

    /// Whether a function is known to be here. One that is not may still be, or be elsewhere.
    ///
    /// PERF: a graph asks it for each of its nodes: a look at a map.
    pub fn is_here(&self, name: &str) -> bool {
        self.parts.directory.get(name).is_some()
    }

    /// Calls a function, wherever it is.
    pub async fn call(&self, name: &str, call: FunctionCall<'_>) -> Result<Checked, Error> {
        match self.parts.directory.get(name) {
            Some(of) => self.call_on(&of, call).await,
            // PERF: boxed, so that the future of a call that finds its function here stays small.
            None => match Box::pin(self.find(name)).await? {
                Where::Here(of) => self.call_on(&of, call).await,
                Where::Elsewhere(to) => Box::pin(self.parts.executors.call_at(&to, name, call)).await,
            },
        }
    }

    /// Calls a function of the executor in this process.
    pub async fn call_here(&self, name: &str, call: FunctionCall<'_>) -> Result<Checked, Error> {
        let of = Box::pin(self.here(name)).await?;
        self.call_on(&of, call).await
    }

    async fn call_on(&self, of: &Arc<Deployment>, call: FunctionCall<'_>) -> Result<Checked, Error> {
        self.parts.executors.serving()?;
        let FunctionCall { input, timeout_ms, dry_run, origin, asker } = call;
        let (op, effects) = (Op::Eval { parameters: None, input }, Effects::of(dry_run));
        let ask = Ask { op, timeout_ms, origin, effects, asker: Some(asker) };
        if dry_run {
            return Box::pin(self.try_out(of, ask)).await;
        }
        let mut lease = of.lease(timeout_ms).await?;
        let checked = self.parts.cradle.ask(of, lease.replica()?, ask).await?;
        if let Outcome::Stopped(_) = &checked.run.outcome {
            of.logs.say("error", lease.number(), &format!("a call was stopped: {}", why(&checked.run.outcome)));
        }
        Ok(checked)
    }

    /// Makes a call of a replica that nobody sees afterwards.
    async fn try_out(&self, of: &Arc<Deployment>, ask: Ask<'_>) -> Result<Checked, Error> {
        let version = self.version_of(of).await?;
        let made = self.parts.cradle.bring_up(of, &version, Place::Nowhere).await;
        let mut replica = made.map_err(|unfit| unfit.refusal("the function could not be tried out."))?;
        self.parts.cradle.ask(of, &mut replica, ask).await
    }

    /// Gives a management command to the replicas of a function, wherever it is.
    pub async fn manage(&self, name: &str, body: Value, options: ManageOptions) -> Result<Managed, Error> {
        let manage = Manage::parse(body.clone())?;
        match self.find(name).await? {
            Where::Elsewhere(to) => {
                Ok(Managed::Elsewhere(self.parts.executors.manage_at(&to, name, &body, options).await?))
            }
            Where::Here(of) => {
                self.parts.executors.serving()?;
                let functions = self.clone();
                self.to_the_end(async move { functions.manage_on(&of, &manage, options).await }).await
            }
        }
    }

    /// Has a function run another version of its policy, wherever it is. Returns the `data` of the answer.
    pub async fn upgrade(&self, name: &str, body: Value, dry_run: bool) -> Result<Map<String, Value>, Error> {
        let uri = upgrade_to(&body)?;
        match self.find(name).await? {
            Where::Here(of) => {
                self.parts.executors.serving()?;
                let functions = self.clone();
                self.to_the_end(async move { functions.upgrade_on(&of, &uri, dry_run).await }).await
            }
            Where::Elsewhere(to) => {
                let policy = self.parts.policies.read(&uri).await?;
                let mut answer = self.parts.executors.upgrade_at(&to, name, &body, dry_run).await?;
                let change = |mut record: Map<String, Value>| {
                    record.insert("function_policy_rule_uri".into(), uri.clone().into());
                    record.insert("function_policy_data".into(), policy.clone().into());
                    Ok(record.into())
                };
                if !dry_run {
                    self.parts.registry.change(name, change).await?;
                }
                match answer.shift_remove("data") {
                    Some(Value::Object(data)) => Ok(data),
                    _ => Ok(answer),
                }
            }
        }
    }

    /// What a function said lately, wherever it is.
    pub async fn logs(&self, name: &str, tail: Option<u64>) -> Result<String, Error> {
        match self.find(name).await? {
            Where::Here(of) => Ok(of.logs.tail(tail)),
            Where::Elsewhere(to) => self.parts.executors.logs_at(&to, name, tail).await,
        }
    }

    /// What a function of the executor in this process said lately.
    pub fn logs_here(&self, name: &str, tail: Option<u64>) -> Result<String, Error> {
        let of = self.parts.directory.get(name).ok_or_else(|| self.parts.registry.missing(name))?;
        Ok(of.logs.tail(tail))
    }

    /// Saves what replicas remember, and ends what is done in the background.
    pub async fn stop(&self) {
        self.parts.stop.cancel();
        self.save_at_stop().await;
        self.parts.directory.all().iter().for_each(|of| of.close());
    }

    async fn here(&self, name: &str) -> Result<Arc<Deployment>, Error> {
        if let Some(of) = self.parts.directory.get(name) {
            return Ok(of);
        }
        self.adopt(name).await?.ok_or_else(|| self.parts.registry.missing(name))
    }

    async fn find(&self, name: &str) -> Result<Where, Error> {
        if let Some(of) = self.parts.directory.get(name) {
            return Ok(Where::Here(of));
        }
        let record = self.parts.registry.stored(name).await?;
        let executor_id = FunctionSpec::read(&record.document)?.executor_id;
        if executor_id == self.parts.executors.own().0.as_str() {
            return Ok(Where::Here(self.here(name).await?));
        }
        match self.parts.executors.target(&executor_id).await? {
            Target::Here => Ok(Where::Here(self.here(name).await?)),
            Target::Elsewhere(to) => Ok(Where::Elsewhere(to)),
        }
    }

    /// CANCEL: a change is brought to its end although whoever asked for it went away.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.parts.tasks.spawn(work).await;
        done.map_err(|error| Error::internal("the function could not be changed", error))?
    }
}

/// The policy that an upgrade asks for.
fn upgrade_to(body: &Value) -> Result<String, FieldError> {
    let body = body.as_object().ok_or_else(|| FieldError::new("", "the body must be a JSON object: an upgrade"))?;
    if let Some(name) = body.keys().find(|name| *name != "policy_rule_uri") {
        return Err(FieldError::new(shorten(name, 60), "is no field of an upgrade: there is `policy_rule_uri`"));
    }
    Ok(lictor_model::document::text(body, "policy_rule_uri")?.to_owned())
}
