//! `lictor audit stats`: what was decided in a time, by policy.

use std::{collections::BTreeMap, ops::ControlFlow};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    super::{Failure, print},
    place::Place,
    unreadable,
    wanted::Wanted,
};
use crate::decisions::{line::Decided, read::each};

/// Durations of one policy that are kept to be ranked: of more, every so many-th.
const MAX_KEPT: usize = 100_000;

/// Sum up decisions by policy: how many came to what, who asked, and how long they took. A line of JSON for each policy.
#[derive(Args)]
pub(in crate::cli) struct Stats {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Default)]
struct Sum {
    decisions: u64,
    outcomes: BTreeMap<String, u64>,
    callers: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
    refused: u64,
    wall_us: Vec<u64>,
    /// Of how many durations one is kept.
    step: u64,
    memory: u64,
}

impl Stats {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (folder, filter) = (self.place.log()?, self.wanted.filter()?);
        let mut by_policy: BTreeMap<String, Sum> = BTreeMap::new();
        let read = each(&folder, &filter, |found| {
            // What the server asks of an instance that it keeps is no decision.
            if found.decided.op.is_none() {
                let sum = by_policy.entry(found.decided.policy.clone()).or_default();
                sum.add(&found.decided, &found.made.component_digest);
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| unreadable(&folder, &error))?;
        by_policy.iter_mut().try_for_each(|(policy, sum)| print::json_line(&sum.line(policy)))
    }
}

impl Sum {
    fn add(&mut self, decided: &Decided, component: &str) {
        let caller = decided.caller.as_ref().map(|by| by.name.clone().unwrap_or_else(|| by.token.clone()));
        let count = |counts: &mut BTreeMap<String, u64>, of: String| {
            let n = counts.entry(of).or_default();
            *n = n.saturating_add(1);
        };
        count(&mut self.outcomes, decided.outcome.clone());
        count(&mut self.callers, caller.unwrap_or_default());
        count(&mut self.versions, component.to_owned());
        let is_refused = decided.calls.iter().any(|event| matches!(event, lictor_sandbox::Event::Refused { .. }));
        self.refused = self.refused.saturating_add(u64::from(is_refused));
        self.memory = self.memory.max(decided.memory);
        if self.decisions.is_multiple_of(self.step.max(1)) {
            self.wall_us.push(decided.wall_us);
        }
        if MAX_KEPT < self.wall_us.len() {
            self.step = self.step.max(1).saturating_mul(2);
            let mut idx = 0_usize;
            self.wall_us.retain(|_| {
                idx = idx.wrapping_add(1);
                idx % 2 == 1
            });
        }
        self.decisions = self.decisions.saturating_add(1);
    }

    fn line(&mut self, policy: &str) -> String {
        self.wall_us.sort_unstable();
        let rank = |per_cent: usize| {
            let idx = self.wall_us.len().saturating_mul(per_cent) / 100;
            self.wall_us.get(idx.min(self.wall_us.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        // Who showed no token has no name.
        let callers: Map<String, Value> = self
            .callers
            .iter()
            .map(|(name, n)| (if name.is_empty() { "(no token)" } else { name }.to_owned(), json!(n)))
            .collect();
        json!({
            "policy": policy, "decisions": self.decisions, "outcomes": self.outcomes, "refused_a_capability": self.refused,
            "callers": callers, "components": self.versions, "memory_most": self.memory,
            "wall_us": {"p50": rank(50), "p99": rank(99), "most": self.wall_us.last()},
        })
        .to_string()
    }
}
