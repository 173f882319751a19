//! `lictor inspect`: what a component is, what it would need to run, and whether it would be run at all.

mod report;
mod text;

use clap::Args;
use lictor_loader::{LoadCode, LoadError, Package};
use lictor_model::{Limits, address::AllowPrivate};
use lictor_sandbox::{Bounds, Facts};

use report::Report;

use super::{EXIT_CODES, Failure, answer, flags::PolicyFlags, host::Host, print, source::Found};
use crate::config;

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
        let code = found.component.bytes();
        let survey = |component: &[u8]| Facts::survey(component, &Bounds::default()).map_err(LoadError::from);
        let facts = match Package::is(code) {
            // What it could reach is what its interpreter can; what it is, is its files.
            true => Facts { digest: found.component.digest(), size: code.len(), ..survey(&interpreter()?)? },
            false => survey(code)?,
        };
        Ok((found, facts))
    }
}

/// The component that runs policies in Python.
fn interpreter() -> Result<Vec<u8>, Failure> {
    let missing = |why: String| Failure::load(LoadCode::NotAvailable, why);
    let path = config::python_host().ok_or_else(|| missing("there is no Python host component here".into()))?;
    std::fs::read(&path).map_err(|error| missing(format!("`{}` cannot be read: {error}", path.display())))
}

/// Why the component would not be run. Compiles it to see, since the types of its functions show only then.
fn refusal(found: &Found, limits: &Limits) -> Result<Option<LoadError>, Failure> {
    if !Package::is(found.component.bytes())
        && let Err(refusal) = Facts::read(found.component.bytes(), &Bounds::default())
    {
        return Ok(Some(refusal.into()));
    }
    match Host::new(AllowPrivate::default())?.load(&found.component, limits) {
        Ok(_) => Ok(None),
        Err(Failure::Load(error)) => Ok(Some(error)),
        Err(other) => Err(other),
    }
}
