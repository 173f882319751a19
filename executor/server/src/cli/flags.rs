//! The flags that every command has that runs a policy, and what they make of its record.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use clap::Args;
use lictor_model::{
    Capabilities, Limits, LimitsSpec, Origin, Schemas, Violation, address::AllowPrivate, field::shorten,
    limits::Ceiling,
};
use lictor_sandbox::{Module, Policy, checked};
use serde_json::json;

use super::{Failure, document::Document, print, source::Found};

/// Which policy, and under which record, grants and limits.
#[derive(Args)]
pub(super) struct PolicyFlags {
    /// A .wasm, an archive (.zip, .tar.gz, .tar.xz), or a folder: of a package (code/policy.wasm) or of a crate, which
    /// is built.
    pub(super) policy: PathBuf,
    /// The policy record, with settings, parameters, limits and capabilities [default: policy.json in the folder, or
    /// NAME.json beside the file, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Grant a capability: http=ORIGIN, host=NAME, context=on or context=off. May be given more than once; replaces
    /// what the record grants of the same kind.
    #[arg(long, value_name = "KIND=WHAT")]
    pub(super) grant: Vec<Grant>,
    /// Set a limit, such as timeout_ms=50 or memory_mb=16. May be given more than once; wins over the record.
    #[arg(long, value_name = "NAME=N")]
    pub(super) limit: Vec<Limit>,
}

/// What a policy is constructed with and may reach.
#[derive(Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub(super) policy: PolicyFlags,
    /// The settings, instead of the record's.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(super) settings: Option<Document>,
    /// Let the policy reach this private or loopback address. May be given more than once.
    #[arg(long, value_name = "HOST|CIDR")]
    pub(super) allow_private: Vec<String>,
    /// Say on standard error what the call used.
    #[arg(long)]
    pub(super) usage: bool,
}

/// One `--grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Http(Origin),
    Host(String),
    Context(bool),
}

/// One `--limit`: a known name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    name: String,
    value: u64,
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("http", origin)) => {
                Origin::parse(origin).map(Self::Http).map_err(|error| format!("it {}", error.message()))
            }
            Some(("host", name)) if !name.is_empty() => Ok(Self::Host(name.to_owned())),
            Some(("context", "on")) => Ok(Self::Context(true)),
            Some(("context", "off")) => Ok(Self::Context(false)),
            _ => Err("it must be http=ORIGIN, host=NAME, context=on or context=off".into()),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("it must be NAME=N, such as timeout_ms=50")?;
        let value = value.parse().map_err(|_| format!("`{}` is not a whole number", shorten(value, 40)))?;
        // The record's own parser knows the names and the bounds.
        LimitsSpec::parse(&json!({ name: value })).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), value })
    }
}

impl PolicyFlags {
    /// What the policy may reach: the record's capabilities under the flags.
    pub(super) fn grants(&self, record: &Capabilities) -> Capabilities {
        let mut res = record.clone();
        let all = |pick: fn(&Grant) -> bool| self.grant.iter().any(pick);
        if all(|grant| matches!(grant, Grant::Http(_))) {
            res.http.clear();
        }
        if all(|grant| matches!(grant, Grant::Host(_))) {
            res.host.clear();
        }
        for grant in &self.grant {
            match grant {
                Grant::Http(origin) => res.http.push(origin.clone()),
                Grant::Host(name) => res.host.push(name.clone()),
                Grant::Context(granted) => res.context = *granted,
            }
        }
        res
    }

    /// What the policy asks for: the record's limits under the flags.
    pub(super) fn limits_spec(&self, record: &LimitsSpec) -> Result<LimitsSpec, Failure> {
        let mut merged = serde_json::to_value(record).map_err(Failure::internal)?;
        if let Some(members) = merged.as_object_mut() {
            members.extend(self.limit.iter().map(|Limit { name, value }| (name.clone(), json!(value))));
        }
        LimitsSpec::parse(&merged).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// What a call gets. Says which limits are above what there is.
    pub(super) fn limits(&self, record: &LimitsSpec) -> Result<Limits, Failure> {
        let (spec, ceiling) = (self.limits_spec(record)?, Ceiling::default());
        for cut in spec.cut_by(&ceiling) {
            print::note(format_args!("lictor: {cut}"));
        }
        Ok(spec.within(&ceiling))
    }
}

impl RunFlags {
    /// The addresses that the policy may reach although they are not public.
    pub(super) fn allow_private(&self) -> Result<AllowPrivate, Failure> {
        AllowPrivate::parse(&self.allow_private).map_err(|error| Failure::Usage(format!("`--allow-private`: {error}")))
    }

