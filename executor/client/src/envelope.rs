//! What a policies system, or an executor, refuses, as the error that it would have been here.

use lictor_loader::Untold;
use lictor_model::{Failure, Stop, StopKind};
use serde_json::{Map, Value};

use crate::Error;

impl From<Untold> for Error {
    fn from(untold: Untold) -> Self {
        match &untold {
            Untold::Silent(what) => Self::Unreachable(what.clone()),
            Untold::Refused(_, envelope) => refusal(envelope, untold.reason()),
        }
    }
}

/// A failure by its code, so that it is the same error as if it had happened here. The original gives no codes.
fn refusal(envelope: &Map<String, Value>, message: String) -> Error {
    let code = envelope.get("code").and_then(Value::as_str).unwrap_or("internal");
    if code == "policy_error" {
        return Error::Policy(failure(envelope.get("failure"), message));
    }
    match StopKind::ALL.into_iter().find(|kind| kind.code() == code) {
        Some(kind) => Error::Stopped { stop: Stop::new(kind, message), state_lost: false },
        None => Error::Refused { code: code.to_owned(), message },
    }
}

/// The policy's own account, as far as the executor passed it on.
fn failure(own: Option<&Value>, message: String) -> Failure {
    let member = |name: &str| own.and_then(|own| own.get(name)).filter(|value| !value.is_null());
    let code = member("code").and_then(Value::as_str).unwrap_or("policy_error").to_owned();
    Failure { code, message, details: member("details").map(Value::to_string) }
}

#[cfg(test)]
mod tests {
    use lictor_loader::{Answer, system::data};
    use serde_json::json;

    use super::*;

    fn error_of(body: &Value) -> Error {
        let answer = Answer { status: 200, etag: None, retry_after: None, body: body.to_string().into() };
        data(&"it", &answer).unwrap_err().into()
    }

    #[test]
    fn a_failure_is_the_same_error_as_here() {
        for (body, code) in [
            (json!({"success": false, "code": "policy_error", "message": "no"}), "policy_error"),
            (json!({"success": false, "code": "timeout", "message": "no"}), "timeout"),
            (json!({"success": false, "code": "busy", "message": "no"}), "busy"),
            (json!({"success": false, "message": "no"}), "internal"),
            (json!({"success": "yes"}), "unreachable"),
        ] {
            assert_eq!(error_of(&body).code(), code, "{body}");
        }
    }

    #[test]
    fn the_policys_own_account_is_passed_on() {
        let body = json!({"success": false, "code": "policy_error", "message": "no",
            "failure": {"code": "no_instances", "details": {"n": 0}}});
        let Error::Policy(failure) = error_of(&body) else { panic!("{body}") };
        assert_eq!((failure.code.as_str(), failure.details.as_deref()), ("no_instances", Some(r#"{"n":0}"#)));
    }
}
