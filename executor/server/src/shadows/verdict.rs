//! Whether two outcomes of one question are the same, and what is kept of those that are not.
//!
//! Answers are the same as JSON: by value, whatever the order of an object's members. Failures are the same if their code
//! and details are, and calls that were stopped if they were stopped for the same reason: what is said to people may be
//! said in other words.

use lictor_model::{
    Failure, Outcome,
    difference::{places, same},
    json as parse,
};
use serde_json::{Map, Value, json};

use super::{Question, tally::now};
use crate::error::Error;

/// Bytes of a document that are kept; of a longer one, so many from its beginning.
const MAX_TEXT: usize = 4 << 10;
/// Levels of a document that is kept: with what is around it, it must stay one that can be read.
const MAX_DEPTH: usize = 64;
/// Places that are named.
const MAX_PATHS: usize = 5;
/// Bytes of the name of one.
const MAX_PATH: usize = 200;

/// What came of putting a question before a candidate.
pub(super) enum Verdict {
    /// The same outcome.
    Agreed,
    /// Another one.
    Disagreed(Map<String, Value>),
    /// None: the candidate could not be asked.
    Failed(Map<String, Value>),
}

impl Verdict {
    /// Of what the candidate answered to `question`.
    pub(super) fn of(question: &Question, candidate: &Result<Outcome, Error>) -> Self {
        let current = question.outcome();
        match candidate {
            Ok(outcome) => match differences(current, outcome) {
                None => Self::Agreed,
                Some(paths) => Self::Disagreed(told(question, shown(outcome), &paths)),
            },
            Err(error) => {
                let why = json!({"outcome": error.kind().code(), "message": cut(error.message(), MAX_TEXT)});
                Self::Failed(told(question, why, &[]))
            }
        }
    }
}

/// The places where the outcomes differ, if they do; none where they are not of the same kind.
fn differences(current: &Outcome, candidate: &Outcome) -> Option<Vec<String>> {
    match (current, candidate) {
        (Outcome::Finished(current), Outcome::Finished(candidate)) => {
            if current == candidate {
                return None;
            }
            let (current, candidate) = (document(current), document(candidate));
            let places = places(&current, &candidate, MAX_PATHS);
            let paths = places.into_iter().map(|place| cut(&format!("${}", place.path), MAX_PATH)).collect();
            (!same(&current, &candidate)).then_some(paths)
        }
        (Outcome::Failed(current), Outcome::Failed(candidate)) => {
            let alike = current.code == candidate.code && same(&details(current), &details(candidate));
            (!alike).then(Vec::new)
        }
        _ => (current.code() != candidate.code()).then(Vec::new),
    }
}

