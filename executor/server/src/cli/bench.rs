//! `lictor bench`: how fast a policy answers, in this process, through the same `run` as every call.

mod measure;

use std::{sync::Arc, time::Duration};

use clap::Args;
use lictor_model::{Limits, Outcome};
use lictor_sandbox::{Instance, LogLine, Op, Policy, Recorder, Sandbox, context::Bucket};
use serde::Serialize;

use super::{
    EXIT_CODES, Failure, answer,
    document::Document,
    flags::{RunFlags, parameters},
    host::{Aloud, Host, call},
    print, progress,
    source::Found,
};
use measure::{Measured, Mode};

/// Measure how fast a policy answers.
///
/// Two ways: `fresh` makes an instance for each call, constructs the policy, asks it and drops it, as a stateless call
/// does; `resident` asks one instance again and again, as a function does. Neither HTTP nor a queue is in it.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Bench {
    #[command(flatten)]
    run: RunFlags,
    /// What is to be decided about.
    #[arg(long, value_name = "JSON|@FILE|-", allow_negative_numbers = true)]
    input: Document,
    /// The calls' own parameters, instead of the record's.
    #[arg(long, value_name = "JSON|@FILE|-")]
    parameters: Option<Document>,
    /// How long to measure, both ways together.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Threads that call at the same time, each with instances of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lictor bench ip_allowlist.zip --settings '{}' --input '{\"ip\": \"127.0.0.1\"}'
  lictor bench policy.wasm --input @request.json --seconds 10 --threads 4 --json";

/// What is measured: one policy and one question.
struct Subject {
    sandbox: Sandbox,
    policy: Arc<Policy>,
    limits: Limits,
    input: String,
    parameters: Option<String>,
    /// The policy's, and so shared by all of its calls.
    context: Arc<Bucket>,
}

#[derive(Serialize)]
struct Report {
    component: String,
    threads: u32,
    fresh: Measured,
    resident: Measured,
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Failure> {
        let subject = self.subject()?;
        let each = Duration::from_secs(self.seconds) / 2;
        let spinner = progress::spinner(format!("measuring for {} s", self.seconds));
        let measure = |mode| measure::measure(&subject, mode, self.threads, each);
        let (fresh, resident) = (measure(Mode::Fresh), measure(Mode::Resident));
        spinner.finish_and_clear();
        let component = subject.policy.module.digest().to_string();
        let report = Report { component, threads: self.threads, fresh: fresh?, resident: resident? };
        if self.json {
            return print::json_line(&serde_json::to_string(&report).map_err(Failure::internal)?);
        }
        tell(&report)
    }

    /// Loads the policy and asks it once: what fails is not worth measuring.
    fn subject(&self) -> Result<Subject, Failure> {
        let (input, parameters) = (self.input.read("--input")?, parameters(self.parameters.as_ref())?);
        let (settings, allow_private) = (self.run.settings()?, self.run.allow_private()?);
        let found = Found::at(&self.run.policy.policy, self.run.policy.record.as_deref())?;
        let limits = self.run.policy.limits(&found.spec.limits)?;
        let host = Host::sized(allow_private, self.threads.saturating_add(2))?;
        let policy = Arc::new(self.run.policy(&found, settings.as_deref(), host.load(&found.component, &limits)?));
        let context = Arc::default();
        let op = Op::Eval { parameters: parameters.as_deref(), input: &input };
        let call = call(op, limits, &context, &Aloud::recorder());
        let checked = host.run(&mut Instance::once(Arc::clone(&policy)), call, &found.spec.schemas)?;
        if self.run.usage {
            print::note(format_args!("usage: {}", serde_json::json!(checked.run.usage)));
        }
        if !matches!(checked.run.outcome, Outcome::Finished(_)) {
            return answer::print(&checked, false).and(Err(Failure::Policy));
        }
        answer::warn(&checked.warnings);
        Ok(Subject { sandbox: host.sandbox.clone(), policy, limits, input, parameters, context })
    }
}

fn tell(report: &Report) -> Result<(), Failure> {
    print::line(&format!(
        "{:<10}{:>14}{:>12}{:>12}{:>12}{:>10}",
        "", "calls/s", "mean µs", "p50 µs", "p99 µs", "failed"
    ))?;
    for (name, Measured { calls_per_second, mean_us, p50_us, p99_us, failed, .. }) in
        [("fresh", &report.fresh), ("resident", &report.resident)]
    {
        print::line(&format!(
            "{name:<10}{calls_per_second:>14.0}{mean_us:>12.1}{p50_us:>12.1}{p99_us:>12.1}{failed:>10}"
        ))?;
    }
    Ok(())
}

/// What a policy says thousands of times is said by nobody.
struct Silent;

impl Recorder for Silent {
    fn log(&self, _line: LogLine<'_>) {}
}
