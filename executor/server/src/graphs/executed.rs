//! What came of an execution of a graph.

use std::{sync::Arc, time::Instant};

use lictor_model::{Outcome, Usage, Violation, field::shorten, graph::Plan};

use crate::error::Error;

/// Warnings that an answer has at most.
const MAX_WARNINGS: usize = 100;

/// What came of an execution.
#[derive(Debug)]
pub struct Executed {
    /// How it ended.
    pub ended: Ended,
    /// What each node did, each after its parents.
    pub nodes: Vec<NodeRun>,
    /// What did not match a schema, where that is only warned about.
    pub warnings: Vec<String>,
    /// What it used, all nodes together; the time is that of the whole.
    pub usage: Usage,
}

/// How an execution ended.
#[derive(Debug)]
pub enum Ended {
    /// The last node answered this.
    Answered(Arc<str>),
    /// A node failed or was stopped, or the graph was.
    Failed {
        /// The node to blame, if it is one.
        node: Option<Arc<str>>,
        /// What came of it; never an answer.
        outcome: Outcome,
    },
    /// A node could not be run.
    NotRun {
        /// Which.
        node: Arc<str>,
        /// Why.
        error: Error,
    },
}

/// What one node did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRun {
    /// Its function.
    pub function_id: Arc<str>,
    /// `ok`, a code, `cancelled` where it was stopped because of another one, `skipped` where it was never begun.
    pub outcome: &'static str,
    /// What is said of that.
    pub message: Option<String>,
    /// What it answered, if that was to be told.
    pub output: Option<Arc<str>>,
    /// When it began, from the beginning of the execution, in microseconds.
    pub started_us: Option<u64>,
    /// How long it took, in microseconds.
    pub wall_us: Option<u64>,
}

impl Executed {
    /// One of which no node was begun.
    pub(super) fn before(plan: &Plan, ended: Ended, began: Instant) -> Self {
        let skipped = |id: &Arc<str>| NodeRun { function_id: Arc::clone(id), outcome: "skipped", ..NodeRun::default() };
        Self {
            ended,
            nodes: plan.nodes().iter().map(|node| skipped(&node.function_id)).collect(),
            warnings: Vec::new(),
            usage: Usage { wall_us: micros(began), ..Usage::default() },
        }
    }

    /// Adds what did not match, of a node or of the graph.
    pub(super) fn warn(&mut self, node: Option<&str>, violations: &[Violation]) {
        warn(&mut self.warnings, node, violations);
    }
}

/// Adds what did not match to `warnings`, up to their bound.
pub(super) fn warn(warnings: &mut Vec<String>, node: Option<&str>, violations: &[Violation]) {
    for violation in violations {
        match (warnings.len(), node) {
            (MAX_WARNINGS, _) => warnings.push("and more, which are left out".into()),
            (n, _) if MAX_WARNINGS < n => return,
            (_, Some(node)) => warnings.push(format!("node `{}`: {violation}", shorten(node, 60))),
            (_, None) => warnings.push(violation.to_string()),
        }
    }
}

/// Adds what a node used.
pub(super) fn add(usage: &mut Usage, node: &Usage) {
    usage.fuel = match (usage.fuel, node.fuel) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    usage.peak_memory_bytes = usage.peak_memory_bytes.max(node.peak_memory_bytes);
    usage.host_calls = usage.host_calls.saturating_add(node.host_calls);
    usage.log_truncated |= node.log_truncated;
}

/// Microseconds since then.
pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
