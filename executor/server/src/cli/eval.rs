//! `lictor eval` and `lictor manage`: one policy, one call, no server.

use std::sync::Arc;

use clap::Args;
use lictor_sandbox::{Instance, Op};

use super::{
    EXIT_CODES, Failure, answer,
    document::Document,
    flags::{RunFlags, parameters},
    host::{Aloud, Host, call},
    print,
    source::Found,
};

/// Ask a policy for a decision.
///
/// Prints the policy's answer as one line of JSON; what it logs goes to standard error. A policy that fails or is
/// stopped is one line too: {"success": false, "code": …, "message": …}.
#[derive(Args)]
#[command(after_help = format!("{EVAL_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Eval {
    #[command(flatten)]
    run: RunFlags,
    /// What is to be decided about.
    #[arg(long, value_name = "JSON|@FILE|-", allow_negative_numbers = true)]
    input: Document,
    /// The call's own parameters, instead of the record's.
    #[arg(long, value_name = "JSON|@FILE|-")]
    parameters: Option<Document>,
}

/// Give a policy a management command.
///
/// Constructs the policy, carries out one command on it and prints its answer as one line of JSON. Nothing is kept:
/// the policy's memory and its context end with the command.
#[derive(Args)]
#[command(after_help = format!("{MANAGE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Manage {
    #[command(flatten)]
    run: RunFlags,
    /// The command's name.
    #[arg(long, value_name = "NAME")]
    action: String,
    /// What the command is given.
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", allow_negative_numbers = true)]
    data: Document,
    /// The parameters that the policy is constructed with, instead of the record's.
    #[arg(long, value_name = "JSON|@FILE|-")]
    parameters: Option<Document>,
}

const EVAL_EXAMPLES: &str = "\
Examples:
  lictor eval policy.wasm --input '{\"ip\": \"127.0.0.1\"}'
  lictor eval my-policy --input @request.json --parameters '{\"limit\": 10}'
  echo '{\"ip\": \"10.0.0.1\"}' | lictor eval ip_allowlist.zip --input - --usage \\
      --settings '{\"allowlist_api\": \"https://example.com/list\"}' --grant http=https://example.com
  lictor eval policy.wasm --input 5 --limit timeout_ms=50 --limit fuel=1000000";

const MANAGE_EXAMPLES: &str = "\
Examples:
  lictor manage ip_allowlist.zip --action get_state
  lictor manage ip_allowlist.zip --action update_local_allowlist --data '{\"ips\": [\"10.0.0.1\"]}'";

impl Eval {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (input, parameters) = (self.input.read("--input")?, parameters(self.parameters.as_ref())?);
        once(&self.run, None, Op::Eval { parameters: parameters.as_deref(), input: &input })
    }
}

impl Manage {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (data, parameters) = (self.data.read("--data")?, parameters(self.parameters.as_ref())?);
        once(&self.run, parameters.as_deref(), Op::Management { action: &self.action, data: &data })
    }
}

/// Constructs the policy, with other stored parameters if some are given, makes one call and prints what came of it.
fn once(flags: &RunFlags, parameters: Option<&str>, op: Op<'_>) -> Result<(), Failure> {
    let (settings, allow_private) = (flags.settings()?, flags.allow_private()?);
    let found = answer::or_refusal(Found::at(&flags.policy.policy, flags.policy.record.as_deref()))?;
    let limits = flags.policy.limits(&found.spec.limits)?;
    for warning in &found.warnings {
        print::note(format_args!("lictor: warning: {warning}"));
    }
    answer::warn(&flags.unfit(&found.spec.schemas, settings.as_deref(), parameters)?);
    let host = Host::new(allow_private)?;
    let module = answer::or_refusal(host.load(&found.component, &limits))?;
    let mut policy = flags.policy(&found, settings.as_deref(), module);
    if let Some(parameters) = parameters {
        policy.parameters = parameters.into();
    }
    let call = call(op, limits, &Arc::default(), &Aloud::recorder());
    let checked = host.run(&mut Instance::once(policy), call, &found.spec.schemas)?;
    answer::print(&checked, flags.usage)
}
