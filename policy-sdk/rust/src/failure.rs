//! How a policy says that it has no answer.

use std::fmt;

use serde_json::Value;

/// Why a call did not give an answer. The caller sees it as the outcome `policy_error`.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// A short stable identifier that a program can act on, such as `unknown_action`.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// Anything a program may need beside the code.
    pub details: Option<Value>,
}

impl Failure {
    /// A failure of the policy's own kind.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), details: None }
    }

    /// Adds what a program may need beside the code.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// `invalid_settings`: the policy cannot work with these settings.
    pub fn invalid_settings(why: impl fmt::Display) -> Self {
        Self::new("invalid_settings", why.to_string())
    }

    /// `invalid_parameters`: the policy cannot work with these parameters.
    pub fn invalid_parameters(why: impl fmt::Display) -> Self {
        Self::new("invalid_parameters", why.to_string())
    }

    /// `invalid_input`: there is no deciding about this input.
    pub fn invalid_input(why: impl fmt::Display) -> Self {
        Self::new("invalid_input", why.to_string())
    }

    /// `invalid_data`: a management command, the context or another's answer holds what it should not.
    pub fn invalid_data(why: impl fmt::Display) -> Self {
        Self::new("invalid_data", why.to_string())
    }

    /// `unknown_action`: there is no such management command.
    pub fn unknown_action(action: &str) -> Self {
        Self::new("unknown_action", format!("unknown action `{action}`"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}
