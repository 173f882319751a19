//! The policy record: the seed's `PolicyRule` with the optional fields of ours.
//!
//! A record is kept as the document its author wrote, completed with the defaults that clients of the original
//! expect to read back; [`PolicySpec`] is the part of it that an executor acts on.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    capabilities::Capabilities,
    code::CodeRef,
    digest::Digest,
    document::{Field, Shape, complete, object, optional, text, unknown},
    field::{FieldError, shorten},
    id::PolicyUri,
    limits::LimitsSpec,
    schema::Schemas,
};

/// A record that passed every check.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The whole document, normalised.
    pub document: Map<String, Value>,
    /// What an executor acts on.
    pub spec: PolicySpec,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

/// What an executor acts on.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// The identity, made of name, version and release tag.
    pub uri: PolicyUri,
    /// What kind of code it is.
    pub kind: PolicyKind,
    /// Where the code is.
    pub code: CodeRef,
    /// What the bytes at `code` must hash to.
    pub code_digest: Option<Digest>,
    /// `policy_settings` as JSON text.
    pub settings: String,
    /// `policy_parameters` as JSON text.
    pub parameters: String,
    /// The limits asked for.
    pub limits: LimitsSpec,
    /// The capabilities asked for.
    pub capabilities: Capabilities,
    /// Whether clocks are frozen and random numbers seeded.
    pub deterministic: bool,
    /// What its documents must look like.
    pub schemas: Arc<Schemas>,
}

/// The kinds of code, by the record's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// `wasm_component_v1`.
    WasmComponent,
    /// `python_class_v1`, the original's.
    PythonClass,
}

/// Fields of the original that a record may leave out, and what is then read back.
///
/// The real service demands three of them that its own document lacks, and its clients read all of them, so all
/// are optional here and always returned.
const OPTIONAL: [Field; 13] = [
    optional("metadata", Shape::Any),
    optional("tags", Shape::TextOrList),
    optional("code_type", Shape::Text),
    optional("policy_input_schema", Shape::Object),
    optional("policy_output_schema", Shape::Object),
    optional("policy_settings_schema", Shape::Object),
    optional("policy_parameters_schema", Shape::Object),
    optional("policy_settings", Shape::Object),
    optional("policy_parameters", Shape::Object),
    optional("management_commands_schema", Shape::List),
    optional("description", Shape::Text),
    optional("functionality_data", Shape::Object),
    optional("resource_estimates", Shape::Object),
];

const REQUIRED: [&str; 5] = ["name", "version", "release_tag", "code", "type"];
const OURS: [&str; 5] = ["code_digest", "limits", "capabilities", "schema_mode", "deterministic"];
/// Fields that are computed: read back by a client and sent again, they are ignored.
const COMPUTED: [&str; 4] = ["policy_rule_uri", "component_digest", "load", "_id"];

impl Draft {
    /// Reads a record as it was posted.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let mut document = object(body, "a policy record")?;
        for name in COMPUTED {
            document.shift_remove(name);
        }
        let mut warnings = unknown(&document, |name| {
            REQUIRED.contains(&name) || OURS.contains(&name) || OPTIONAL.iter().any(|field| field.name == name)
        });
        complete(&mut document, &OPTIONAL)?;
        let (schemas, of_schemas) = Schemas::parse(&document)?;
        warnings.extend(of_schemas);
        let spec = PolicySpec::read(&document, schemas)?;
        document.insert("policy_rule_uri".into(), json!(spec.uri.as_str()));
        Ok(Self { document, spec, warnings })
    }
}

