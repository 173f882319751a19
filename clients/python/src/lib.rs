//! The native part of the Python package `aios_policy_sandbox`: `lictor-client`, as Python can call it.
//!
//! Documents and options cross as JSON text, which both sides read faster than the other's objects. What the package
//! offers, types and documents is in `python/aios_policy_sandbox`; nothing here is for applications.

mod evaluator;
mod heard;
mod host;
mod options;
mod raised;

use pyo3::{
    Bound, PyResult, pymodule,
    types::{PyModule, PyModuleMethods as _},
};

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<evaluator::Evaluator>()?;
    module.add("Failed", module.py().get_type::<raised::Failed>())
}
