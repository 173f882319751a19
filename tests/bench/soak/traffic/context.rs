//! A policy that writes its context: what was answered is kept.

use serde_json::{Value, json};

use super::{Part, execute};
use crate::{
    ledger::Entry,
    world::{Answer, Desk},
};

const KEYS: usize = 8;

/// The keys of one client's policy.
pub(crate) struct Context {
    uri: String,
    entries: Vec<Entry<Option<u64>>>,
    writes: u64,
}

impl Context {
    pub(crate) fn new(number: u64) -> Self {
        let entries = (0..KEYS).map(|_| Entry::new(None)).collect();
        Self { uri: format!("context{number}:1.0-test"), entries, writes: 0 }
    }

    fn ask(&self, desk: &mut Desk<'_>, what: &str, input: &str) -> Answer {
        execute(desk, what, &self.uri, &json!(input), &[])
    }

    fn write(&mut self, desk: &mut Desk<'_>, key: usize) {
        self.writes += 1;
        let answer = self.ask(desk, "write to the context", &format!("s k{key} v{}", self.writes));
        self.note(&answer, key, Some(self.writes));
    }

    fn delete(&mut self, desk: &mut Desk<'_>, key: usize) {
        let answer = self.ask(desk, "delete from the context", &format!("d k{key}"));
        self.note(&answer, key, None);
    }

    fn note(&mut self, answer: &Answer, key: usize, state: Option<u64>) {
        match answer {
            Answer::Done(_) => self.entries[key].is(state),
            Answer::Refused | Answer::Unknown => self.entries[key].may_be(state),
        }
    }

    fn read(&mut self, desk: &mut Desk<'_>, key: usize) {
        let Answer::Done(body) = self.ask(desk, "read from the context", &format!("g k{key}")) else { return };
        let state = match &body["data"] {
            Value::String(text) => text.strip_prefix('v').and_then(|n| n.parse().ok()),
            _ => None,
        };
        if let Err(why) = self.entries[key].saw(state) {
            desk.world.violation(&format!("lost: the key k{key} of {} {why}", self.uri));
            self.entries[key].is(state);
        }
    }
}

impl Part for Context {
    fn step(&mut self, desk: &mut Desk<'_>) {
        let key = desk.chance.below(KEYS);
        match desk.chance.below(10) {
            0 => self.delete(desk, key),
            1..4 => self.read(desk, key),
            _ => self.write(desk, key),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        (0..KEYS).for_each(|key| self.read(desk, key));
    }
}
