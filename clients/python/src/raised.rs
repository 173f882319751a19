//! What goes wrong, as Python is told of it. The package turns each kind into a class of its own.

use lictor_client::Error;
use pyo3::{
    PyErr, create_exception,
    exceptions::{PyException, PyValueError},
};
use serde_json::json;

create_exception!(
    _native,
    Failed,
    PyException,
    "Its arguments: kind, code, message, and details as JSON text or None."
);

/// The exception that says so.
pub(crate) fn raised(error: Error) -> PyErr {
    let message = error.to_string();
    let (kind, code, details) = match error {
        Error::InvalidInput(_) => return PyValueError::new_err(message),
        Error::NotFound(_) => ("not_found", "not_found".to_owned(), None),
        Error::Unreachable(_) => ("unreachable", "unreachable".to_owned(), None),
        Error::Load(error) => ("not_loaded", error.code().as_str().to_owned(), None),
        Error::Policy(failure) => ("failed", failure.code, failure.details),
        Error::Stopped { stop, state_lost } => {
            let details = json!({"state_lost": state_lost, "violations": stop.violations});
            ("stopped", stop.kind.code().to_owned(), Some(details.to_string()))
        }
        other => ("refused", other.code().to_owned(), None),
    };
    Failed::new_err((kind, code, message, details))
}
