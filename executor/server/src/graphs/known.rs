//! The graphs that were executed before, as they are run.
//!
//! PERF: executing one reads no record of a graph that was not changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lictor_model::{Schemas, graph::Plan};
use serde_json::{Map, Value};

/// Graphs that are remembered.
const MAX_KNOWN: usize = 1000;

/// A graph as it is run.
pub(super) struct Graph {
    /// Its nodes, or why they cannot be run.
    pub(super) plan: Result<Plan, String>,
    /// What it is given and answers must look like.
    pub(super) schemas: Arc<Schemas>,
}

impl Graph {
    /// Reads a stored record.
    pub(super) fn of(document: &Map<String, Value>) -> Self {
        let parsed = Plan::parse(document)
            .and_then(|(plan, _)| Schemas::of_graph(document).map(|(schemas, _)| (plan, Arc::new(schemas))));
        match parsed {
            Ok((plan, schemas)) => Self { plan: Ok(plan), schemas },
            Err(error) => Self { plan: Err(error.to_string()), schemas: Arc::default() },
        }
    }
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Known {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    graphs: HashMap<String, Arc<Graph>>,
    /// How many records were changed so far.
    changes: u64,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph, if it is remembered.
    pub(super) fn get(&self, uri: &str) -> Option<Arc<Graph>> {
        self.lock().graphs.get(uri).cloned()
    }

    /// A number that is another one after any record was changed.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Remembers what was read, if nothing was changed since `seen`.
    pub(super) fn keep(&self, uri: &str, graph: &Arc<Graph>, seen: u64) {
        let mut inner = self.lock();
        if inner.changes != seen {
            return;
        }
        if MAX_KNOWN <= inner.graphs.len()
            && let Some(other) = inner.graphs.keys().next().cloned()
        {
            inner.graphs.remove(&other);
        }
        inner.graphs.insert(uri.to_owned(), Arc::clone(graph));
    }

    /// Forgets a graph that was changed or removed, or all.
    pub(super) fn forget(&self, uri: Option<&str>) {
        let mut inner = self.lock();
        inner.changes = inner.changes.wrapping_add(1);
        match uri {
            Some(uri) => drop(inner.graphs.remove(uri)),
            None => inner.graphs.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (known, graph) = (Known::default(), Arc::new(Graph::of(&Map::new())));
        let seen = known.changes();
        known.forget(Some("a:1-b"));
        known.keep("a:1-b", &graph, seen);
        assert!(known.get("a:1-b").is_none());
        known.keep("a:1-b", &graph, known.changes());
        assert!(known.get("a:1-b").is_some());
        known.forget(None);
        assert!(known.get("a:1-b").is_none());
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let (known, graph) = (Known::default(), Arc::new(Graph::of(&Map::new())));
        for i in 0..=MAX_KNOWN {
            known.keep(&format!("g{i}:1-b"), &graph, known.changes());
        }
        assert_eq!(known.lock().graphs.len(), MAX_KNOWN);
    }
}
