//! Functions come and go: deployed, removed, and there again when the process is.
//!
//! A deployment is acknowledged when its replicas are initialised and its record is durable. Records of this executor
//! that have no replicas here, after a start or because somebody else stored them, are adopted: their replicas are
//! brought up in the background, from what was saved.

use std::sync::{Arc, atomic::Ordering};

use lictor_model::{Deploy, FunctionSpec};
use serde_json::{Map, Value};

use super::{
    Functions,
    deployment::Deployment,
    replica::{Place, Unfit},
    version::Version,
};
use crate::{
    checked::Checked,
    error::{Error, ErrorKind},
    store::{Change, Kind, SavedState},
};

/// What came of a deployment.
pub enum Deployed {
    /// It is there.
    Done {
        /// The policy's record, as it was taken.
        policy: Map<String, Value>,
        /// What its author should know although it is no error.
        warnings: Vec<String>,
    },
    /// The policy failed or was stopped when it was initialised: nothing was deployed.
    Refused(Box<Checked>),
}

impl Functions {
    /// Deploys on the executor in this process. The same deployment again is fine.
    pub async fn deploy_here(&self, deploy: Deploy, dry_run: bool) -> Result<Deployed, Error> {
        let functions = self.clone();
        self.to_the_end(async move { functions.deploy_in_turn(deploy, dry_run).await }).await
    }

    async fn deploy_in_turn(&self, deploy: Deploy, dry_run: bool) -> Result<Deployed, Error> {
        let _turn = self.parts.directory.turn(&deploy.name).await;
        let (own, host) = self.parts.executors.own();
        if let Some(policy) = self.there_already(&deploy, own.as_str()).await? {
            return Ok(Deployed::Done { policy, warnings: deploy.warnings });
        }
        let policy = self.parts.policies.snapshot(&deploy.policy_rule_uri).await?;
        let record = deploy.record(own.as_str(), host.as_str(), &policy);
        let spec = FunctionSpec::read(&record)?;
        let reserved = self.parts.directory.reserve(usize::try_from(spec.replicas).unwrap_or(usize::MAX), false)?;
        let version = Version::load(&self.parts.policies, &spec).await?;
        let mut warnings = deploy.warnings.clone();
        if let Some(parameters) = &spec.parameters {
            let violations = version.ready.schemas.parameters(&Value::Object(parameters.clone()).to_string());
            warnings.extend(violations.iter().map(ToString::to_string));
        }
        let (limits, replicas) = (version.ready.limits, spec.replicas);
        let of = Deployment::new(spec, limits, reserved);
        of.set_version(Arc::clone(&version));
        // What a late call of an earlier function of this name wrote is not its.
        self.parts.store.forget_leftovers(&of.name).await?;
        self.parts.contexts.forget(&of.context).await;
        if let Some(refused) = self.first_replicas(&of, &version, if dry_run { 0 } else { replicas }).await? {
            return Ok(Deployed::Refused(refused));
        }
        if !dry_run {
            if self.parts.store.insert(Kind::Function, &of.name, &record).await?.is_none() {
                return Err(taken(&of.name));
            }
            self.begin(&of);
        }
        Ok(Deployed::Done { policy, warnings })
    }

    /// The policy of a function that was deployed just so before. Another one of the name is a conflict.
    pub(super) async fn there_already(
        &self,
        deploy: &Deploy,
        executor_id: &str,
    ) -> Result<Option<Map<String, Value>>, Error> {
        match self.parts.store.read(Kind::Function, &deploy.name).await? {
            None => Ok(None),
            Some(record) if deploy.made(executor_id, &record.document) => {
                Ok(Some(FunctionSpec::read(&record.document)?.policy))
            }
            Some(_) => Err(taken(&deploy.name)),
        }
    }

