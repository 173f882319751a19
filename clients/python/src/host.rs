//! Functions of the application, as the sandbox calls them.
//!
//! Each call is on a thread for blocking work, where it may wait for the interpreter's lock as long as it likes: the
//! time of the policy's call goes on elsewhere. A function cannot be interrupted; what it answers after the end of the
//! call is dropped.

use std::sync::Arc;

use lictor_client::{Builder, Failure};
use lictor_model::json;
use pyo3::{Py, PyAny, PyErr, Python, types::PyTypeMethods as _};
use serde_json::Value;
use tokio::task;

/// The builder with these functions. All of them are behind `call`, which takes a name and arguments as JSON text.
pub(crate) fn functions(builder: Builder, names: Vec<String>, call: Py<PyAny>) -> Builder {
    let call = Arc::new(call);
    names.into_iter().fold(builder, |builder, name| {
        let (call, called) = (Arc::clone(&call), name.clone());
        builder.host_function(name, move |args| {
            let (call, name) = (Arc::clone(&call), called.clone());
            async move {
                let asking = task::spawn_blocking(move || ask(&call, &name, &args));
                asking.await.unwrap_or_else(|error| Err(failure("internal", error.to_string())))
            }
        })
    })
}

/// One call, and its answer: a document, or what the policy is to see instead.
fn ask(call: &Py<PyAny>, name: &str, args: &Value) -> Result<Value, Failure> {
    let answer = Python::try_attach(|py| {
        let answer = call.call1(py, (name, args.to_string())).and_then(|answer| answer.extract::<String>(py));
        answer.map_err(|error| thrown(py, &error))
    });
    let answer = answer.unwrap_or_else(|| Err(failure("not_available", "the interpreter is shutting down".into())))?;
    let wrong = |error| failure("bad_output", format!("the answer of the host function `{name}` {error}"));
    json::parse(&answer).map_err(wrong)
}

/// An exception, under the name of its class.
fn thrown(py: Python<'_>, error: &PyErr) -> Failure {
    let class = error.get_type(py).name().map(|name| name.to_string());
    failure(class.as_deref().unwrap_or("Exception"), error.value(py).to_string())
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.to_owned(), message, details: None }
}