impl PolicySpec {
    fn read(document: &Map<String, Value>, schemas: Schemas) -> Result<Self, FieldError> {
        let (name, version, tag) =
            (text(document, "name")?, text(document, "version")?, text(document, "release_tag")?);
        let uri = PolicyUri::of(name, version, tag)?;
        let kind = PolicyKind::parse(text(document, "type")?)?;
        let code = text(document, "code")?;
        let code = match kind {
            PolicyKind::WasmComponent => code.parse(),
            PolicyKind::PythonClass => CodeRef::of_python(code),
        };
        let code = code.map_err(|error| FieldError::new("code", format!("{error}")))?;
        Ok(Self {
            uri,
            kind,
            code,
            code_digest: code_digest(document)?,
            settings: document.get("policy_settings").unwrap_or(&json!({})).to_string(),
            parameters: document.get("policy_parameters").unwrap_or(&json!({})).to_string(),
            limits: document.get("limits").map(LimitsSpec::parse).transpose()?.unwrap_or_default(),
            capabilities: document.get("capabilities").map(Capabilities::parse).transpose()?.unwrap_or_default(),
            deterministic: match document.get("deterministic") {
                None => false,
                Some(value) => {
                    value.as_bool().ok_or_else(|| FieldError::new("deterministic", "must be true or false"))?
                }
            },
            schemas: Arc::new(schemas),
        })
    }
}

impl PolicyKind {
    /// As a record says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WasmComponent => "wasm_component_v1",
            Self::PythonClass => "python_class_v1",
        }
    }

    fn parse(text: &str) -> Result<Self, FieldError> {
        match text {
            "wasm_component_v1" => Ok(Self::WasmComponent),
            "python_class_v1" => Ok(Self::PythonClass),
            other => Err(FieldError::new(
                "type",
                format!("must be `wasm_component_v1` or `python_class_v1`, not `{}`", shorten(other, 40)),
            )),
        }
    }
}

fn code_digest(document: &Map<String, Value>) -> Result<Option<Digest>, FieldError> {
    let Some(value) = document.get("code_digest") else { return Ok(None) };
    let wrong = |why: String| FieldError::new("code_digest", why);
    let text = value.as_str().ok_or_else(|| wrong("must be a string such as `sha256:…`".into()))?;
    text.parse().map(Some).map_err(|error| wrong(format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Value {
        json!({"name": "a", "version": "1.0", "release_tag": "beta", "type": "wasm_component_v1", "code": "https://example.com/a.zip"})
    }

    fn with(name: &str, value: Value) -> Result<Draft, FieldError> {
        let mut body = minimal();
        body[name] = value;
        Draft::parse(body)
    }

    #[test]
    fn a_minimal_record_reads_back_with_every_field_a_client_needs() {
        let draft = Draft::parse(minimal()).unwrap();
        for name in [
            "metadata",
            "tags",
            "code_type",
            "functionality_data",
            "policy_input_schema",
            "policy_rule_uri",
            "management_commands_schema",
        ] {
            assert!(draft.document.contains_key(name), "{name}");
        }
        assert_eq!(draft.document["policy_rule_uri"], "a:1.0-beta");
        assert_eq!(Draft::parse(Value::Object(draft.document.clone())).unwrap().document, draft.document);
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (name, value) in [
            ("name", json!("")),
            ("name", json!("a/b")),
            ("version", json!(1.0)),
            ("type", json!("jar")),
            ("code", json!("gopher://x/")),
            ("tags", json!(5)),
            ("policy_settings", json!([])),
            ("management_commands_schema", json!({})),
            ("code_digest", json!("md5:1")),
            ("limits", json!({"cpu": 1})),
            ("limits.timeout_ms", json!(null)),
            ("capabilities", json!({"files": []})),
            ("schema_mode", json!("strict")),
            ("deterministic", json!("yes")),
        ] {
            let (top, value) =
                if name == "limits.timeout_ms" { ("limits", json!({"timeout_ms": 0})) } else { (name, value) };
            assert_eq!(with(top, value).unwrap_err().field(), name);
        }
        for name in REQUIRED {
            let mut body = minimal();
            body.as_object_mut().unwrap().remove(name);
            assert_eq!(Draft::parse(body).unwrap_err().to_string(), format!("`{name}` is required"));
        }
        assert!(Draft::parse(json!([])).is_err());
    }

    #[test]
    fn unknown_fields_are_kept_and_named() {
        let draft = with("colour", json!("red")).unwrap();
        assert_eq!(draft.document["colour"], "red");
        assert_eq!(draft.warnings, ["unknown field `colour` is kept and not used"]);
    }
}
