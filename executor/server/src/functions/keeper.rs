//! Replicas that are down are brought up again, in the background.
//!
//! Each function has a task for that. A policy with which it fails again and again is tried less and less often, and the
//! record says why; its calls are then refused instead of waiting.

use std::{sync::Arc, time::Duration};

use super::{
    Functions,
    deployment::Deployment,
    replica::{Place, Unfit},
    version::Version,
};
use crate::error::Error;

/// Between the first two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries at most.
const MAX_PAUSE: Duration = Duration::from_secs(10);

impl Functions {
    /// Sees to the replicas of a function until it is removed or the server stops.
    pub(super) async fn keep(self, of: Arc<Deployment>) {
        let stop = self.parts.stop.clone();
        let ended = async {
            tokio::select! { () = of.closed.cancelled() => {}, () = stop.cancelled() => {} }
        };
        let keeping = async {
            let mut pause = FIRST_PAUSE;
            of.pool.goes_down().await;
            loop {
                match self.repair_in_turn(&of).await {
                    Ok(()) => {
                        pause = FIRST_PAUSE;
                        of.pool.goes_down().await;
                    }
                    Err(unfit) => {
                        tracing::warn!(function = of.name, "no replica could be brought up: {}", unfit.message());
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(MAX_PAUSE);
                    }
                }
            }
        };
        tokio::select! { () = ended => {}, () = keeping => {} }
    }

    async fn repair_in_turn(&self, of: &Arc<Deployment>) -> Result<(), Unfit> {
        // Held while replicas are made: what they begin with must not change meanwhile.
        let _change = of.change.lock().await;
        self.repair(of).await
    }

    /// Brings up every replica that is down. Whoever asks holds the change.
    pub(super) async fn repair(&self, of: &Arc<Deployment>) -> Result<(), Unfit> {
        let mut failed = None;
        if !of.pool.down().is_empty() {
            match self.version_of(of).await {
                Ok(version) => {
                    for number in of.pool.down() {
                        failed = self.rebuild(of, &version, number).await.err().or(failed);
                    }
                }
                Err(error) => failed = Some(error.into()),
            }
        }
        of.pool.set_failure(failed.as_ref().map(Unfit::message));
        failed.map_or(Ok(()), Err)
    }

    /// Brings up one replica that is down, unless the function is removed meanwhile.
    pub(super) async fn rebuild(&self, of: &Arc<Deployment>, version: &Arc<Version>, number: u32) -> Result<(), Unfit> {
        let made = of.closed.run_until_cancelled(self.parts.cradle.bring_up(of, version, Place::Number(number))).await;
        match made.unwrap_or_else(|| Err(self.parts.registry.missing(&of.name).into())) {
            Ok(replica) => {
                of.logs.say("info", number, &format!("the replica is up, with `{}`", version.uri));
                of.pool.put(number, replica);
                Ok(())
            }
            Err(unfit) => {
                of.logs.say("error", number, &format!("the replica cannot be brought up: {}", unfit.message()));
                Err(unfit)
            }
        }
    }

    /// What a function runs, loaded if it was not.
    pub(super) async fn version_of(&self, of: &Deployment) -> Result<Arc<Version>, Error> {
        if let Some(version) = of.version() {
            return Ok(version);
        }
        let version = Version::load(&self.parts.policies, &of.spec.load_full()).await?;
        of.set_version(Arc::clone(&version));
        Ok(version)
    }
}
