//! The files of a policy in Python as one canonical text.
//!
//! ```text
//! {"lictor":"python_class_v1","files":{"function.py":"…","helpers/__init__.py":"","data.bin":{"base64":"…"}}}
//! ```
//!
//! Sorted by name, so that it says nothing of how the files were packed, and readable, so that an auditor needs no tool.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::{LoadCode, LoadError, quoted, size};

const MAGIC: &[u8] = br#"{"lictor":"python_class_v1","files":{"#;
/// What a policy may be made of.
const MAX_FILES: usize = 2000;
const MAX_BYTES: usize = 16 << 20;
/// Where `lictor pack` puts what requirements.txt names.
const PACKAGES: &str = "site-packages/";
/// What native code is called.
const NATIVE: [&str; 4] = [".so", ".pyd", ".dll", ".dylib"];

/// The files of a policy in Python.
#[derive(Clone)]
pub struct Package(Vec<u8>);

impl Package {
    /// Whether these bytes are a package.
    pub fn is(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Whether a file of this name belongs into one: not what Python writes beside a file when it runs it.
    pub fn takes(name: &str) -> bool {
        !name.ends_with(".pyc") && !name.split('/').any(|part| part == "__pycache__")
    }

    /// A package of files, by their names in the folder `code`.
    pub fn of(files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, LoadError> {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let bad = |why: String| LoadError::new(LoadCode::BadArchive, why);
        let total: usize = files.values().map(Bytes::len).sum();
        if files.len() > MAX_FILES {
            return Err(bad(format!(
                "the policy has {} files, more than the {MAX_FILES} of one in Python",
                files.len()
            )));
        }
        if total > MAX_BYTES {
            return Err(bad(format!("the policy's files are larger than {} together", size(MAX_BYTES as u64))));
        }
        if let Some(name) = files.keys().find(|name| is_native(name)) {
            return Err(native(name));
        }
        let content = |bytes: Bytes| match str::from_utf8(&bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({"base64": STANDARD.encode(&bytes)}),
        };
        let files: Map<String, Value> = files.into_iter().map(|(name, bytes)| (name, content(bytes))).collect();
        Ok(Self(json!({"lictor": "python_class_v1", "files": files}).to_string().into_bytes()))
    }

    /// Its canonical text.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// The names and contents of its files, from its text.
    pub fn files(text: &[u8]) -> Vec<(String, Vec<u8>)> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(text) else { return Vec::new() };
        let Some(Value::Object(files)) = members.remove("files") else { return Vec::new() };
        let content = |value: Value| match value {
            Value::String(text) => text.into_bytes(),
            other => {
                let text = other.get("base64").and_then(Value::as_str);
                text.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
            }
        };
        files.into_iter().map(|(name, value)| (name, content(value))).collect()
    }
}

fn is_native(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    NATIVE.iter().any(|end| file.ends_with(end)) || file.contains(".so.")
}

/// Names the requirement that brought native code, if it is one.
fn native(name: &str) -> LoadError {
    let why = match name.strip_prefix(PACKAGES) {
        Some(inside) => {
            let requirement = inside.split(['/', '.']).next().unwrap_or(inside).trim_end_matches("_libs");
            format!(
                "the requirement {} has native code ({}), which a policy in Python cannot run",
                quoted(requirement),
                quoted(name)
            )
        }
        None => format!("{} is native code, which a policy in Python cannot run", quoted(&format!("code/{name}"))),
    };
    LoadError::new(LoadCode::UnknownImport, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &[u8])]) -> Result<Vec<u8>, LoadError> {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes)));
        Package::of(files).map(|package| package.into_bytes().to_vec())
    }

    #[test]
    fn a_package_is_its_files_and_not_how_they_were_packed() {
        let one = package(&[("function.py", b"x = 1\n"), ("b.bin", b"\xff")]).unwrap();
        assert_eq!(one, package(&[("b.bin", b"\xff"), ("function.py", b"x = 1\n")]).unwrap());
        assert!(Package::is(&one));
        let text = r#"{"lictor":"python_class_v1","files":{"b.bin":{"base64":"/w=="},"function.py":"x = 1\n"}}"#;
        assert_eq!(str::from_utf8(&one).unwrap(), text);
        let back: Vec<_> = Package::files(&one);
        assert_eq!(back, [("b.bin".to_owned(), b"\xff".to_vec()), ("function.py".to_owned(), b"x = 1\n".to_vec())]);
        assert!(!Package::is(b"\0asm"));
    }

    #[test]
    fn native_code_is_refused_by_the_name_of_what_brought_it() {
        for (name, expected) in [
            ("site-packages/numpy/core/_x.cpython-312-x86_64-linux-gnu.so", "`numpy`"),
            ("site-packages/_cffi_backend.cpython-312-x86_64-linux-gnu.so", "`_cffi_backend`"),
            ("site-packages/numpy.libs/libopenblas.so.0", "`numpy`"),
            ("fast.pyd", "`code/fast.pyd`"),
        ] {
            let error = package(&[("function.py", b""), (name, b"")]).unwrap_err();
            assert_eq!(error.code(), LoadCode::UnknownImport);
            assert!(error.message().contains(expected), "{error}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let names: Vec<_> = (0..=MAX_FILES).map(|n| format!("f{n}.py")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
        assert!(package(&files).unwrap_err().message().contains("2001 files"));
        let large = vec![b' '; MAX_BYTES + 1];
        assert!(package(&[("function.py", &large)]).unwrap_err().message().contains("16 MiB"));
    }

    #[test]
    fn what_python_leaves_behind_is_not_taken() {
        assert!(Package::takes("code/function.py"));
        assert!(!Package::takes("code/__pycache__/function.cpython-311.pyc"));
        assert!(!Package::takes("code/function.pyc"));
    }
}
