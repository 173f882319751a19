//! What came of a call.
//!
//! A guest can fail only into an [`Outcome`]: a policy that was stopped is an answer, not an error of ours.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::schema::Violation;

/// What a guest did with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered with this JSON text.
    Finished(String),
    /// It answered that it could not.
    Failed(Failure),
    /// It was stopped.
    Stopped(Stop),
}

/// The guest's own account of why it could not answer: `failure` of the WIT package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short stable identifier chosen by the policy.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// JSON text with anything else.
    pub details: Option<String>,
}

/// Why the sandbox stopped a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which bound or rule.
    pub kind: StopKind,
    /// What happened, for a person. Never a path or an address of the host.
    pub message: String,
    /// What did not match, if a schema stopped it.
    pub violations: Vec<Violation>,
}

/// The bounds and rules that stop a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// It did something that WebAssembly forbids, or gave up.
    Trap,
    /// It recursed too deeply.
    StackOverflow,
    /// Its time was over.
    Timeout,
    /// It wanted more memory than it may have, and gave up.
    OutOfMemory,
    /// It used up its fuel.
    OutOfFuel,
    /// Its answer was larger than it may be.
    OutputTooLarge,
    /// Its answer was not a document.
    BadOutput,
    /// The input did not match the policy's schema.
    InputSchema,
    /// The answer did not match the policy's schema.
    OutputSchema,
    /// It called the host too often, or with too much.
    HostcallLimit,
    /// It used something it was not granted, through an interface that has no error to say so.
    DeniedCapability,
}

impl StopKind {
    /// Every kind, for tables.
    pub const ALL: [Self; 11] = [
        Self::Trap,
        Self::StackOverflow,
        Self::Timeout,
        Self::OutOfMemory,
        Self::OutOfFuel,
        Self::OutputTooLarge,
        Self::BadOutput,
        Self::InputSchema,
        Self::OutputSchema,
        Self::HostcallLimit,
        Self::DeniedCapability,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::StackOverflow => "stack_overflow",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfFuel => "out_of_fuel",
            Self::OutputTooLarge => "output_too_large",
            Self::BadOutput => "bad_output",
            Self::InputSchema => "input_schema",
            Self::OutputSchema => "output_schema",
            Self::HostcallLimit => "hostcall_limit",
            Self::DeniedCapability => "denied_capability",
        }
    }

    /// Whether a limit stopped the guest, as against its own fault.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::Timeout | Self::OutOfMemory | Self::OutOfFuel | Self::OutputTooLarge | Self::HostcallLimit)
    }
}

impl Stop {
    /// A stop of this kind.
    pub fn new(kind: StopKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), violations: Vec::new() }
    }

    /// A stop because `what`, such as "the input", does not match its schema.
    pub fn violating(kind: StopKind, what: &str, violations: Vec<Violation>) -> Self {
        let listed = violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ");
        let message = format!("{what} does not match the policy's schema: {listed}");
        Self { kind, message, violations }
    }

    /// As callers are told of it.
    pub fn to_json(&self) -> Value {
        let mut res = Map::new();
        res.insert("success".into(), false.into());
        res.insert("code".into(), self.kind.code().into());
        res.insert("message".into(), self.message.as_str().into());
        if !self.violations.is_empty() {
            res.insert("violations".into(), json!(self.violations));
        }
        res.into()
    }
}

impl Outcome {
    /// `ok`, or the stable code of what went wrong.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Finished(_) => "ok",
            Self::Failed(_) => "policy_error",
            Self::Stopped(stop) => stop.kind.code(),
        }
    }
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// From before the instance was made to the answer, in microseconds.
    pub wall_us: u64,
    /// Fuel used; absent when the call was not metered.
    pub fuel: Option<u64>,
    /// The most linear memory at one time, in bytes, all memories together.
    pub peak_memory_bytes: u64,
    /// Calls from the guest to the host.
    pub host_calls: u64,
    /// Whether log lines were dropped or cut.
    pub log_truncated: bool,
}
