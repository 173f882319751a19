//! Schemas and documents.

use lictor_model::{Schema, Violation};
use serde_json::Value;

use crate::values;

/// A schema and a document. As text or as a value, a document gets the same verdict; and where the crate for JSON Schema
/// decides too, that of the crate.
pub(crate) fn schema(data: &[u8]) {
    let Some([written, document]) = values(data) else { return };
    let Ok(schema) = Schema::parse(&written) else { return };
    let violations = schema.check(&document);
    if violations.iter().any(undecided) {
        return;
    }
    let of_text = schema.check_text(&document.to_string());
    assert!(of_text.iter().any(undecided) || of_text == violations, "{of_text:?} and {violations:?}");
    let options = jsonschema::options().offline().should_validate_formats(false);
    // Patterns are of the same kind: others differ in what they can say, and in how long they take.
    let options = options.with_pattern_options(jsonschema::PatternOptions::regex());
    if is_json_schema(&written)
        && let Ok(validator) = options.build(&written)
    {
        assert_eq!(validator.is_valid(&document), violations.is_empty(), "{violations:?}");
    }
}

/// Whether it says that a check would take too long, which depends on how the document is written.
fn undecided(violation: &Violation) -> bool {
    violation.message.contains("too large")
}

fn is_json_schema(schema: &Value) -> bool {
    schema.get("$schema").is_some() || schema.get("type").is_some_and(Value::is_string)
}
