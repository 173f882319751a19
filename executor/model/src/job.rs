//! A job: runs of a policy in the background, and what came of them.
//!
//! The original keeps five fields of a record and its document queries by two that it does not keep, so a record here
//! also says what was submitted, and how it went so far; `policy_rule_uri` and `job_policy_rule_uri` are the same.
//! How a job goes from one state to the next is here, without a clock: whoever asks says what time it is.

mod retry;
mod submit;

use serde_json::{Map, Value, json};

pub use self::{
    retry::{Blame, pause_ms},
    submit::{MAX_NAME, Submit, check_id},
};
use crate::{
    document::{Entry, object, text},
    field::FieldError,
    time::Time,
};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits, for its turn or for its next attempt.
    Pending,
    /// It runs.
    Running,
    /// Its policy answered.
    Completed,
    /// It is not tried again.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The stable code.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
    /// What else is known, to stand beside these two.
    pub more: Map<String, Value>,
}

/// The record of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What names it.
    pub id: String,
    /// What was submitted.
    pub submit: Submit,
    /// The executor that it is for.
    pub executor_id: String,
    /// The node that it ran on, if its executor has nodes.
    pub node_id: String,
    /// How long its record is kept after its end, in seconds.
    pub ttl: u64,
    /// Where it is.
    pub status: Status,
    /// What came of it.
    pub output: Value,
    /// How often it was begun.
    pub attempts: u64,
    /// When it was submitted.
    pub submitted_at: Option<Time>,
    /// When its last attempt began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// When it is tried again.
    pub next_attempt_at: Option<Time>,
    /// Why its last attempt failed, if it did.
    pub trouble: Option<Trouble>,
    /// What its last attempt used, or null.
    pub usage: Value,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As records say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }
}

impl Trouble {
    /// Trouble of which no more is known.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), more: Map::new() }
    }
}

impl Job {
    /// A job that nobody began yet.
    pub fn new(id: String, submit: Submit, executor_id: String, default_ttl: u64, now: Time) -> Self {
        Self {
            id,
            executor_id,
            node_id: String::new(),
            ttl: submit.ttl_seconds_after_finished.unwrap_or(default_ttl),
            status: Status::Pending,
            output: json!({}),
            attempts: 0,
            submitted_at: Some(now),
            started_at: None,
            finished_at: None,
            next_attempt_at: None,
            trouble: None,
            usage: Value::Null,
            submit,
        }
    }

    /// Whether `submit` asks for the same.
    pub fn was_asked(&self, submit: &Submit) -> bool {
        let ttl = submit.ttl_seconds_after_finished.unwrap_or(self.ttl);
        let comparable = |submit: &Submit, ttl| Submit {
            ttl_seconds_after_finished: Some(ttl),
            warnings: Vec::new(),
            ..submit.clone()
        };
        comparable(&self.submit, self.ttl) == comparable(submit, ttl)
    }

    /// An attempt begins.
    pub fn start(&mut self, now: Time) {
        self.status = Status::Running;
        self.attempts = self.attempts.saturating_add(1);
        self.started_at = Some(now);
        self.next_attempt_at = None;
    }

    /// The policy answered.
    pub fn complete(&mut self, output: Value, now: Time) {
        self.trouble = None;
        self.output = output;
        self.end(Status::Completed, now);
    }

    /// The last attempt failed, and there is no other one.
    pub fn fail(&mut self, trouble: Trouble, now: Time) {
        let mut output = Map::new();
        output.insert("message".into(), trouble.message.as_str().into());
        output.insert("code".into(), trouble.code.as_str().into());
        output.extend(trouble.more.clone());
        self.output = Value::Object(output);
        self.trouble = Some(trouble);
        self.end(Status::Failed, now);
    }

    /// The last attempt failed, and there is another one.
    pub fn retry(&mut self, trouble: Trouble, at: Time) {
        self.trouble = Some(trouble);
        self.status = Status::Pending;
        self.next_attempt_at = Some(at);
    }

    /// Nobody wants it any more.
    pub fn cancel(&mut self, now: Time) {
        self.end(Status::Cancelled, now);
    }

    fn end(&mut self, status: Status, now: Time) {
        self.status = status;
        self.finished_at = Some(now);
        self.next_attempt_at = None;
    }

    /// Takes over what another executor says of this job. Says whether that is something new.
    pub fn take_over(&mut self, record: &Map<String, Value>) -> bool {
        let before = self.clone();
        // One that has a word of its own for it has it in its hands.
        let status = record.get("job_status").and_then(Value::as_str).and_then(Status::parse);
        self.status = status.unwrap_or(Status::Running);
        self.output = record.get("job_output_data").cloned().unwrap_or_else(|| json!({}));
        self.node_id = text_at(record, "node_id");
        self.attempts = record.get("attempts").and_then(Value::as_u64).unwrap_or(1);
        self.started_at = time_at(record, "started_at").or(self.started_at);
        self.finished_at = time_at(record, "finished_at");
        self.next_attempt_at = time_at(record, "next_attempt_at");
        self.trouble = trouble(record);
        self.usage = record.get("usage").cloned().unwrap_or_default();
        *self != before
    }

