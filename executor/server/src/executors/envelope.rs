//! What another executor answered, as what we answer.
//!
//! Two kinds of executors answer: the original's, whose envelope has `success` with `data`, `message` or `error` under
//! any status, and ours, whose failures have a `code` besides. What they decided is passed on as it is; what they
//! refused becomes the same refusal of ours; what cannot be understood is nobody's decision.

mod outcome;

use std::borrow::Cow;

use lictor_loader::{Answer, LoadCode};
use lictor_model::{StopKind, json};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    checked::Checked,
    error::{Error, ErrorKind},
};

/// The longest text of another executor's in a message, in characters.
const MAX_MESSAGE: usize = 2000;

#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    warnings: Option<&'a RawValue>,
    #[serde(borrow, default)]
    failure: Option<&'a RawValue>,
    #[serde(borrow, default)]
    violations: Option<&'a RawValue>,
}

/// The body of our answer to what the executor called `name` answered.
pub(super) fn read(name: &str, answer: &Answer) -> Result<String, Error> {
    let (text, envelope) = decided(name, answer)?;
    Ok(if envelope.success { envelope.passed_on() } else { text.trim_ascii().to_owned() })
}

/// What came of a call that it made.
pub(super) fn read_checked(name: &str, answer: &Answer) -> Result<Checked, Error> {
    let (_, envelope) = decided(name, answer)?;
    Ok(outcome::of(&envelope))
}

/// Everything that it answered, be it a success or what a policy came to.
pub(super) fn read_whole(name: &str, answer: &Answer) -> Result<Map<String, Value>, Error> {
    let (text, _) = decided(name, answer)?;
    match json::parse(text) {
        Ok(Value::Object(whole)) => Ok(whole),
        _ => Err(garbage(name, answer, "it is no object")),
    }
}

/// What is under `data` of its success, or its `message`. What a policy came to instead is an error.
pub(super) fn read_data(name: &str, answer: &Answer) -> Result<Value, Error> {
    let (_, envelope) = decided(name, answer)?;
    if !envelope.success {
        return Err(Error::outcome(outcome::of(&envelope)));
    }
    let mut whole = read_whole(name, answer)?;
    let data = whole.shift_remove("data").or_else(|| whole.shift_remove("message"));
    Ok(data.unwrap_or_default())
}

/// Its answer, if something was decided: it is a success, or what a policy came to.
fn decided<'a>(name: &str, answer: &'a Answer) -> Result<(&'a str, Envelope<'a>), Error> {
    let text = str::from_utf8(&answer.body).map_err(|_| garbage(name, answer, "it is not UTF-8"))?;
    json::check_depth(text.as_bytes()).map_err(|error| garbage(name, answer, &format!("it {error}")))?;
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| garbage(name, answer, &error.to_string()))?;
    if envelope.success {
        return Ok((text, envelope));
    }
    match envelope.code.as_deref() {
        Some(code) if is_outcome(code) && envelope.data.is_some() => Ok((text, envelope)),
        Some(code) => Err(refused(name, code, &envelope)),
        None => Err(failed(name, answer.status, &envelope)),
    }
}

fn garbage(name: &str, answer: &Answer, why: &str) -> Error {
    let what = format!("{name} answered with status {} and no answer of an executor: {why}", answer.status);
    Error::new(ErrorKind::Unreachable, what)
}