fn told(question: &Question, candidate: Value, paths: &[String]) -> Map<String, Value> {
    let fields = [
        ("at", json!(now())),
        ("input", excerpt(question.input())),
        ("current", shown(question.outcome())),
        ("candidate", candidate),
        ("paths", json!(paths)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn shown(outcome: &Outcome) -> Value {
    let code = outcome.code();
    match outcome {
        Outcome::Finished(answer) => json!({"outcome": code, "answer": excerpt(answer)}),
        Outcome::Failed(failure) => json!({
            "outcome": code,
            "message": cut(&failure.message, MAX_TEXT),
            "failure": {"code": cut(&failure.code, MAX_TEXT), "details": excerpt(failure.details.as_deref().unwrap_or("null"))},
        }),
        Outcome::Stopped(stop) => json!({"outcome": code, "message": cut(&stop.message, MAX_TEXT)}),
    }
}

fn details(failure: &Failure) -> Value {
    failure.details.as_deref().map(document).unwrap_or_default()
}

/// What came in and what went out was checked to be a document.
fn document(text: &str) -> Value {
    parse::parse(text).unwrap_or_default()
}

/// The document, or the beginning of its text if that is long or deep.
fn excerpt(text: &str) -> Value {
    let whole = (text.len() <= MAX_TEXT).then(|| document(text)).filter(|value| is_flat(value, MAX_DEPTH));
    whole.unwrap_or_else(|| json!(cut(text, MAX_TEXT)))
}

/// Whether a document has no more than so many levels.
fn is_flat(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| is_flat(item, left)),
        Value::Object(members) => members.values().all(|member| is_flat(member, left)),
        _ => true,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(most)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use lictor_model::{Stop, StopKind};

    use super::*;
    use crate::error::ErrorKind;

    fn finished(text: &str) -> Outcome {
        Outcome::Finished(text.into())
    }

    fn failed(code: &str, message: &str, details: &str) -> Outcome {
        Outcome::Failed(Failure { code: code.into(), message: message.into(), details: Some(details.into()) })
    }

    fn stopped(kind: StopKind, message: &str) -> Outcome {
        Outcome::Stopped(Stop::new(kind, message.to_owned()))
    }

    #[test]
    fn outcomes_are_compared_by_what_they_say() {
        let deep = format!(r#"{{"{}":1}}"#, "k".repeat(1000));
        let ok = finished(r#"{"a":1,"b":[1,{"c":2}]}"#);
        for (current, candidate, paths) in [
            (ok.clone(), finished(r#"{ "b": [1.0, {"c": 2}], "a": 1e0 }"#), None),
            (ok.clone(), finished(r#"{"a":1,"b":[1,{"c":3}],"d":0}"#), Some(vec!["$.b[1].c", "$.d"])),
            (finished("1"), finished("2"), Some(vec!["$"])),
            (
                finished("[1,1,1,1,1,1,1]"),
                finished("[2,2,2,2,2,2,2]"),
                Some(vec!["$[0]", "$[1]", "$[2]", "$[3]", "$[4]"]),
            ),
            (ok.clone(), failed("a", "b", "1"), Some(vec![])),
            (failed("a", "one", "[1,2]"), failed("a", "other words", "[1, 2.0]"), None),
            (failed("a", "one", "1"), failed("b", "one", "1"), Some(vec![])),
            (failed("a", "one", "1"), failed("a", "one", "2"), Some(vec![])),
            (stopped(StopKind::Trap, "at 1"), stopped(StopKind::Trap, "at 2"), None),
            (stopped(StopKind::Trap, "at 1"), stopped(StopKind::Timeout, "at 1"), Some(vec![])),
        ] {
            let expected = paths.map(|paths| paths.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(differences(&current, &candidate), expected, "{current:?} {candidate:?}");
        }
        let long = differences(&finished("{}"), &finished(&deep)).unwrap();
        assert!(long[0].starts_with("$.kkk") && long[0].len() < MAX_PATH + 5, "{long:?}");
    }

    #[test]
    fn what_is_kept_is_short_and_names_both() {
        let question = Question::for_test(&format!("\"{}\"", "é".repeat(MAX_TEXT)), finished("1"));
        let Verdict::Disagreed(kept) = Verdict::of(&question, &Ok(failed("c", "m", "[1]"))) else { panic!() };
        assert_eq!(kept["current"], json!({"outcome": "ok", "answer": 1}));
        let failure = json!({"code": "c", "details": [1]});
        assert_eq!(kept["candidate"], json!({"outcome": "policy_error", "message": "m", "failure": failure}));
        let input = kept["input"].as_str().unwrap();
        assert!(input.starts_with("\"éé") && input.ends_with('…') && input.len() <= MAX_TEXT + 3, "{input}");
        let error = Error::new(ErrorKind::NotFound, "Policy not found.");
        let Verdict::Failed(kept) = Verdict::of(&question, &Err(error)) else { panic!() };
        assert_eq!(kept["candidate"], json!({"outcome": "not_found", "message": "Policy not found."}));
        assert!(matches!(Verdict::of(&question, &Ok(finished("1.0"))), Verdict::Agreed));
        // As deep as a request may be.
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        let Verdict::Disagreed(kept) = Verdict::of(&Question::for_test(&deep, finished(&deep)), &Ok(finished("1")))
        else {
            panic!()
        };
        assert_eq!((&kept["input"], &kept["current"]["answer"]), (&json!(deep), &json!(deep)));
        assert_eq!(excerpt("[[1]]"), json!([[1]]));
    }
}
