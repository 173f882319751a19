//! One replica: a resident instance, and how a new one comes to stand where it must.
//!
//! A replica that is brought up is initialised; continues from a saved state, if its policy exports `state` and there is
//! one; and is given every command after that, in order. So what management once said is never forgotten by a replica
//! that came later.

use std::sync::Arc;

use lictor_model::{Outcome, field::shorten};
use lictor_sandbox::{Instance, Op, Recorder, TracingRecorder};

use super::{
    deployment::{Deployment, limited},
    pool::Resident,
    version::Version,
};
use crate::{
    access::Asker,
    checked::Checked,
    error::{Error, ErrorKind},
    executor::{Drive, Effects, Executor, Life, Origin},
    store::{KeptCommand, SavedState, Store},
};

/// A resident instance.
pub(super) struct Replica {
    instance: Instance,
    pub(super) version: Arc<Version>,
    /// The last command that it has taken.
    pub(super) command: i64,
    recorder: Arc<dyn Recorder>,
    life: Life,
    /// Whether nothing that it does is to last.
    dry: bool,
}

impl Resident for Replica {
    fn is_alive(&self) -> bool {
        self.instance.is_live()
    }
}

/// What is asked of a replica.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) op: Op<'a>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) origin: Origin,
    /// What of it is to last. The replica is to be thrown away where that is nothing.
    pub(super) effects: Effects,
    /// Who asks, if anybody does.
    pub(super) asker: Option<&'a Asker>,
}

impl<'a> Ask<'a> {
    /// What the server itself asks.
    pub(super) fn ours(op: Op<'a>) -> Self {
        Self { op, timeout_ms: None, origin: Origin::Function, effects: Effects::All, asker: None }
    }
}

/// Why a replica cannot be brought up.
pub(super) enum Unfit {
    /// The policy failed, or was stopped, when it was asked for this.
    Outcome(String, Box<Checked>),
    /// It could not be asked.
    Error(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Unfit {
    /// What happened, in a sentence.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Outcome(what, checked) => format!("{what}: {}", why(&checked.run.outcome)),
            Self::Error(error) => error.to_string(),
        }
    }

    /// As a refusal of whatever needed the replica.
    pub(super) fn refusal(self, first: &str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Outcome(..) => Error::new(ErrorKind::Conflict, format!("{first} {}", self.message())),
        }
    }
}

/// Why a call did not end well.
pub(super) fn why(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished(_) => "it finished".into(),
        Outcome::Failed(failure) => format!("{} ({})", shorten(&failure.message, 500), shorten(&failure.code, 100)),
        Outcome::Stopped(stop) => format!("{} ({})", shorten(&stop.message, 500), stop.kind.code()),
    }
}

/// What is needed to bring up replicas. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cradle {
    pub(super) executor: Executor,
    pub(super) store: Store,
}

impl Cradle {
    /// Asks a replica.
    pub(super) async fn ask(&self, of: &Deployment, replica: &mut Replica, ask: Ask<'_>) -> Result<Checked, Error> {
        let Replica { instance, version, recorder, life, dry, .. } = replica;
        let drive = Drive {
            ready: &version.ready,
            limits: limited(version.ready.limits, ask.timeout_ms),
            op: ask.op,
            context: &of.context,
            origin: ask.origin,
            effects: if *dry { Effects::None } else { ask.effects },
            recorder: Arc::clone(recorder),
            asker: ask.asker,
            life,
        };
        self.executor.drive(instance, drive).await
    }

    /// A replica that has only been initialised.
    pub(super) async fn fresh(&self, of: &Deployment, version: &Arc<Version>, place: Place) -> Result<Replica, Unfit> {
        let recorder: Arc<dyn Recorder> = match place {
            Place::Number(number) => of.logs.recorder(number),
            Place::Nowhere => Arc::new(TracingRecorder),
        };
        let mut replica = Replica {
            instance: Instance::new(Arc::clone(&version.ready.policy)),
            version: Arc::clone(version),
            command: 0,
            recorder,
            life: Life::default(),
            dry: place == Place::Nowhere,
        };
        self.step(of, &mut replica, Ask::ours(Op::Init), "it could not be initialised").await?;
        Ok(replica)
    }

    /// A replica that stands where the one of this number must stand by what is stored.
    pub(super) async fn bring_up(
        &self,
        of: &Deployment,
        version: &Arc<Version>,
        place: Place,
    ) -> Result<Replica, Unfit> {
        // The commands are read first. They are forgotten when every saved state has them, which may happen in between:
        // then the state that is read afterwards has them too.
        let commands = self.store.commands_after(&of.name, 0, place.number()).await?;
        let state = match version.stateful {
            true => self.store.saved_state(&of.name, place.number()).await?,
            false => None,
        };
        self.bring_up_with(of, version, place, state.as_ref(), &commands).await
    }

    /// See [`Cradle::bring_up`], from this state.
    pub(super) async fn bring_up_from(
        &self,
        of: &Deployment,
        version: &Arc<Version>,
        place: Place,
        state: &SavedState,
    ) -> Result<Replica, Unfit> {
        let commands = self.store.commands_after(&of.name, state.command, place.number()).await?;
        self.bring_up_with(of, version, place, Some(state), &commands).await
    }

    /// A replica that continues from `state` and is then given those of the commands that are not in it.
    async fn bring_up_with(
        &self,
        of: &Deployment,
        version: &Arc<Version>,
        place: Place,
        state: Option<&SavedState>,
        commands: &[KeptCommand],
    ) -> Result<Replica, Unfit> {
        let mut replica = self.fresh(of, version, place).await?;
        if let Some(SavedState { policy_rule_uri, state, command, .. }) = state {
            let op = Op::Restore { from_policy_uri: policy_rule_uri, state };
            let what = format!("it does not continue from the state that `{policy_rule_uri}` saved");
            self.step(of, &mut replica, Ask::ours(op), &what).await?;
            replica.command = *command;
        }
        let saved = replica.command;
        for KeptCommand { number, action, data, .. } in commands.iter().filter(|command| saved < command.number) {
            let op = Op::Management { action, data };
            let what = format!("the management command `{}` could not be given to it again", shorten(action, 60));
            // What it did to the context is there, and is not done again.
            self.step(of, &mut replica, Ask { effects: Effects::Memory, ..Ask::ours(op) }, &what).await?;
            replica.command = *number;
        }
        Ok(replica)
    }

    async fn step(&self, of: &Deployment, replica: &mut Replica, ask: Ask<'_>, what: &str) -> Result<(), Unfit> {
        // PERF: boxed, since a call's future is large and this is rare.
        let checked = Box::pin(self.ask(of, replica, ask)).await?;
        match checked.run.outcome {
            Outcome::Finished(_) => Ok(()),
            _ => Err(Unfit::Outcome(what.to_owned(), Box::new(checked))),
        }
    }
}

/// What a replica is brought up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To be the replica of this number.
    Number(u32),
    /// To be thrown away: nothing that it does lasts.
    Nowhere,
}

impl Place {
    fn number(self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number),
            Self::Nowhere => None,
        }
    }
}
