//! What can go wrong, each with a code that a program can go by.

use lictor_loader::LoadError;
use lictor_model::{Failure, FieldError, Stop};
use lictor_sandbox::RunError;

/// Why there is no answer. The same whether the policy runs here or on an executor.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the application gave makes no sense.
    #[error(transparent)]
    InvalidInput(#[from] FieldError),
    /// The system has no such policy.
    #[error("Policy rule with URI '{0}' not found.")]
    NotFound(String),
    /// The system, or the executor, gave no answer to go by.
    #[error("{0}")]
    Unreachable(String),
    /// The code cannot be had, or is no policy.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The policy's own account of why it did not answer.
    #[error("{}", .0.message)]
    Policy(Failure),
    /// The policy was stopped: by a limit, by its own fault, or by its schemas.
    #[error("{}{}", stop.message, if *.state_lost { STATE_LOST } else { "" })]
    Stopped {
        /// Why.
        stop: Stop,
        /// Whether the instance is gone, with all that it remembered. The next call is made to a fresh one.
        state_lost: bool,
    },
    /// The system, or the executor, refused.
    #[error("{message}")]
    Refused {
        /// Its code; `internal` where it gave none.
        code: String,
        /// Its reason.
        message: String,
    },
    /// It cannot be done in this mode.
    #[error("{0}")]
    NotAvailable(String),
    /// Every instance of a sandbox that evaluators share is in use.
    #[error("every instance of the shared sandbox is in use")]
    Busy,
    /// Our own failure.
    #[error("{0}")]
    Internal(String),
}

const STATE_LOST: &str = "; what the policy remembered is lost, and the next call begins with a fresh instance";

impl Error {
    /// The stable code: `invalid_input`, `not_found`, `unreachable`, `not_available`, `busy`, `internal`, one of
    /// loading (`code_unreachable`, `digest_mismatch`, …), or that of an outcome (`policy_error`, `timeout`, `trap`, …).
    pub fn code(&self) -> &str {
        match self {
            Self::InvalidInput(_) => "invalid_input",
            Self::NotFound(_) => "not_found",
            Self::Unreachable(_) => "unreachable",
            Self::Load(error) => error.code().as_str(),
            Self::Policy(_) => "policy_error",
            Self::Stopped { stop, .. } => stop.kind.code(),
            Self::Refused { code, .. } => code,
            Self::NotAvailable(_) => "not_available",
            Self::Busy => "busy",
            Self::Internal(_) => "internal",
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Busy => Self::Busy,
            RunError::Internal(why) => Self::Internal(why),
        }
    }
}
