//! What a replay says of a decision.

use lictor_model::{Digest, Failure, Outcome};
use lictor_sandbox::{Matching, Run};
use serde_json::{Map, Value, json};

use crate::decisions::{account, line::Decided};

/// What a replay says of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It came to the same, byte for byte.
    Same,
    /// It came to something else.
    Differs {
        /// What was recorded.
        recorded: Map<String, Value>,
        /// What came now.
        replayed: Map<String, Value>,
    },
    /// It asked the world outside for something else than was recorded.
    Strayed(String),
    /// Time stopped it, which nothing makes happen again.
    StoppedByTime,
    /// Nobody waited for it, so that nothing was decided.
    Abandoned,
    /// It cannot be made again.
    Impossible(String),
}

impl Verdict {
    pub(super) fn of(decided: &Decided, run: &Run, matching: Matching) -> Self {
        if let Some(why) = &run.strayed {
            return Self::Strayed(why.clone());
        }
        let mut recorded = recorded(decided);
        let mut replayed = replayed(&run.outcome, decided.hides_answer());
        // Another component costs something else.
        if matching == Matching::Exact && decided.fuel != run.usage.fuel {
            recorded.insert("fuel".into(), json!(decided.fuel));
            replayed.insert("fuel".into(), json!(run.usage.fuel));
        }
        if recorded == replayed { Self::Same } else { Self::Differs { recorded, replayed } }
    }

    /// What is to be said of a decision that did not come to an end of its own.
    pub(super) fn without_replay(decided: &Decided) -> Option<Self> {
        match decided.outcome.as_str() {
            "timeout" => Some(Self::StoppedByTime),
            "abandoned" => Some(Self::Abandoned),
            _ => None,
        }
    }

    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs { .. } => "different",
            Self::Strayed(_) => "strayed",
            Self::StoppedByTime => "stopped_by_time",
            Self::Abandoned => "abandoned",
            Self::Impossible(_) => "impossible",
        }
    }
}

/// What was recorded of an outcome. Texts stay texts, so that every byte counts.
fn recorded(decided: &Decided) -> Told {
    let digest = decided.output_digest.as_ref().or(decided.failure_digest.as_ref());
    let failure = decided.failure.clone().map(Failure::from);
    told(
        &decided.outcome,
        [
            ("digest", digest.map(|digest| json!(digest))),
            ("output", decided.output().map(|output| json!(output))),
            ("failure", failure.as_ref().map(whole)),
            ("message", decided.message.as_ref().map(|message| json!(message))),
        ],
    )
}

fn replayed(outcome: &Outcome, hidden: bool) -> Told {
    let digest = |text: &str| ("digest", Some(json!(Digest::of(text.as_bytes()).to_string())));
    let what = match outcome {
        Outcome::Finished(output) if hidden => digest(output),
        Outcome::Failed(failure) if hidden => digest(&account(failure)),
        Outcome::Finished(output) => ("output", Some(json!(output))),
        Outcome::Failed(failure) => ("failure", Some(whole(failure))),
        Outcome::Stopped(stop) => ("message", Some(json!(stop.message))),
    };
    told(outcome.code(), [what])
}

fn whole(Failure { code, message, details }: &Failure) -> Value {
    json!({"code": code, "message": message, "details": details})
}

/// An outcome as it is compared and shown.
type Told = Map<String, Value>;

fn told<const N: usize>(outcome: &str, members: [(&str, Option<Value>); N]) -> Told {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    std::iter::once(("outcome".to_owned(), json!(outcome))).chain(there).collect()
}