    /// The record as it is kept and read, the original's fields first.
    pub fn to_document(&self) -> Map<String, Value> {
        let Submit { name, policy_rule_uri: uri, node_selector, inputs, backoff_limit, timeout_ms, .. } = &self.submit;
        let time = |time: Option<Time>| time.map_or(Value::Null, Value::from);
        let trouble = self.trouble.as_ref();
        let fields = [
            ("job_id", json!(self.id)),
            ("job_output_data", self.output.clone()),
            ("job_status", json!(self.status.name())),
            ("node_id", json!(self.node_id)),
            ("job_policy_rule_uri", json!(uri)),
            ("name", json!(name)),
            ("policy_rule_uri", json!(uri)),
            ("inputs", inputs.clone()),
            ("executor_id", json!(self.executor_id)),
            ("policy_rule_parameters", submit::parameters(self.submit.policy_rule_parameters.as_ref())),
            ("node_selector", Value::Object(node_selector.clone())),
            ("backoff_limit", json!(backoff_limit)),
            ("timeout_ms", json!(timeout_ms)),
            ("ttl_seconds_after_finished", json!(self.ttl)),
            ("attempts", json!(self.attempts)),
            ("submitted_at", time(self.submitted_at)),
            ("started_at", time(self.started_at)),
            ("finished_at", time(self.finished_at)),
            ("next_attempt_at", time(self.next_attempt_at)),
            ("code", json!(trouble.map(|trouble| &trouble.code))),
            ("message", json!(trouble.map(|trouble| &trouble.message))),
            ("usage", self.usage.clone()),
        ];
        // Where no token is needed, there is nothing to say.
        let submitted_by = self.submit.submitted_by.as_ref().map(|token| ("submitted_by", json!(token)));
        fields.into_iter().chain(submitted_by).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads a record. Either of the two fields that hold the policy's uri will do.
    pub fn read(document: &Map<String, Value>) -> Result<Self, FieldError> {
        let (ours, original) = ("policy_rule_uri", "job_policy_rule_uri");
        let uri = if document.contains_key(ours) { text(document, ours)? } else { text(document, original)? };
        if document.get(original).is_some_and(|other| other.as_str() != Some(uri)) {
            return Err(FieldError::new(original, format!("must be the same as `{ours}`")));
        }
        let object_at = |name: &str| document.get(name).and_then(Value::as_object).cloned();
        let number_at = |name: &str| document.get(name).and_then(Value::as_u64);
        let ttl = number_at("ttl_seconds_after_finished");
        let submit = Submit {
            name: text_at(document, "name"),
            policy_rule_uri: uri.to_owned(),
            policy_rule_parameters: object_at("policy_rule_parameters"),
            node_selector: object_at("node_selector").unwrap_or_default(),
            inputs: document.get("inputs").cloned().unwrap_or_else(|| json!({})),
            backoff_limit: number_at("backoff_limit").unwrap_or(0),
            timeout_ms: number_at("timeout_ms"),
            ttl_seconds_after_finished: ttl,
            submitted_by: document.get("submitted_by").and_then(Value::as_str).map(str::to_owned),
            warnings: Vec::new(),
        };
        let status = Status::parse(text(document, "job_status")?);
        Ok(Self {
            id: text(document, "job_id")?.to_owned(),
            submit,
            executor_id: text_at(document, "executor_id"),
            node_id: text_at(document, "node_id"),
            ttl: ttl.unwrap_or(0),
            status: status.ok_or_else(|| FieldError::new("job_status", "is not a status"))?,
            output: document.get("job_output_data").cloned().unwrap_or_else(|| json!({})),
            attempts: number_at("attempts").unwrap_or(0),
            submitted_at: time_at(document, "submitted_at"),
            started_at: time_at(document, "started_at"),
            finished_at: time_at(document, "finished_at"),
            next_attempt_at: time_at(document, "next_attempt_at"),
            trouble: trouble(document),
            usage: document.get("usage").cloned().unwrap_or_default(),
        })
    }
}

/// Reads a record and completes it.
pub fn parse(body: Value) -> Result<Entry, FieldError> {
    let job = Job::read(&object(body, "a job")?)?;
    Ok(Entry { document: job.to_document(), id: job.id, warnings: Vec::new() })
}

fn text_at(document: &Map<String, Value>, name: &str) -> String {
    document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn time_at(document: &Map<String, Value>, name: &str) -> Option<Time> {
    Time::parse(document.get(name)?.as_str()?)
}

fn trouble(document: &Map<String, Value>) -> Option<Trouble> {
    Some(Trouble::new(document.get("code")?.as_str()?, text_at(document, "message")))
}

#[cfg(test)]
mod tests;
