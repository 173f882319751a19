//! The executor record: the seed's `PolicyExecutors`, and the little that is ours.
//!
//! A record is kept as the document its author wrote, completed with the defaults that clients of the original expect
//! to read back; [`ExecutorSpec`] is the part of it that calls are decided by. Where a record says where its executor
//! is, it is a [`HostUri`], so that two texts for one place are one text.

mod host;
mod kubeconfig;

pub use host::HostUri;
pub use kubeconfig::forbidden_in_kubeconfig;
use serde_json::{Map, Value, json};

use crate::{
    document::{Field, Shape, complete, object, optional, text, unknown},
    field::{FieldError, shorten},
    id::ExecutorId,
};

/// A record that passed every check.
#[derive(Clone, Debug)]
pub struct ExecutorDraft {
    /// The whole document, normalised.
    pub document: Map<String, Value>,
    /// What calls are decided by.
    pub spec: ExecutorSpec,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

/// What calls are decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSpec {
    /// The identity.
    pub id: ExecutorId,
    /// Where its own API is.
    pub host: HostUri,
    /// Calls at the same time; 0 is any number.
    pub max_processes: u64,
}

/// Every field that means something.
const KNOWN: [&str; 6] = [
    "executor_id",
    "executor_host_uri",
    "executor_metadata",
    "executor_hardware_info",
    "executor_status",
    "max_processes",
];

/// Those that are filled in, empty.
const OBJECTS: [Field; 2] =
    [optional("executor_metadata", Shape::Object), optional("executor_hardware_info", Shape::Object)];

/// The port on which the original's executors are reached from outside of their cluster.
const CLUSTER_PORT: u16 = 30900;

impl ExecutorDraft {
    /// Reads a record as it was posted. One for the executor whose host is `known` needs none and gets that one.
    pub fn parse(body: Value, known: Option<(&ExecutorId, &HostUri)>) -> Result<Self, FieldError> {
        let mut document = object(body, "an executor record")?;
        document.shift_remove("_id");
        let id: ExecutorId = text(&document, "executor_id")?.parse()?;
        let mut warnings = Vec::new();
        let host = match known.filter(|(known, _)| **known == id) {
            Some((_, own)) => own_host(&mut document, own, &mut warnings),
            None => host(&mut document, &mut warnings)?,
        };
        document.insert("executor_host_uri".into(), json!(host.as_str()));
        complete(&mut document, &OBJECTS)?;
        document.entry("executor_status").or_insert_with(|| json!("healthy"));
        status(&document)?;
        let spec = ExecutorSpec { id, host, max_processes: max_processes(&document)? };
        warnings.extend(unknown(&document, |name| KNOWN.contains(&name)));
        Ok(Self { document, spec, warnings })
    }
}

/// The host that is known already, whatever the record says.
fn own_host(document: &mut Map<String, Value>, own: &HostUri, warnings: &mut Vec<String>) -> HostUri {
    document.shift_remove("cluster_public_ip");
    if document.shift_remove("executor_host_uri").is_some_and(|given| given != own.as_str()) {
        warnings.push(format!("`executor_host_uri` has no effect: this server is that executor, at {own}"));
    }
    own.clone()
}

/// The host that the record names, one way or the other. As in the original, the address of a cluster wins.
fn host(document: &mut Map<String, Value>, warnings: &mut Vec<String>) -> Result<HostUri, FieldError> {
    let given = document.get("executor_host_uri").filter(|value| !value.is_null()).map(|value| {
        let text = value.as_str().ok_or_else(|| FieldError::new("executor_host_uri", "must be a string: a URL"))?;
        HostUri::parse(text).map_err(|why| FieldError::new("executor_host_uri", why))
    });
    let given = given.transpose()?;
    let cluster = document.shift_remove("cluster_public_ip").filter(|value| !value.is_null());
    let Some(cluster) = cluster else {
        let why = "is required, or `cluster_public_ip` in its place: where the executor is reached";
        return given.ok_or_else(|| FieldError::new("executor_host_uri", why));
    };
    let wrong = || {
        let shown = shorten(&cluster.to_string(), 60);
        FieldError::new("cluster_public_ip", format!("must be an address such as `203.0.113.7`, not {shown}"))
    };
    let host = cluster.as_str().and_then(|text| HostUri::of(text, CLUSTER_PORT)).ok_or_else(wrong)?;
    if given.is_some_and(|given| given != host) {
        warnings
            .push(format!("`cluster_public_ip` wins over `executor_host_uri`: the executor is taken to be at {host}"));
    }
    Ok(host)
}

fn status(document: &Map<String, Value>) -> Result<(), FieldError> {
    match document.get("executor_status") {
        Some(Value::String(status)) if !status.is_empty() => Ok(()),
        _ => Err(FieldError::new("executor_status", "must be a string such as `healthy`, `busy` or `unreachable`")),
    }
}

fn max_processes(document: &Map<String, Value>) -> Result<u64, FieldError> {
    let Some(value) = document.get("max_processes") else { return Ok(0) };
    value.as_u64().ok_or_else(|| FieldError::new("max_processes", "must be a whole number, where 0 is no limit"))
}

#[cfg(test)]
mod tests;
