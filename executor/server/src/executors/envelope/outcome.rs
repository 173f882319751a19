//! What a policy came to on another executor, as if it had come to that here.

use lictor_model::{Failure, Outcome, Stop, StopKind, Usage, Violation};
use lictor_sandbox::Run;
use serde_json::{Map, Value, value::RawValue};

use super::Envelope;
use crate::checked::Checked;

/// Reads an answer that is a success or an outcome.
pub(super) fn of(envelope: &Envelope<'_>) -> Checked {
    let outcome = if envelope.success {
        Outcome::Finished(envelope.output())
    } else {
        match StopKind::ALL.into_iter().find(|kind| Some(kind.code()) == envelope.code.as_deref()) {
            Some(kind) => Outcome::Stopped(stop(kind, envelope)),
            None => Outcome::Failed(failure(envelope)),
        }
    };
    let warnings = texts(envelope.warnings).iter().map(|text| warning(text)).collect();
    Checked { run: Run::new(outcome, usage(envelope.usage)), warnings }
}

fn stop(kind: StopKind, envelope: &Envelope<'_>) -> Stop {
    let violations = list(envelope.violations).iter().filter_map(violation).collect();
    Stop { kind, message: envelope.reason(), violations }
}

fn failure(envelope: &Envelope<'_>) -> Failure {
    let own = object(envelope.failure);
    let details = own.get("details").filter(|details| !details.is_null());
    Failure {
        code: own.get("code").and_then(Value::as_str).unwrap_or("policy_error").to_owned(),
        message: envelope.reason(),
        details: details.map(Value::to_string),
    }
}

/// What it says the call used; nothing where it does not.
fn usage(told: Option<&RawValue>) -> Usage {
    let told = object(told);
    let number = |name: &str| told.get(name).and_then(Value::as_u64);
    Usage {
        wall_us: number("wall_us").unwrap_or(0),
        fuel: number("fuel"),
        peak_memory_bytes: number("peak_memory_bytes").unwrap_or(0),
        host_calls: number("host_calls").unwrap_or(0),
        log_truncated: told.get("log_truncated").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn violation(told: &Value) -> Option<Violation> {
    let text = |name: &str| told.get(name)?.as_str().map(str::to_owned);
    Some(Violation { path: text("path")?, message: text("message")? })
}

/// A warning is a violation as text: what is wrong, after the path in backticks.
fn warning(text: &str) -> Violation {
    let parts = text.strip_prefix('`').and_then(|rest| rest.split_once("` "));
    let (path, message) = parts.unwrap_or(("", text.strip_prefix("the document ").unwrap_or(text)));
    Violation { path: path.into(), message: message.into() }
}

fn texts(told: Option<&RawValue>) -> Vec<String> {
    list(told).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list(told: Option<&RawValue>) -> Vec<Value> {
    told.and_then(|told| serde_json::from_str(told.get()).ok()).unwrap_or_default()
}

fn object(told: Option<&RawValue>) -> Map<String, Value> {
    told.and_then(|told| serde_json::from_str(told.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lictor_loader::Answer;
    use serde_json::json;

    use super::{super::read_checked, *};

    fn checked(body: &str) -> Checked {
        let answer = Answer { status: 200, etag: None, retry_after: None, body: body.to_owned().into() };
        read_checked("the executor `e`", &answer).unwrap()
    }

    #[test]
    fn a_success_is_an_answer_to_the_byte() {
        for (body, output) in [
            (r#"{"success":true,"data":{"a": 1.50}}"#, r#"{"a": 1.50}"#),
            (r#"{"success":true,"data":null}"#, "null"),
            (r#"{"success":true,"message":"done"}"#, r#""done""#),
            (r#"{"success":true,"data":{"success":false,"message":"m"}}"#, r#"{"success":false,"message":"m"}"#),
        ] {
            assert_eq!(checked(body).run.outcome, Outcome::Finished(output.into()), "{body}");
        }
    }

    #[test]
    fn what_it_used_and_what_did_not_match_come_along() {
        let usage =
            json!({"wall_us": 7, "fuel": 9, "peak_memory_bytes": 65536, "host_calls": 2, "log_truncated": true});
        let warnings = json!(["`input_data.n` must be a number", "the document is too deep", "something else"]);
        let checked = checked(&json!({"success": true, "data": 1, "usage": usage, "warnings": warnings}).to_string());
        assert_eq!(json!(checked.run.usage), usage);
        let again: Vec<String> = checked.warnings.iter().map(Violation::to_string).collect();
        assert_eq!(json!(again[..2]), json!(warnings.as_array().unwrap()[..2]));
        assert_eq!(checked.warnings[2].message, "something else");
    }

    #[test]
    fn a_failure_is_the_same_failure() {
        let body = json!({
            "success": false, "code": "policy_error", "message": "not so", "data": {"success": false},
            "failure": {"code": "bad_ip", "details": {"ip": "x"}},
        });
        let failure =
            Failure { code: "bad_ip".into(), message: "not so".into(), details: Some(r#"{"ip":"x"}"#.into()) };
        assert_eq!(checked(&body.to_string()).run.outcome, Outcome::Failed(failure));
        for kind in StopKind::ALL {
            let mut stop = Stop::new(kind, "why");
            stop.violations = vec![Violation { path: "a.b".into(), message: "is required".into() }];
            let mut body = stop.to_json();
            body["data"] = stop.to_json();
            assert_eq!(checked(&body.to_string()).run.outcome, Outcome::Stopped(stop));
        }
    }
}
