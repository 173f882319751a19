//! Candidates: versions of a policy that run beside the one in force, without effect, and what they answer otherwise.
//!
//! A policy knows its candidate from when it was made ready, so that one without pays one look for it. A call is answered
//! as ever; then the candidate is asked the same, as a dry run with the context that the call began with, and the two
//! outcomes are compared (`verdict`). Nothing of a candidate delays a call or reaches the world: what there is not room for
//! is not compared, and counted as dropped. Only calls of a policy by itself are followed: not dry runs, jobs, functions or
//! other candidates.
//!
//! What came of it is counted here and added to what is stored every few seconds and before it is read, so that what
//! several processes count on one database is one sum; kill -9 loses those seconds.

mod beside;
mod tally;
mod verdict;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lictor_model::ShadowSpec;
use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::beside::Shadow;
use self::{
    beside::{Line, Question},
    tally::Stored,
};
use crate::{
    error::{Error, ErrorKind},
    store::{Kind, ShadowRow, Store},
};

/// Between two times that what was counted is stored.
const FLUSH: Duration = Duration::from_secs(2);
/// How long a server that stops waits for candidates that are being asked.
const FINISH: Duration = Duration::from_secs(1);

/// Which policies have a candidate beside them. Cheap to clone.
#[derive(Clone)]
pub struct Shadows {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    line: Arc<Line>,
    /// Those that a policy in memory has, and those with something to be stored, by their ids.
    known: Mutex<HashMap<String, Arc<Shadow>>>,
    /// Held while counts are on their way to the database, also where that is slow: whoever reads them waits for those.
    flushing: tokio::sync::Mutex<()>,
    stopped: CancellationToken,
}

impl Shadows {
    /// The candidates in `store`, and a task that stores what is counted of them.
    pub(crate) fn start(store: Store, tasks: &TaskTracker) -> Self {
        let (line, flushing, stopped) =
            (Arc::new(Line::new()), tokio::sync::Mutex::default(), CancellationToken::new());
        let shadows = Self { parts: Arc::new(Parts { store, line, known: Mutex::default(), flushing, stopped }) };
        let flushed = shadows.clone();
        tasks.spawn(async move {
            let Parts { stopped, .. } = &*flushed.parts;
            while stopped.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_some() {
                flushed.flush().await;
            }
        });
        shadows
    }

    /// The candidate beside a policy that is being made ready, if it has one.
    pub(crate) async fn of(&self, policy_rule_uri: &str) -> Result<Option<Arc<Shadow>>, Error> {
        let Some(row) = self.parts.store.shadow(policy_rule_uri).await? else { return Ok(None) };
        let Stored { candidate, sample_percent, .. } = match Stored::read(&row.document) {
            Ok(stored) => stored,
            Err(error) => {
                // The policy itself is none the worse for it.
                let (policy, error) = (policy_rule_uri, error.chain());
                tracing::error!(policy, error, "the policy runs without its candidate");
                return Ok(None);
            }
        };
        let mut known = self.known();
        let made = || Arc::new(Shadow::new(Arc::clone(&self.parts.line), candidate));
        let shadow = known.entry(row.id).or_insert_with(made);
        shadow.sample(sample_percent);
        Ok(Some(Arc::clone(shadow)))
    }

    /// Puts a candidate beside a policy. If it is there already, its counts stay.
    pub(crate) async fn set(&self, policy_rule_uri: &str, spec: &ShadowSpec) -> Result<(), Error> {
        let store = &self.parts.store;
        if store.revision(Kind::Policy, policy_rule_uri).await?.is_none() {
            return Err(no_policy());
        }
        let candidate = spec.candidate.as_str();
        if store.revision(Kind::Policy, candidate).await?.is_none() {
            let why = format!("there is no policy `{candidate}` to be the candidate: create it first");
            return Err(Error::new(ErrorKind::NotFound, why).at(Some("candidate")));
        }
        loop {
            let before = store.shadow(policy_rule_uri).await?;
            let stored = before.as_ref().map(|row| Stored::read(&row.document)).transpose()?;
            let next = match (&before, stored) {
                (Some(row), Some(stored)) if stored.candidate == candidate => {
                    let stored = Stored { sample_percent: spec.sample_percent, ..stored };
                    ShadowRow { id: row.id.clone(), document: stored.text() }
                }
                _ => ShadowRow { id: uuid::Uuid::now_v7().to_string(), document: Stored::new(spec).text() },
            };
            if store.put_shadow(policy_rule_uri, before.as_ref(), &next).await? {
                if let Some(gone) = before.filter(|before| before.id != next.id) {
                    self.withdraw(&gone.id);
                }
                return Ok(());
            }
        }
    }

    /// The candidate beside a policy, and what came of it so far.
    pub(crate) async fn read(&self, policy_rule_uri: &str) -> Result<Map<String, Value>, Error> {
        self.flush().await;
        match self.parts.store.shadow(policy_rule_uri).await? {
            Some(row) => Stored::read(&row.document)?.told(policy_rule_uri),
            None => Err(self.without(policy_rule_uri).await?),
        }
    }

    /// Takes the candidate away, with what was counted.
    pub(crate) async fn remove(&self, policy_rule_uri: &str) -> Result<(), Error> {
        let before = self.parts.store.shadow(policy_rule_uri).await?;
        if self.parts.store.remove_shadow(policy_rule_uri).await? {
            before.into_iter().for_each(|gone| self.withdraw(&gone.id));
            return Ok(());
        }
        Err(self.without(policy_rule_uri).await?)
    }

    /// Ends what a candidate that was taken away is asked in this process. Others see it when they store what they
    /// counted.
    fn withdraw(&self, id: &str) {
        if let Some(shadow) = self.known().get(id) {
            shadow.withdraw();
        }
    }

    /// Takes no more questions, gives those that were taken a moment, and stores what was counted.
    pub(crate) async fn stop(&self) {
        self.parts.stopped.cancel();
        self.parts.line.finish(FINISH).await;
        self.flush().await;
    }

    /// That a policy has no candidate, or is not there itself.
    async fn without(&self, policy_rule_uri: &str) -> Result<Error, Error> {
        Ok(match self.parts.store.revision(Kind::Policy, policy_rule_uri).await? {
            None => no_policy(),
            Some(_) => Error::new(ErrorKind::NotFound, "no candidate runs beside this policy: put one there with PUT"),
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Shadow>>> {
        self.parts.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what was counted since the last time. What cannot be stored now is tried again.
    async fn flush(&self) {
        let _flushing = self.parts.flushing.lock().await;
        let counted: Vec<_> = self.known().iter().map(|(id, shadow)| (id.clone(), Arc::clone(shadow))).collect();
        for (id, shadow) in counted {
            let tally = shadow.take();
            if tally.is_empty() {
                continue;
            }
            let added = self.parts.store.change_shadow(&id, |document| {
                let mut stored = Stored::read(document)?;
                stored.tally.add(tally.clone());
                Ok(stored.text())
            });
            match added.await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::debug!(id, "what was counted of a candidate is dropped: it was taken away");
                    shadow.withdraw();
                }
                Err(error) => {
                    tracing::warn!(error = error.chain(), "what was counted of candidates cannot be stored yet");
                    shadow.give_back(tally);
                }
            }
        }
        // Nobody but us has it: no policy in memory, and no question under way.
        self.known().retain(|_, shadow| 1 < Arc::strong_count(shadow) || !shadow.is_idle());
    }
}

fn no_policy() -> Error {
    Error::new(ErrorKind::NotFound, "Policy not found.").at(Some("policy_rule_uri"))
}
