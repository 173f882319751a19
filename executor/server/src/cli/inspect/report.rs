//! What `inspect` found out, as it is printed with `--json`.

use lictor_loader::{LoadError, Package};
use lictor_model::{Capabilities, Limits};
use lictor_sandbox::{Facts, Provision};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::source::Found;

/// Everything that is shown.
#[derive(Serialize)]
pub(super) struct Report {
    /// Whether it would be run.
    pub(super) policy: bool,
    pub(super) refusal: Option<Refusal>,
    pub(super) component: File,
    /// What the component was unpacked from.
    pub(super) archive: Option<File>,
    pub(super) record: Option<Record>,
    /// Of a policy in Python: its files.
    pub(super) python: Option<Vec<String>>,
    pub(super) functions: u64,
    pub(super) modules: u64,
    pub(super) initial_memory_bytes: u64,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<String>,
    pub(super) capabilities: Needs,
    pub(super) reach: Reach,
    pub(super) limits: Limits,
    pub(super) schemas: Option<Box<RawValue>>,
}

#[derive(Serialize)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

#[derive(Serialize)]
pub(super) struct File {
    pub(super) digest: String,
    pub(super) bytes: usize,
}

#[derive(Serialize)]
pub(super) struct Record {
    pub(super) path: String,
    pub(super) policy_rule_uri: String,
    pub(super) warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Import {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) provision: Provided,
}

/// What stands behind an import.
#[derive(Serialize)]
#[serde(tag = "provision", rename_all = "snake_case")]
pub(super) enum Provided {
    Host,
    Granted { capability: &'static str, granted: bool },
    Inert,
    Outside { why: String },
}

/// The capabilities: whether the component could use each, and what of it is granted.
#[derive(Serialize)]
pub(super) struct Needs {
    pub(super) http: Need<Vec<String>>,
    pub(super) context: Need<bool>,
    pub(super) host: Need<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct Need<T> {
    pub(super) needed: bool,
    pub(super) granted: T,
}

/// What is granted and could be used: all that the component could reach, if the server it runs on lets it.
#[derive(Serialize)]
pub(super) struct Reach {
    pub(super) http: Vec<String>,
    pub(super) context: bool,
    pub(super) host: Vec<String>,
}

impl Report {
    pub(super) fn new(
        found: &Found,
        facts: &Facts,
        grant: &Capabilities,
        limits: Limits,
        refusal: Option<&LoadError>,
    ) -> Self {
        let archive = (found.file.digest() != facts.digest)
            .then(|| File { digest: found.file.digest().to_string(), bytes: found.file.bytes().len() });
        let record = found.record.as_ref().map(|path| Record {
            path: path.display().to_string(),
            policy_rule_uri: found.spec.uri.to_string(),
            warnings: found.warnings.clone(),
        });
        let capabilities = Needs::new(facts, grant);
        Self {
            policy: refusal.is_none(),
            refusal: refusal.map(|error| Refusal { code: error.code().as_str(), message: error.message().to_owned() }),
            component: File { digest: facts.digest.to_string(), bytes: facts.size },
            archive,
            record,
            python: Package::is(found.component.bytes()).then(|| files(found)),
            functions: facts.functions,
            modules: facts.modules,
            initial_memory_bytes: facts.initial_memory_bytes,
            imports: facts.imports.iter().map(|name| Import::new(name, grant)).collect(),
            exports: facts.exports.clone(),
            reach: capabilities.reach(),
            capabilities,
            limits,
            schemas: facts.schemas.clone().and_then(|text| RawValue::from_string(text).ok()),
        }
    }
}

fn files(found: &Found) -> Vec<String> {
    Package::files(found.component.bytes()).into_iter().map(|(name, _)| name).collect()
}

impl Import {
    fn new(name: &str, grant: &Capabilities) -> Self {
        let granted = |capability: &str| match capability {
            "http" => !grant.http.is_empty(),
            "host" => !grant.host.is_empty(),
            _ => grant.context,
        };
        let provision = match Provision::of(name) {
            Provision::Host => Provided::Host,
            Provision::Granted(capability) => Provided::Granted { capability, granted: granted(capability) },
            Provision::Inert => Provided::Inert,
            Provision::Outside(why) => Provided::Outside { why },
        };
        Self { name: name.to_owned(), provision }
    }
}

impl Needs {
    fn new(facts: &Facts, grant: &Capabilities) -> Self {
        let needed =
            |capability| facts.imports.iter().any(|name| Provision::of(name) == Provision::Granted(capability));
        Self {
            http: Need { needed: needed("http"), granted: grant.http.iter().map(ToString::to_string).collect() },
            context: Need { needed: needed("context"), granted: grant.context },
            host: Need { needed: needed("host"), granted: grant.host.clone() },
        }
    }

    fn reach(&self) -> Reach {
        let list = |need: &Need<Vec<String>>| if need.needed { need.granted.clone() } else { Vec::new() };
        Reach { http: list(&self.http), context: self.context.needed && self.context.granted, host: list(&self.host) }
    }
}
