//! Records of registries that nothing is run from: created, changed, read, found and deleted.

use serde_json::{Value, json};

use super::{Part, data};
use crate::{
    ledger::Entry,
    world::{Answer, Desk},
};

/// How many records a client has.
const RECORDS: usize = 6;

/// The records of one client in one registry. The state of each is a number in its metadata; none if it is not there.
pub(crate) struct Records {
    registry: &'static Registry,
    prefix: String,
    entries: Vec<Entry<Option<u64>>>,
    changes: u64,
}

/// How one registry is spoken to.
struct Registry {
    path: &'static str,
    name: &'static str,
    metadata: &'static str,
    uri: fn(&str) -> String,
    make: fn(&str) -> Value,
}

const EXECUTORS: Registry = Registry {
    path: "/executor",
    name: "executor_id",
    metadata: "executor_metadata",
    uri: str::to_owned,
    make: |name| json!({"executor_id": name, "executor_host_uri": "http://203.0.113.7:1", "executor_metadata": {}}),
};

const GRAPHS: Registry = Registry {
    path: "/graphs",
    name: "graph_name",
    metadata: "graph_metadata",
    uri: |name| format!("{name}:1.0-test"),
    make: |name| graph(name, &json!(["a"]), &json!({})),
};

/// The record of a graph.
pub(crate) fn graph(name: &str, functions: &Value, connections: &Value) -> Value {
    json!({
        "graph_name": name, "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": {},
        "graph_function_ids": functions, "graph_connection_data": connections, "graph_search_tags": [],
        "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
    })
}

impl Records {
    pub(crate) fn executors(number: u64) -> Self {
        Self::of(&EXECUTORS, format!("e{number}"))
    }

    pub(crate) fn graphs(number: u64) -> Self {
        Self::of(&GRAPHS, format!("g{number}"))
    }

    fn of(registry: &'static Registry, prefix: String) -> Self {
        Self { registry, prefix, entries: (0..RECORDS).map(|_| Entry::new(None)).collect(), changes: 0 }
    }

    fn name(&self, idx: usize) -> String {
        format!("{}-{idx}", self.prefix)
    }

    fn line(&self, method: &str, idx: usize) -> String {
        format!("{method} {}/{}", self.registry.path, (self.registry.uri)(&self.name(idx)))
    }

    fn create(&mut self, desk: &mut Desk<'_>, idx: usize) {
        self.changes += 1;
        let mut record = (self.registry.make)(&self.name(idx));
        record[self.registry.metadata]["n"] = json!(self.changes);
        let answer = desk.ask("create a record", &format!("POST {}", self.registry.path), &record, &[]);
        self.note(&answer, idx, Some(self.changes));
    }

    fn change(&mut self, desk: &mut Desk<'_>, idx: usize) {
        self.changes += 1;
        let body = json!({"$set": {format!("{}.n", self.registry.metadata): self.changes}});
        let answer = desk.ask("change a record", &self.line("PUT", idx), &body, &[]);
        self.note(&answer, idx, Some(self.changes));
    }

    fn delete(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let answer = desk.ask("delete a record", &self.line("DELETE", idx), &Value::Null, &[]);
        self.note(&answer, idx, None);
    }

    fn note(&mut self, answer: &Answer, idx: usize, state: Option<u64>) {
        match answer {
            Answer::Done(_) => self.entries[idx].is(state),
            Answer::Refused | Answer::Unknown => self.entries[idx].may_be(state),
        }
    }

    fn number_in(&self, record: &Value) -> Option<u64> {
        record[self.registry.metadata]["n"].as_u64()
    }

    fn read(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let state = match desk.ask("read a record", &self.line("GET", idx), &Value::Null, &["not_found"]) {
            Answer::Done(body) => self.number_in(&body["data"]),
            Answer::Refused => None,
            Answer::Unknown => return,
        };
        self.saw(desk, idx, state);
    }

    fn find(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let filter = json!({self.registry.name: self.name(idx)});
        let answer = desk.ask("find a record", &format!("POST {}/query", self.registry.path), &filter, &[]);
        let Some(found) = data(answer) else { return };
        let state = found[0].is_object().then(|| self.number_in(&found[0])).flatten();
        self.saw(desk, idx, state);
    }

    fn saw(&mut self, desk: &Desk<'_>, idx: usize, state: Option<u64>) {
        if let Err(why) = self.entries[idx].saw(state) {
            desk.world.violation(&format!("lost: {} {} {why}", self.registry.path, self.name(idx)));
            self.entries[idx].is(state);
        }
    }
}

impl Part for Records {
    fn step(&mut self, desk: &mut Desk<'_>) {
        let idx = desk.chance.below(RECORDS);
        match (self.entries[idx].known(), desk.chance.below(10)) {
            (None, _) | (Some(_), 0 | 1) => self.read(desk, idx),
            (Some(_), 2) => self.find(desk, idx),
            (Some(None), _) => self.create(desk, idx),
            (Some(Some(_)), 3 | 4) => self.delete(desk, idx),
            (Some(Some(_)), _) => self.change(desk, idx),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        for idx in 0..RECORDS {
            self.read(desk, idx);
            self.find(desk, idx);
        }
    }
}
