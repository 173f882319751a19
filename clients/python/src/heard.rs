//! What a policy says, on its way to Python's `logging`.
//!
//! The sandbox tells of lines where waiting is forbidden, and taking the interpreter's lock can be waiting. So they are
//! kept here, within the policy's `log_kb`, and handed over when the call has the lock again.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use lictor_client::{LogLine, Recorder};
use pyo3::{Py, PyAny, Python};

#[derive(Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<Line>>,
}

struct Line {
    policy: String,
    level: &'static str,
    context: String,
    message: String,
}

impl Recorder for Heard {
    fn log(&self, line: LogLine<'_>) {
        let LogLine { policy_rule_uri, level, context, message } = line;
        let line = Line {
            policy: policy_rule_uri.to_owned(),
            level: level.as_str(),
            context: context.to_owned(),
            message: message.to_owned(),
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Heard {
    /// Hands over what came since the last time. What goes wrong with that is not the call's fault.
    pub(crate) fn tell(&self, py: Python<'_>, log: &Py<PyAny>) {
        let lines = mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        for Line { policy, level, context, message } in lines {
            if let Err(error) = log.call1(py, (policy, level, context, message)) {
                error.write_unraisable(py, None);
            }
        }
    }
}
