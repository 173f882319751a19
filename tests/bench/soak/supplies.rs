//! What everybody in a run uses: code, policies, functions and a graph, made before it begins.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use lictor_bench::Res;
use lictor_tests::{counter_version, guest_record, policy, record, repository, sandbox::Guest};
use serde_json::{Value, json};

use crate::{
    hostile,
    server::Place,
    traffic::{data, records::graph},
    world::{Answer, Desk},
};

/// Policies that answer their own number: enough that code is loaded all the time, and few enough that what is kept of it
/// does not grow.
const ANSWERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

/// A question of an example's own tests, and its answer.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) uri: String,
    pub(crate) input: Value,
    pub(crate) expect: Value,
}

/// See the file.
pub(crate) struct Supplies {
    /// Where the code of policies is that answer their index.
    pub(crate) answers: Vec<String>,
    /// Two versions of a policy that saves its state, and of one whose commands are given again.
    pub(crate) saving: [String; 2],
    pub(crate) replaying: [String; 2],
    pub(crate) fixtures: Vec<Fixture>,
    /// A hostile policy, what it is asked, and how that ends.
    pub(crate) hostile: Vec<(String, Value, &'static str)>,
}

impl Supplies {
    /// Makes all of it, for this many clients.
    pub(crate) fn make(place: &Place, desk: &mut Desk<'_>, clients: u64) -> Res<Self> {
        let mut stock = Stock { place, desk };
        let answers = (0..ANSWERS).map(|n| place.put(&format!("answer{n}.wasm"), &policy(&n.to_string())));
        let supplies = Self {
            answers: answers.collect::<Res<_>>()?,
            saving: stock.two_versions("saving", true)?,
            replaying: stock.two_versions("replaying", false)?,
            fixtures: stock.examples()?,
            hostile: hostile::policies()
                .into_iter()
                .map(|(name, guest, input, code)| Ok((stock.load(name, &guest.component())?, input, code)))
                .collect::<Res<_>>()?,
        };
        stock.load("echo", &Guest::echo().component())?;
        stock.load("fails", &Guest::eval("(call $err (local.get $in) (local.get $n))").component())?;
        for n in 0..clients {
            stock.load(&format!("context{n}"), &Guest::named("context").component())?;
            stock.load(&format!("shadowed{n}"), &Guest::echo().component())?;
        }
        stock.diamond()?;
        Ok(supplies)
    }
}

/// A server's registry that is being filled.
struct Stock<'a, 'w> {
    place: &'a Place,
    desk: &'a mut Desk<'w>,
}

impl Stock<'_, '_> {
    fn must(&mut self, line: &str, body: &Value) -> Res<Value> {
        data(self.desk.ask("set up", line, body, &[])).ok_or_else(|| format!("{line} {body} failed").into())
    }

    /// Creates a policy of this code as `name:1.0-test`, and waits until it is ready.
    fn load(&mut self, name: &str, component: &[u8]) -> Res<String> {
        let mut record = record(name, &self.place.put(&format!("{name}.wasm"), component)?);
        // What is asked of the time is asked in the call.
        record["limits"] = json!({"timeout_ms": 60_000});
        self.must("POST /policy", &record)?;
        let uri = format!("{name}:1.0-test");
        ready(self.desk, &uri)?;
        Ok(uri)
    }

    fn two_versions(&mut self, name: &str, stateful: bool) -> Res<[String; 2]> {
        let code = counter_version(stateful, 1);
        Ok([self.load(&format!("{name}1"), &code)?, self.load(&format!("{name}2"), &code)?])
    }

    /// Loads the examples, and reads those of their tests that are one question without any preparation.
    fn examples(&mut self) -> Res<Vec<Fixture>> {
        let mut fixtures = Vec::new();
        for name in ["allocator", "autoscaler", "ip_allowlist", "load_balancer", "template_parser"] {
            let mut record = guest_record(name);
            record["release_tag"] = json!("stable");
            record["version"] = json!("1.0");
            record["policy_settings"] = json!({});
            record["limits"] = json!({"timeout_ms": 60_000});
            self.must("POST /policy", &record)?;
            let uri = format!("{name}:1.0-stable");
            ready(self.desk, &uri)?;
            let text = fs::read_to_string(repository().join(format!("guest-examples/{name}/expected.json")))?;
            let cases: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&text)?;
            let simple = cases
                .into_iter()
                .filter(|case| case.keys().all(|key| ["name", "input", "expect"].contains(&key.as_str())));
            fixtures.extend(simple.map(|mut case| {
                let mut part = |name: &str| case.remove(name).unwrap_or_default();
                Fixture { uri: uri.clone(), input: part("input"), expect: part("expect") }
            }));
        }
        let balancer = json!({"name": "balancer", "policy_rule_uri": "load_balancer:1.0-stable", "replicas": 2});
        self.must("POST /function/deployments/create/executor-001", &balancer)?;
        Ok(fixtures)
    }

    fn diamond(&mut self) -> Res<()> {
        for name in ["a", "b", "c", "d"] {
            let body = json!({"name": name, "policy_rule_uri": "echo:1.0-test"});
            self.must("POST /function/deployments/create/executor-001", &body)?;
        }
        let connections = json!({"a": ["b", "c"], "b": ["d"], "c": ["d"]});
        self.must("POST /graphs", &graph("diamond", &json!(["a", "b", "c", "d"]), &connections)).map(drop)
    }
}

/// Waits until a policy is loaded; gives the code of the failure if it cannot be.
pub(crate) fn loaded(desk: &mut Desk<'_>, uri: &str) -> Res<Option<String>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Answer::Done(body) = desk.ask("wait for a policy", &format!("GET /policy/{uri}"), &Value::Null, &[]) {
            let load = &body["data"]["load"];
            if load["state"] != "pending" {
                return Ok(load["code"].as_str().map(str::to_owned));
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{uri} is not loaded within {PATIENCE:?}").into())
}

fn ready(desk: &mut Desk<'_>, uri: &str) -> Res<()> {
    match loaded(desk, uri)? {
        None => Ok(()),
        Some(code) => Err(format!("{uri} cannot be loaded: {code}").into()),
    }
}
