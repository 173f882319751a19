//! The lines of the log as they are read.

use std::borrow::Cow;

use lictor_model::Failure;
use lictor_sandbox::{Data, Event};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, value::RawValue};

/// A line. Its first member says its number, the next one what it is.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    /// Its number, counted from 1 over all segments.
    pub n: u64,
    /// The first line of a segment.
    #[serde(borrow)]
    pub segment: Option<Segment<'a>>,
    /// A server began to write.
    pub started: Option<Started>,
    /// What decisions are made by.
    #[serde(borrow)]
    pub policy: Option<&'a RawValue>,
    /// The id of a decision.
    pub decision: Option<&'a str>,
    /// Where the log stood, signed.
    #[serde(borrow)]
    pub checkpoint: Option<Checkpoint<'a>>,
    /// Decisions that are not in the log.
    pub lost: Option<LostLine>,
    /// Segments that were removed to make room, or for their age.
    pub dropped: Option<Dropped>,
}

/// The first line of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Segment<'a> {
    /// The log that it is of.
    #[serde(borrow)]
    pub log: Cow<'a, str>,
    /// How its lines are written.
    pub format: u32,
    /// The hash of the last line of the segment before.
    #[serde(borrow)]
    pub previous: Cow<'a, str>,
    /// When.
    pub at_ms: u64,
    /// Whose signatures it has: a public Ed25519 key in hexadecimal digits.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
}

/// A server began to write.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// When.
    pub at_ms: u64,
    /// Its version.
    pub lictor: String,
    /// Bytes of an unfinished line that were cut off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_bytes: u64,
    /// Records that the head of the log knew of and that were gone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Whether the head of the log was gone, so that nothing said where it had ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headless: bool,
}

/// Where the log stood: the line before this one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checkpoint<'a> {
    /// When.
    pub at_ms: u64,
    /// Over the log, the number of the line before this one, and its hash.
    #[serde(borrow)]
    pub signature: Cow<'a, str>,
}

/// Decisions that were made and are not in the log.
#[derive(Debug, Serialize, Deserialize)]
pub struct LostLine {
    /// How many.
    pub decisions: u64,
    /// When the first of them began.
    pub from_ms: u64,
    /// When the last of them began.
    pub to_ms: u64,
}

/// Segments that were removed to make room, or for their age.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// The last line of them.
    pub through: u64,
    /// When.
    pub at_ms: u64,
}

/// Who asked for a decision.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Caller<'a> {
    /// The id of the token.
    pub token: &'a str,
    /// Its name, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What decisions were made by.
#[derive(Debug, Deserialize)]
pub struct Made {
    /// The policy.
    pub policy_rule_uri: String,
    /// The component.
    pub component_digest: String,
    /// The component that ran it, of a policy in an interpreted language.
    pub interpreter_digest: Option<String>,
    /// Of the settings' text.
    pub settings_digest: String,
    /// Of the parameters' text.
    pub parameters_digest: String,
    settings: Option<Box<RawValue>>,
    settings_text: Option<String>,
    parameters: Option<Box<RawValue>>,
    parameters_text: Option<String>,
    /// What a call might use.
    pub limits: Value,
    /// What it might reach.
    pub capabilities: Value,
    /// Whether its clock stood still.
    pub deterministic: bool,
    /// What its documents must look like.
    pub schemas: Option<Map<String, Value>>,
}

impl Made {
    /// The settings, byte for byte.
    pub fn settings(&self) -> &str {
        either(self.settings.as_deref(), self.settings_text.as_deref()).unwrap_or("{}")
    }

    /// The parameters, byte for byte.
    pub fn parameters(&self) -> &str {
        either(self.parameters.as_deref(), self.parameters_text.as_deref()).unwrap_or("{}")
    }
}

fn either<'a>(raw: Option<&'a RawValue>, text: Option<&'a str>) -> Option<&'a str> {
    raw.map(RawValue::get).or(text)
}

/// A decision.
#[derive(Debug, Deserialize)]
pub struct Decided {
    /// Its number in the log.
    pub n: u64,
    /// The line that says what it was made by, in the same segment.
    pub version: u64,
    /// Its id.
    pub decision: String,
    /// When it began.
    pub at_ms: u64,
    /// The policy.
    pub policy: String,
    /// Where the call came from.
    pub origin: String,
    /// Who asked.
    pub caller: Option<CallerOwned>,
    /// The trace that it is part of.
    pub trace: Option<String>,
    /// How long it might take, if not as long as the policy's limits say.
    pub timeout_ms: Option<u64>,
    /// Whether nothing of it lasts.
    #[serde(default)]
    pub dry_run: bool,
    /// The instance, if that was kept.
    pub instance: Option<String>,
    /// The how many-th call of it this was.
    pub sequence: Option<u64>,
    /// What was asked, if not for a decision: `init`, `management`, `save` or `restore`.
    pub op: Option<String>,
    /// The management command.
    pub action: Option<String>,
    /// Whose state was restored.
    pub from_policy_uri: Option<String>,
    /// The state.
    pub state: Option<Data>,
    #[serde(default, deserialize_with = "present")]
    input: Option<Box<RawValue>>,
    input_text: Option<String>,
    parameters: Option<Box<RawValue>>,
    parameters_text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    data_text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    output: Option<Box<RawValue>>,
    output_text: Option<String>,
    /// Of an answer that was not to be recorded itself.
    pub output_digest: Option<String>,
    /// `ok`, or what went wrong.
    pub outcome: String,
    /// What the policy said of why it failed.
    pub failure: Option<FailedOwned>,
    /// Of that, where it was not to be recorded itself.
    pub failure_digest: Option<String>,
    /// Why it was stopped.
    pub message: Option<String>,
    /// How long it took, in microseconds.
    #[serde(default)]
    pub wall_us: u64,
    /// The most memory at one time, in bytes.
    #[serde(default)]
    pub memory: u64,
    /// The fuel it used, if that was counted.
    pub fuel: Option<u64>,
    /// Calls from the guest to the host.
    #[serde(default)]
    pub host_calls: u64,
    /// What it was told.
    #[serde(default)]
    pub calls: Vec<Event>,
    /// Whether not all of that was kept.
    #[serde(default)]
    pub calls_cut: bool,
    /// Whether parts of it were replaced.
    #[serde(default)]
    pub masked: bool,
}

/// Tells a document that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// See [`Caller`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerOwned {
    /// The id of the token.
    pub token: String,
    /// Its name, where that is known.
    pub name: Option<String>,
}

/// What a policy said of why it failed.
#[derive(Clone, Debug, Deserialize)]
pub struct FailedOwned {
    code: String,
    message: String,
    details: Option<String>,
}

impl From<FailedOwned> for Failure {
    fn from(failed: FailedOwned) -> Self {
        let FailedOwned { code, message, details } = failed;
        Self { code, message, details }
    }
}

impl Decided {
    /// Whether only the digest of the answer was recorded.
    pub fn hides_answer(&self) -> bool {
        self.output_digest.is_some() || self.failure_digest.is_some()
    }

    /// The input, byte for byte.
    pub fn input(&self) -> Option<&str> {
        either(self.input.as_deref(), self.input_text.as_deref())
    }

    /// The parameters that the call brought.
    pub fn parameters(&self) -> Option<&str> {
        either(self.parameters.as_deref(), self.parameters_text.as_deref())
    }

    /// The data of a management command.
    pub fn data(&self) -> Option<&str> {
        either(self.data.as_deref(), self.data_text.as_deref())
    }

    /// The answer.
    pub fn output(&self) -> Option<&str> {
        either(self.output.as_deref(), self.output_text.as_deref())
    }
}
