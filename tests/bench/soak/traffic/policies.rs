//! Policies that come, change their code, run and go.

use lictor_tests::record;
use serde_json::{Value, json};

use super::{Part, data, execute};
use crate::{
    ledger::Entry,
    supplies::Supplies,
    world::{Answer, Desk},
};

/// How many policies a client has.
const POLICIES: usize = 5;

/// What a policy is: a number in its metadata, and which code it runs.
type State = Option<(u64, usize)>;

/// The policies of one client.
pub(crate) struct Policies {
    prefix: String,
    /// Code that answers its index.
    codes: Vec<String>,
    entries: Vec<Entry<State>>,
    changes: u64,
}

impl Policies {
    pub(crate) fn new(supplies: &Supplies, number: u64) -> Self {
        let entries = (0..POLICIES).map(|_| Entry::new(None)).collect();
        Self { prefix: format!("p{number}"), codes: supplies.answers.clone(), entries, changes: 0 }
    }

    fn name(&self, idx: usize) -> String {
        format!("{}-{idx}", self.prefix)
    }

    fn line(&self, method: &str, idx: usize) -> String {
        format!("{method} /policy/{}:1.0-test", self.name(idx))
    }

    fn create(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let next = self.next(desk);
        let mut record = record(&self.name(idx), &self.codes[next.1]);
        record["metadata"] = json!({"n": next.0});
        record["limits"] = json!({"timeout_ms": 60_000});
        let answer = desk.ask("create a policy", "POST /policy", &record, &[]);
        self.note(&answer, idx, Some(next));
    }

    /// Another number, and any code.
    fn next(&mut self, desk: &mut Desk<'_>) -> (u64, usize) {
        self.changes += 1;
        (self.changes, desk.chance.below(self.codes.len()))
    }

    fn change(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let next = self.next(desk);
        let body = json!({"$set": {"metadata.n": next.0, "code": self.codes[next.1]}});
        let answer = desk.ask("change a policy", &self.line("PUT", idx), &body, &[]);
        self.note(&answer, idx, Some(next));
    }

    fn delete(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let answer = desk.ask("delete a policy", &self.line("DELETE", idx), &Value::Null, &[]);
        self.note(&answer, idx, None);
    }

    fn note(&mut self, answer: &Answer, idx: usize, state: State) {
        match answer {
            Answer::Done(_) => self.entries[idx].is(state),
            Answer::Refused | Answer::Unknown => self.entries[idx].may_be(state),
        }
    }

    /// Runs one that is known.
    fn run(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let Some(Some((_, code))) = self.entries[idx].known().copied() else { return };
        let uri = format!("{}:1.0-test", self.name(idx));
        match execute(desk, "run a policy that changes", &uri, &json!(1), &[]) {
            Answer::Done(body) if body["data"] == code => {}
            Answer::Done(body) => desk.world.violation(&format!("{uri} runs {}, not {code}", body["data"])),
            Answer::Refused | Answer::Unknown => {}
        }
    }

    fn read(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let state = match desk.ask("read a policy", &self.line("GET", idx), &Value::Null, &["not_found"]) {
            Answer::Done(body) => self.state_in(&body["data"]),
            Answer::Refused => None,
            Answer::Unknown => return,
        };
        self.saw(desk, idx, state);
    }

    fn find(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let filter = json!({"name": self.name(idx)});
        let Some(found) = data(desk.ask("find a policy", "POST /policy/query", &filter, &[])) else { return };
        let state = self.state_in(&found[0]);
        self.saw(desk, idx, state);
    }

    fn state_in(&self, record: &Value) -> State {
        let code = self.codes.iter().position(|code| record["code"] == **code)?;
        Some((record["metadata"]["n"].as_u64()?, code))
    }

    fn saw(&mut self, desk: &Desk<'_>, idx: usize, state: State) {
        if let Err(why) = self.entries[idx].saw(state) {
            desk.world.violation(&format!("lost: the policy {} {why}", self.name(idx)));
            self.entries[idx].is(state);
        }
    }
}

impl Part for Policies {
    fn step(&mut self, desk: &mut Desk<'_>) {
        let idx = desk.chance.below(POLICIES);
        match (self.entries[idx].known(), desk.chance.below(20)) {
            (None, _) | (Some(_), 0) => self.read(desk, idx),
            (Some(_), 1) => self.find(desk, idx),
            (Some(None), _) => self.create(desk, idx),
            (Some(Some(_)), 2) => self.delete(desk, idx),
            (Some(Some(_)), 3..6) => self.change(desk, idx),
            (Some(Some(_)), _) => self.run(desk, idx),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        for idx in 0..POLICIES {
            self.read(desk, idx);
            self.find(desk, idx);
            self.run(desk, idx);
        }
    }
}
