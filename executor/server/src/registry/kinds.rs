//! The kinds of records that have nothing but their documents: graphs, functions and jobs.

use lictor_model::{Entry, FieldError, field::shorten, function, graph, job};
use serde_json::Value;

use super::Entity;
use crate::store::Kind;

/// Functions that are wired together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Graphs;

/// Policies that are deployed to stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Functions;

/// Runs of policies, and what came of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jobs;

impl Entity for Graphs {
    const KIND: Kind = Kind::Graph;
    const NOUN: &'static str = "graph";
    const ID: &'static str = "graph_uri";

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        graph::parse(body)
    }

    fn not_found(&self, id: &str) -> String {
        format!("Graph with URI '{}' not found.", shorten(id, 200))
    }
}

impl Entity for Functions {
    const KIND: Kind = Kind::Function;
    const NOUN: &'static str = "function";
    const ID: &'static str = "function_id";

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        function::parse(body)
    }

    fn not_found(&self, _id: &str) -> String {
        "Function not found.".into()
    }
}

impl Entity for Jobs {
    const KIND: Kind = Kind::Job;
    const NOUN: &'static str = "job";
    const ID: &'static str = "job_id";

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        job::parse(body)
    }

    fn not_found(&self, id: &str) -> String {
        format!("Job with ID '{}' not found.", shorten(id, 200))
    }
}
