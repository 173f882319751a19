//! The same for applications without a runtime of their own.
//!
//! Not for use inside an async task, where waiting would hold up the runtime: tokio panics there.

use serde_json::Value;
use tokio::runtime::{self, Runtime};

use crate::{Builder, Error};

/// An evaluator whose calls wait for their answers.
#[derive(Debug)]
pub struct LocalPolicyEvaluator {
    evaluator: crate::LocalPolicyEvaluator,
    runtime: Runtime,
}

impl LocalPolicyEvaluator {
    /// Makes an evaluator. Has a thread of its own for what host functions do.
    pub fn build(builder: Builder) -> Result<Self, Error> {
        // One thread beside the caller's, so that a host function that blocks does not keep a call past its deadline.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Error::Internal(format!("no runtime: {error}")))?;
        Ok(Self { evaluator: runtime.block_on(builder.build())?, runtime })
    }

    /// See [`execute_policy_rule`](crate::LocalPolicyEvaluator::execute_policy_rule).
    pub fn execute_policy_rule(&self, input_data: &Value) -> Result<Value, Error> {
        self.runtime.block_on(self.evaluator.execute_policy_rule(input_data))
    }

    /// See [`execute_mgmt_command`](crate::LocalPolicyEvaluator::execute_mgmt_command).
    pub fn execute_mgmt_command(&self, action: &str, mgmt_data: &Value) -> Result<Value, Error> {
        self.runtime.block_on(self.evaluator.execute_mgmt_command(action, mgmt_data))
    }
}
