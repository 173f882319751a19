//! From the POLICY of a command line to its component and its record.
//!
//! What is read goes up the same ladder as what a server fetches: verified, then unpacked under the archive's guards.
//! A crate is built first, which runs code of its author; only a folder that somebody named is ever built.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use lictor_loader::{Fetched, LoadCode, LoadError, Verified, archive};
use lictor_model::{CodeRef, Digest, Draft, PolicySpec, json, record::PolicyKind};
use lictor_pack::PackError;
use serde_json::{Map, Value, json};

use super::{Failure, document};

/// A policy that was found.
pub(super) struct Found {
    /// The bytes of the file that was named, or of what was built.
    pub(super) file: Verified,
    /// The component: the file itself, or the member of an archive.
    pub(super) component: Verified,
    /// What its record says, or what an empty record would.
    pub(super) spec: PolicySpec,
    /// Where the record is, if there is one.
    pub(super) record: Option<PathBuf>,
    /// What the record's author should know.
    pub(super) warnings: Vec<String>,
}

impl Found {
    /// Finds the policy at `path`, with the record given or the one that lies with it.
    pub(super) fn at(path: &Path, record: Option<&Path>) -> Result<Self, Failure> {
        let place = Place::of(path)?;
        let record = record.map(Path::to_owned).or_else(|| place.record());
        let read = place.read()?;
        let draft = read_record(record.as_deref(), &place.name(), place.kind(&read))?;
        let file = read.verify(place.promised(&draft.spec).as_ref())?;
        let component = archive::code_of(&file, draft.spec.kind)?;
        Ok(Self { file, component, spec: draft.spec, record, warnings: draft.warnings })
    }
}

/// What kind of thing POLICY names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A `.wasm` or an archive.
    File(PathBuf),
    /// A folder that holds `code/policy.wasm`.
    Package(PathBuf),
    /// A folder with a `Cargo.toml`.
    Crate(PathBuf),
    /// A folder that holds `code/function.py`.
    Python(PathBuf),
}

/// What an archive's or component's name may end in.
const SUFFIXES: [&str; 7] = [".wasm", ".zip", ".tar.gz", ".tar.xz", ".tgz", ".tar", ".py"];

impl Place {
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreachable = |why: String| Failure::load(LoadCode::CodeUnreachable, why);
        let meta = fs::metadata(path).map_err(|error| unreachable(format!("`{shown}` cannot be read: {error}")))?;
        if !meta.is_dir() {
            return Ok(Self::File(path.to_owned()));
        }
        if path.join(archive::MEMBER).is_file() {
            return Ok(Self::Package(path.to_owned()));
        }
        if path.join(archive::PYTHON_MEMBER).is_file() {
            return Ok(Self::Python(path.to_owned()));
        }
        if path.join("Cargo.toml").is_file() {
            return Ok(Self::Crate(path.to_owned()));
        }
        let (member, python) = (archive::MEMBER, archive::PYTHON_MEMBER);
        Err(unreachable(format!(
            "`{shown}` is neither a package, with `{member}` or `{python}`, nor a crate, with `Cargo.toml`"
        )))
    }

    /// What the policy is called if its record does not say.
    fn name(&self) -> String {
        let (Self::File(path) | Self::Package(path) | Self::Crate(path) | Self::Python(path)) = self;
        let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::File(_) => without_suffix(&name).to_owned(),
            _ => name,
        }
    }

    /// The record that lies with it.
    pub(super) fn record(&self) -> Option<PathBuf> {
        let record = match self {
            Self::File(path) => {
                let name = path.file_name()?.to_str()?;
                path.with_file_name(format!("{}.json", without_suffix(name)))
            }
            Self::Package(folder) | Self::Crate(folder) | Self::Python(folder) => folder.join("policy.json"),
        };
        record.is_file().then_some(record)
    }

    /// What the record promises of this file's bytes, if it is this file that the record's `code` names.
    pub(super) fn promised(&self, spec: &PolicySpec) -> Option<Digest> {
        let (Self::File(path), CodeRef::Path(code)) = (self, &spec.code) else { return None };
        spec.code_digest.filter(|_| path.file_name() == code.file_name())
    }

    fn read(&self) -> Result<Fetched, Failure> {
        match self {
            Self::File(path) => read_file(path),
            Self::Package(folder) => read_file(&folder.join(archive::MEMBER)),
            Self::Crate(folder) => build(folder),
            Self::Python(folder) => zipped(folder),
        }
    }

    /// What kind of policy it is, where no record says.
    pub(super) fn kind(&self, read: &Fetched) -> PolicyKind {
        match self {
            Self::File(_) => {
                read.clone().verify(None).map_or(PolicyKind::WasmComponent, |file| archive::kind_of(&file))
            }
            Self::Package(_) | Self::Crate(_) => PolicyKind::WasmComponent,
            Self::Python(_) => PolicyKind::PythonClass,
        }
    }
}

/// The package of a folder with a policy in Python, as `lictor pack` makes it, but with what is in the folder only.
fn zipped(folder: &Path) -> Result<Fetched, Failure> {
    let failed = |error: PackError| {
        Failure::load(LoadCode::BadArchive, format!("`{}` cannot be packed: {}", folder.display(), explain(&error)))
    };
    let files = lictor_pack::python::files(&folder.join("code")).map_err(failed)?;
    Ok(Fetched::of(lictor_pack::python::zip(&files).map_err(failed)?))
}

