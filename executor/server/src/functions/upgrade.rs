//! Another version of a function's policy takes the place of the one in force, while calls go on.
//!
//! First all replicas of the next version are brought up once, from what those in force remember, and thrown away: if
//! one cannot be, nothing has changed. Then each replica is held, asked for what it remembers, and given back as one of
//! the next version that begins with exactly that, so that no call in between is forgotten; the others serve meanwhile.
//! Only when all are there does the record change. If anything fails before, the old ones, which were kept, come back.

use std::sync::Arc;

use lictor_model::FunctionSpec;
use lictor_sandbox::Op;
use serde_json::{Map, Value, json};

use super::{
    Functions,
    deployment::Deployment,
    replica::{Ask, Place, Replica, Unfit, why},
    version::Version,
};
use crate::{
    error::{Error, ErrorKind},
    store::SavedState,
};

/// How a refusal begins.
const REFUSED: &str = "the function stays as it is, since the next version will not take its place.";

/// An upgrade under way.
struct Upgrade<'a> {
    functions: &'a Functions,
    of: &'a Arc<Deployment>,
    old: Arc<Version>,
    next: Arc<Version>,
}

/// What an upgrade did so far.
#[derive(Default)]
struct Done {
    /// The replicas that were replaced; none for one that was down.
    replaced: Vec<(u32, Option<Replica>)>,
    /// What those that took their place began with, as they themselves save it.
    states: Vec<SavedState>,
}

impl Functions {
    /// Upgrades a function that is here. Returns what is answered.
    pub(super) async fn upgrade_on(
        &self,
        of: &Arc<Deployment>,
        uri: &str,
        dry_run: bool,
    ) -> Result<Map<String, Value>, Error> {
        let snapshot = self.parts.policies.snapshot(uri).await?;
        // Held to the end: an upgrade is one change.
        let _change = of.change.lock().await;
        if of.closed.is_cancelled() {
            return Err(self.parts.registry.missing(&of.name));
        }
        let spec =
            FunctionSpec { policy_rule_uri: uri.to_owned(), policy: snapshot, ..FunctionSpec::clone(&of.spec.load()) };
        let (old, next) = (self.version_of(of).await?, Version::load(&self.parts.policies, &spec).await?);
        if old.stateful && !next.stateful {
            let why = format!(
                "{REFUSED} `{}` hands over what its replicas remember and `{uri}` does not take it, because it does not export `state`: that would be lost",
                old.uri
            );
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        let answer = json!({
            "policy_rule_uri": uri, "replicas": spec.replicas, "state_from": old.state_from(),
        });
        let upgrade = Upgrade { functions: self, of, old, next };
        upgrade.try_out().await.map_err(|unfit| unfit.refusal(REFUSED))?;
        if !dry_run {
            upgrade.carry_out(spec).await?;
            tracing::info!(function = of.name, policy = uri, "the function was upgraded");
        }
        Ok(answer.as_object().cloned().unwrap_or_default())
    }
}

impl Upgrade<'_> {
    /// Brings up one of the next version for each replica, and throws it away.
    async fn try_out(&self) -> Result<(), Unfit> {
        let cradle = &self.functions.parts.cradle;
        for number in self.of.pool.numbers() {
            match self.of.pool.take(number).await {
                Some(mut lease) if self.old.stateful => {
                    let state = self.functions.save(self.of, &mut lease).await?.ok_or_else(|| self.lost(number))?;
                    // It answers calls while the next version is tried with what it remembers.
                    drop(lease);
                    cradle.bring_up_from(self.of, &self.next, Place::Nowhere, &state).await?;
                }
                _ => drop(cradle.bring_up(self.of, &self.next, Place::Nowhere).await?),
            }
        }
        Ok(())
    }

    async fn carry_out(&self, spec: FunctionSpec) -> Result<(), Error> {
        let mut done = Done::default();
        for number in self.of.pool.numbers() {
            if let Err(unfit) = self.replace(number, &mut done).await {
                self.undo(done).await;
                return Err(unfit.refusal(REFUSED));
            }
        }
        // What the old replicas saved comes before what the new ones did.
        self.functions.parts.saver.flush().await;
        let (uri, policy) = (spec.policy_rule_uri.clone(), Value::Object(spec.policy.clone()));
        let change = |record: &mut Map<String, Value>| {
            record.insert("function_policy_rule_uri".into(), uri.clone().into());
            record.insert("function_policy_data".into(), policy.clone());
        };
        if let Err(error) = self.functions.rewrite(self.of, spec, &done.states, change).await {
            self.undo(done).await;
            return Err(error);
        }
        self.of.set_version(Arc::clone(&self.next));
        Ok(())
    }

    /// Puts a replica of the next version in the place of this one.
    async fn replace(&self, number: u32, done: &mut Done) -> Result<(), Unfit> {
        let (of, functions, place) = (self.of, self.functions, Place::Number(number));
        let cradle = &functions.parts.cradle;
        let lease = of.pool.take(number).await;
        let Some(mut lease) = lease else {
            let replica = cradle.bring_up(of, &self.next, place).await?;
            done.replaced.push((number, None));
            of.pool.put(number, replica);
            return Ok(());
        };
        let replica = match self.old.stateful {
            false => cradle.bring_up(of, &self.next, place).await?,
            true => match functions.save(of, &mut lease).await? {
                Some(state) => cradle.bring_up_from(of, &self.next, place, &state).await?,
                None => return Err(self.lost(number)),
            },
        };
        let old = lease.exchange(replica);
        done.replaced.push((number, old));
        if self.next.stateful {
            match functions.save(of, &mut lease).await? {
                Some(state) => done.states.push(state),
                None => return Err(self.lost(number)),
            }
        }
        Ok(())
    }

    fn lost(&self, number: u32) -> Unfit {
        let why = format!("{REFUSED} What replica {number} remembers cannot be saved: the function's record says why");
        Unfit::Error(Error::new(ErrorKind::Conflict, why))
    }

    /// Puts the old replicas back, with what the new ones learned meanwhile if they take that.
    async fn undo(&self, done: Done) {
        for (number, old) in done.replaced {
            let (of, lease) = (self.of, self.of.pool.take(number).await);
            let Some(mut old) = old else {
                // It was down before, and is again.
                lease.into_iter().for_each(super::pool::Lease::condemn);
                continue;
            };
            let Some(mut lease) = lease else {
                of.pool.put(number, old);
                continue;
            };
            if self.old.stateful && of.pool.called().contains(&number) {
                self.take_back(&mut old, self.functions.save(of, &mut lease).await.ok().flatten(), number).await;
            }
            lease.exchange(old);
        }
    }

    async fn take_back(&self, old: &mut Replica, state: Option<SavedState>, number: u32) {
        let Some(SavedState { policy_rule_uri, state, .. }) = &state else { return };
        let op = Op::Restore { from_policy_uri: policy_rule_uri, state };
        let asked = Box::pin(self.functions.parts.cradle.ask(self.of, old, Ask::ours(op))).await;
        let trouble = match asked {
            Ok(checked) if matches!(checked.run.outcome, lictor_model::Outcome::Finished(_)) => return,
            Ok(checked) => why(&checked.run.outcome),
            Err(error) => error.to_string(),
        };
        let message =
            format!("what calls changed in replica {number} during an upgrade that failed is lost: {trouble}");
        tracing::warn!(function = self.of.name, "{message}");
        self.of.logs.say("warn", number, &message);
    }
}
