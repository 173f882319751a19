//! Requests with their answers, compared one by one and written down together.

use std::fmt::Write as _;

use lictor_tests::{Client, Reply, differences, repository};
use serde_json::Value;

/// Where the table is kept.
const FILE: &str = "docs/requests.md";
/// Writes the file instead of comparing it.
const UPDATE: &str = "LICTOR_UPDATE_DOCS";
/// Characters of an answer that the table shows.
const SHOWN: usize = 240;

const HEADER: &str = "# Requests of the document

Every request that the document of the policies system makes, sent as it is printed there, with the answer it got. Each answer was compared whole; long ones are shown cut, and what differs from run to run is shown as
`<uuid>`, `<url>`, `<digest>`, `<number>`, `<text>` or `<any>`. What was expected is said by a heading of that document and, where it leaves
something open, by the original's behaviour on the wire (A.2 records, A.3 policies, A.4 executors, A.5 functions,
A.6 graphs, A.7 jobs, A.9 its client, A.11 assets, A.12 infrastructure).

The test `it::seed` makes this table. It fails when an answer changes, and when this file is not what the run gave;
`LICTOR_UPDATE_DOCS=1` writes it anew.
";

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// Nothing.
    Nothing,
    /// This text, as JSON; the name of the file that it is in, or what was changed in it.
    Json(&'a str, &'a str),
    /// A form with a file: its boundary and bytes, and the name to show.
    Form(&'a str, &'a str, &'a [u8]),
}

/// One request and what is expected of it.
pub(super) struct Case<'a> {
    /// Method and path.
    pub(super) request: &'a str,
    /// What is sent.
    pub(super) body: Body<'a>,
    /// What is there when it comes.
    pub(super) state: &'a str,
    /// Where it is said what has to come of it.
    pub(super) source: &'a str,
    /// The status expected.
    pub(super) status: u16,
    /// The answer expected, with placeholders.
    pub(super) answer: Value,
}

/// The requests so far.
pub(super) struct Table {
    client: Client,
    text: String,
    wrong: Vec<String>,
}

impl Table {
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.clone(), text: HEADER.to_owned(), wrong: Vec::new() }
    }

    /// Whom the requests go to.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Begins the requests of one registry.
    pub(super) fn chapter(&mut self, name: &str) {
        write!(
            self.text,
            "\n## {name}\n\n| request | body | state | expected by | status | answer |\n|---|---|---|---|---|---|\n"
        )
        .unwrap();
    }

    /// Sends a request, compares its answer, and writes both down.
    pub(super) fn ask(&mut self, case: &Case<'_>) -> Reply {
        self.ask_as(case.request, case)
    }

    /// The same, shown as another request, where its path differs from run to run.
    pub(super) fn ask_as(&mut self, request_shown: &str, case: &Case<'_>) -> Reply {
        let Case { request, body, state, source, status, answer } = case;
        let (method, path) = request.split_once(' ').expect("a request is a method and a path");
        let (reply, name) = match *body {
            Body::Nothing => (self.client.send(method, path, &[], b""), "–".to_owned()),
            Body::Json(name, text) => {
                let json = [("Content-Type", "application/json")];
                (self.client.send(method, path, &json, text.as_bytes()), format!("`{name}`"))
            }
            Body::Form(name, boundary, bytes) => {
                let media_type = format!("multipart/form-data; boundary={boundary}");
                (self.client.send(method, path, &[("Content-Type", &media_type)], bytes), format!("`{name}`"))
            }
        };
        let got = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let mut wrong = differences(answer, &got);
        if reply.status != *status {
            wrong.insert(0, format!("the status is {}, not {status}: {}", reply.status, reply.text()));
        }
        self.wrong.extend(wrong.iter().map(|wrong| format!("{request} ({state}): {wrong}")));
        let shown = shown(answer);
        writeln!(self.text, "| `{request_shown}` | {name} | {state} | {source} | {status} | `{shown}` |").unwrap();
        reply
    }

    /// Writes down what an evaluator was asked and answered, compared like any other answer.
    pub(super) fn note(&mut self, call: &str, given: &Value, source: &str, expected: &Value, answer: &Value) {
        self.wrong.extend(differences(expected, answer).iter().map(|wrong| format!("{call}: {wrong}")));
        let shown = shown(expected);
        writeln!(self.text, "| {call} | `{given}` | the sample policy | {source} | – | `{shown}` |").unwrap();
    }

    /// Notes what is wrong beside the answers.
    pub(super) fn check(&mut self, right: bool, otherwise: &str) {
        if !right {
            self.wrong.push(otherwise.to_owned());
        }
    }

    /// Fails if an answer was wrong or the file is not what came out.
    pub(super) fn finish(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        let file = repository().join(FILE);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&file, &self.text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == self.text, "{FILE} is not what this run gave: {UPDATE}=1 writes it anew\n{}", self.text);
    }
}

/// An answer as one cell of the table.
fn shown(answer: &Value) -> String {
    let text = answer.to_string().replace('|', "\\|");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text,
    }
}
