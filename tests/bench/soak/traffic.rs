//! What well-behaved clients do, each part with what it knows to be acknowledged.

pub(crate) mod assets;
pub(crate) mod calls;
pub(crate) mod context;
pub(crate) mod functions;
pub(crate) mod jobs;
pub(crate) mod policies;
pub(crate) mod records;
pub(crate) mod shadows;

use lictor_bench::Res;
use serde_json::{Value, json};

use crate::{
    hostile::Hostile,
    supplies::Supplies,
    world::{Answer, Desk},
};

/// One kind of traffic of one client.
pub(crate) trait Part: Send {
    /// Does one thing.
    fn step(&mut self, desk: &mut Desk<'_>);

    /// Compares all it knows with what is there.
    fn check(&mut self, _desk: &mut Desk<'_>) {}

    /// What is only looked at when everything is over.
    fn check_at_the_end(&mut self, desk: &mut Desk<'_>) {
        self.check(desk);
    }
}

/// Everything that a client of this number does, each as often as it says beside it.
pub(crate) fn parts(supplies: &Supplies, number: u64) -> Res<Vec<(usize, Box<dyn Part>)>> {
    Ok(vec![
        (24, Box::new(calls::Calls::new(supplies))),
        (4, Box::new(records::Records::executors(number))),
        (4, Box::new(records::Records::graphs(number))),
        (8, Box::new(policies::Policies::new(supplies, number))),
        (10, Box::new(context::Context::new(number))),
        (12, Box::new(functions::Function::new(supplies, number))),
        (6, Box::new(jobs::Jobs::default())),
        (2, Box::new(assets::Assets::new(number))),
        (3, Box::new(shadows::Shadow::new(number))),
        (6, Box::new(Hostile::new(supplies))),
    ])
}

/// Does things until the world is over; gives the parts back, with what they know.
pub(crate) fn work(desk: &mut Desk<'_>, parts: &mut [(usize, Box<dyn Part>)]) {
    let all: usize = parts.iter().map(|(often, _)| often).sum();
    let mut checked = 0;
    while !desk.world.is_over() {
        let round = desk.world.round();
        if checked != round {
            parts.iter_mut().for_each(|(_, part)| part.check(desk));
            checked = round;
            desk.world.checked_in();
            continue;
        }
        let mut drawn = desk.chance.below(all);
        for (often, part) in parts.iter_mut() {
            if drawn < *often {
                part.step(desk);
                break;
            }
            drawn -= *often;
        }
    }
}

/// The `data` of an answer that must be a success; none if nobody knows.
pub(crate) fn data(answer: Answer) -> Option<Value> {
    match answer {
        Answer::Done(mut body) => Some(body["data"].take()),
        Answer::Refused | Answer::Unknown => None,
    }
}

/// A request for one policy.
pub(crate) fn execute(desk: &mut Desk<'_>, what: &str, uri: &str, input: &Value, may: &[&str]) -> Answer {
    let body = json!({"policy_rule_uri": uri, "input_data": input});
    desk.ask(what, "POST /executor/executor-001/execute_policy", &body, may)
}
