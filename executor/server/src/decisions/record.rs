//! A decision as a line: everything but its number, its version's number and its hash, which the writer adds.

use std::sync::Arc;

use lictor_model::{Digest, Failure, Outcome, Stop, Usage};
use lictor_sandbox::{Op, Transcript};
use serde::Serialize;
use serde_json::Value;

use super::{Begun, Privacy, Share, Version, line::Caller};
use crate::access::Asker;

/// One call, and what came of it.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    /// Its id, and when it began.
    pub begun: Begun,
    /// What it was made by.
    pub version: &'a Arc<Version>,
    /// The policy.
    pub policy_rule_uri: &'a str,
    /// Where the call came from. Plain characters only.
    pub origin: &'a str,
    /// Who asked, if that is known.
    pub caller: Option<Caller<'a>>,
    /// The trace that the call is part of.
    pub trace: Option<&'a str>,
    /// What was asked.
    pub op: Op<'a>,
    /// How long it might take.
    pub timeout_ms: u64,
    /// Whether nothing of it lasts.
    pub dry_run: bool,
    /// Of an instance that is kept: which, and the how many-th call of it this is.
    pub instance: Option<(&'a str, u64)>,
    /// What came of it; none if nobody waited for it.
    pub outcome: Option<&'a Outcome>,
    /// What it used.
    pub usage: Usage,
    /// What it was told.
    pub transcript: Option<&'a Transcript>,
}

impl<'a> Decision<'a> {
    /// A call that begins, of a policy whose name and limits are still to be said.
    pub fn new(begun: Begun, version: &'a Arc<Version>, op: Op<'a>, origin: &'a str, asker: Option<&'a Asker>) -> Self {
        let caller = asker.and_then(Asker::named).map(|(token, name)| Caller { token, name });
        let trace = asker.and_then(|asker| asker.trace.as_deref());
        Self {
            begun,
            version,
            policy_rule_uri: "",
            origin,
            caller,
            trace,
            op,
            timeout_ms: version.timeout_ms,
            dry_run: false,
            instance: None,
            outcome: None,
            usage: Usage::default(),
            transcript: None,
        }
    }
}

