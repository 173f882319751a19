//! The number of a function's replicas follows how busy they are.
//!
//! What is measured is the time that calls spend with a replica or in line for one: a line makes replicas more than
//! busy. [`lictor_model::function::Autoscaling`] says what follows from that. No call waits for scaling: a replica that
//! is to go is taken when its call ends, and while something else changes a function, its number stays as it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use lictor_model::{FunctionSpec, function::Recommendations};
use tokio::time::MissedTickBehavior;

use super::{
    Functions,
    deployment::{Deployment, lock},
    replica::{Place, Replica},
};
use crate::error::Error;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// How busy the replicas of one function were lately.
#[derive(Default)]
pub(super) struct Meter {
    last: Option<(Instant, u64)>,
    utilization: u64,
    wanted: Recommendations,
}

impl Meter {
    /// How busy they were since the last look, all together, in per cent of one replica.
    fn read(&mut self, now: Instant, busy_us: u64, replicas: u32) -> Option<u64> {
        let (then, before) = self.last.replace((now, busy_us))?;
        let past = u64::try_from(now.saturating_duration_since(then).as_micros()).ok().filter(|us| 0 < *us)?;
        let demand = busy_us.saturating_sub(before).saturating_mul(100).checked_div(past)?;
        self.utilization = demand.checked_div(replicas.into()).unwrap_or(0);
        Some(demand)
    }

    /// How busy each was, in per cent of its time.
    pub(super) fn utilization(&self) -> u64 {
        self.utilization
    }
}

impl Functions {
    /// Looks at every function twice a second, until the server stops.
    pub(super) async fn scale_by_load(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (stop, began) = (self.parts.stop.clone(), Instant::now());
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let mut alive = 0;
            for of in self.parts.directory.all() {
                alive += of.pool.alive();
                let spec = of.spec.load_full();
                if let Some(n) = decide(&of, &spec, began).filter(|n| *n != spec.replicas) {
                    let functions = self.clone();
                    self.parts.tasks.spawn(async move { functions.scale(&of, n).await });
                }
            }
            self.parts.metrics.replicas(alive);
        }
    }

    /// Changes the number of replicas, unless something else is being changed.
    async fn scale(&self, of: &Arc<Deployment>, to: u32) {
        let Ok(_change) = of.change.try_lock() else { return };
        let from = of.spec.load().replicas;
        if of.closed.is_cancelled() || from == to {
            return;
        }
        let scaled = if from < to { self.scale_up(of, from, to).await } else { self.scale_down(of, to).await };
        if let Err(error) = scaled {
            let error = error.chain();
            tracing::warn!(function = of.name, from, to, error, "the number of replicas could not be changed");
        }
    }

    async fn scale_up(&self, of: &Arc<Deployment>, from: u32, to: u32) -> Result<(), Error> {
        let version = self.version_of(of).await?;
        let (mut made, mut failed): (Vec<(u32, Replica)>, _) = (Vec::new(), None);
        for number in from.saturating_add(1)..=to {
            let reserved = match self.parts.directory.reserve(1, false) {
                Ok(reserved) => reserved,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            match self.parts.cradle.bring_up(of, &version, Place::Number(number)).await {
                Ok(replica) => {
                    lock(&of.reserved).add(reserved);
                    made.push((number, replica));
                }
                Err(unfit) => {
                    failed = Some(unfit.refusal("a replica could not be added."));
                    break;
                }
            }
        }
        if let Some((last, _)) = made.last() {
            let last = *last;
            if let Err(error) = self.set_replicas(of, last).await {
                lock(&of.reserved).shrink(usize::try_from(from).unwrap_or(usize::MAX));
                return Err(error);
            }
            tracing::info!(function = of.name, from, to = last, "replicas were added");
            made.into_iter().for_each(|(number, replica)| of.pool.put(number, replica));
        }
        failed.map_or(Ok(()), Err)
    }

    /// The replicas that go are held until the record says so: what one of them would save meanwhile is older than
    /// commands that only the others are given, and would be what the next one of its number begins with.
    async fn scale_down(&self, of: &Arc<Deployment>, to: u32) -> Result<(), Error> {
        let go: Vec<u32> = of.pool.numbers().into_iter().filter(|number| to < *number).collect();
        let _held = join_all(go.iter().map(|number| of.pool.take(*number))).await;
        self.parts.saver.flush().await;
        self.set_replicas(of, to).await?;
        go.into_iter().for_each(|number| of.pool.retire(number));
        lock(&of.reserved).shrink(usize::try_from(to).unwrap_or(usize::MAX));
        tracing::info!(function = of.name, to, "replicas were taken away");
        Ok(())
    }

    async fn set_replicas(&self, of: &Arc<Deployment>, n: u32) -> Result<(), Error> {
        let spec = FunctionSpec { replicas: n, ..FunctionSpec::clone(&of.spec.load()) };
        self.rewrite(of, spec, &[], |record| drop(record.insert("replicas".into(), n.into()))).await
    }
}

/// How many replicas there are to be, if that changes by itself.
fn decide(of: &Deployment, spec: &FunctionSpec, began: Instant) -> Option<u32> {
    let now = Instant::now();
    let mut meter = lock(&of.meter);
    let demand = meter.read(now, of.pool.busy_us(), spec.replicas)?;
    let autoscaling = spec.autoscaling.as_ref()?;
    let wanted = autoscaling.wanted(spec.replicas, demand);
    let ms = u64::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
    Some(meter.wanted.decide(autoscaling, ms, wanted, spec.replicas))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_the_time_of_calls() {
        let (mut meter, began) = (Meter::default(), Instant::now());
        let after = |ms| began + Duration::from_millis(ms);
        assert_eq!(meter.read(after(0), 0, 2), None);
        assert_eq!((meter.read(after(500), 500_000, 2), meter.utilization()), (Some(100), 50));
        assert_eq!((meter.read(after(1000), 3_500_000, 2), meter.utilization()), (Some(600), 300));
        assert_eq!((meter.read(after(1500), 3_500_000, 2), meter.utilization()), (Some(0), 0));
        assert_eq!(meter.read(after(1500), 4_000_000, 2), None);
    }
}
