//! `lictor inspect`: what a component is, what it would need to run, and whether it would be run at all.

mod report;
mod text;

use clap::Args;
use lictor_loader::LoadError;
use lictor_model::{Limits, address::AllowPrivate};
use lictor_sandbox::{Bounds, Facts};

use super::{EXIT_CODES, Failure, answer, flags::PolicyFlags, host::Host, print, source::Found};
use report::Report;

/// Show what a component is, and what it would need to run.
///
/// Digest and size, imports and what stands behind each, exports, the JSON schemas it carries, the capabilities it
/// would use, which of them its record grants, what it could reach with those, and its limits. A component that is no
/// policy is shown too, with the reason why it would be refused, and exit code 3.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Inspect {
    #[command(flatten)]
    policy: PolicyFlags,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lictor inspect ip_allowlist.zip
  lictor inspect policy.wasm --record policy.json --json | jq .reach";

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let surveyed = self.survey();
        let (found, facts) = if self.json { answer::or_refusal(surveyed) } else { surveyed }?;
        let limits = self.policy.limits(&found.spec.limits)?;
        let refusal = refusal(&found, &limits)?;
        let grant = self.policy.grants(&found.spec.capabilities);
        let report = Report::new(&found, &facts, &grant, limits, refusal.as_ref());
        if self.json {
            print::json_line(&serde_json::to_string(&report).map_err(Failure::internal)?)?;
        } else {
            print::line(&text::render(&report))?;
        }
        refusal.map_or(Ok(()), |error| Err(Failure::Load(error)))
    }

    fn survey(&self) -> Result<(Found, Facts), Failure> {
        let found = Found::at(&self.policy.policy, self.policy.record.as_deref())?;
        let facts = Facts::survey(found.component.bytes(), &Bounds::default()).map_err(LoadError::from)?;
        Ok((found, facts))
    }
}

/// Why the component would not be run. Compiles it to see, since the types of its functions show only then.
fn refusal(found: &Found, limits: &Limits) -> Result<Option<LoadError>, Failure> {
    if let Err(refusal) = Facts::read(found.component.bytes(), &Bounds::default()) {
        return Ok(Some(refusal.into()));
    }
    match Host::new(AllowPrivate::default())?.load(&found.component, limits) {
        Ok(_) => Ok(None),
        Err(Failure::Load(error)) => Ok(Some(error)),
        Err(other) => Err(other),
    }
}
