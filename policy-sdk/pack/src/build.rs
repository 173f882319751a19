//! A policy's folder to the module that cargo makes of it.
//!
//! Which cargo is the caller's choice, because the one that has the wasm targets need not be the one on the PATH.
//! The folder's code runs while it is built (build scripts, macros): building is for authors, never for what a
//! stranger sent.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// What a policy's stack needs, and what a fresh instance is spared from the megabyte that is usual.
const STACK: &str = "link-arg=-zstack-size=65536";

/// Why a folder did not become a module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder has no `Cargo.toml`.
    #[error("no Cargo.toml in `{}`", .0.display())]
    NotACrate(PathBuf),
    /// The `Cargo.toml` is of a workspace and not of a crate.
    #[error("`{}` is a workspace: name the folder of one of its policies", .0.display())]
    Virtual(PathBuf),
    /// Cargo could not be started.
    #[error("could not start `{}`", .cargo.display())]
    Start {
        /// The cargo that was asked for.
        cargo: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Cargo said no. It has said why on stderr, unless that is here.
    #[error("cargo failed{}{}", if .0.is_empty() { "" } else { ": " }, .0)]
    Failed(String),
    /// Cargo's answer could not be read.
    #[error("cargo's answer could not be read: {0}")]
    Answer(String),
    /// `package.metadata.lictor` says something else than it can.
    #[error("`package.metadata.lictor` in Cargo.toml: {0}")]
    Metadata(String),
    /// The build made no wasm file.
    #[error("cargo built no wasm module: the policy has to be the library of its crate")]
    NoModule,
}

/// A crate that is a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// `package.name`.
    pub name: String,
    /// `package.version`.
    pub version: String,
    /// `package.description`, or nothing.
    pub description: String,
    /// The target it is built for: `package.metadata.lictor.target`, by default `wasm32-unknown-unknown`.
    pub target: &'static str,
    manifest: PathBuf,
}

