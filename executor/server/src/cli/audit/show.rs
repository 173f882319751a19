//! `lictor audit show`: one decision, for a person.

use std::{fmt::Write as _, ops::ControlFlow};

use clap::Args;
use lictor_model::{Failure as PolicyFailure, field};
use lictor_sandbox::{Data, Event, HttpAnswer, Told};

use super::{
    super::{Failure, print},
    place::Place,
    unreadable,
};
use crate::decisions::{
    DecisionId,
    line::{Decided, Made},
    read::{Filter, Found, each},
    time,
};

/// Characters of a document that are shown.
const SHOWN: usize = 2000;

/// Tell the story of one decision: who asked, which bytes decided with which parameters, what they asked of the world, what
/// it cost, and what came of it.
#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The decision's id.
    id: String,
    #[command(flatten)]
    place: Place,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        let folder = self.place.log()?;
        let mut shown = None;
        let read = each(&folder, &by_id(&self.id)?, |found| {
            shown = Some(story(&found));
            ControlFlow::Break(())
        });
        read.map_err(|error| unreadable(&folder, &error))?;
        match shown {
            Some(story) => print::line(story.trim_end()),
            None => Err(missing(&self.id)),
        }
    }
}

/// Looks for one decision, where its id says that it can be.
pub(in crate::cli) fn by_id(id: &str) -> Result<Filter, Failure> {
    let wrong =
        || Failure::Usage(format!("`{}` is no id of a decision: they are UUIDs of version 7", field::shorten(id, 60)));
    let at_ms = DecisionId::time_ms(id).ok_or_else(wrong)?;
    Ok(Filter {
        id: Some(id.to_ascii_lowercase()),
        since_ms: Some(at_ms),
        until_ms: Some(at_ms.saturating_add(1)),
        ..Filter::default()
    })
}

pub(in crate::cli) fn missing(id: &str) -> Failure {
    print::note(format_args!("lictor: the log has no decision {id}"));
    Failure::Policy
}

fn story(Found { decided, made, .. }: &Found) -> String {
    let mut res = String::new();
    let mut line = |name: &str, text: String| {
        // Writing to a string does not fail.
        let _ = writeln!(res, "{name:<12}{text}");
    };
    line("decision", format!("{} (record {})", decided.decision, decided.n));
    line("when", format!("{}, for {} us", time(decided.at_ms), decided.wall_us));
    line("asked by", asked_by(decided));
    line("policy", decided.policy.clone());
    line("component", made.component_digest.clone());
    line("settings", format!("{} {}", made.settings_digest, shorten(made.settings(), SHOWN)));
    line("parameters", parameters(decided, made));
    line("granted", made.capabilities.to_string());
    if let Some((instance, sequence)) = decided.instance.as_ref().zip(decided.sequence) {
        line("instance", format!("{instance}, call {sequence} of it"));
    }
    line("question", question(decided));
    for (idx, event) in decided.calls.iter().enumerate() {
        line(if idx == 0 { "host calls" } else { "" }, format!("{}. {}", idx.saturating_add(1), told(event)));
    }
    if decided.calls_cut {
        line("", "and more, which was not kept".into());
    }
    line("outcome", outcome(decided));
    line("cost", cost(decided));
    res
}

/// The beginning of a document, as it is: what it could do to a terminal is taken out where it is printed.
fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn asked_by(decided: &Decided) -> String {
    let mut res = match &decided.caller {
        None => "nobody who showed a token".to_owned(),
        Some(by) => format!(
            "the token {}",
            by.name.as_ref().map_or(by.token.clone(), |name| format!("`{name}` ({})", by.token))
        ),
    };
    res.push_str(&format!(", by way of {}", decided.origin));
    if let Some(trace) = &decided.trace {
        res.push_str(&format!(", in the trace {trace}"));
    }
    if decided.dry_run {
        res.push_str(", as a dry run");
    }
    res
}

fn parameters(decided: &Decided, made: &Made) -> String {
    match decided.parameters() {
        Some(parameters) => format!("of the call: {}", shorten(parameters, SHOWN)),
        None => format!("{} {}", made.parameters_digest, shorten(made.parameters(), SHOWN)),
    }
}

