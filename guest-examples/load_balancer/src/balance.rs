//! Who got how much, and who is next.

use std::collections::BTreeMap;

use lictor_policy::Failure;
use serde::{Deserialize, Serialize};

use crate::{Parameters, Strategy};

/// What each instance got, and what it has coming. Holds the instances of the last choice and no others, so that it
/// does not grow with those that come and go.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Balance {
    counts: BTreeMap<String, u64>,
    /// What each instance has coming, for the strategies that take turns.
    credits: BTreeMap<String, i64>,
    n_packets: u64,
}

impl Balance {
    pub(crate) fn n_packets(&self) -> u64 {
        self.n_packets
    }

    pub(crate) fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// Chooses one of `instances` for the next packet.
    pub(crate) fn choose(&mut self, parameters: &Parameters, instances: &[String]) -> Result<String, Failure> {
        self.forget_all_but(instances);
        let eligible: Vec<(&String, u32)> =
            instances.iter().map(|id| (id, parameters.weight(id))).filter(|(_, weight)| *weight > 0).collect();
        let chosen = match parameters.strategy {
            Strategy::LeastUsed => self.least_used(&eligible),
            Strategy::RoundRobin | Strategy::Weighted => self.next_in_turn(&eligible),
        };
        let chosen = chosen.ok_or_else(|| Failure::new("no_instances", "there is no instance to choose"))?;
        *self.counts.entry(chosen.clone()).or_default() += 1;
        self.n_packets = self.n_packets.saturating_add(1);
        Ok(chosen)
    }

    fn forget_all_but(&mut self, instances: &[String]) {
        self.counts.retain(|id, _| instances.contains(id));
        self.credits.retain(|id, _| instances.contains(id));
        for id in instances {
            self.counts.entry(id.clone()).or_default();
        }
    }

    fn least_used(&self, eligible: &[(&String, u32)]) -> Option<String> {
        let used = |id: &String| u128::from(self.counts.get(id).copied().unwrap_or_default());
        // used(a) / weight(a) < used(b) / weight(b), without fractions. The first of equals wins.
        let least = eligible.iter().copied().reduce(|best, other| {
            let is_less = used(other.0) * u128::from(best.1) < used(best.0) * u128::from(other.1);
            if is_less { other } else { best }
        });
        least.map(|(id, _)| id.clone())
    }

    /// Smooth weighted round robin: everyone earns its weight, and the richest pays for everyone.
    fn next_in_turn(&mut self, eligible: &[(&String, u32)]) -> Option<String> {
        let mut total = 0;
        let mut richest: Option<(&String, i64)> = None;
        for (id, weight) in eligible {
            let credit = self.credits.entry((*id).clone()).or_default();
            *credit += i64::from(*weight);
            total += i64::from(*weight);
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((id, *credit));
            }
        }
        let (chosen, credit) = richest?;
        self.credits.insert(chosen.clone(), credit - total);
        Some(chosen.clone())
    }
}

impl Parameters {
    fn weight(&self, id: &str) -> u32 {
        match self.strategy {
            Strategy::RoundRobin => 1,
            Strategy::Weighted | Strategy::LeastUsed => self.weights.get(id).copied().unwrap_or(1),
        }
    }
}
