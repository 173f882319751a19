//! The evaluator: the original's `LocalPolicyEvaluator`.

use std::fmt;

use serde_json::Value;

use crate::{Builder, Error, Mode, local::Local, remote::Remote};

/// Evaluates one policy, in this process or on an executor.
///
/// May be used by many tasks at the same time. Locally, calls are made one after the other.
pub struct LocalPolicyEvaluator {
    place: Place,
}

enum Place {
    Local(Box<Local>),
    Remote(Box<Remote>),
}

impl LocalPolicyEvaluator {
    /// Begins an evaluator.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn local(builder: Builder) -> Result<Self, Error> {
        Ok(Self { place: Place::Local(Box::new(Local::make(builder).await?)) })
    }

    pub(crate) fn remote(builder: &Builder) -> Result<Self, Error> {
        Ok(Self { place: Place::Remote(Box::new(Remote::make(builder)?)) })
    }

    /// Where the policy runs.
    pub fn mode(&self) -> Mode {
        match self.place {
            Place::Local(_) => Mode::Local,
            Place::Remote(_) => Mode::Remote,
        }
    }

    /// Has the policy decide about `input_data`, and returns its decision.
    ///
    /// CANCEL: dropping the future stops the call. A local policy then begins its next call with a fresh instance,
    /// having forgotten what it remembered, as after a call that was stopped.
    pub async fn execute_policy_rule(&self, input_data: &Value) -> Result<Value, Error> {
        match &self.place {
            Place::Local(local) => local.eval(input_data).await,
            Place::Remote(remote) => remote.eval(input_data).await,
        }
    }

    /// Has the policy carry out a management command, and returns its result. Only locally: an executor has a fresh
    /// instance for each call, which nothing could be changed about.
    pub async fn execute_mgmt_command(&self, action: &str, mgmt_data: &Value) -> Result<Value, Error> {
        match &self.place {
            Place::Local(local) => local.manage(action, mgmt_data).await,
            Place::Remote(_) => Err(Error::NotAvailable(
                "management commands need the mode `local`: in remote mode there is no instance to manage; deploy the \
                 policy as a function to manage it on an executor"
                    .into(),
            )),
        }
    }
}

impl fmt::Debug for LocalPolicyEvaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPolicyEvaluator").field("mode", &self.mode()).finish_non_exhaustive()
    }
}
