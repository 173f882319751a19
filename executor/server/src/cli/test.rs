//! `lictor test`: a policy's fixtures, in the sandbox.
//!
//! The same file runs natively under `cargo test`; `guest-examples/README.md` specifies it. What this adds is that the
//! component itself answers, through the one door that every call goes through.

mod case;
mod difference;
mod fixtures;
mod world;

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use lictor_model::{Limits, LimitsSpec, address::AllowPrivate, limits::Ceiling};

use super::{EXIT_CODES, Failure, document, flags::PolicyFlags, host::Host, print, source::Found};
use case::Runner;
use fixtures::Case;

/// Check a policy's answers against its fixtures.
///
/// Each case makes one instance of the policy and takes its steps on it, with the context and the HTTP answers that
/// the case gives: nothing goes out to the network. The record's settings, parameters and capabilities play no part;
/// its limits do, but for time, of which there are at least ten seconds.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Test {
    #[command(flatten)]
    policy: PolicyFlags,
    /// The fixtures [default: expected.json in the policy's folder].
    #[arg(long, value_name = "FILE")]
    fixtures: Option<PathBuf>,
    /// Only the cases that have this in their name.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  lictor test .
  lictor test guest-examples/ip_allowlist --filter allowlist
  lictor test ip_allowlist.zip --fixtures expected.json";

/// So that a busy machine fails no test.
const MIN_TIMEOUT_MS: u64 = 10_000;
/// More than any call uses; what a call used is then known.
const AMPLE_FUEL: u64 = 1 << 62;

impl Test {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !self.policy.grant.is_empty() {
            return Err(Failure::Usage("`--grant`: a fixture is granted exactly what it describes".into()));
        }
        let cases = self.cases()?;
        let found = Found::at(&self.policy.policy, self.policy.record.as_deref())?;
        let limits = self.limits(&found.spec.limits, cases.iter().any(Case::counts_fuel))?;
        let host = Host::new(AllowPrivate::default())?;
        let module = host.load(&found.component, &limits)?;
        let runner = Runner { host: &host, module, limits, schemas: Arc::clone(&found.spec.schemas) };
        let mut n_failed = 0_usize;
        for case in &cases {
            let wrong = runner.check(case)?;
            n_failed += usize::from(!wrong.is_empty());
            tell(&case.name, &wrong)?;
        }
        print::line(&format!("{} passed, {n_failed} failed", cases.len() - n_failed))?;
        if n_failed == 0 { Ok(()) } else { Err(Failure::Policy) }
    }

    fn cases(&self) -> Result<Vec<Case>, Failure> {
        let in_folder = self.policy.policy.join("expected.json");
        let path = match &self.fixtures {
            Some(path) => path,
            None if self.policy.policy.is_dir() => &in_folder,
            None => {
                return Err(Failure::Usage("the fixtures of a file have to be named: give `--fixtures FILE`".into()));
            }
        };
        let wrong = |why: String| Failure::Usage(format!("the fixtures `{}` {why}", path.display()));
        let bytes = std::fs::File::open(path).and_then(document::read_bounded);
        let bytes = bytes.map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let mut cases = fixtures::parse(&bytes).map_err(|why| wrong(format!("are not a list of fixtures: {why}")))?;
        if let Some(filter) = &self.filter {
            cases.retain(|case| case.name.contains(filter));
        }
        if cases.is_empty() {
            return Err(wrong("hold no such case".into()));
        }
        Ok(cases)
    }

    fn limits(&self, record: &LimitsSpec, counts_fuel: bool) -> Result<Limits, Failure> {
        let ample = LimitsSpec {
            timeout_ms: record.timeout_ms.max(Some(MIN_TIMEOUT_MS)),
            fuel: record.fuel.or(counts_fuel.then_some(AMPLE_FUEL)),
            ..record.clone()
        };
        Ok(self.policy.limits_spec(&ample)?.within(&Ceiling::default()))
    }
}

/// One line for a case, and below it what is wrong.
fn tell(name: &str, wrong: &[String]) -> Result<(), Failure> {
    // A name is one line, whatever is in it.
    let name = name.replace('\n', " ");
    if wrong.is_empty() {
        return print::line(&format!("ok    {name}"));
    }
    print::line(&format!("FAIL  {name}"))?;
    wrong.iter().try_for_each(|line| print::line(&format!("      {line}")))
}
