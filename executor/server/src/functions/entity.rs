//! Functions as records of a registry: what is stored, and how their replicas stand.

use std::sync::Arc;

use lictor_model::{Entry, FieldError, function};
use serde_json::{Map, Value, json};

use super::directory::Directory;
use crate::{
    error::Error,
    registry::Entity,
    store::{Candidate, Kind, Store},
};

/// Policies that are deployed to stay.
pub struct FunctionEntity {
    directory: Arc<Directory>,
}

impl FunctionEntity {
    /// Records of functions, of which those in `directory` are here.
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    /// Records of functions that are all elsewhere.
    #[cfg(test)]
    pub(crate) fn elsewhere() -> Self {
        Self::new(Directory::new(0))
    }

    fn laid_over(&self, name: &str) -> Map<String, Value> {
        let status = match self.directory.get(name) {
            Some(deployment) => deployment.status(),
            None => json!({
                "phase": "elsewhere",
                "replicas": [],
                "ready_replicas": 0,
                "utilization_percent": 0,
                "state_from": null,
                "message": "the executor that has it knows how its replicas stand",
            }),
        };
        [("function_status".to_owned(), status)].into_iter().collect()
    }
}

impl Entity for FunctionEntity {
    const KIND: Kind = Kind::Function;
    const NOUN: &'static str = "function";
    const ID: &'static str = "function_id";
    const COMPUTED: &'static [&'static str] = &["function_status"];

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        function::parse(body)
    }

    fn not_found(&self, _id: &str) -> String {
        "Function not found.".into()
    }

    fn computed(&self, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        Ok(self.laid_over(&candidate.id))
    }

    async fn read(&self, store: &Store, id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let Some(record) = store.read(Kind::Function, id).await? else { return Ok(None) };
        let mut document = record.document;
        document.extend(self.laid_over(id));
        Ok(Some(document))
    }
}
