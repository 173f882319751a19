//! `lictor pack`: from a policy's folder to the files that publish it.

use std::path::{Path, PathBuf};

use clap::Args;
use lictor_loader::LoadCode;
use lictor_pack::{
    PackError, Packed, cargo_from_env,
    python::{PackedPython, is_python, pack_python},
};

use super::{Failure, print, source::explain};

/// Build a policy and write its package and its record.
///
/// Writes STEM.wasm, the component; STEM.zip, the package that a record's `code` points to; and STEM.json, the record:
/// policy.json of the source with the package's name and digest, and the schemas that it carries. A crate is built
/// with the cargo that the environment variable CARGO names, or the one on the PATH. Of a policy in Python, a folder with
/// code/function.py, it writes the package and the record; what code/requirements.txt names is put into the package by the
/// pip of the python3 on the PATH, or of the one that PYTHON names.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pack {
    /// A crate's folder, one with code/function.py, or a .wasm: a component, or a core module made with wit-bindgen.
    source: PathBuf,
    /// Where to write, without an extension [default: target/NAME in the folder, or beside the .wasm].
    #[arg(long, value_name = "STEM")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lictor pack .
  lictor pack my-policy --out dist/my-policy-1.0
  lictor pack target/wasm32-wasip2/release/my_policy.wasm";

impl Pack {
    pub(super) fn run(self) -> Result<(), Failure> {
        if is_python(&self.source) {
            let out = self.out.unwrap_or_else(|| python_out(&self.source));
            return tell_python(&to_python(&self.source, &out)?);
        }
        let cargo = cargo_from_env();
        let out = match self.out {
            Some(out) => out,
            None => default_out(&self.source, &cargo)?,
        };
        let packed = lictor_pack::pack(&self.source, &out, &cargo).map_err(|error| failure(&error))?;
        tell(&packed)
    }
}

/// Packs the crate in `folder` to where `lictor pack` puts it if nothing else is said.
pub(super) fn to_default(folder: &Path) -> Result<Packed, Failure> {
    let cargo = cargo_from_env();
    let out = default_out(folder, &cargo)?;
    lictor_pack::pack(folder, &out, &cargo).map_err(|error| failure(&error))
}

/// In the folder that tools make and version control leaves out; for a file, beside it.
fn default_out(source: &Path, cargo: &Path) -> Result<PathBuf, Failure> {
    if !source.is_dir() {
        return Ok(source.with_extension(""));
    }
    let policy = lictor_pack::read_crate(source, cargo).map_err(|error| failure(&error.into()))?;
    Ok(source.join("target").join(policy.name))
}

/// Packs a policy in Python to where `lictor pack` puts it if nothing else is said.
pub(super) fn python_to_default(folder: &Path) -> Result<PackedPython, Failure> {
    to_python(folder, &python_out(folder))
}

fn to_python(folder: &Path, out: &Path) -> Result<PackedPython, Failure> {
    let python = std::env::var_os("PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    pack_python(folder, out, &python).map_err(|error| failure(&error))
}

fn python_out(folder: &Path) -> PathBuf {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.join("target").join(absolute.file_name().unwrap_or_default())
}

fn tell_python(packed: &PackedPython) -> Result<(), Failure> {
    let PackedPython { archive, record, code_digest, archive_bytes, .. } = packed;
    print::line(&format!("{}  {archive_bytes} bytes  {code_digest}", archive.display()))?;
    print::line(&record.display().to_string())
}

fn tell(packed: &Packed) -> Result<(), Failure> {
    let rows = [
        (&packed.wasm, packed.component_bytes, &packed.component_digest),
        (&packed.archive, packed.archive_bytes, &packed.code_digest),
    ];
    for (path, bytes, digest) in rows {
        print::line(&format!("{}  {bytes} bytes  {digest}", path.display()))?;
    }
    print::line(&packed.record.display().to_string())?;
    if let Some(problem) = &packed.schemas_problem {
        print::note(format_args!("lictor: the policy's schemas are left out of the record: {problem}"));
    }
    Ok(())
}

fn failure(error: &PackError) -> Failure {
    let message = explain(error);
    match error {
        PackError::SameFile(_) | PackError::Out(_) | PackError::Record(_) => Failure::Usage(message),
        PackError::Source(_) | PackError::Build(_) => Failure::load(LoadCode::CodeUnreachable, message),
        PackError::Requirement(_) => Failure::load(LoadCode::UnknownImport, message),
        PackError::TooLarge(_) => Failure::load(LoadCode::TooComplex, message),
        PackError::Componentize(_) | PackError::Component(_) => Failure::load(LoadCode::NotAComponent, message),
        PackError::Io { .. } | PackError::Package(_) => Failure::Internal(message),
    }
}
