//! The records of jobs in their registry.

use lictor_model::{Entry, FieldError, field::shorten, job};
use serde_json::Value;

use crate::{registry::Entity, store::Kind};

/// Runs of policies, and what came of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobEntity;

impl Entity for JobEntity {
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