    /// The settings, if the command brings some.
    pub(super) fn settings(&self) -> Result<Option<String>, Failure> {
        self.settings.as_ref().map(|settings| settings.read_object("--settings")).transpose()
    }

    /// What of the settings and parameters that the command brings instead of the record's does not match its schemas.
    /// A server refuses such a record under `enforce`, and so does this.
    pub(super) fn unfit(
        &self,
        schemas: &Schemas,
        settings: Option<&str>,
        parameters: Option<&str>,
    ) -> Result<Vec<Violation>, Failure> {
        checked::construction(schemas, settings, parameters).map_err(|stop| {
            let listed = stop.violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ");
            Failure::Usage(format!("the policy's schemas do not allow this: {listed}"))
        })
    }

    /// The policy as it is run: `module` under the record and the flags.
    pub(super) fn policy(&self, found: &Found, settings: Option<&str>, module: Module) -> Policy {
        let spec = &found.spec;
        Policy {
            module,
            uri: spec.uri.as_str().into(),
            settings: settings.unwrap_or(&spec.settings).into(),
            parameters: spec.parameters.as_str().into(),
            grant: Arc::new(self.policy.grants(&spec.capabilities)),
            deterministic: spec.deterministic,
        }
    }
}

/// Reads `--parameters`; `null` stands for none, as in a request.
pub(super) fn parameters(flag: Option<&Document>) -> Result<Option<String>, Failure> {
    let Some(document) = flag else { return Ok(None) };
    let text = document.read("--parameters")?;
    match text.as_str() {
        "null" => Ok(None),
        object if object.starts_with('{') => Ok(Some(text)),
        _ => Err(Failure::Usage("`--parameters` must be a JSON object or null".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(grants: &[&str], limits: &[&str]) -> PolicyFlags {
        PolicyFlags {
            policy: PathBuf::new(),
            record: None,
            grant: grants.iter().map(|text| text.parse().unwrap()).collect(),
            limit: limits.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_grant_replaces_the_records_of_its_kind() {
        let record = Capabilities::parse(&json!({"http": ["https://a.com"], "host": ["f"]})).unwrap();
        assert_eq!(flags(&[], &[]).grants(&record), record);
        let granted = flags(&["http=https://b.com", "http=http://[::1]:80", "context=off"], &[]).grants(&record);
        let expected = json!({"http": ["https://b.com", "http://[::1]"], "host": ["f"], "context": false});
        assert_eq!(granted, Capabilities::parse(&expected).unwrap());
    }

    #[test]
    fn a_limit_wins_over_the_records() {
        let record = LimitsSpec::parse(&json!({"timeout_ms": 10, "memory_mb": 8})).unwrap();
        let spec = flags(&[], &["timeout_ms=50", "fuel=7"]).limits_spec(&record).unwrap();
        assert_eq!((spec.timeout_ms, spec.memory_mb, spec.fuel), (Some(50), Some(8), Some(7)));
    }

    #[test]
    fn says_what_is_wrong_with_a_grant_or_a_limit() {
        for (text, says) in [
            ("files=/", "http=ORIGIN"),
            ("http", "http=ORIGIN"),
            ("host=", "http=ORIGIN"),
            ("context=yes", "context=on"),
            ("http=https://a.com/x", "more than scheme"),
        ] {
            let error = text.parse::<Grant>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, says) in
            [("cpu=1", "cpu"), ("timeout_ms", "NAME=N"), ("timeout_ms=-1", "`-1`"), ("timeout_ms=0", "at least 1")]
        {
            let error = text.parse::<Limit>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
