//! What decisions were made by: a line of its own, written once in each segment that has such decisions.

use lictor_model::{Capabilities, Digest, Limits};
use lictor_sandbox::Policy;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Privacy, record::text_member};

/// One version of a policy: the bytes, and what they are run with.
#[derive(Debug)]
pub struct Version {
    /// Tells versions apart.
    pub(super) key: Digest,
    /// The line, from after its number to before its hash.
    pub(super) text: Vec<u8>,
    pub(super) privacy: Privacy,
    pub(super) timeout_ms: u64,
}

#[derive(Serialize)]
struct Rest<'a> {
    limits: &'a Limits,
    capabilities: Granted<'a>,
    deterministic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<&'a Map<String, Value>>,
    privacy: &'a Privacy,
}

#[derive(Serialize)]
struct Granted<'a> {
    http: Vec<String>,
    context: bool,
    host: Vec<&'a str>,
}

impl Version {
    pub(super) fn new(
        policy: &Policy,
        limits: &Limits,
        schemas: Option<&Map<String, Value>>,
        privacy: Privacy,
    ) -> Self {
        let Capabilities { http, context, host } = &*policy.grant;
        let capabilities = Granted {
            http: http.iter().map(ToString::to_string).collect(),
            context: *context,
            host: host.iter().map(AsRef::as_ref).collect(),
        };
        let rest = Rest { limits, capabilities, deterministic: policy.deterministic, schemas, privacy: &privacy };
        let of = |text: &str| Digest::of(text.as_bytes());
        let mut text = format!(
            r#","policy":{{"policy_rule_uri":"{}","component_digest":"{}","settings_digest":"{}","parameters_digest":"{}""#,
            policy.uri,
            policy.module.digest(),
            of(&policy.settings),
            of(&policy.parameters),
        )
        .into_bytes();
        if let Some(interpreter) = policy.module.interpreter() {
            text.extend_from_slice(format!(r#","interpreter_digest":"{interpreter}""#).as_bytes());
        }
        text_member(&mut text, "settings", &policy.settings);
        text_member(&mut text, "parameters", &policy.parameters);
        let rest = serde_json::to_string(&rest).unwrap_or_default();
        // Members beside the others, so without the object's own braces.
        text.push(b',');
        text.extend_from_slice(rest.as_bytes().get(1..).unwrap_or_default());
        Self { key: Digest::of(&text), text, privacy, timeout_ms: timeout_ms(limits) }
    }
}

/// The time-out of these limits.
pub fn timeout_ms(limits: &Limits) -> u64 {
    u64::try_from(limits.timeout().as_millis()).unwrap_or(u64::MAX)
}
