//! What the record of a graph must hold.

use lictor_model::{Entry, FieldError, field::shorten, graph};
use serde_json::Value;

use crate::{registry::Entity, store::Kind};

/// Functions that are wired together.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphEntity;

impl Entity for GraphEntity {
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
