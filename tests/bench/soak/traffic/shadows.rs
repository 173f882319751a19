//! A policy whose candidate comes and goes, while it is called.

use serde_json::{Value, json};

use super::{Part, execute};
use crate::{
    ledger::Entry,
    world::{Answer, Desk},
};

/// The shadow of one client's policy: whether it has a candidate.
pub(crate) struct Shadow {
    uri: String,
    there: Entry<bool>,
}

impl Shadow {
    pub(crate) fn new(number: u64) -> Self {
        Self { uri: format!("shadowed{number}:1.0-test"), there: Entry::new(false) }
    }

    fn line(&self, method: &str) -> String {
        format!("{method} /policy/{}/shadow", self.uri)
    }

    fn note(&mut self, answer: &Answer, there: bool) {
        match answer {
            Answer::Done(_) => self.there.is(there),
            Answer::Refused | Answer::Unknown => self.there.may_be(there),
        }
    }

    fn read(&mut self, desk: &mut Desk<'_>) {
        let there = match desk.ask("read a shadow", &self.line("GET"), &Value::Null, &["not_found"]) {
            Answer::Done(_) => true,
            Answer::Refused => false,
            Answer::Unknown => return,
        };
        if let Err(why) = self.there.saw(there) {
            desk.world.violation(&format!("lost: the shadow of {} {why}", self.uri));
            self.there.is(there);
        }
    }
}

impl Part for Shadow {
    fn step(&mut self, desk: &mut Desk<'_>) {
        match (self.there.known(), desk.chance.below(20)) {
            (None, _) | (Some(_), 0 | 1) => self.read(desk),
            (Some(false), 2..6) => {
                let candidate = *desk.chance.pick(&["echo:1.0-test", "traps:1.0-test", "spins:1.0-test"]);
                let answer = desk.ask("set a shadow", &self.line("PUT"), &json!({"candidate": candidate}), &[]);
                self.note(&answer, true);
            }
            (Some(true), 2) => {
                let answer = desk.ask("end a shadow", &self.line("DELETE"), &Value::Null, &[]);
                self.note(&answer, false);
            }
            _ => {
                let answer = execute(desk, "call a shadowed policy", &self.uri, &json!(7), &[]);
                if let Answer::Done(body) = answer
                    && body["data"] != 7
                {
                    desk.world.violation(&format!("{} answers {body}", self.uri));
                }
            }
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        self.read(desk);
    }
}
