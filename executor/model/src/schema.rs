//! Schemas: what a document must look like, parsed once, then checked against many documents.
//!
//! A schema is written in one of two languages, in the same field of a record:
//!
//! - **JSON Schema**, if its top level has `$schema`, or a `type` that is a string (`json_schema`);
//! - otherwise the original's **template** language, a map of field specifications (`template`). A field that is
//!   itself called `type` has an object there, so the two cannot be mistaken for each other.
//!
//! A check names everything that is wrong, each thing with its dotted path (`local_allowlist.3`), and never quotes
//! what it found there: settings and parameters may hold secrets, and messages go to callers and logs.
//!
//! Both schemas and documents come from outside, so both are bounded. A schema has a bounded number of parts, and its
//! patterns are of a kind that needs time linear in the text, with a bounded size; a check has a bounded amount of
//! work to spend, and what would need more is a violation. Documents longer than [`LARGE`] are worth a thread of their
//! own.

mod budget;
mod check;
mod cost;
mod json_schema;
mod pattern;
mod policy;
mod template;
mod violation;

pub use policy::{ManagementSchemas, SchemaMode, Schemas};
use serde_json::Value;
pub use violation::{MAX_VIOLATIONS, Violation};

use self::{budget::Budget, json_schema::JsonSchema, template::Template};
use crate::field::FieldError;

/// Texts longer than this can take longer to check than a task should keep its thread.
pub const LARGE: usize = 16 << 10;

/// A schema that was parsed.
#[derive(Debug)]
pub struct Schema {
    language: Language,
    warnings: Vec<FieldError>,
}

#[derive(Debug)]
enum Language {
    Anything,
    Template(Box<Template>),
    JsonSchema(Box<JsonSchema>),
}

impl Schema {
    /// Reads a schema. The error's field is the path of what is wrong inside it.
    pub fn parse(value: &Value) -> Result<Self, FieldError> {
        Self::parse_within(value, &mut Budget::default())
    }

    fn parse_within(value: &Value, budget: &mut Budget) -> Result<Self, FieldError> {
        budget.take_parts(value)?;
        let Value::Object(members) = value else {
            return Err(FieldError::new("", "must be an object: a map of fields, or a JSON Schema"));
        };
        if json_schema::is_one(members) {
            let schema = JsonSchema::parse(value, members, budget)?;
            let language = schema.map_or(Language::Anything, |schema| Language::JsonSchema(Box::new(schema)));
            return Ok(Self { language, warnings: Vec::new() });
        }
        if members.is_empty() {
            return Ok(Self { language: Language::Anything, warnings: Vec::new() });
        }
        let (template, warnings) = Template::parse(members, budget)?;
        Ok(Self { language: Language::Template(Box::new(template)), warnings })
    }

    /// Whether every document matches it.
    pub fn is_anything(&self) -> bool {
        matches!(self.language, Language::Anything)
    }

    /// What its author should know although it is no error: attributes that have no effect.
    pub fn warnings(&self) -> &[FieldError] {
        &self.warnings
    }

    /// Everything about `document` that does not match; nothing if it does.
    pub fn check(&self, document: &Value) -> Vec<Violation> {
        match &self.language {
            Language::Anything => Vec::new(),
            Language::Template(template) => template.check(document),
            Language::JsonSchema(schema) => schema.check(document),
        }
    }

    /// The same for a document that is JSON text. Reads it once.
    pub fn check_text(&self, text: &str) -> Vec<Violation> {
        match &self.language {
            Language::Anything => Vec::new(),
            Language::Template(template) => template.check_text(text),
            Language::JsonSchema(schema) => schema.check_text(text),
        }
    }
}

#[cfg(test)]
mod tests;
