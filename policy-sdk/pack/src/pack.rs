//! The whole way: a folder or a `.wasm` to the three files that publish a policy.

use std::io;
use std::path::{Path, PathBuf};

use crate::build::build_crate;
use crate::{
    BuildError, ComponentizeError, Crate, Identity, PackageError, RecordError, Schemas, SchemasError, componentize,
    digest, package, read_crate, record, schemas,
};

const TYPE: &str = "wasm_component_v1";
/// The largest module or component that is read.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The source is neither a folder nor a file.
    #[error("`{}` is neither a folder nor a .wasm file", .0.display())]
    Source(PathBuf),
    /// The output would replace the source.
    #[error("`{}` is the source itself: name another output", .0.display())]
    SameFile(PathBuf),
    /// The output has no name.
    #[error("`{}` does not end in a name", .0.display())]
    Out(PathBuf),
    /// The module is too large.
    #[error("`{}` is larger than {MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// A file could not be read or written.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The policy could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The module could not be made a component.
    #[error(transparent)]
    Componentize(#[from] ComponentizeError),
    /// The component is broken.
    #[error(transparent)]
    Component(SchemasError),
    /// Something that a policy in Python requires cannot be had.
    #[error("{0}")]
    Requirement(String),
    /// The archive could not be made.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The record could not be made.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Packed {
    /// The component, OUT.wasm.
    pub wasm: PathBuf,
    /// The archive, OUT.zip.
    pub archive: PathBuf,
    /// The policy record, OUT.json.
    pub record: PathBuf,
    /// The digest of the component.
    pub component_digest: String,
    /// The digest of the archive, which the record names.
    pub code_digest: String,
    /// The size of the component in bytes.
    pub component_bytes: usize,
    /// The size of the archive in bytes.
    pub archive_bytes: usize,
    /// The schemas inside the component.
    pub schemas: Option<Schemas>,
    /// Why the component's schemas were passed over, if it has some that are no good.
    pub schemas_problem: Option<String>,
}

/// Packs `source`, a policy's folder or a `.wasm`, and writes OUT.wasm, OUT.zip and OUT.json, where OUT is `out`.
///
/// A folder is built with `cargo` first. The author's record is `policy.json` in the folder, or beside the `.wasm`.
/// The record is written last, so that it never names an archive that is not there. Blocks.
pub fn pack(source: &Path, out: &Path, cargo: &Path) -> Result<Packed, PackError> {
    let (module, identity) = module_of(source, cargo)?;
    let bytes = read_module(&module)?;
    let component = componentize(&bytes)?;
    let (schemas, schemas_problem) = match schemas(&component) {
        Ok(schemas) => (schemas, None),
        Err(error @ SchemasError::Malformed(_)) => return Err(PackError::Component(error)),
        Err(error) => (None, Some(error.to_string())),
    };
    let archive = package(&component)?;

    let [wasm_path, archive_path, record_path] = [".wasm", ".zip", ".json"].map(|suffix| with_suffix(out, suffix));
    let code = archive_path.file_name().and_then(|name| name.to_str());
    let code = code.filter(|_| out.file_name().is_some()).ok_or_else(|| PackError::Out(out.to_owned()))?;
    let code_digest = digest(&archive);
    let author = author_record(source)?;
    let record = record(author.as_deref(), &identity, schemas.as_ref(), (TYPE, code), &code_digest)?;
    if same_file(&module, &wasm_path) && bytes != component {
        return Err(PackError::SameFile(wasm_path));
    }

    write(&wasm_path, &component)?;
    write(&archive_path, &archive)?;
    write(&record_path, record.as_bytes())?;
    Ok(Packed {
        wasm: wasm_path,
        archive: archive_path,
        record: record_path,
        component_digest: digest(&component),
        code_digest,
        component_bytes: component.len(),
        archive_bytes: archive.len(),
        schemas,
        schemas_problem,
    })
}

/// Where the module is, once it is built, and what the policy is called if its author does not say.
fn module_of(source: &Path, cargo: &Path) -> Result<(PathBuf, Identity), PackError> {
    if source.is_dir() {
        let policy = read_crate(source, cargo)?;
        let module = build_crate(&policy, source, cargo)?;
        let Crate { name, version, description, .. } = policy;
        return Ok((module, Identity { name, version, description }));
    }
    if !source.is_file() {
        return Err(PackError::Source(source.to_owned()));
    }
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((source.to_owned(), Identity { name, version: "0.1.0".to_owned(), description: String::new() }))
}

pub(crate) fn author_record(source: &Path) -> Result<Option<String>, PackError> {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new("")) };
    let path = folder.join("policy.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PackError::Io { path, source }),
    }
}

