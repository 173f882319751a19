//! Management commands of a function: to every replica in turn, or to one.
//!
//! The first replica decides: a command that it does not carry out goes no further. One that it did is kept before
//! anything else happens, so that every replica that comes later is given it too. A replica that then does not carry it
//! out differs from the first, and another one takes its place.

use std::sync::Arc;

use lictor_model::{FieldError, Outcome, function::Manage};
use lictor_sandbox::Op;
use serde_json::{Map, Value};

use super::{
    Functions,
    deployment::Deployment,
    pool::Lease,
    replica::{Ask, Place, Replica, Unfit},
    states::Written,
    version::Version,
};
use crate::{
    access::Asker,
    checked::Checked,
    error::{Error, ErrorKind},
    executor::{Effects, Origin},
    store::KeptCommand,
};

/// Commands that are kept of one function.
const MAX_COMMANDS: u64 = 1000;

/// How often a replica is brought up that calls end at once.
const TRIES: usize = 5;

/// How a command is to be carried out.
#[derive(Clone, Debug, Default)]
pub struct ManageOptions {
    /// A time-out lower than the policy's.
    pub timeout_ms: Option<u64>,
    /// Whether nothing of it is to last.
    pub dry_run: bool,
    /// Who asks.
    pub asker: Asker,
}

/// What came of a command.
pub enum Managed {
    /// Here.
    Here {
        /// Of the first replica.
        first: Box<Checked>,
        /// Of each.
        replicas: Vec<ReplicaAnswer>,
    },
    /// The whole answer of another executor.
    Elsewhere(Map<String, Value>),
}

/// What came of a command at one replica.
pub struct ReplicaAnswer {
    /// Which replica.
    pub replica: u32,
    /// What came of it.
    pub result: Result<Checked, Error>,
    /// Whether another replica took its place because of it, which was given the command too.
    pub rebuilt: Option<bool>,
}

/// A command on its way through the replicas.
struct Round<'a> {
    functions: &'a Functions,
    of: &'a Arc<Deployment>,
    version: Arc<Version>,
    manage: &'a Manage,
    options: ManageOptions,
    /// Whether replicas that come later are to be given it.
    keeps: bool,
    /// Its number, once it is kept.
    number: Option<i64>,
    first: Option<Checked>,
    answers: Vec<ReplicaAnswer>,
    written: Vec<Written>,
}

impl Functions {
    /// Gives a command to the replicas of a function that is here.
    pub(super) async fn manage_on(
        &self,
        of: &Arc<Deployment>,
        manage: &Manage,
        options: ManageOptions,
    ) -> Result<Managed, Error> {
        // Held until every replica has it: the next command finds them all alike.
        let _change = of.change.lock().await;
        // One that cannot be brought up now will be given the command when it can.
        let repaired = self.repair(of).await;
        if of.closed.is_cancelled() {
            return Err(self.parts.registry.missing(&of.name));
        }
        let version = self.version_of(of).await?;
        let numbers = targets(of, manage.replica)?;
        if options.dry_run {
            return self.manage_dry(of, &version, manage, &options).await;
        }
        // Each was tried just now, and may have taken all the time it has: that is not done once more.
        if repaired.is_err() && of.pool.alive() == 0 {
            return Err(none_works(of));
        }
        let keeps = version.keeps(&manage.action);
        if keeps {
            self.room_for_a_command(of, &version).await?;
        }
        let (number, first, answers, written) = (None, None, Vec::new(), Vec::new());
        let mut round = Round { functions: self, of, version, manage, options, keeps, number, first, answers, written };
        round.go(&numbers).await?;
        round.end().await
    }

    async fn manage_dry(
        &self,
        of: &Arc<Deployment>,
        version: &Arc<Version>,
        manage: &Manage,
        options: &ManageOptions,
    ) -> Result<Managed, Error> {
        let made = self.parts.cradle.bring_up(of, version, Place::Nowhere).await;
        let mut replica = made.map_err(|unfit| unfit.refusal("the function could not be tried out."))?;
        let first = self.parts.cradle.ask(of, &mut replica, ask(manage, options)).await?;
        Ok(Managed::Here { first: Box::new(first), replicas: Vec::new() })
    }

    /// Makes sure that another command may be kept.
    async fn room_for_a_command(&self, of: &Arc<Deployment>, version: &Arc<Version>) -> Result<(), Error> {
        let there_is = async || Ok::<_, Error>(self.parts.store.commands_kept(&of.name).await?.0 < MAX_COMMANDS);
        if there_is().await? {
            return Ok(());
        }
        if version.stateful {
            let mut states = Vec::new();
            for number in of.pool.numbers() {
                if let Some(mut lease) = of.pool.take(number).await {
                    states.extend(self.save(of, &mut lease).await?);
                }
            }
            // What is on its way to the disk is older than this.
            self.parts.saver.flush().await;
            self.rewrite(of, (**of.spec.load()).clone(), &states, |_| {}).await?;
            if there_is().await? {
                return Ok(());
            }
        }
        let advice = match version.stateful {
            true => "the states of its replicas cannot be saved, and its record says why",
            false => {
                "have the policy export `state`, declare commands that change nothing with `\"read_only\": true` in its `management_commands_schema`, or deploy the function anew"
            }
        };
        let why = format!(
            "{MAX_COMMANDS} management commands of the function are kept for replicas that come later, and no more can be: {advice}"
        );
        Err(Error::new(ErrorKind::Conflict, why))
    }
}