    /// Initialises so many replicas, or one that is thrown away if there are to be none.
    async fn first_replicas(
        &self,
        of: &Arc<Deployment>,
        version: &Arc<Version>,
        n: u32,
    ) -> Result<Option<Box<Checked>>, Error> {
        let places: Vec<Place> = if n == 0 { vec![Place::Nowhere] } else { (1..=n).map(Place::Number).collect() };
        for place in places {
            match (self.parts.cradle.fresh(of, version, place).await, place) {
                (Ok(replica), Place::Number(number)) => of.pool.put(number, replica),
                (Ok(_), Place::Nowhere) => {}
                (Err(Unfit::Outcome(_, checked)), _) => return Ok(Some(checked)),
                (Err(Unfit::Error(error)), _) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Has a function take calls.
    fn begin(&self, of: &Arc<Deployment>) {
        self.parts.directory.insert(of);
        self.parts.tasks.spawn(self.clone().keep(Arc::clone(of)));
    }

    /// Removes a function of the executor in this process.
    pub async fn remove_here(&self, name: &str) -> Result<(), Error> {
        let (functions, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { functions.remove_in_turn(&name).await }).await
    }

    async fn remove_in_turn(&self, name: &str) -> Result<(), Error> {
        let _turn = self.parts.directory.turn(name).await;
        let here = self.parts.directory.get(name);
        // Held so that nothing that changes it is half done. Replicas that are being brought up are waited for no longer.
        let _change = match &here {
            Some(of) => {
                of.closed.cancel();
                Some(of.change.lock().await)
            }
            None => None,
        };
        // Before it goes from the disk: nothing is saved of it then. If that fails, the next call brings it back.
        self.drop_here(name).await;
        self.parts.saver.flush().await;
        let removed = self.parts.store.remove_function(name).await?;
        if removed { Ok(()) } else { Err(self.parts.registry.missing(name)) }
    }

    async fn drop_here(&self, name: &str) {
        if let Some(of) = self.parts.directory.remove(name) {
            of.close();
            self.parts.contexts.forget(&of.context).await;
        }
    }

    /// The function of this name that is to run here, brought up if it does not.
    pub(super) async fn adopt(&self, name: &str) -> Result<Option<Arc<Deployment>>, Error> {
        let _turn = self.parts.directory.turn(name).await;
        if let Some(of) = self.parts.directory.get(name) {
            return Ok(Some(of));
        }
        let (own, _) = self.parts.executors.own();
        let Some(record) = self.parts.store.read(Kind::Function, name).await? else { return Ok(None) };
        let spec = FunctionSpec::read(&record.document)?;
        if spec.executor_id != own.as_str() {
            return Ok(None);
        }
        let (_, last) = self.parts.store.commands_kept(name).await?;
        let replicas = spec.replicas;
        let reserved = self.parts.directory.reserve(usize::try_from(replicas).unwrap_or(usize::MAX), true)?;
        let of = Deployment::new(spec.clone(), self.parts.policies.limits_of(spec.policy), reserved);
        of.settled.store(last, Ordering::Release);
        (1..=replicas).for_each(|number| of.pool.announce(number));
        self.begin(&of);
        Ok(Some(of))
    }

    /// Adopts every function of this executor.
    pub(super) async fn adopt_all(&self) -> Result<(), Error> {
        let (own, _) = self.parts.executors.own();
        for record in self.parts.store.functions_of(own.as_str()).await? {
            if let Err(error) = self.adopt(&record.id).await {
                tracing::error!(function = record.id, error = error.chain(), "a function could not be brought back");
            }
        }
        Ok(())
    }

    /// Follows what other processes do to records.
    pub(super) async fn follow(self) {
        let mut changes = self.parts.store.changes();
        while let Some(change) = changes.next().await {
            let followed = match change {
                Change::One(Kind::Function, name) => self.follow_one(&name).await,
                Change::All => self.follow_all().await,
                _ => Ok(()),
            };
            if let Err(error) = followed {
                tracing::error!(error = error.chain(), "changes of functions cannot be followed");
            }
        }
    }

    async fn follow_one(&self, name: &str) -> Result<(), Error> {
        if self.parts.directory.get(name).is_none() {
            return self.adopt(name).await.map(drop);
        }
        let _turn = self.parts.directory.turn(name).await;
        if self.parts.store.revision(Kind::Function, name).await?.is_none() {
            self.drop_here(name).await;
        }
        Ok(())
    }

    async fn follow_all(&self) -> Result<(), Error> {
        for of in self.parts.directory.all() {
            self.follow_one(&of.name).await?;
        }
        self.adopt_all().await
    }

    /// Stores another record of a function whose change the caller holds, and states with it.
    pub(super) async fn rewrite(
        &self,
        of: &Deployment,
        spec: FunctionSpec,
        states: &[SavedState],
        change: impl Fn(&mut Map<String, Value>),
    ) -> Result<(), Error> {
        loop {
            let record = self.parts.registry.stored(&of.name).await?;
            let mut document = record.document;
            change(&mut document);
            let at = (of.name.as_str(), record.revision);
            if self.parts.store.replace_function(at, &document, spec.replicas, states).await? {
                of.spec.store(Arc::new(spec));
                return Ok(());
            }
        }
    }
}

pub(super) fn taken(name: &str) -> Error {
    let why = format!("there is already another function `{name}`: remove it first, or give this one another name");
    Error::new(ErrorKind::Conflict, why)
}
