//! What replicas remember, on disk: after management, every second for those that were called, and at stop.
//!
//! One task writes for all functions, so that many saves share one sync of the disk. It writes them in the order in
//! which it gets them, and they are handed to it while the replica is still held: what a replica saved later is never
//! overwritten by what it saved before.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use lictor_model::Outcome;
use lictor_sandbox::Op;
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Functions,
    deployment::Deployment,
    pool::Lease,
    replica::{Ask, Replica, why},
};
use crate::{
    error::Error,
    store::{SavedState, Store},
};

/// Between two saves.
const EVERY: Duration = Duration::from_secs(1);
/// States that wait to be written.
const MAX_WAITING: usize = 1000;
/// How long saving everything may take when the server stops.
const AT_STOP: Duration = Duration::from_secs(10);

/// Whoever writes states. Cheap to clone.
#[derive(Clone)]
pub(super) struct Saver {
    orders: mpsc::Sender<Order>,
}

struct Order {
    /// What is to be written, unless the function is removed before.
    state: Option<(CancellationToken, SavedState)>,
    done: oneshot::Sender<bool>,
}

/// Whether a state was written.
pub(super) type Written = oneshot::Receiver<bool>;

impl Saver {
    /// Starts the task that writes; it ends when the last handle is dropped.
    pub(super) fn start(store: Store, tasks: &TaskTracker) -> Self {
        let (orders, inbox) = mpsc::channel(MAX_WAITING);
        tasks.spawn(write(store, inbox));
        Self { orders }
    }

    /// Has a state of a function written, after all that were handed over before.
    pub(super) async fn write(&self, of: &Deployment, state: SavedState) -> Written {
        self.order(Some((of.closed.clone(), state))).await
    }

    /// Waits until everything that was handed over is written.
    pub(super) async fn flush(&self) {
        self.order(None).await.await.ok();
    }

    async fn order(&self, state: Option<(CancellationToken, SavedState)>) -> Written {
        let (done, written) = oneshot::channel();
        // Nobody is there to write any more when the server has stopped: then nothing says that it was written.
        self.orders.send(Order { state, done }).await.ok();
        written
    }
}

async fn write(store: Store, mut inbox: mpsc::Receiver<Order>) {
    let mut batch = Vec::new();
    while 0 < inbox.recv_many(&mut batch, MAX_WAITING).await {
        // Of a function that is removed nothing is written: another one may have its name by now.
        let in_force = |(closed, state): (CancellationToken, _)| (!closed.is_cancelled()).then_some(state);
        let states: Vec<SavedState> = batch.iter_mut().filter_map(|order| in_force(order.state.take()?)).collect();
        let written = if states.is_empty() { Ok(()) } else { store.save_states(&states).await };
        if let Err(error) = &written {
            tracing::error!(error = error.chain(), "the states of functions could not be written");
        }
        for order in batch.drain(..) {
            // Nobody listens any more if the one who saved went away.
            order.done.send(written.is_ok()).ok();
        }
    }
}

/// Takes back that somebody is saving.
struct Saving<'a>(&'a Deployment);

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.0.saving.store(false, Ordering::Release);
    }
}

impl Functions {
    /// Saves what was called, every second, until the server stops.
    pub(super) async fn save_every_second(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.parts.stop.clone();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            for of in self.parts.directory.all() {
                let stateful = of.version().is_some_and(|version| version.stateful);
                let numbers = if stateful { of.to_save() } else { Vec::new() };
                if !numbers.is_empty() {
                    let functions = self.clone();
                    self.parts.tasks.spawn(async move { functions.save_called(&of, numbers).await });
                }
            }
        }
    }

    /// Saves everything that was called, and waits until it is written.
    pub(super) async fn save_at_stop(&self) {
        let all = self.parts.directory.all();
        // Somebody may be saving already, who took what a replica remembered before its last call.
        let saving = join_all(all.iter().map(|of| self.save_each(of, of.pool.called())));
        if tokio::time::timeout(AT_STOP, saving).await.is_err() {
            tracing::warn!("what some functions did last could not be saved in time");
        }
    }

    /// Saves these replicas, which were called, unless somebody saves some already.
    async fn save_called(&self, of: &Arc<Deployment>, numbers: Vec<u32>) {
        if of.saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let _saving = Saving(of);
        self.save_each(of, numbers).await;
    }

    async fn save_each(&self, of: &Arc<Deployment>, numbers: Vec<u32>) {
        join_all(numbers.into_iter().map(|number| self.save_one(of, number))).await;
    }

    async fn save_one(&self, of: &Arc<Deployment>, number: u32) {
        let Some(mut lease) = of.pool.take(number).await else { return };
        let current = of.version();
        // In the middle of an upgrade, what the next version remembers is not yet what is to last.
        let same = |replica: &mut Replica| current.as_ref().is_some_and(|now| Arc::ptr_eq(now, &replica.version));
        if !lease.replica().is_ok_and(same) {
            return;
        }
        let written = match self.save(of, &mut lease).await {
            Ok(Some(state)) => self.parts.saver.write(of, state).await,
            Ok(None) => return,
            Err(error) => {
                of.set_trouble(number, Some(format!("the state of replica {number} could not be saved: {error}")));
                return;
            }
        };
        drop(lease);
        if !written.await.unwrap_or(false) {
            of.pool.set_called(number, true);
        }
    }

    /// Asks a replica for what it remembers. None if it has no way to say, or said too much.
    pub(super) async fn save(&self, of: &Deployment, lease: &mut Lease<Replica>) -> Result<Option<SavedState>, Error> {
        let number = lease.number();
        let replica = lease.replica()?;
        let version = Arc::clone(&replica.version);
        of.pool.set_called(number, false);
        if !version.stateful {
            return Ok(None);
        }
        let checked = Box::pin(self.parts.cradle.ask(of, replica, Ask::ours(Op::Save))).await?;
        let most = version.ready.limits.output_bytes();
        let trouble = match (checked.run.outcome, checked.run.state) {
            (Outcome::Finished(_), Some(state)) if state.len() <= most => {
                of.set_trouble(number, None);
                let (function, policy_rule_uri) = (of.name.clone(), version.uri.clone());
                let command = of.settled(replica.command);
                return Ok(Some(SavedState { function, replica: number, policy_rule_uri, state, command }));
            }
            (Outcome::Finished(_), Some(state)) => format!(
                "the state of replica {number} is not saved: it is {} bytes long and may be {most}, the policy's `output_kb`",
                state.len()
            ),
            (outcome, _) => format!("the state of replica {number} is not saved: {}", why(&outcome)),
        };
        of.pool.set_called(number, true);
        of.set_trouble(number, Some(trouble));
        Ok(None)
    }
}
