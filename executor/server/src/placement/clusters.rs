//! Where something may run: every executor, with what is known of it, as allocators are told.

use std::collections::HashMap;

use lictor_model::{Query, alloc::cluster_id, json, query::Options};
use serde_json::{Map, Value};

use super::Parts;
use crate::{error::Error, store::ActiveJobs};

/// The clusters, by their ids.
pub(super) struct Clusters {
    /// Each one's record and metrics.
    pub(super) data: Map<String, Value>,
    /// Each one's executor.
    executors: HashMap<String, String>,
}

impl Clusters {
    /// The executor of a cluster, or of this id.
    pub(super) fn executor(&self, named: &str) -> Option<&str> {
        let by_id = || self.executors.values().find(|id| *id == named);
        self.executors.get(named).or_else(by_id).map(String::as_str)
    }
}

/// What the functions of one executor come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deployed {
    functions: u64,
    pub(super) replicas: u64,
}

impl Parts {
    /// Every executor that is registered.
    pub(super) async fn clusters(&self) -> Result<Clusters, Error> {
        let (deployed, jobs) = (self.deployed().await?, self.store.active_jobs().await?);
        let mut res = Clusters { data: Map::new(), executors: HashMap::new() };
        for record in self.executors.records().await? {
            let Some(id) = record.get("executor_id").and_then(Value::as_str).map(str::to_owned) else { continue };
            let metrics = self.metrics(&id, deployed.get(&id).copied(), jobs.get(&id).copied());
            // Of two executors that call themselves one cluster, the second goes by its own id.
            let cluster = cluster_id(&record).filter(|cluster| !res.executors.contains_key(*cluster));
            let cluster = cluster.unwrap_or(&id).to_owned();
            let told = [("data", Value::Object(record)), ("metrics", Value::Object(metrics))];
            res.data.insert(cluster.clone(), told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect());
            res.executors.insert(cluster, id);
        }
        Ok(res)
    }

    /// What is measured of one executor. What is not known is left out.
    fn metrics(&self, id: &str, deployed: Option<Deployed>, jobs: Option<ActiveJobs>) -> Map<String, Value> {
        let (deployed, jobs) = (deployed.unwrap_or_default(), jobs.unwrap_or_default());
        let calls = self.executors.load(id);
        let own = id == self.executors.own().0.as_str();
        let metrics = [
            ("functions", Some(deployed.functions)),
            ("replicas", Some(deployed.replicas)),
            ("max_replicas", own.then_some(self.max_replicas)),
            ("running_jobs", Some(jobs.running)),
            ("queued_jobs", Some(jobs.pending)),
            ("max_queued_jobs", own.then_some(self.max_queued_jobs)),
            ("running_calls", calls.map(|(running, _)| running)),
            ("max_processes", calls.map(|(_, most)| most)),
        ];
        metrics.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?.into()))).collect()
    }

    /// The functions of every executor.
    pub(super) async fn deployed(&self) -> Result<HashMap<String, Deployed>, Error> {
        let fields = [("projection", "function_executor_id,replicas")];
        let options = Options::parse(fields.into_iter())?;
        let found = self.functions.registry().query(Query { options, ..Query::default() }).await?;
        let mut res = HashMap::<String, Deployed>::new();
        for document in &found.documents {
            let Ok(record) = json::parse(document) else { continue };
            let Some(id) = record.get("function_executor_id").and_then(Value::as_str) else { continue };
            let deployed = res.entry(id.to_owned()).or_default();
            deployed.functions += 1;
            deployed.replicas += record.get("replicas").and_then(Value::as_u64).unwrap_or(1);
        }
        Ok(res)
    }
}
