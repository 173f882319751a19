//! Why a request is not served: the caller asked wrongly, or we failed.
//!
//! A policy that failed or was stopped is an outcome and never one of these. `message` is for the caller; the source
//! chain is for the log and never leaves the process. Statuses and exit codes are decided elsewhere, once each
//! (`http::reply`, `cli`).

use std::fmt;

use lictor_loader::{LoadCode, LoadError};
use lictor_model::{FieldError, Outcome};
use lictor_sandbox::RunError;

use crate::checked::Checked;

/// The kinds of trouble, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense.
    InvalidInput,
    /// The body is not JSON, or is nested too deeply.
    NotJson,
    /// The body is larger than is read.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body is not of a media type that is read.
    MediaType,
    /// There is no such route.
    NoRoute,
    /// The route is there, with other methods.
    Method,
    /// There is no such thing.
    NotFound,
    /// There is already another one.
    Conflict,
    /// Nothing is free to do it.
    Busy,
    /// We are stopping.
    ShuttingDown,
    /// It could not be recorded.
    Unrecorded,
    /// Not part of this version.
    NotAvailable,
    /// Nobody knows who asks.
    Unauthorized,
    /// Not from there, or not for you.
    Forbidden,
    /// The policy's code could not be made ready.
    Load(LoadCode),
    /// Another server that is needed gives no answer, or none that can be understood.
    Unreachable,
    /// Another server that is needed says that it failed.
    Upstream,
    /// A policy that was asked on the way failed or was stopped: that is what came of the request.
    Outcome,
    /// Our own failure.
    Internal,
}

impl ErrorKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidInput | Self::NotJson | Self::TooLarge | Self::TooSlow | Self::MediaType | Self::Method => {
                "invalid_input"
            }
            Self::NoRoute | Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::ShuttingDown => "shutting_down",
            Self::NotAvailable | Self::Unrecorded => "not_available",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Load(code) => code.as_str(),
            Self::Unreachable => LoadCode::CodeUnreachable.as_str(),
            Self::Outcome => "policy_error",
            Self::Upstream | Self::Internal => "internal",
        }
    }
}

/// Why a request is not served.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    field: Option<String>,
    outcome: Option<Box<Checked>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Trouble of this kind, told to the caller as `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, outcome: None, source: None }
    }

    /// A policy that was asked on the way failed or was stopped.
    pub fn outcome(checked: Checked) -> Self {
        let message = match &checked.run.outcome {
            Outcome::Finished(_) => String::new(),
            Outcome::Failed(failure) => failure.message.clone(),
            Outcome::Stopped(stop) => stop.message.clone(),
        };
        Self { outcome: Some(Box::new(checked)), ..Self::new(ErrorKind::Outcome, message) }
    }

    /// Our own failure: `message` and the source go to the log, the caller learns only where to look it up.
    pub fn internal(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            message: message.into(),
            field: None,
            outcome: None,
            source: Some(source.into()),
        }
    }

    /// The same trouble for another one who waited for the same thing; the log has the source once.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            kind: self.kind,
            message: self.message.clone(),
            field: self.field.clone(),
            outcome: self.outcome.clone(),
            source: None,
        }
    }

    /// The same trouble, with the field that is wrong.
    #[must_use]
    pub fn at(mut self, field: Option<&str>) -> Self {
        self.field = field.map(str::to_owned);
        self
    }

    /// The same, told after what was said first.
    #[must_use]
    pub fn after(mut self, first: &str) -> Self {
        if !first.is_empty() {
            self.message = format!("{first} {}", self.message);
        }
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field that is wrong, if one is.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What a policy came to that was asked on the way, if that is the trouble.
    pub fn came_to(&self) -> Option<&Checked> {
        self.outcome.as_deref()
    }

    /// The message with every cause, for the log.
    pub fn chain(&self) -> String {
        let mut res = self.message.clone();
        let mut next = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(cause) = next {
            res.push_str(": ");
            res.push_str(&cause.to_string());
            next = cause.source();
        }
        res
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        let field = Some(error.field()).filter(|field| !field.is_empty()).map(str::to_owned);
        Self { kind: ErrorKind::InvalidInput, message: error.to_string(), field, outcome: None, source: None }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error.code() {
            LoadCode::Internal => Self::internal("the policy could not be loaded", error),
            code => Self::new(ErrorKind::Load(code), error.message()),
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Busy => Self::new(ErrorKind::Busy, error.to_string()),
            RunError::Internal(_) => Self::internal("the policy could not be run", error),
        }
    }
}
