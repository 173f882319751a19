//! Calls that leave nothing behind: the examples, batches in both forms, a graph, and a resident load balancer.

use lictor_bench::{INPUT, PARAMETERS};
use lictor_tests::differences;
use serde_json::{Value, json};

use super::{Part, data, execute};
use crate::{
    supplies::{Fixture, Supplies},
    world::{Desk, judge},
};

const BATCH: &str = "POST /executor/executor-001/execute_policy/batch";

/// See the file.
pub(crate) struct Calls {
    fixtures: Vec<Fixture>,
}

impl Calls {
    pub(crate) fn new(supplies: &Supplies) -> Self {
        Self { fixtures: supplies.fixtures.clone() }
    }

    /// An example, asked what its own tests ask, without its context.
    fn example(&self, desk: &mut Desk<'_>) {
        let Fixture { uri, input, expect } = desk.chance.pick(&self.fixtures).clone();
        let body = json!({"policy_rule_uri": uri, "input_data": input});
        let line = "POST /executor/executor-001/execute_policy?dry_run=1&usage=1";
        let Some(found) = data(desk.ask("call an example", line, &body, &[])) else { return };
        expected(desk, &uri, &expect, &found);
    }

    fn allowlist(desk: &mut Desk<'_>) {
        let body = format!(
            r#"{{"policy_rule_uri":"ip_allowlist:1.0-stable","input_data":{INPUT},"parameters":{PARAMETERS}}}"#
        );
        let body = serde_json::from_str(&body).unwrap_or_default();
        let answer = desk.ask("call an example", "POST /executor/executor-001/execute_policy", &body, &[]);
        if let Some(found) = data(answer) {
            expected(desk, "ip_allowlist", &json!(true), &found["allowed"]);
        }
    }

    fn echo(desk: &mut Desk<'_>) {
        let input = json!({"n": desk.chance.next() >> 12, "text": "x".repeat(desk.chance.below(2_000))});
        if let Some(found) = data(execute(desk, "call an echo", "echo:1.0-test", &input, &[])) {
            expected(desk, "echo", &input, &found);
        }
    }

    fn batch(desk: &mut Desk<'_>) {
        let inputs: Vec<usize> = (0..1 + desk.chance.below(60)).collect();
        let body = json!({"policy_rule_uri": "echo:1.0-test", "inputs": inputs});
        let full = desk.world.full.mark();
        let Some(found) = data(desk.ask("batch", BATCH, &body, &[])) else { return };
        let found: Vec<Value> = found.as_array().cloned().unwrap_or_default();
        Self::in_order(desk, inputs.len(), found, full);
    }

    fn lines(desk: &mut Desk<'_>) {
        let inputs: Vec<usize> = (0..1 + desk.chance.below(60)).collect();
        let body = json!({"policy_rule_uri": "echo:1.0-test", "inputs": inputs}).to_string();
        let (mark, full) = (desk.world.ends.mark(), desk.world.full.mark());
        let Some(reply) = desk.send("batch in lines", BATCH, ("application/json", body.as_bytes())) else { return };
        if !desk.world.ends.touched(mark) {
            let found = String::from_utf8_lossy(&reply.body)
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            Self::in_order(desk, inputs.len(), found, full);
        }
    }

    /// Looks for an envelope for each input, in its place.
    fn in_order(desk: &Desk<'_>, n: usize, found: Vec<Value>, full: u64) {
        if found.len() != n {
            desk.world.violation(&format!("a batch of {n} has {} answers", found.len()));
        }
        for (idx, envelope) in found.into_iter().enumerate() {
            match judge(200, envelope) {
                Ok(Ok(body)) if body["data"] == idx => {}
                // Nothing is decided that cannot be recorded.
                Ok(Err(code)) if code == "not_available" && desk.world.full.touched(full) => {}
                Ok(other) => desk.world.violation(&format!("a batch has at {idx}: {other:?}")),
                Err(why) => desk.world.violation(&format!("a batch has at {idx} what {why}")),
            }
        }
    }

    fn graph(desk: &mut Desk<'_>) {
        let input = json!({"n": desk.chance.below(1_000)});
        let body = json!({"graph_uri": "diamond:1.0-test", "input_data": input});
        if let Some(found) = data(desk.ask("execute a graph", "POST /graph/execute_graph?trace=1", &body, &[])) {
            expected(desk, "the graph", &json!([input, input]), &found);
        }
    }

    fn balance(desk: &mut Desk<'_>) {
        let input = json!({"mode": "load_balance", "packet": {}, "instances": ["a", "b"]});
        desk.ask("call a resident example", "POST /function/call_function/balancer", &input, &[]);
    }
}

fn expected(desk: &Desk<'_>, what: &str, expected: &Value, found: &Value) {
    let differences = differences(expected, found);
    if !differences.is_empty() {
        desk.world.violation(&format!("{what} answers {found}: {differences:?}"));
    }
}

impl Part for Calls {
    fn step(&mut self, desk: &mut Desk<'_>) {
        match desk.chance.below(20) {
            0 => Self::batch(desk),
            1 => Self::lines(desk),
            2 | 3 => Self::graph(desk),
            4 | 5 => Self::balance(desk),
            6..9 => Self::allowlist(desk),
            9..12 => self.example(desk),
            _ => Self::echo(desk),
        }
    }
}