impl Envelope<'_> {
    /// What is answered, as JSON text. The original takes `message` where there is no `data`.
    fn output(&self) -> String {
        let message = self.message.as_ref().map(Value::to_string);
        self.data.map(|data| data.get().to_owned()).or(message).unwrap_or_else(|| "null".into())
    }

    /// The success as we say it.
    fn passed_on(&self) -> String {
        let mut res = format!(r#"{{"success":true,"data":{}"#, self.output());
        for (name, value) in [("usage", self.usage), ("warnings", self.warnings)] {
            if let Some(value) = value {
                res.push_str(&format!(r#","{name}":{}"#, value.get()));
            }
        }
        res.push('}');
        res
    }

    /// Its reason, from where either kind of executor puts it.
    fn reason(&self) -> String {
        let text = match self.message.as_ref().or(self.error.as_ref()) {
            None | Some(Value::Null) => "it gave no reason".into(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        text.chars().take(MAX_MESSAGE).collect()
    }
}

/// Whether it is what came of a call, as against a reason not to make it.
fn is_outcome(code: &str) -> bool {
    code == "policy_error" || StopKind::ALL.iter().any(|kind| kind.code() == code)
}

/// A refusal of an executor of our kind is ours, word for word, as far as it is about the call.
fn refused(name: &str, code: &str, envelope: &Envelope<'_>) -> Error {
    let reason = envelope.reason();
    let kind = match code {
        "invalid_input" => ErrorKind::InvalidInput,
        "not_found" => ErrorKind::NotFound,
        "conflict" => ErrorKind::Conflict,
        "busy" => ErrorKind::Busy,
        "not_available" => ErrorKind::NotAvailable,
        "shutting_down" => {
            return Error::new(ErrorKind::Unreachable, format!("{name} takes no calls: {reason}"));
        }
        code => match LOADING.into_iter().find(|known| known.as_str() == code) {
            Some(known) => ErrorKind::Load(known),
            None => return Error::new(ErrorKind::Upstream, format!("{name} failed: {reason}")),
        },
    };
    Error::new(kind, reason).at(envelope.field.as_deref())
}

/// What loading may come to, but for what other kinds of refusals have as their code too.
const LOADING: [LoadCode; 7] = [
    LoadCode::BadArchive,
    LoadCode::DigestMismatch,
    LoadCode::NotAComponent,
    LoadCode::MissingExport,
    LoadCode::UnknownImport,
    LoadCode::TooComplex,
    LoadCode::CodeUnreachable,
];

/// A failure of an executor of the original's kind, which has only a status to tell one from another.
fn failed(name: &str, status: u16, envelope: &Envelope<'_>) -> Error {
    let kind = match status {
        400 => ErrorKind::InvalidInput,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::Busy,
        _ => ErrorKind::Upstream,
    };
    Error::new(kind, format!("{name} failed: {}", envelope.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: Result<&str, (ErrorKind, &str)>) {
        let answer = Answer { status, etag: None, retry_after: None, body: body.to_owned().into() };
        match (read("the executor `e`", &answer), expected) {
            (Ok(body), Ok(expected)) => assert_eq!(body, expected),
            (Err(error), Err((kind, part))) => {
                assert_eq!(error.kind(), kind, "{body}: {error}");
                assert!(error.message().contains(part), "{body}: {error}");
            }
            (read, _) => panic!("{status} {body}: {read:?}"),
        }
    }

    #[test]
    fn a_success_is_passed_on_whatever_its_status() {
        check(202, r#" {"data": [1, 2.50], "success": true}"#, Ok(r#"{"success":true,"data":[1, 2.50]}"#));
        check(500, r#"{"success":true,"data":null,"more":1}"#, Ok(r#"{"success":true,"data":null}"#));
        check(200, r#"{"success":true,"message":"done"}"#, Ok(r#"{"success":true,"data":"done"}"#));
        check(200, r#"{"success":true}"#, Ok(r#"{"success":true,"data":null}"#));
        let full = r#"{"success":true,"data":{},"usage":{"fuel":null},"warnings":["w"]}"#;
        check(200, full, Ok(full));
        let wrapped = r#"{"success":true,"data":{"success":false,"message":"it broke"}}"#;
        check(202, wrapped, Ok(wrapped));
    }

    #[test]
    fn an_outcome_is_passed_on_as_it_is() {
        let outcome = r#"{"success":false,"code":"timeout","message":"m","data":{"success":false,"code":"timeout","message":"m"},"usage":{}}"#;
        check(200, outcome, Ok(outcome));
        check(202, outcome, Ok(outcome));
        let own = r#"{"success":false,"code":"policy_error","message":"m","data":{},"failure":{"code":"x"}}"#;
        check(200, own, Ok(own));
    }

    #[test]
    fn everything_of_an_answer_can_be_had() {
        let body = r#"{"success":true,"data":1,"replicas":[{"replica":0,"data":1}]}"#;
        let answer = |body: &str| Answer { status: 200, etag: None, retry_after: None, body: body.to_owned().into() };
        assert_eq!(Value::Object(read_whole("e", &answer(body)).unwrap()).to_string(), body);
        for (body, data) in [(body, "1"), (r#"{"success":true,"message":"done"}"#, r#""done""#)] {
            assert_eq!(read_data("e", &answer(body)).unwrap().to_string(), data);
        }
        let stopped = r#"{"success":false,"code":"trap","message":"m","data":{"success":false}}"#;
        assert_eq!(Value::Object(read_whole("e", &answer(stopped)).unwrap()).to_string(), stopped);
        assert_eq!(read_data("e", &answer(stopped)).unwrap_err().kind(), ErrorKind::Outcome);
        assert_eq!(
            read_whole("e", &answer(r#"{"success":false,"error":"no"}"#)).unwrap_err().kind(),
            ErrorKind::Upstream
        );
    }

    #[test]
    fn a_refusal_is_the_same_refusal() {
        for (code, kind) in [
            ("invalid_input", ErrorKind::InvalidInput),
            ("not_found", ErrorKind::NotFound),
            ("conflict", ErrorKind::Conflict),
            ("busy", ErrorKind::Busy),
            ("not_available", ErrorKind::NotAvailable),
            ("bad_archive", ErrorKind::Load(LoadCode::BadArchive)),
            ("code_unreachable", ErrorKind::Load(LoadCode::CodeUnreachable)),
            ("shutting_down", ErrorKind::Unreachable),
            ("internal", ErrorKind::Upstream),
            ("forbidden", ErrorKind::Upstream),
            ("surprise", ErrorKind::Upstream),
        ] {
            let body = format!(r#"{{"success":false,"code":"{code}","message":"why so"}}"#);
            check(500, &body, Err((kind, "why so")));
        }
        let answer = br#"{"success":false,"code":"invalid_input","message":"m","field":"input_data"}"#;
        let answer = Answer { status: 400, etag: None, retry_after: None, body: answer.to_vec().into() };
        assert_eq!(read("e", &answer).unwrap_err().field(), Some("input_data"));
    }

    #[test]
    fn a_failure_of_the_originals_kind_has_its_reason_in_either_place() {
        check(500, r#"{"success":false,"message":"no such policy"}"#, Err((ErrorKind::Upstream, "no such policy")));
        check(500, r#"{"success":false,"error":"out of disk"}"#, Err((ErrorKind::Upstream, "out of disk")));
        check(200, r#"{"success":false,"error":{"a":1}}"#, Err((ErrorKind::Upstream, r#"{"a":1}"#)));
        check(400, r#"{"success":false,"message":"required"}"#, Err((ErrorKind::InvalidInput, "required")));
        check(503, r#"{"success":false}"#, Err((ErrorKind::Upstream, "no reason")));
    }

    #[test]
    fn what_is_no_envelope_is_no_answer() {
        let deep = format!(r#"{{"success":true,"data":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for body in ["", "<html>", "[]", "{}", r#"{"success":"yes"}"#, r#"{"success":true,"data":"#, &deep] {
            check(502, body, Err((ErrorKind::Unreachable, "status 502")));
        }
    }
}
