//! Who is told what happens inside a run, and may answer in the place of the network or of the host application.

use lictor_model::Failure;

use crate::log::{Level, LogLine};

/// Is told what happens inside a run.
///
/// Called on the thread of the run: an implementation must not wait.
pub trait Recorder: Send + Sync {
    /// The guest said something.
    fn log(&self, line: LogLine<'_>);

    /// The guest was refused something: `missing` is the grant that would have allowed it.
    fn denied(&self, policy_rule_uri: &str, missing: &str) {
        let message = format!("refused: this needs the grant {missing}");
        self.log(LogLine { policy_rule_uri, level: Level::Warn, context: "capabilities", message: &message });
    }

    /// The answer to a request that was granted, if it is not to go out at all.
    fn answer(&self, method: &str, url: &str) -> Option<Canned> {
        let _ = (method, url);
        None
    }

    /// The answer to a call of a host function that was granted, if the function is not to be called at all: JSON text.
    fn answer_host(&self, name: &str, args: &str) -> Option<Result<String, Failure>> {
        let _ = (name, args);
        None
    }
}

/// An answer that does not come from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canned {
    /// A response with this status and body.
    Response {
        /// The HTTP status.
        status: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// The whole body.
        body: Vec<u8>,
    },
    /// The request fails with this error code of `wasi:http`, such as `connection-refused`.
    Error(String),
}

/// Passes everything on to `tracing`, under the target `guest`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingRecorder;

impl Recorder for TracingRecorder {
    fn log(&self, line: LogLine<'_>) {
        let LogLine { policy_rule_uri: policy, level, context, message } = line;
        match level {
            Level::Trace => tracing::trace!(target: "guest", policy, context, "{message}"),
            Level::Debug => tracing::debug!(target: "guest", policy, context, "{message}"),
            Level::Info => tracing::info!(target: "guest", policy, context, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", policy, context, "{message}"),
            Level::Error | Level::Critical => tracing::error!(target: "guest", policy, context, "{message}"),
        }
    }
}
