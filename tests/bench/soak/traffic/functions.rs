//! A function with management commands: deployed, called, commanded, upgraded, broken and removed.

use serde_json::{Value, json};

use super::Part;
use crate::{
    ledger::Entry,
    supplies::Supplies,
    world::{Answer, Desk},
};

/// The function of one client. Its state is the value that the last command set; none if it is not deployed.
pub(crate) struct Function {
    name: String,
    /// Two versions of the policy: what one saves, the other takes.
    versions: [String; 2],
    value: Entry<Option<u64>>,
    commands: u64,
}

impl Function {
    /// Every second client's saves its state; commands of the others are given again.
    pub(crate) fn new(supplies: &Supplies, number: u64) -> Self {
        let versions = if number.is_multiple_of(2) { &supplies.saving } else { &supplies.replaying };
        Self { name: format!("f{number}"), versions: versions.clone(), value: Entry::new(None), commands: 0 }
    }

    fn deploy(&mut self, desk: &mut Desk<'_>) {
        let body = json!({"name": self.name, "policy_rule_uri": self.versions[0], "replicas": 2});
        let answer = desk.ask("deploy a function", "POST /function/deployments/create/executor-001", &body, &[]);
        self.note(&answer, Some(0));
    }

    fn remove(&mut self, desk: &mut Desk<'_>) {
        let line = format!("DELETE /function/deployments/remove/{}", self.name);
        let answer = desk.ask("remove a function", &line, &Value::Null, &[]);
        self.note(&answer, None);
    }

    fn upgrade(&mut self, desk: &mut Desk<'_>) {
        let body = json!({"policy_rule_uri": desk.chance.pick(&self.versions)});
        desk.ask("upgrade a function", &format!("POST /function/{}/upgrade", self.name), &body, &[]);
    }

    fn set(&mut self, desk: &mut Desk<'_>) {
        self.commands += 1;
        let answer =
            self.manage(desk, "command a function", &json!({"mgmt_action": "set", "mgmt_data": self.commands}));
        match answer {
            // A policy that saves nothing has as many commands as are kept.
            Answer::Refused => self.remove(desk),
            answer => self.note(&answer, Some(self.commands)),
        }
    }

    fn manage(&self, desk: &mut Desk<'_>, what: &str, body: &Value) -> Answer {
        desk.ask(what, &format!("POST /function/management/{}", self.name), body, &["conflict"])
    }

    fn note(&mut self, answer: &Answer, value: Option<u64>) {
        match answer {
            Answer::Done(_) => self.value.is(value),
            Answer::Refused | Answer::Unknown => self.value.may_be(value),
        }
    }

    fn call(&mut self, desk: &mut Desk<'_>) {
        let line = format!("POST /function/call_function/{}", self.name);
        let answer = desk.ask("call a function", &line, &json!(1), &["not_found"]);
        self.saw(desk, answer, |body| body["data"]["value"].as_u64());
    }

    /// What makes a replica go: it is made anew, with all that it was told.
    fn break_it(&self, desk: &mut Desk<'_>) {
        let line = format!("POST /function/call_function/{}", self.name);
        let (input, code) = *desk.chance.pick(&[("trap", "trap"), ("fail", "policy_error")]);
        if let Answer::Done(_) = desk.ask("break a replica", &line, &json!(input), &[code]) {
            desk.world.violation(&format!("{}: `{input}` was answered", self.name));
        }
    }

    /// Asks every replica.
    fn compare(&mut self, desk: &mut Desk<'_>) {
        let line = format!("POST /function/management/{}", self.name);
        let answer = desk.ask("ask all replicas", &line, &json!({"mgmt_action": "get"}), &["not_found"]);
        if let Answer::Done(body) = &answer {
            let values: Vec<_> =
                body["replicas"].as_array().into_iter().flatten().map(|one| &one["data"]["value"]).collect();
            if values.len() != 2 || values[0] != values[1] {
                desk.world.violation(&format!("the replicas of {} differ: {body}", self.name));
            }
        }
        self.saw(desk, answer, |body| body["data"]["value"].as_u64());
    }

    fn saw(&mut self, desk: &Desk<'_>, answer: Answer, value: impl Fn(&Value) -> Option<u64>) {
        let value = match answer {
            Answer::Done(body) => value(&body),
            Answer::Refused => None,
            Answer::Unknown => return,
        };
        if let Err(why) = self.value.saw(value) {
            desk.world.violation(&format!("lost: the function {} {why}", self.name));
            self.value.is(value);
        }
    }

    fn logs(&self, desk: &mut Desk<'_>) {
        desk.ask("read logs", &format!("GET /function/get_logs/{}?tail=20", self.name), &Value::Null, &[]);
    }
}

impl Part for Function {
    fn step(&mut self, desk: &mut Desk<'_>) {
        match (self.value.known().copied(), desk.chance.below(100)) {
            (None, _) => self.compare(desk),
            (Some(None), 0..20) => self.call(desk),
            (Some(None), _) => self.deploy(desk),
            (Some(Some(_)), 0) => self.remove(desk),
            (Some(Some(_)), 1..4) => self.upgrade(desk),
            (Some(Some(_)), 4..8) => self.break_it(desk),
            (Some(Some(_)), 8..12) => self.logs(desk),
            (Some(Some(_)), 12..40) => self.set(desk),
            (Some(Some(_)), _) => self.call(desk),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        self.compare(desk);
    }
}
