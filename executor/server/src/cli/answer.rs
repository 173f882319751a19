//! What came of a call, as JSON and as an exit code.

use lictor_model::{Failure as Refusal, Outcome, Stop, Violation};
use serde_json::{Value, json};

use super::{Failure, print};
use crate::checked::Checked;

/// Prints what came of a call: one line. What did not match and is only warned about goes to standard error.
pub(super) fn print(checked: &Checked, with_usage: bool) -> Result<(), Failure> {
    let Checked { run, warnings } = checked;
    warn(warnings);
    if with_usage {
        print::note(format_args!("usage: {}", json!(run.usage)));
    }
    let text = match &run.outcome {
        Outcome::Finished(output) => return print::json_line(output),
        Outcome::Failed(failure) => refused(failure),
        Outcome::Stopped(stop) => stop.to_json(),
    };
    print::json_line(&text.to_string())?;
    Err(failure(&run.outcome))
}

/// Says on standard error what does not match the policy's schemas.
pub(super) fn warn(violations: &[Violation]) {
    for violation in violations {
        print::note(format_args!("lictor: warning: {violation}"));
    }
}

/// As HTTP answers it: the policy's own code is not one of ours, so it has a place of its own.
fn refused(failure: &Refusal) -> Value {
    let details = failure.details.as_deref().and_then(|details| serde_json::from_str::<Value>(details).ok());
    let own = json!({"code": failure.code, "details": details});
    json!({"success": false, "code": "policy_error", "message": failure.message, "failure": own})
}

/// The exit code of a call that did not finish.
pub(super) fn failure(outcome: &Outcome) -> Failure {
    match outcome {
        Outcome::Stopped(Stop { kind, .. }) if kind.is_limit() => Failure::Limit,
        _ => Failure::Policy,
    }
}

/// A policy that cannot be loaded is told on standard output too, where a program looks for the answer.
pub(super) fn or_refusal<T>(loaded: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(Failure::Load(error)) = &loaded {
        let body = json!({"success": false, "code": error.code().as_str(), "message": error.message()});
        print::json_line(&body.to_string())?;
    }
    loaded
}
