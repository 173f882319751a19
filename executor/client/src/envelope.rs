//! What a policies system answers: `success`, with `data` or with a reason.

use std::fmt;

use lictor_loader::Answer;
use lictor_model::{Failure, Stop, StopKind, json};
use serde_json::{Map, Value};

use crate::Error;

/// The longest text of somebody else's in a message, in characters.
const MAX_MESSAGE: usize = 2000;

/// The answer of `who`: what is under `data`, or the reason why there is nothing.
pub(crate) fn read(who: &dyn fmt::Display, answer: &Answer) -> Result<Value, Error> {
    let parsed = str::from_utf8(&answer.body).ok().and_then(|text| json::parse(text).ok());
    let Some(Value::Object(mut envelope)) = parsed.filter(|body| body["success"].is_boolean()) else {
        let what = format!("{who} answered with status {} and no answer of a policies system", answer.status);
        return Err(Error::Unreachable(what));
    };
    match envelope.get("success") {
        Some(Value::Bool(true)) => Ok(envelope.remove("data").unwrap_or_default()),
        _ => Err(refusal(&envelope)),
    }
}

/// A failure by its code, so that it is the same error as if it had happened here. The original gives no codes.
fn refusal(envelope: &Map<String, Value>) -> Error {
    let text = |name: &str| envelope.get(name).and_then(Value::as_str);
    let message = text("message").or_else(|| text("error")).unwrap_or("it gave no reason");
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    let Some(code) = text("code") else { return Error::Refused { code: "internal".into(), message } };
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

/// Whether a refusal says that something is not there. The original says so only in words.
pub(crate) fn is_not_found(error: &Error) -> bool {
    match error {
        Error::Refused { code, .. } if code == "not_found" => true,
        Error::Refused { code, message } => code == "internal" && message.to_ascii_lowercase().contains("not found"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code_of(body: &str) -> String {
        let answer = Answer { status: 200, etag: None, retry_after: None, body: body.to_owned().into() };
        read(&"it", &answer).map_or_else(|error| error.code().to_owned(), |data| data.to_string())
    }

    #[test]
    fn a_failure_is_the_same_error_as_here() {
        for (body, code) in [
            (json!({"success": true, "data": {"a": 1}}), r#"{"a":1}"#),
            (json!({"success": true}), "null"),
            (json!({"success": false, "code": "policy_error", "message": "no"}), "policy_error"),
            (json!({"success": false, "code": "timeout", "message": "no"}), "timeout"),
            (json!({"success": false, "code": "busy", "message": "no"}), "busy"),
            (json!({"success": false, "message": "no"}), "internal"),
            (json!({"success": "yes"}), "unreachable"),
            (json!([]), "unreachable"),
        ] {
            assert_eq!(code_of(&body.to_string()), code, "{body}");
        }
        assert_eq!(code_of("<html>"), "unreachable");
    }

    #[test]
    fn the_policys_own_account_is_passed_on() {
        let body = json!({"success": false, "code": "policy_error", "message": "no",
            "failure": {"code": "no_instances", "details": {"n": 0}}});
        let Error::Policy(failure) = refusal(body.as_object().unwrap()) else { panic!("{body}") };
        assert_eq!((failure.code.as_str(), failure.details.as_deref()), ("no_instances", Some(r#"{"n":0}"#)));
    }
}
