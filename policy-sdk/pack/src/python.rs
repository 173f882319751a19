//! A policy in Python, and what it requires, as the archive that a policy record points to.
//!
//! Requirements are resolved here, on the author's machine, by its `pip`; a server never runs that. Only pure Python can
//! run in the sandbox, so only wheels for any platform are asked for, and what comes otherwise is refused by its name.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Identity, PackError, digest,
    pack::{author_record, with_suffix, write},
    package::archive,
    record,
};

/// The file that has the class.
const MAIN: &str = "function.py";
/// The file that names what it requires.
const REQUIREMENTS: &str = "requirements.txt";
/// Where what it requires is put.
const PACKAGES: &str = "site-packages";
/// The version of the interpreter in the sandbox.
const VERSION: &str = "3.14";
const TYPE: &str = "python_class_v1";
/// How deep folders are looked into.
const MAX_DEPTH: usize = 32;

/// The files in the folder `code`, by their names in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Names the requirements of a file that neither the standard library nor the interpreter's own modules have, and has pip
/// put them into a folder.
const RESOLVE: &str = r"
import pathlib, re, subprocess, sys
requirements, folder, version = sys.argv[1:]
provided = {name.lower().replace('_', '-') for name in sys.stdlib_module_names} | {'requests'}
wanted = []
for line in pathlib.Path(requirements).read_text().splitlines():
    line = re.sub(r'(^|\s)#.*', '', line).strip()
    name = re.match(r'[A-Za-z0-9._-]*', line).group().lower().replace('_', '-').replace('.', '-')
    if name and name not in provided:
        wanted.append(line)
    elif line.startswith('-'):
        sys.exit(f'`{line}` is an option of pip, and not a requirement')
if wanted:
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile', '--target', folder]
    pure = ['--only-binary=:all:', '--platform=any', '--implementation=py', '--abi=none', f'--python-version={version}']
    for line in wanted:
        done = subprocess.run([*pip, '--upgrade', *pure, line], capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ['pip failed'])[-1]
            sys.exit(f'the requirement `{line}` is to be had neither in the interpreter nor in pure Python: {said}')
";

/// What was written of a policy in Python.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackedPython {
    /// The archive, OUT.zip.
    pub archive: PathBuf,
    /// The policy record, OUT.json.
    pub record: PathBuf,
    /// The digest of the archive, which the record names.
    pub code_digest: String,
    /// The size of the archive in bytes.
    pub archive_bytes: usize,
}

/// Whether the folder is that of a policy in Python.
pub fn is_python(folder: &Path) -> bool {
    folder.join("code").join(MAIN).is_file()
}

/// Packs the policy in `source`, a folder with `code/function.py`, and writes OUT.zip and OUT.json, where OUT is `out`.
///
/// What `code/requirements.txt` names is put into the archive by `python`'s pip, unless the interpreter has it. Blocks.
pub fn pack_python(source: &Path, out: &Path, python: &Path) -> Result<PackedPython, PackError> {
    let code = source.join("code");
    let mut all = files(&code)?;
    if all.contains_key(REQUIREMENTS) {
        let folder = scratch(out)?;
        let resolved = resolve(&code.join(REQUIREMENTS), &folder, python).and_then(|()| files(&folder));
        // What is left behind does no harm.
        drop(std::fs::remove_dir_all(&folder));
        all.extend(resolved?.into_iter().map(|(name, bytes)| (format!("{PACKAGES}/{name}"), bytes)));
    }
    let archive = zip(&all)?;
    let [archive_path, record_path] = [".zip", ".json"].map(|suffix| with_suffix(out, suffix));
    let name = archive_path.file_name().and_then(|name| name.to_str());
    let name = name.filter(|_| out.file_name().is_some()).ok_or_else(|| PackError::Out(out.to_owned()))?;
    let (code_digest, author) = (digest(&archive), author_record(source)?);
    let record = record(author.as_deref(), &identity(source), None, (TYPE, name), &code_digest)?;
    write(&archive_path, &archive)?;
    write(&record_path, record.as_bytes())?;
    Ok(PackedPython { archive: archive_path, record: record_path, code_digest, archive_bytes: archive.len() })
}

