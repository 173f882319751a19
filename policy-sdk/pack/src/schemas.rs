//! The JSON Schemas that travel inside a component.
//!
//! The custom section `lictor:schemas`, at any depth of nesting, holds
//! `{"settings":…,"parameters":…,"input":…,"output":…}`: a JSON Schema each, as an object or a boolean. All four must
//! be there. The section's bytes are the author's, so everything about them is checked.

use serde::Deserialize;
use serde_json::Value;
use wasmparser::{Parser, Payload};

const SECTION: &str = "lictor:schemas";
/// The largest section that is read.
const MAX_BYTES: usize = 1024 * 1024;

/// The schemas of a policy's four documents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// Of the settings stored with the policy.
    pub settings: Value,
    /// Of the parameters, stored or brought by a call.
    pub parameters: Value,
    /// Of what is decided about.
    pub input: Value,
    /// Of the decision.
    pub output: Value,
}

/// Why a component's schemas cannot be had. Only [`Malformed`](Self::Malformed) says that the component is no good.
#[derive(Debug, thiserror::Error)]
pub enum SchemasError {
    /// The bytes are not WebAssembly all the way through.
    #[error("the component cannot be read: {0}")]
    Malformed(String),
    /// The section is too large.
    #[error("the section `lictor:schemas` has {bytes} bytes, and {MAX_BYTES} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// There is more than one section.
    #[error("the section `lictor:schemas` is there more than once")]
    Several,
    /// The section holds something else.
    #[error("the section `lictor:schemas` does not hold four schemas: {0}")]
    Content(String),
}

/// The schemas inside `component`, or none if it carries none.
pub fn schemas(component: &[u8]) -> Result<Option<Schemas>, SchemasError> {
    let Some(section) = find_section(component)? else { return Ok(None) };
    if MAX_BYTES < section.len() {
        return Err(SchemasError::TooLarge { bytes: section.len() });
    }
    let schemas: Schemas = serde_json::from_slice(section).map_err(|e| SchemasError::Content(e.to_string()))?;
    for (name, schema) in schemas.named() {
        if !schema.is_object() && !schema.is_boolean() {
            return Err(SchemasError::Content(format!("`{name}` is neither an object nor a boolean")));
        }
    }
    Ok(Some(schemas))
}

impl Schemas {
    /// The four with their names.
    pub(crate) fn named(&self) -> [(&'static str, &Value); 4] {
        [
            ("settings", &self.settings),
            ("parameters", &self.parameters),
            ("input", &self.input),
            ("output", &self.output),
        ]
    }
}

/// Walks the whole component, so that a broken one is noticed even if the section comes first. The parser keeps
/// its place among nested components on the heap, so that nesting costs no stack.
fn find_section(component: &[u8]) -> Result<Option<&[u8]>, SchemasError> {
    let mut found = None;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|e| SchemasError::Malformed(e.to_string()))?;
        let Payload::CustomSection(section) = payload else { continue };
        if section.name() == SECTION && found.replace(section.data()).is_some() {
            return Err(SchemasError::Several);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::tests::{core_module, custom_section, leb};
    use crate::componentize;

    const GOOD: &str = r#"{"settings":{},"parameters":{"type":"object"},"input":true,"output":{"type":"string"}}"#;

    fn component_with(sections: &[&[u8]]) -> Vec<u8> {
        let mut module = core_module();
        for data in sections {
            module.extend(custom_section(SECTION, data));
        }
        componentize(&module).unwrap()
    }

    #[test]
    fn finds_schemas_in_the_module_inside() {
        let schemas = schemas(&component_with(&[GOOD.as_bytes()])).unwrap().unwrap();
        assert_eq!(schemas.output, serde_json::json!({"type": "string"}));
        assert_eq!(schemas.input, Value::Bool(true));
    }

    #[test]
    fn finds_schemas_ten_thousand_components_down() {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        wasm.extend(custom_section(SECTION, GOOD.as_bytes()));
        for _ in 0..10_000 {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            outer.extend(leb(wasm.len()));
            outer.extend(wasm);
            wasm = outer;
        }
        assert!(schemas(&wasm).unwrap().is_some());
    }

    #[test]
    fn a_component_need_not_have_any() {
        assert_eq!(schemas(&component_with(&[])).unwrap(), None);
    }

    #[test]
    fn refuses_sections_that_are_something_else() {
        let large = vec![b' '; MAX_BYTES + 1];
        let deep = format!("{}{}", r#"{"settings":"#, "[".repeat(100_000));
        let extra = GOOD.replace("{\"settings\"", "{\"setings\":{},\"settings\"");
        for (section, says) in [
            (&b""[..], "EOF"),
            (b"\xff\xfe", "expected value"),
            (b"{}", "missing field"),
            (b"[]", "invalid length"),
            (br#"{"settings":1,"parameters":{},"input":{},"output":{}}"#, "`settings` is neither"),
            (br#"{"settings":{},"settings":{},"parameters":{},"input":{},"output":{}}"#, "duplicate field"),
            (extra.as_bytes(), "setings"),
            (deep.as_bytes(), "recursion limit"),
            (&large, "1048577 bytes"),
        ] {
            let error = schemas(&component_with(&[section])).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(!matches!(error, SchemasError::Malformed(_)), "{error}");
        }
        let twice = component_with(&[GOOD.as_bytes(), GOOD.as_bytes()]);
        assert!(matches!(schemas(&twice), Err(SchemasError::Several)));
    }

    #[test]
    fn refuses_a_component_cut_anywhere() {
        let whole = component_with(&[GOOD.as_bytes()]);
        let mut refused = 0;
        for end in 0..whole.len() {
            match schemas(whole.get(..end).unwrap()) {
                Err(SchemasError::Malformed(_)) => refused += 1,
                // Cut exactly between two sections: what is left is a shorter component.
                Ok(_) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert!(whole.len() - 32 < refused, "{refused} of {}", whole.len());
    }

    #[test]
    fn a_length_that_lies_is_refused_at_once() {
        for lie in [
            &b"\0\xff\xff\xff\xff\x0f"[..],
            b"\0\x80\x80\x80\x80\x80\x80",
            b"\0\0",
            b"\x01\xff\xff\xff\x7f",
            b"\x63\x01",
        ] {
            let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
            wasm.extend(lie);
            assert!(matches!(schemas(&wasm), Err(SchemasError::Malformed(_))), "{lie:x?}");
        }
    }
}
