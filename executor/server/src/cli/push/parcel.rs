//! What is sent of a policy: the file, and the record that names it. Made and checked before anything is sent.

use std::path::Path;

use bytes::Bytes;
use lictor_loader::{Fetched, LoadError, archive};
use lictor_model::{Draft, PolicyUri, record::PolicyKind};
use lictor_sandbox::{Bounds, Facts};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Failure, pack,
        source::{Place, members, read_file},
    },
    Identity,
};

/// A policy, ready to be sent.
pub(super) struct Parcel {
    /// What it will be called, and its package too.
    pub(super) uri: PolicyUri,
    /// The record.
    pub(super) record: Map<String, Value>,
    /// The file.
    pub(super) bytes: Bytes,
    /// What the file is called.
    pub(super) file_name: String,
    /// The digest of the file.
    pub(super) digest: String,
    /// The digest of the component in it.
    pub(super) component: String,
}

impl Parcel {
    /// The policy at `path`, with the record given or the one that lies with it.
    pub(super) fn make(path: &Path, record: Option<&Path>, identity: &Identity) -> Result<Self, Failure> {
        let place = match Place::of(path)? {
            Place::Crate(folder) => Place::File(pack::to_default(&folder)?.archive),
            Place::Python(folder) => Place::File(pack::python_to_default(&folder)?.archive),
            place => place,
        };
        let record = record.map(Path::to_owned).or_else(|| place.record());
        let read = read(&place)?;
        let mut record = record.as_deref().map(members).transpose()?.unwrap_or_default();
        record.entry("type").or_insert_with(|| json!(place.kind(&read).as_str()));
        identify(&mut record, identity)?;
        record.entry("code").or_insert_with(|| json!("policy.wasm"));
        let draft = draft(record)?;
        let file = read.verify(place.promised(&draft.spec).as_ref())?;
        let component = archive::code_of(&file, draft.spec.kind)?;
        if draft.spec.kind == PolicyKind::WasmComponent {
            Facts::read(component.bytes(), &Bounds::default()).map_err(LoadError::from)?;
        }
        let uri = draft.spec.uri.clone();
        let mut record = draft.document;
        record.insert("code".into(), json!(format!("asset:{uri}")));
        record.insert("code_digest".into(), json!(file.digest().to_string()));
        draft_again(&record)?;
        Ok(Self {
            record,
            file_name: format!("{}{}", uri.as_str().replace(':', "-"), archive::suffix_of(file.bytes()).unwrap_or("")),
            uri,
            digest: file.digest().to_string(),
            bytes: file.bytes().clone(),
            component: component.digest().to_string(),
        })
    }

    /// What the asset's record says. Only what the policy's identity says too, so that a package that was pulled is the
    /// same asset when it is pushed, whatever became of the rest of the record.
    pub(super) fn metadata(&self) -> Value {
        let of = |name: &str| self.record.get(name);
        json!({
            "asset_name": of("name"),
            "asset_version": {"version": of("version"), "tag": of("release_tag")},
            "asset_tags": ["policy"],
        })
    }

    /// Leaves the code where `there`, a record of the server's, says that it is.
    pub(super) fn is_at(&mut self, there: &Map<String, Value>) {
        for name in ["code", "code_digest"] {
            match there.get(name) {
                Some(value) => drop(self.record.insert(name.into(), value.clone())),
                None => drop(self.record.remove(name)),
            }
        }
    }
}

/// Puts into the record what the command says, and what `lictor pack` would.
fn identify(record: &mut Map<String, Value>, identity: &Identity) -> Result<(), Failure> {
    let given = [("name", &identity.name), ("version", &identity.version), ("release_tag", &identity.release_tag)];
    for (name, value) in given {
        if let Some(value) = value {
            record.insert(name.into(), json!(value));
        }
    }
    record.entry("release_tag").or_insert_with(|| json!("dev"));
    for name in ["name", "version"] {
        if !record.contains_key(name) {
            let why =
                format!("the policy has no `{name}`: give --record FILE, as `lictor pack` writes it, or --{name}");
            return Err(Failure::Usage(why));
        }
    }
    Ok(())
}

fn draft(record: Map<String, Value>) -> Result<Draft, Failure> {
    Draft::parse(Value::Object(record)).map_err(|error| Failure::Usage(format!("policy record: {error}")))
}

/// Whether the record can name the asset: a name that starts with a dot is one of a policy and none of an asset.
fn draft_again(record: &Map<String, Value>) -> Result<(), Failure> {
    draft(record.clone()).map(drop)
}

fn read(place: &Place) -> Result<Fetched, Failure> {
    match place {
        Place::File(path) | Place::Crate(path) | Place::Python(path) => read_file(path),
        Place::Package(folder) => {
            let component = read_file(&folder.join(archive::MEMBER))?;
            Ok(Fetched::of(lictor_pack::package(component.bytes()).map_err(Failure::internal)?))
        }
    }
}
