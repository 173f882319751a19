//! What was counted of a candidate, and the document that it is stored as.

use std::time::SystemTime;

use lictor_model::{ShadowSpec, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::verdict::Verdict;
use crate::error::Error;

/// Disagreements that are kept, the last ones.
const MAX_KEPT: usize = 20;

/// A candidate as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) candidate: String,
    pub(super) sample_percent: u8,
    pub(super) since: String,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// What came of calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    compared: u64,
    agreed: u64,
    disagreed: u64,
    /// Calls that the candidate could not be asked about.
    candidate_failed: u64,
    /// Calls that there was no room for.
    dropped: u64,
    /// The last ones of those that disagreed or failed, in the order of `at`.
    disagreements: Vec<Value>,
}

impl Stored {
    /// A candidate of which nothing is known yet.
    pub(super) fn new(spec: &ShadowSpec) -> Self {
        let candidate = spec.candidate.as_str().to_owned();
        Self { candidate, sample_percent: spec.sample_percent, since: now(), tally: Tally::default() }
    }

    pub(super) fn read(document: &str) -> Result<Self, Error> {
        let damaged = |error| Error::internal("what is stored of a candidate cannot be read", error);
        serde_json::from_str(document).map_err(damaged)
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As clients see it.
    pub(super) fn told(&self, policy_rule_uri: &str) -> Result<Map<String, Value>, Error> {
        let mut told: Map<_, _> = [("policy_rule_uri".to_owned(), json!(policy_rule_uri))].into_iter().collect();
        match serde_json::to_value(self) {
            Ok(Value::Object(stored)) => told.extend(stored),
            _ => return Err(Error::internal("what is stored of a candidate cannot be told", "no object")),
        }
        Ok(told)
    }
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a call that there was no room for.
    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// Counts a call that was put before the candidate.
    pub(super) fn count(&mut self, verdict: Verdict) {
        let disagreement = match verdict {
            Verdict::Agreed => {
                self.compared += 1;
                self.agreed += 1;
                return;
            }
            Verdict::Disagreed(disagreement) => {
                self.compared += 1;
                self.disagreed += 1;
                disagreement
            }
            Verdict::Failed(disagreement) => {
                self.candidate_failed += 1;
                disagreement
            }
        };
        self.keep(vec![Value::Object(disagreement)]);
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.agreed += other.agreed;
        self.disagreed += other.disagreed;
        self.candidate_failed += other.candidate_failed;
        self.dropped += other.dropped;
        self.keep(other.disagreements);
    }

    fn keep(&mut self, more: Vec<Value>) {
        self.disagreements.extend(more);
        self.disagreements.sort_by(|left, right| at(left).cmp(at(right)));
        let old = self.disagreements.len().saturating_sub(MAX_KEPT);
        drop(self.disagreements.drain(..old));
    }
}

fn at(disagreement: &Value) -> &str {
    disagreement.get("at").and_then(Value::as_str).unwrap_or_default()
}

/// Now, as records say it: texts in order are times in order.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disagreement(at: u32) -> Map<String, Value> {
        let Value::Object(res) = json!({ "at": format!("{at:05}") }) else { panic!() };
        res
    }

    #[test]
    fn what_two_processes_count_is_one_sum_and_the_last_disagreements_stay() {
        let (mut left, mut right) = (Tally::default(), Tally::default());
        for at in 0..30 {
            let tally = if at % 2 == 0 { &mut left } else { &mut right };
            tally.count(Verdict::Disagreed(disagreement(at)));
        }
        left.count(Verdict::Agreed);
        right.count(Verdict::Failed(disagreement(40)));
        right.drop_one();
        left.add(right);
        assert_eq!((left.compared, left.agreed, left.disagreed), (31, 1, 30));
        assert_eq!((left.candidate_failed, left.dropped), (1, 1));
        let kept: Vec<_> = left.disagreements.iter().map(|kept| at(kept).to_owned()).collect();
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "00011", "00040"));
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let spec = ShadowSpec { candidate: "p:2.0-x".parse().unwrap(), sample_percent: 50 };
        let mut stored = Stored::new(&spec);
        stored.tally.count(Verdict::Disagreed(disagreement(1)));
        let again = Stored::read(&stored.text()).unwrap();
        assert_eq!((again.text(), &again.tally), (stored.text(), &stored.tally));
        let names: Vec<_> = again.told("p:1.0-x").unwrap().into_iter().map(|(name, _)| name).collect();
        let all = ["policy_rule_uri", "candidate", "sample_percent", "since", "compared", "agreed", "disagreed"];
        assert_eq!(names, [&all[..], &["candidate_failed", "dropped", "disagreements"]].concat());
        assert!(Stored::read("{}").is_err());
    }
}