/// The replicas that a command is for.
fn targets(of: &Deployment, replica: Option<u32>) -> Result<Vec<u32>, Error> {
    let all = of.pool.numbers();
    let Some(wanted) = replica else { return Ok(all) };
    if all.contains(&wanted) {
        return Ok(vec![wanted]);
    }
    let last = all.last().copied().unwrap_or(0);
    Err(FieldError::new("replica", format!("names no replica of the function: there are 1 to {last}")).into())
}

fn ask<'a>(manage: &'a Manage, options: &'a ManageOptions) -> Ask<'a> {
    let op = Op::Management { action: &manage.action, data: &manage.data };
    let (timeout_ms, asker) = (options.timeout_ms, Some(&options.asker));
    Ask { op, timeout_ms, origin: Origin::Function, effects: Effects::All, asker }
}

impl Round<'_> {
    async fn go(&mut self, numbers: &[u32]) -> Result<(), Error> {
        for number in numbers {
            match (self.lease(*number).await, &self.first) {
                (Some(lease), None) => {
                    if !self.ask_first(lease).await? {
                        return Ok(());
                    }
                }
                (Some(lease), Some(_)) => self.ask_another(lease).await?,
                (None, _) => self.replace(*number, down(*number)).await,
            }
        }
        Ok(())
    }

    /// A replica, brought up if it is down. Once the command is kept that is not for here: see [`Round::replace`].
    async fn lease(&self, number: u32) -> Option<Lease<Replica>> {
        for _ in 0..TRIES {
            let lease = self.of.pool.take(number).await;
            if lease.is_some() || self.number.is_some() {
                return lease;
            }
            self.functions.rebuild(self.of, &self.version, number).await.ok()?;
        }
        None
    }

    /// Asks the replica that decides; says whether the command goes on to the others.
    async fn ask_first(&mut self, mut lease: Lease<Replica>) -> Result<bool, Error> {
        let number = lease.number();
        let asked = ask(self.manage, &self.options);
        let checked = Box::pin(self.functions.parts.cradle.ask(self.of, lease.replica()?, asked)).await?;
        let goes_on = matches!(checked.run.outcome, Outcome::Finished(_));
        if goes_on && self.keeps {
            // The replica is held until then: nothing that it does with the command may last longer than the command.
            if let Err(error) = self.keep().await {
                lease.condemn();
                return Err(error);
            }
            self.took(&mut lease).await;
        }
        self.answers.push(ReplicaAnswer { replica: number, result: Ok(checked.clone()), rebuilt: None });
        self.first = Some(checked);
        Ok(goes_on)
    }

    async fn ask_another(&mut self, mut lease: Lease<Replica>) -> Result<(), Error> {
        let replica = lease.number();
        let asked = ask(self.manage, &self.options);
        let result = Box::pin(self.functions.parts.cradle.ask(self.of, lease.replica()?, asked)).await;
        let good = result.as_ref().is_ok_and(|checked| matches!(checked.run.outcome, Outcome::Finished(_)));
        if !self.keeps || good {
            if self.keeps {
                self.took(&mut lease).await;
            }
            self.answers.push(ReplicaAnswer { replica, result, rebuilt: None });
            return Ok(());
        }
        lease.condemn();
        self.replace(replica, result).await;
        Ok(())
    }

    /// Makes the command last.
    async fn keep(&mut self) -> Result<(), Error> {
        let store = &self.functions.parts.store;
        let (_, last) = store.commands_kept(&self.of.name).await?;
        let Manage { action, data, replica } = self.manage.clone();
        let number = self.of.settled(last).saturating_add(1);
        store.keep_command(&self.of.name, &KeptCommand { number, replica, action, data }).await?;
        self.number = Some(number);
        Ok(())
    }

    /// Notes that a replica has taken the command, and has what it now remembers written. Where that cannot be saved,
    /// the command stays kept beside what was saved before.
    async fn took(&mut self, lease: &mut Lease<Replica>) {
        let (Some(number), Ok(replica)) = (self.number, lease.replica()) else { return };
        replica.command = number;
        match self.functions.save(self.of, lease).await {
            Ok(Some(state)) => self.written.push(self.functions.parts.saver.write(self.of, state).await),
            Ok(None) => {}
            Err(error) => {
                let number = lease.number();
                self.of.set_trouble(number, Some(format!("the state of replica {number} could not be saved: {error}")));
            }
        }
    }

    /// Has another replica take the place of one that is down, if the command is kept for it.
    async fn replace(&mut self, replica: u32, result: Result<Checked, Error>) {
        let rebuilt = match self.number {
            None => None,
            Some(_) => Some(self.functions.rebuild(self.of, &self.version, replica).await),
        };
        if let Some(Err(unfit)) = &rebuilt {
            self.of.pool.set_failure(Some(Unfit::message(unfit)));
        }
        self.answers.push(ReplicaAnswer { replica, result, rebuilt: rebuilt.map(|rebuilt| rebuilt.is_ok()) });
    }

    async fn end(self) -> Result<Managed, Error> {
        for written in self.written {
            // The command is kept in any case, so a state that could not be written is only an old one.
            written.await.ok();
        }
        if let Some(number) = self.number {
            self.of.settled.fetch_max(number, std::sync::atomic::Ordering::AcqRel);
        }
        let first = self.first.ok_or_else(|| none_works(self.of))?;
        Ok(Managed::Here { first: Box::new(first), replicas: self.answers })
    }
}

fn none_works(of: &Deployment) -> Error {
    let why = of.pool.failure().unwrap_or_else(|| "they are being brought up".into());
    Error::new(ErrorKind::Busy, format!("the function `{}` has no replica that works: {why}", of.name))
}

fn down(number: u32) -> Result<Checked, Error> {
    let why = format!("replica {number} was down: it has the command when it is up again");
    Err(Error::new(ErrorKind::Busy, why))
}