impl Decision<'_> {
    /// Writes the line, from after the numbers to before the hash. It has no line feed.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let privacy = &self.version.privacy;
        if privacy.mask.is_empty() {
            self.write_plain(to, privacy);
        } else {
            self.write_masked(to, privacy);
        }
    }

    fn write_plain(&self, to: &mut Vec<u8>, privacy: &Privacy) {
        plain(to, "decision", self.begun.id.as_str());
        number(to, "at_ms", self.begun.at_ms);
        plain(to, "policy", self.policy_rule_uri);
        plain(to, "origin", self.origin);
        if let Some(caller) = &self.caller {
            json(to, "caller", caller);
        }
        if let Some(trace) = self.trace {
            json(to, "trace", trace);
        }
        if self.timeout_ms != self.version.timeout_ms {
            number(to, "timeout_ms", self.timeout_ms);
        }
        if self.dry_run {
            json(to, "dry_run", &true);
        }
        if let Some((instance, sequence)) = self.instance {
            plain(to, "instance", instance);
            number(to, "sequence", sequence);
        }
        self.write_question(to, privacy);
        self.write_answer(to, privacy);
        self.write_usage(to);
        // What is hidden could be in what it asked of others, and cannot be replayed anyway.
        if let Some(transcript) = self.transcript.filter(|_| !privacy.hides()) {
            json(to, "calls", &transcript.events);
            if transcript.cut {
                json(to, "calls_cut", &true);
            }
        }
    }

    fn write_question(&self, to: &mut Vec<u8>, privacy: &Privacy) {
        match self.op {
            Op::Eval { parameters, input } => {
                if let Some(parameters) = parameters {
                    shared(to, "parameters", parameters, privacy.input);
                }
                shared(to, "input", input, privacy.input);
            }
            Op::Init => plain(to, "op", "init"),
            Op::Management { action, data } => {
                plain(to, "op", "management");
                json(to, "action", action);
                shared(to, "data", data, privacy.input);
            }
            Op::Save => plain(to, "op", "save"),
            Op::Restore { from_policy_uri, state } => {
                plain(to, "op", "restore");
                json(to, "from_policy_uri", from_policy_uri);
                match privacy.input {
                    Share::Whole => json(to, "state", &lictor_sandbox::Data::from(state.to_vec())),
                    Share::Hashed => json(to, "state_digest", &Digest::of(state).to_string()),
                }
            }
        }
    }

    fn write_answer(&self, to: &mut Vec<u8>, privacy: &Privacy) {
        plain(to, "outcome", self.outcome.map_or("abandoned", Outcome::code));
        match self.outcome {
            None => {}
            Some(Outcome::Finished(output)) => shared(to, "output", output, privacy.output),
            Some(Outcome::Failed(failure)) => match privacy.output {
                Share::Whole => {
                    json(
                        to,
                        "failure",
                        &Failed { code: &failure.code, message: &failure.message, details: &failure.details },
                    );
                }
                Share::Hashed => {
                    json(to, "failure_digest", &Digest::of(account(failure).as_bytes()).to_string());
                }
            },
            // What does not match a schema may be quoted in the message.
            Some(Outcome::Stopped(Stop { violations, .. })) if privacy.hides() && !violations.is_empty() => {}
            Some(Outcome::Stopped(Stop { message, .. })) => json(to, "message", message),
        }
    }

    fn write_usage(&self, to: &mut Vec<u8>) {
        let Usage { wall_us, fuel, peak_memory_bytes, host_calls, log_truncated } = self.usage;
        number(to, "wall_us", wall_us);
        number(to, "memory", peak_memory_bytes);
        if let Some(fuel) = fuel {
            number(to, "fuel", fuel);
        }
        if 0 < host_calls {
            number(to, "host_calls", host_calls);
        }
        if log_truncated {
            json(to, "log_truncated", &true);
        }
    }

    /// The same, with what pointers name replaced.
    fn write_masked(&self, to: &mut Vec<u8>, privacy: &Privacy) {
        let mut text = b"{\"n\":0".to_vec();
        self.write_plain(&mut text, privacy);
        text.push(b'}');
        let mut value: Value = serde_json::from_slice(&text).unwrap_or_default();
        read_texts(&mut value);
        let mut masked = false;
        for pointer in &privacy.mask {
            if let Some(place) = value.pointer_mut(pointer) {
                *place = "***".into();
                masked = true;
            }
        }
        if let Value::Object(value) = &mut value {
            value.shift_remove("n");
            for (name, member) in value.iter() {
                json(to, name, member);
            }
        }
        if masked {
            json(to, "masked", &true);
        }
    }
}

/// Makes documents of those that are written as strings, so that pointers reach into them.
fn read_texts(decision: &mut Value) {
    let Value::Object(decision) = decision else { return };
    for name in ["parameters", "input", "data", "output"] {
        let text = decision.shift_remove(&format!("{name}_text"));
        let read = text.as_ref().and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
        decision.extend(read.map(|document: Value| (name.to_owned(), document)));
    }
}

/// All that a policy said of why it failed, of which a digest is made.
pub fn account(failure: &Failure) -> String {
    let Failure { code, message, details } = failure;
    format!("{code}\0{message}\0{}", details.as_deref().unwrap_or_default())
}

/// What a policy said of why it failed.
#[derive(Serialize)]
struct Failed<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: &'a Option<String>,
}

fn name(to: &mut Vec<u8>, name: &str) {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b"\":");
}

/// A string that has nothing to escape.
fn plain(to: &mut Vec<u8>, of: &str, text: &str) {
    name(to, of);
    to.push(b'"');
    to.extend_from_slice(text.as_bytes());
    to.push(b'"');
}

fn number(to: &mut Vec<u8>, of: &str, number: u64) {
    name(to, of);
    to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn json(to: &mut Vec<u8>, of: &str, value: &(impl Serialize + ?Sized)) {
    name(to, of);
    if serde_json::to_writer(&mut *to, value).is_err() {
        // Nothing that is written here fails: its maps have strings as keys, and memory takes everything.
        to.extend_from_slice(b"null");
    }
}

/// A document as it is, byte for byte: one that is on several lines is written as a string.
pub(super) fn text_member(to: &mut Vec<u8>, of: &str, text: &str) {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        json(to, &format!("{of}_text"), text);
    } else {
        name(to, of);
        to.extend_from_slice(text.as_bytes());
    }
}

fn shared(to: &mut Vec<u8>, of: &str, text: &str, share: Share) {
    match share {
        Share::Whole => text_member(to, of, text),
        Share::Hashed => json(to, &format!("{of}_digest"), &Digest::of(text.as_bytes()).to_string()),
    }
}