/// The cargo that the environment variable `CARGO` names, or else the one on the PATH.
#[must_use]
pub fn cargo_from_env() -> PathBuf {
    std::env::var_os("CARGO").filter(|cargo| !cargo.is_empty()).map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Builds the policy in `folder` and returns where its module is. Blocks for as long as cargo takes; what cargo
/// says goes to stderr.
pub fn build(folder: &Path, cargo: &Path) -> Result<PathBuf, BuildError> {
    build_crate(&read_crate(folder, cargo)?, folder, cargo)
}

/// Reads what the `Cargo.toml` in `folder` says, after workspace inheritance. Does not need the network.
pub fn read_crate(folder: &Path, cargo: &Path) -> Result<Crate, BuildError> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(|_| BuildError::NotACrate(folder.to_owned()))?;
    let out = command(cargo, folder)
        .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
        .arg(&manifest)
        .output()
        .map_err(|source| BuildError::Start { cargo: cargo.to_owned(), source })?;
    if !out.status.success() {
        return Err(BuildError::Failed(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    parse_metadata(&out.stdout, &manifest)?.ok_or_else(|| BuildError::Virtual(folder.to_owned()))
}

pub(crate) fn build_crate(policy: &Crate, folder: &Path, cargo: &Path) -> Result<PathBuf, BuildError> {
    let mut command = command(cargo, folder);
    // `cargo rustc` and not a configured rustflag: the flag reaches this crate alone, so dependencies stay shared
    // with a plain `cargo build`, and an RUSTFLAGS in the environment cannot displace it.
    command
        .args(["rustc", "--release", "--lib", "--crate-type=cdylib", "--message-format=json-render-diagnostics"])
        .args(["--target", policy.target, "--manifest-path"])
        .arg(&policy.manifest);
    if policy.target == UNKNOWN {
        command.args(["--", "-C", STACK]);
    }
    let start = |source| BuildError::Start { cargo: cargo.to_owned(), source };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
    let mut module = None;
    if let Some(stdout) = child.stdout.take() {
        // Bytes and not text: a macro may print anything, and cargo passes it on among its messages.
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            module = module_in(&line, &policy.manifest).or(module);
        }
    }
    let status = child.wait().map_err(|e| BuildError::Answer(e.to_string()))?;
    if !status.success() {
        return Err(BuildError::Failed(String::new()));
    }
    module.ok_or(BuildError::NoModule)
}

const UNKNOWN: &str = "wasm32-unknown-unknown";
const WASIP2: &str = "wasm32-wasip2";

/// Cargo, started in `folder`, because that is where its configuration is looked for.
fn command(cargo: &Path, folder: &Path) -> Command {
    let mut command = Command::new(absolute(cargo));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// A path with a folder in it means the same from every folder; a bare name is looked up on the PATH.
fn absolute(cargo: &Path) -> PathBuf {
    if cargo.components().count() < 2 {
        return cargo.to_owned();
    }
    std::path::absolute(cargo).unwrap_or_else(|_| cargo.to_owned())
}

#[derive(Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    version: String,
    description: Option<String>,
    manifest_path: PathBuf,
    metadata: Option<RawTables>,
}

#[derive(Deserialize)]
struct RawTables {
    lictor: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLictor {
    target: Option<String>,
}

fn parse_metadata(json: &[u8], manifest: &Path) -> Result<Option<Crate>, BuildError> {
    let metadata: RawMetadata = serde_json::from_slice(json).map_err(|e| BuildError::Answer(e.to_string()))?;
    let Some(package) = metadata.packages.into_iter().find(|package| package.manifest_path == manifest) else {
        return Ok(None);
    };
    let lictor = match package.metadata.and_then(|tables| tables.lictor) {
        Some(table) => serde_json::from_value(table).map_err(|e| BuildError::Metadata(e.to_string()))?,
        None => RawLictor::default(),
    };
    let target = match lictor.target.as_deref() {
        None | Some(UNKNOWN) => UNKNOWN,
        Some(WASIP2) => WASIP2,
        Some(other) => {
            return Err(BuildError::Metadata(format!("target `{other}` is neither `{UNKNOWN}` nor `{WASIP2}`")));
        }
    };
    Ok(Some(Crate {
        name: package.name,
        version: package.version,
        description: package.description.unwrap_or_default(),
        target,
        manifest: package.manifest_path,
    }))
}

#[derive(Deserialize)]
struct RawMessage {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The module that one of cargo's messages names, if it is this crate's.
fn module_in(line: &[u8], manifest: &Path) -> Option<PathBuf> {
    let message: RawMessage = serde_json::from_slice(line).ok()?;
    let ours = message.reason == "compiler-artifact" && message.manifest_path.as_deref() == Some(manifest);
    message.filenames.into_iter().find(|file| ours && file.extension() == Some(OsStr::new("wasm")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(lictor: &str) -> Result<Option<Crate>, BuildError> {
        let json = format!(
            r#"{{"packages":[{{"name":"geo","version":"1.2.0","description":null,"manifest_path":"/p/Cargo.toml",
                "metadata":{lictor},"unknown":1}}]}}"#
        );
        parse_metadata(json.as_bytes(), Path::new("/p/Cargo.toml"))
    }

    #[test]
    fn target_comes_from_metadata() {
        for (table, target) in [
            ("null", UNKNOWN),
            ("{}", UNKNOWN),
            (r#"{"other":{"x":1}}"#, UNKNOWN),
            (r#"{"lictor":{}}"#, UNKNOWN),
            (r#"{"lictor":{"target":"wasm32-unknown-unknown"}}"#, UNKNOWN),
            (r#"{"lictor":{"target":"wasm32-wasip2"}}"#, WASIP2),
        ] {
            let policy = metadata(table).unwrap().unwrap();
            assert_eq!((policy.name.as_str(), policy.description.as_str(), policy.target), ("geo", "", target));
        }
    }

    #[test]
    fn refuses_metadata_it_does_not_know() {
        for (table, named) in [
            (r#"{"lictor":{"target":"wasm32-wasip1"}}"#, "wasm32-wasip1"),
            (r#"{"lictor":{"tarjet":"wasm32-wasip2"}}"#, "tarjet"),
            (r#"{"lictor":[]}"#, "sequence"),
            (r#"{"lictor":{"target":7}}"#, "7"),
        ] {
            let error = metadata(table).unwrap_err().to_string();
            assert!(error.contains(named) || table.contains('['), "{error}");
        }
    }

    #[test]
    fn a_workspace_is_not_a_policy() {
        assert_eq!(parse_metadata(br#"{"packages":[]}"#, Path::new("/p/Cargo.toml")).unwrap(), None);
        assert!(matches!(parse_metadata(b"{", Path::new("/p")), Err(BuildError::Answer(_))));
    }

    #[test]
    fn finds_the_module_among_the_messages() {
        let artifact = |manifest: &str, file: &str| {
            format!(r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":["/t/x.d","{file}"]}}"#)
        };
        for (line, found) in [
            (artifact("/p/Cargo.toml", "/t/geo.wasm"), Some("/t/geo.wasm")),
            (artifact("/p/Cargo.toml", "/t/libgeo.rlib"), None),
            (artifact("/dep/Cargo.toml", "/t/dep.wasm"), None),
            (r#"{"reason":"build-finished","success":true}"#.to_owned(), None),
            ("a build script's chatter".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(module_in(line.as_bytes(), Path::new("/p/Cargo.toml")), found.map(PathBuf::from), "{line}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let error = build(dir.path(), Path::new("cargo")).unwrap_err();
        assert!(matches!(error, BuildError::NotACrate(_)), "{error}");
        std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        let error = build(dir.path(), Path::new("cargo")).unwrap_err();
        assert!(matches!(error, BuildError::Virtual(_)), "{error}");
        let error = build(dir.path(), Path::new("/nowhere/cargo")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/cargo"), "{error}");
        std::fs::write(dir.path().join("Cargo.toml"), "[package\n").unwrap();
        let error = build(dir.path(), Path::new("cargo")).unwrap_err();
        assert!(matches!(&error, BuildError::Failed(why) if !why.is_empty()), "{error}");
    }
}