fn identity(source: &Path) -> Identity {
    let folder = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Identity { name, version: "0.1.0".to_owned(), description: String::new() }
}

/// An empty folder beside the output.
fn scratch(out: &Path) -> Result<PathBuf, PackError> {
    let folder = with_suffix(out, &format!(".{}.requirements", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| PackError::Io { path: folder.clone(), source })?;
    Ok(folder)
}

/// Has pip put into `folder` what the file requires.
fn resolve(requirements: &Path, folder: &Path, python: &Path) -> Result<(), PackError> {
    let mut command = Command::new(python);
    command.arg("-c").arg(RESOLVE).args([requirements, folder]).arg(VERSION);
    let io = |source: io::Error| PackError::Io { path: python.to_owned(), source };
    let output = command.output().map_err(io)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(PackError::Requirement(said.trim().lines().last().unwrap_or("python failed").to_owned()))
}

/// The files below `folder` that belong to a policy: not what Python and tools leave behind.
pub fn files(folder: &Path) -> Result<Files, PackError> {
    let mut found = Files::new();
    walk(folder, "", 0, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Files) -> Result<(), PackError> {
    let io = |source| PackError::Io { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "__pycache__" || name.ends_with(".pyc") || name.starts_with('.') || depth > MAX_DEPTH {
            continue;
        }
        let (path, inside) = (entry.path(), format!("{prefix}{name}"));
        let meta = std::fs::metadata(&path).map_err(|source| PackError::Io { path: path.clone(), source })?;
        if meta.is_dir() {
            // Programs that come with a package are of no use in it.
            if !(depth == 0 && name == "bin") {
                walk(&path, &format!("{inside}/"), depth + 1, found)?;
            }
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|source| PackError::Io { path: path.clone(), source })?;
        found.insert(inside, bytes);
    }
    Ok(())
}

/// A zip archive that holds the files in its folder `code`: the same bytes for the same files.
pub fn zip(files: &Files) -> Result<Vec<u8>, PackError> {
    let named: Vec<_> = files.iter().map(|(name, bytes)| (format!("code/{name}"), bytes)).collect();
    Ok(archive(named.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join("code").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_folder_becomes_an_archive_and_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("gate");
        policy(
            &source,
            &[
                ("function.py", "class AIOSv1PolicyRule: ..."),
                ("lib/__init__.py", ""),
                ("__pycache__/function.cpython-311.pyc", "left behind"),
                (".DS_Store", "left behind"),
            ],
        );
        std::fs::write(source.join("policy.json"), r#"{"version": "2.0", "type": "python_class_v1"}"#).unwrap();
        assert!(is_python(&source));
        let packed = pack_python(&source, &dir.path().join("gate-2"), Path::new("/nowhere/python")).unwrap();
        assert_eq!(digest(&std::fs::read(&packed.archive).unwrap()), packed.code_digest);
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&packed.record).unwrap()).unwrap();
        for (name, expected) in [("name", "gate"), ("version", "2.0"), ("type", TYPE), ("code", "gate-2.zip")] {
            assert_eq!(record[name], expected, "{name}");
        }
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&packed.archive).unwrap()).unwrap();
        let names: Vec<_> =
            (0..archive.len()).map(|n| archive.by_index(n).unwrap().name().unwrap().into_owned()).collect();
        assert_eq!(names, ["code/function.py", "code/lib/__init__.py"]);
        let again = pack_python(&source, &dir.path().join("gate-2"), Path::new("/nowhere/python")).unwrap();
        assert_eq!(again, packed, "the same again");
    }

    #[test]
    fn without_python_requirements_are_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        policy(dir.path(), &[("function.py", ""), ("requirements.txt", "toml\n")]);
        let error = pack_python(dir.path(), &dir.path().join("out"), Path::new("/nowhere/python")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/python"), "{error}");
        assert!(!dir.path().join("out.zip").exists());
    }
}