/// The name of an archive or a component without what says that it is one.
pub(super) fn without_suffix(name: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

pub(super) fn read_file(path: &Path) -> Result<Fetched, Failure> {
    let read = File::open(path).and_then(document::read_bounded);
    let unreachable = |error: std::io::Error| {
        let message = format!("`{}` cannot be read: {error}", path.display());
        LoadError::new(LoadCode::CodeUnreachable, message).caused_by(error)
    };
    Ok(Fetched::of(read.map_err(unreachable)?))
}

/// Builds a crate. Cargo says on standard error how it gets on.
fn build(folder: &Path) -> Result<Fetched, Failure> {
    let shown = folder.display();
    let failed = |code: LoadCode, why: String| Failure::load(code, format!("`{shown}` was not built: {why}"));
    let module = lictor_pack::build(folder, &lictor_pack::cargo_from_env())
        .map_err(|error| failed(LoadCode::CodeUnreachable, explain(&error)))?;
    let module = read_file(&module)?;
    let component =
        lictor_pack::componentize(module.bytes()).map_err(|error| failed(LoadCode::NotAComponent, explain(&error)))?;
    Ok(Fetched::of(component))
}

/// An error and its causes.
pub(super) fn explain(error: &dyn std::error::Error) -> String {
    let mut res = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !res.contains(&cause_text) {
            res.push_str(": ");
            res.push_str(&cause_text);
        }
        next = cause.source();
    }
    res
}

/// Reads a record as its author keeps it: without what only its publishing adds.
fn read_record(path: Option<&Path>, name: &str, kind: PolicyKind) -> Result<Draft, Failure> {
    let Some(path) = path else { return parse_record(Map::new(), name, kind).map_err(Failure::Internal) };
    parse_record(members(path)?, name, kind).map_err(|why| wrong_record(path, &why))
}

fn wrong_record(path: &Path, why: &str) -> Failure {
    Failure::Usage(format!("policy record `{}`: {why}", path.display()))
}

/// What a record's file says, whether or not that is a whole record.
pub(super) fn members(path: &Path) -> Result<Map<String, Value>, Failure> {
    let wrong = |why: String| wrong_record(path, &why);
    let bytes = File::open(path).and_then(document::read_bounded).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".into()))?;
    json::check(&text).map_err(|error| wrong(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(wrong("must be a JSON object".into())),
        Err(error) => Err(wrong(format!("is not valid JSON: {error}"))),
    }
}

fn parse_record(mut members: Map<String, Value>, name: &str, kind: PolicyKind) -> Result<Draft, String> {
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).collect();
    let name = if plain.trim_matches('.').is_empty() { "policy".to_owned() } else { plain };
    let defaults = [
        ("name", json!(name)),
        ("version", json!("0.0.0")),
        ("release_tag", json!("dev")),
        ("type", json!(kind.as_str())),
        ("code", json!("policy.wasm")),
    ];
    for (key, value) in defaults {
        members.entry(key).or_insert(value);
    }
    Draft::parse(Value::Object(members)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_place_and_name_come_from_the_policys() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["geo-1.2.wasm", "geo-1.2.tar.gz", "geo-1.2.json", "other"] {
            fs::write(at(name), "{}").unwrap();
        }
        for (name, called, record) in [
            ("geo-1.2.wasm", "geo-1.2", Some("geo-1.2.json")),
            ("geo-1.2.tar.gz", "geo-1.2", Some("geo-1.2.json")),
            ("other", "other", None),
        ] {
            let place = Place::of(&at(name)).unwrap();
            assert_eq!((place.name().as_str(), place.record()), (called, record.map(at)), "{name}");
        }
        assert!(matches!(Place::of(dir.path()), Err(Failure::Load(_))));
        fs::write(at("Cargo.toml"), "").unwrap();
        assert_eq!(Place::of(dir.path()).unwrap(), Place::Crate(dir.path().into()));
        fs::create_dir(at("code")).unwrap();
        fs::write(at("code/policy.wasm"), "").unwrap();
        assert_eq!(Place::of(dir.path()).unwrap(), Place::Package(dir.path().into()));
    }

    #[test]
    fn a_record_may_lack_what_publishing_adds_and_nothing_may_be_wrong() {
        let draft = parse_record(Map::new(), "my policy!", PolicyKind::WasmComponent).unwrap();
        assert_eq!(draft.spec.uri.as_str(), "mypolicy:0.0.0-dev");
        assert_eq!((draft.spec.settings.as_str(), draft.spec.parameters.as_str()), ("{}", "{}"));
        let limits = Map::from_iter([("limits".to_owned(), json!({"cpu": 1}))]);
        assert!(parse_record(limits, "..", PolicyKind::PythonClass).unwrap_err().contains("cpu"));
    }

    #[test]
    fn a_file_is_checked_against_the_record_that_names_it() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let members = json!({"code": "geo.zip", "code_digest": digest});
        let spec = parse_record(members.as_object().unwrap().clone(), "geo", PolicyKind::WasmComponent).unwrap().spec;
        assert!(Place::File("a/geo.zip".into()).promised(&spec).is_some());
        assert!(Place::File("a/geo.wasm".into()).promised(&spec).is_none());
        assert!(Place::Crate("a/geo.zip".into()).promised(&spec).is_none());
    }
}
