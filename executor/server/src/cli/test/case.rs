//! One case: an instance, its steps, and what they left behind.

use std::{collections::BTreeMap, sync::Arc};

use lictor_model::{Limits, Outcome, Schemas, StopKind, Usage, difference::same};
use lictor_sandbox::{Call, CallFacts, Instance, Module, Op, Policy, Recorder, Run, TapeMode, context::Bucket};
use serde_json::Value;

use super::{
    difference::{lines, short},
    fixtures::{Ask, Budget, Case, Expected, Step},
    world::World,
};
use crate::{
    checked::Checked,
    cli::{Failure, host::Host, print},
};

/// The policy's identity in a case, the same as natively.
const URI: &str = "test:0.0-test";

/// Runs cases of one policy.
pub(super) struct Runner<'a> {
    pub(super) host: &'a Host,
    pub(super) module: Module,
    pub(super) limits: Limits,
    pub(super) schemas: Arc<Schemas>,
}

/// A case that is under way.
struct Under<'a> {
    runner: &'a Runner<'a>,
    name: &'a str,
    instance: Instance,
    world: Arc<World>,
    context: Arc<Bucket>,
}

/// What a policy answered: a document, or its failure as code and message.
type Answer = Result<Value, (String, String)>;
/// What is wrong, in lines.
type Wrong = Vec<String>;

impl Runner<'_> {
    /// Runs a case and says what is wrong, in lines; none if all is well. `Err` only for a failure of ours.
    pub(super) fn check(&self, case: &Case) -> Result<Wrong, Failure> {
        let mut under = match self.begin(case) {
            Ok(under) => under,
            Err(why) => return Ok(vec![why]),
        };
        let mut wrong = under.take_steps(&case.steps)?;
        if wrong.is_empty() {
            wrong = under.context_wrong(&case.expect_context);
        }
        if !wrong.is_empty() {
            wrong.extend(under.world.said());
        }
        Ok(wrong)
    }

    fn begin<'a>(&'a self, case: &'a Case) -> Result<Under<'a>, String> {
        let world = Arc::new(World::new(&case.http, &case.host));
        let policy = Policy {
            module: self.module.clone(),
            uri: URI.into(),
            settings: case.settings.to_string().into(),
            parameters: case.parameters.to_string().into(),
            grant: Arc::new(world.grants()?),
            deterministic: false,
        };
        let entries = case.context.iter().map(|(key, value)| (key.clone(), value.to_string().into_bytes()));
        let context = Arc::new(Bucket::new(entries.collect()));
        Ok(Under { runner: self, name: &case.name, instance: Instance::new(policy), world, context })
    }
}

impl Under<'_> {
    /// Takes the steps up to the first that is wrong.
    fn take_steps(&mut self, steps: &[Step]) -> Result<Wrong, Failure> {
        // A constructor that fails is the answer of every step.
        let born = match answer(self.run(Op::Init)?.outcome) {
            Ok(born) => born,
            Err(stopped) => return Ok(vec![format!("the constructor was stopped: {stopped}")]),
        };
        for (idx, step) in steps.iter().enumerate() {
            let wrong = match &born {
                Ok(_) => self.take(step)?,
                Err(_) => compare(&step.expected, &born),
            };
            if let Some((first, rest)) = wrong.split_first() {
                let mut res = vec![format!("step {idx}: {first}")];
                res.extend_from_slice(rest);
                return Ok(res);
            }
        }
        Ok(Vec::new())
    }

    fn take(&mut self, step: &Step) -> Result<Wrong, Failure> {
        let run = match &step.ask {
            Ask::Eval { input, parameters } => {
                let (input, parameters) = (input.to_string(), parameters.as_ref().map(Value::to_string));
                self.run(Op::Eval { parameters: parameters.as_deref(), input: &input })?
            }
            Ask::Manage(command) => {
                self.run(Op::Management { action: &command.action, data: &command.data.to_string() })?
            }
        };
        let mut wrong = match answer(run.outcome) {
            Ok(answer) => compare(&step.expected, &answer),
            Err(stopped) => vec![format!("the policy was stopped: {stopped}")],
        };
        wrong.extend(step.budget.iter().flat_map(|budget| over(budget, &run.usage)));
        Ok(wrong)
    }

    fn run(&mut self, op: Op<'_>) -> Result<Run, Failure> {
        let call = Call {
            op,
            limits: self.runner.limits,
            facts: CallFacts::now("test", "test", &self.runner.limits),
            context: Some(Arc::clone(&self.context)),
            dry_run: false,
            tape: TapeMode::Off,
            recorder: Arc::clone(&self.world) as Arc<dyn Recorder>,
        };
        let Checked { run, warnings } = self.runner.host.run(&mut self.instance, call, &self.runner.schemas)?;
        for violation in &warnings {
            print::note(format_args!("lictor: warning: the case `{}`: {violation}", self.name));
        }
        Ok(run)
    }

    fn context_wrong(&self, expected: &BTreeMap<String, Value>) -> Wrong {
        for (key, expected) in expected {
            let found = self.context.get(key).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            if !same(expected, &found) {
                let mut res = vec![format!("the context key `{key}` holds something else")];
                res.extend(lines(expected, &found));
                return res;
            }
        }
        Vec::new()
    }
}

/// The policy's answer; `Err` says how it was stopped before it gave one.
fn answer(outcome: Outcome) -> Result<Answer, String> {
    match outcome {
        Outcome::Finished(text) => match serde_json::from_str(&text) {
            Ok(value) => Ok(Ok(value)),
            Err(error) => Err(format!("bad_output: its answer cannot be read: {error}")),
        },
        Outcome::Failed(failure) => Ok(Err((failure.code, failure.message))),
        // The fixtures of a policy that enforces its schemas can say so.
        Outcome::Stopped(stop) if matches!(stop.kind, StopKind::InputSchema | StopKind::OutputSchema) => {
            Ok(Err((stop.kind.code().to_owned(), stop.message)))
        }
        Outcome::Stopped(stop) => Err(format!("{}: {}", stop.kind.code(), stop.message)),
    }
}

fn compare(expected: &Expected, answer: &Answer) -> Wrong {
    match (expected, answer) {
        (Expected::Answer(expected), Ok(found)) if same(expected, found) => Vec::new(),
        (Expected::Answer(expected), Ok(found)) => {
            let mut res = vec!["another answer than expected".to_owned()];
            res.extend(lines(expected, found));
            res
        }
        (Expected::Answer(expected), Err((code, message))) => vec![
            "a failure instead of an answer".into(),
            format!("  - {}", short(expected)),
            format!("  + {code}: {message}"),
        ],
        (Expected::Failure(expected), Err((code, _))) if expected == code => Vec::new(),
        (Expected::Failure(expected), Err((code, message))) => {
            vec!["another failure than expected".into(), format!("  - {expected}"), format!("  + {code}: {message}")]
        }
        (Expected::Failure(expected), Ok(found)) => {
            vec!["an answer instead of a failure".into(), format!("  - {expected}"), format!("  + {}", short(found))]
        }
    }
}

/// What of the budget was overdrawn.
fn over(budget: &Budget, usage: &Usage) -> Wrong {
    let over = |what: &str, used: Option<u64>, most: Option<u64>| {
        let (used, most) = used.zip(most)?;
        (most < used).then(|| format!("the budget is {most} {what}, and the call used {used}"))
    };
    let fuel = over("units of fuel", usage.fuel, budget.fuel);
    let memory = over("bytes of memory", Some(usage.peak_memory_bytes), budget.peak_memory_bytes);
    fuel.into_iter().chain(memory).collect()
}
