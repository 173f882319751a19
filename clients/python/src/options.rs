//! What an evaluator is made with, as the package writes it down.

use std::fmt::Display;

use lictor_client::{AllowPrivate, Builder, Capabilities, LimitsSpec, LocalPolicyEvaluator};
use lictor_model::json;
use pyo3::{PyErr, PyResult, exceptions::PyValueError};
use serde::Deserialize;
use serde_json::Value;

/// The arguments that are JSON. What is absent stays as the builder has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    policy_rule_uri: Option<String>,
    parameters: Value,
    settings: Value,
    mode: Option<String>,
    executor_id: Option<String>,
    policy_db_url: Option<String>,
    executor_host_url: Option<String>,
    token: Option<String>,
    grant: Option<Value>,
    limits: Option<Value>,
    allow_private: Vec<String>,
    allow_file: Vec<String>,
    cache_dir: Option<String>,
    python_host: Option<String>,
    component_file: Option<String>,
}

impl Options {
    pub(crate) fn read(text: &str) -> PyResult<Self> {
        let options = json::parse(text).map_err(|error| wrong(&format!("the arguments: {error}")))?;
        serde_json::from_value(options).map_err(|error| wrong(&format!("the arguments: {error}")))
    }

    /// A builder that has them, and `component` if the application brought one.
    pub(crate) fn builder(self, component: Option<&[u8]>) -> PyResult<Builder> {
        let builder = LocalPolicyEvaluator::builder()
            .parameters(self.parameters)
            .settings(self.settings)
            .allow_private(AllowPrivate::parse(self.allow_private).map_err(|error| wrong(&error))?);
        let builder = set(builder, self.policy_rule_uri, Builder::policy_rule_uri);
        let builder = set(builder, self.mode.as_deref(), Builder::mode);
        let builder = set(builder, self.executor_id, Builder::executor_id);
        let builder = set(builder, self.policy_db_url, Builder::policy_db_url);
        let builder = set(builder, self.executor_host_url, Builder::executor_host_url);
        let builder = set(builder, self.token, Builder::token);
        let grant = self.grant.as_ref().map(Capabilities::parse).transpose().map_err(|error| wrong(&error))?;
        let builder = set(builder, grant, Builder::grant);
        let limits = self.limits.as_ref().map(LimitsSpec::parse).transpose().map_err(|error| wrong(&error))?;
        let builder = set(builder, limits, Builder::limits);
        let builder = self.allow_file.into_iter().fold(builder, Builder::allow_file);
        let builder = set(builder, self.cache_dir, Builder::cache_dir);
        let builder = set(builder, self.python_host, Builder::python_host);
        let builder = set(builder, self.component_file, Builder::custom_component_file);
        Ok(set(builder, component, Builder::custom_component))
    }
}

/// The builder with `value`, if there is one.
fn set<T>(builder: Builder, value: Option<T>, with: impl FnOnce(Builder, T) -> Builder) -> Builder {
    match value {
        Some(value) => with(builder, value),
        None => builder,
    }
}

fn wrong(error: &dyn Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