fn question(decided: &Decided) -> String {
    let hidden = "(only its digest was recorded)";
    match decided.op.as_deref() {
        None => shorten(decided.input().unwrap_or(hidden), SHOWN),
        Some("management") => {
            let action = decided.action.as_deref().unwrap_or_default();
            format!("the management command `{action}` with {}", shorten(decided.data().unwrap_or(hidden), SHOWN))
        }
        Some("restore") => {
            format!("to continue from what `{}` saved", decided.from_policy_uri.as_deref().unwrap_or_default())
        }
        Some("save") => "to save its state".into(),
        Some(_) => "to be initialised".into(),
    }
}

fn outcome(decided: &Decided) -> String {
    let code = &decided.outcome;
    if let Some(output) = decided.output() {
        return format!("{code}: {}", shorten(output, SHOWN));
    }
    if let Some(failure) = decided.failure.clone() {
        let PolicyFailure { code: own, message, .. } = failure.into();
        return format!("{code}: {} ({})", shorten(&message, SHOWN), shorten(&own, 100));
    }
    match &decided.message {
        Some(message) => format!("{code}: {}", shorten(message, SHOWN)),
        None if code == "abandoned" => "abandoned: whoever asked went away before there was an answer".into(),
        None => code.clone(),
    }
}

fn cost(decided: &Decided) -> String {
    let mut res = format!("{} us, {} bytes of memory", decided.wall_us, decided.memory);
    if let Some(fuel) = decided.fuel {
        res.push_str(&format!(", {fuel} units of fuel"));
    }
    if 0 < decided.host_calls {
        res.push_str(&format!(", {} calls of the host", decided.host_calls));
    }
    res
}

/// What was asked of the world outside, and what it said.
fn told(event: &Event) -> String {
    let text = |data: &Data| shorten(&String::from_utf8_lossy(&data.0), 200);
    let refused =
        |why: &Option<String>| why.as_ref().map_or(String::new(), |why| format!(", which was refused: {why}"));
    match event {
        Event::WallClock { seconds, nanoseconds } => {
            format!(
                "the time: {}",
                time(seconds.saturating_mul(1000).saturating_add(u64::from(nanoseconds / 1_000_000)))
            )
        }
        Event::Monotonic { ns } => format!("the monotonic clock: {ns} ns"),
        Event::Random { bytes } => format!("{} random bytes", bytes.0.len()),
        Event::Get { key, value: Some(value) } => format!("the context's `{key}`: {}", text(value)),
        Event::Get { key, value: None } => format!("the context's `{key}`, which it does not have"),
        Event::Exists { key, found } => format!("whether the context has `{key}`: {found}"),
        Event::ListKeys { keys, .. } => format!("the context's keys: {}", shorten(&keys.join(", "), 200)),
        Event::Set { key, value, refused: why } => {
            format!("set the context's `{key}` to {}{}", text(value), refused(why))
        }
        Event::Delete { key, refused: why } => format!("deleted the context's `{key}`{}", refused(why)),
        Event::Host { name, args, told: Told::Answer(answer) } => {
            format!("the host function `{name}` with {}: {}", shorten(args, 200), shorten(answer, 200))
        }
        Event::Host { name, args, told: Told::Failure { code, message, .. } } => {
            format!("the host function `{name}` with {}, which failed: {message} ({code})", shorten(args, 200))
        }
        Event::Http { method, url, answer } => format!("{method} {}: {}", shorten(url, 300), response(answer)),
        Event::Response { ready } => format!("whether a response had come: {ready}"),
        Event::Poll { ready } => format!("which of several things were ready: {ready:?}"),
        Event::Ready { ready } => format!("whether something was ready: {ready}"),
        Event::Read { bytes: Some(bytes) } => format!("{bytes} bytes of a stream"),
        Event::Read { bytes: None } => "the end of a stream".into(),
        Event::CheckWrite { bytes } => format!("room in a stream: {} bytes", bytes.unwrap_or(0)),
        Event::Write { ended } => format!("a write to a stream{}", if *ended { " that had ended" } else { "" }),
        Event::Refused { grant } => format!("refused: it needs the grant {grant}"),
    }
}

fn response(answer: &HttpAnswer) -> String {
    match answer {
        HttpAnswer::None => "no answer before the end of the call".into(),
        HttpAnswer::Error(code) => code.clone(),
        HttpAnswer::Response { status, body, broken, .. } => {
            let broken = broken.as_ref().map_or(String::new(), |why| format!(", cut off: {why}"));
            format!("{status}, {} bytes{broken}", body.0.len())
        }
    }
}
