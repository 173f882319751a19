//! The parts of a server in this process, without HTTP, with `ip_allowlist` in its registry.

use lictor::{
    access::Asker,
    app::App,
    config::{Config, Flags},
    executor::{Origin, Request},
    functions::FunctionCall,
    graphs::{Ended, GraphCall},
};
use lictor_loader::DiskCache;
use lictor_model::{Deploy, Outcome};
use lictor_sandbox::{Bounds, Compiler, Facts};
use lictor_tests::{guest_bytes, guest_record, guests_dir};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{INPUT, PARAMETERS, Res};

const POLICY: &str = "ip_allowlist:1.0-bench";
const GRAPH: &str = "chain:1.0-bench";
/// The functions that are deployed, and the nodes of the graph, one after the other.
const FUNCTIONS: [&str; 4] = ["first", "second", "third", "fourth"];

/// A server without its listeners.
pub struct Inside {
    app: App,
    _home: TempDir,
}

impl Inside {
    /// Builds the parts, with four functions and a graph of them.
    pub async fn new() -> Res<Self> {
        let home = tempfile::tempdir()?;
        let data_dir = home.path().join("data");
        let flags = Flags { data_dir: Some(data_dir), allow_file: vec![guests_dir()], ..Flags::default() };
        let config = Config::read(None, &flags)?;
        let app = App::build(&config).await?;
        let res = Self { app, _home: home };
        // A server compiles in a child that is itself; this program is none, so what is loaded is in the cache already.
        let component = guest_bytes("ip_allowlist");
        let facts = Facts::read(&component, &Bounds::default())?;
        let compiler = Compiler::new(false)?;
        let cache = DiskCache::open(&config.data_dir.join("cache"))?;
        cache.keep_artifact(&compiler.compile(&facts, &component)?, &compiler.hash());
        res.fill().await?;
        Ok(res)
    }

    async fn fill(&self) -> Res<()> {
        self.app.policies.create(policy(), lictor::access::Role::Admin).await?;
        self.app.policies.ready(POLICY).await?;
        let parameters: Value = serde_json::from_str(PARAMETERS)?;
        for name in FUNCTIONS {
            let body = json!({"name": name, "policy_rule_uri": POLICY, "policy_rule_parameters": parameters});
            self.app.functions.deploy("executor-001", Deploy::parse(body)?, false).await?;
        }
        let graph = json!({
            "graph_name": "chain", "graph_version": "1.0", "graph_release_tag": "bench", "graph_metadata": {},
            "graph_function_ids": FUNCTIONS,
            "graph_connection_data": {"first": ["second"], "second": ["third"], "third": ["fourth"]},
            "graph_search_tags": [], "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
        });
        self.app.graphs.create(graph).await?;
        Ok(())
    }

    /// One stateless call: found, schemas checked, run, counted.
    pub async fn execute(&self) -> Res<String> {
        let request =
            Request { policy_rule_uri: POLICY, input: INPUT, parameters: Some(PARAMETERS), ..Request::default() };
        answer(self.app.executor.execute(&request).await?.run.outcome)
    }

    /// One call of a resident function.
    pub async fn call(&self) -> Res<String> {
        self.call_one(FUNCTIONS[0], INPUT).await
    }

    /// What the graph does, by hand.
    pub async fn call_four(&self) -> Res<String> {
        let mut input = INPUT.to_owned();
        for name in FUNCTIONS {
            input = self.call_one(name, &input).await?;
        }
        Ok(input)
    }

    async fn call_one(&self, name: &str, input: &str) -> Res<String> {
        let call =
            FunctionCall { input, timeout_ms: None, dry_run: false, origin: Origin::Http, asker: &Asker::default() };
        answer(self.app.functions.call(name, call).await?.run.outcome)
    }

    /// One execution of a graph of four functions, one after the other.
    pub async fn graph(&self) -> Res<String> {
        let call = GraphCall { input: INPUT, timeout_ms: None, dry_run: false, trace: false, asker: Asker::default() };
        match self.app.graphs.execute(GRAPH, call).await?.ended {
            Ended::Answered(output) => Ok(output.to_string()),
            other => Err(format!("the graph did not answer: {other:?}").into()),
        }
    }

    /// Closes what is durable.
    pub async fn stop(self) {
        self.app.stop().await;
    }
}

/// The record of `ip_allowlist` with its schemas, and settings that have no `allowlist_api`.
pub fn policy() -> Value {
    let mut record = guest_record("ip_allowlist");
    record["release_tag"] = json!("bench");
    record["policy_settings"] = json!({});
    record
}

fn answer(outcome: Outcome) -> Res<String> {
    match outcome {
        Outcome::Finished(output) => Ok(output),
        other => Err(format!("an unexpected outcome: {other:?}").into()),
    }
}