fn read_module(path: &Path) -> Result<Vec<u8>, PackError> {
    let io = |source| PackError::Io { path: path.to_owned(), source };
    if MAX_BYTES < std::fs::metadata(path).map_err(io)?.len() {
        return Err(PackError::TooLarge(path.to_owned()));
    }
    std::fs::read(path).map_err(io)
}

/// Appended and not exchanged: the dots in `geo-1.2` are not an extension.
pub(crate) fn with_suffix(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Writes a file that is either the old one or the whole new one, whoever looks and whenever it stops.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), PackError> {
    let io = |source| PackError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let unfinished = with_suffix(path, &format!(".{}.new", std::process::id()));
    std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path)).map_err(|error| {
        // The first error is the one to tell; a file that is left over does no harm.
        let _ = std::fs::remove_file(&unfinished);
        io(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::tests::{core_module, custom_section};

    const NO_CARGO: &str = "/nowhere/cargo";

    fn module_with_schemas(section: &[u8]) -> Vec<u8> {
        let mut module = core_module();
        module.extend(custom_section("lictor:schemas", section));
        module
    }

    #[test]
    fn a_module_becomes_three_files() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("geo.wasm");
        std::fs::write(&source, module_with_schemas(br#"{"settings":{},"parameters":{},"input":{},"output":{}}"#))
            .unwrap();
        std::fs::write(dir.path().join("policy.json"), r#"{"name": "fence", "version": "2.0"}"#).unwrap();
        let out = dir.path().join("deep/er/fence-2.0");
        let packed = pack(&source, &out, Path::new(NO_CARGO)).unwrap();
        assert!(packed.record.ends_with("deep/er/fence-2.0.json"));
        assert_eq!(digest(&std::fs::read(&packed.archive).unwrap()), packed.code_digest);
        assert_eq!(digest(&std::fs::read(&packed.wasm).unwrap()), packed.component_digest);
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&packed.record).unwrap()).unwrap();
        assert_eq!(record["code"], "fence-2.0.zip");
        assert_eq!(record["code_digest"], packed.code_digest.as_str());
        assert_eq!(record["name"], "fence");
        assert!(record["policy_input_schema"]["$schema"].is_string());
        assert_eq!(std::fs::read_dir(dir.path().join("deep/er")).unwrap().count(), 3, "nothing is left over");
        assert_eq!(pack(&source, &out, Path::new(NO_CARGO)).unwrap(), packed, "the same again");
    }

    #[test]
    fn bad_schemas_are_told_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("geo.wasm");
        std::fs::write(&source, module_with_schemas(b"not json")).unwrap();
        let packed = pack(&source, &dir.path().join("out"), Path::new(NO_CARGO)).unwrap();
        assert_eq!(packed.schemas, None);
        assert!(packed.schemas_problem.unwrap().contains("lictor:schemas"));
        assert!(!std::fs::read_to_string(packed.record).unwrap().contains("schema\""));
    }

    #[test]
    fn does_not_replace_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("geo.wasm");
        std::fs::write(&source, core_module()).unwrap();
        let error = pack(&source, &dir.path().join("geo"), Path::new(NO_CARGO)).unwrap_err();
        assert!(matches!(error, PackError::SameFile(_)), "{error}");
        assert_eq!(std::fs::read(&source).unwrap(), core_module());
        // A component is what OUT.wasm holds anyway.
        std::fs::write(&source, componentize(&core_module()).unwrap()).unwrap();
        pack(&source, &dir.path().join("geo"), Path::new(NO_CARGO)).unwrap();
    }

    #[test]
    fn says_what_is_wrong_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("text.wasm"), "hello").unwrap();
        std::fs::write(at("good.wasm"), core_module()).unwrap();
        std::fs::write(at("cut.wasm"), b"\0asm\x0d\0\x01\0\x04\xff\x01").unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        std::fs::create_dir(at("bad")).unwrap();
        std::fs::write(at("bad/good.wasm"), core_module()).unwrap();
        std::fs::write(at("bad/policy.json"), "{").unwrap();
        for (source, says) in [
            ("missing.wasm", "neither a folder nor"),
            ("text.wasm", "starts with `hello`"),
            ("cut.wasm", "cannot be read"),
            ("empty", "no Cargo.toml"),
            ("bad/good.wasm", "policy.json"),
        ] {
            let error = pack(&at(source), &at("out/x"), Path::new(NO_CARGO)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!at("out").exists());
        }
        let error = pack(&at("good.wasm"), Path::new("/"), Path::new(NO_CARGO)).unwrap_err().to_string();
        assert!(error.contains("does not end in a name"), "{error}");
        let error = pack(&at("good.wasm"), &at("text.wasm/x"), Path::new(NO_CARGO)).unwrap_err();
        assert!(matches!(error, PackError::Io { .. }), "{error}");
    }
}
