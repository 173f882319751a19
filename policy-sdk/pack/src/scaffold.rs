//! A new folder with a small policy that builds, decides and is tested.

use std::io;
use std::path::{Path, PathBuf};

/// What the new folder holds, by path. The templates are in `template/` of this crate.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../template/lib.rs.in")),
    ("policy.json", include_str!("../template/policy.json.in")),
    ("expected.json", include_str!("../template/expected.json.in")),
    ("README.md", include_str!("../template/README.md.in")),
    (".gitignore", include_str!("../template/gitignore.in")),
    (".cargo/config.toml", include_str!("../template/config.toml.in")),
];

/// Names that cargo or the compiler takes for something else.
const TAKEN: [&str; 9] =
    ["alloc", "core", "lictor-policy", "lictor_policy", "proc-macro", "proc_macro", "serde", "std", "test"];
/// Words that the crate could not be named with in its own language.
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct \
    super trait true try type typeof unsafe unsized use virtual where while yield ";
const MAX_NAME: usize = 64;

/// Where a new policy takes the SDK from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// A folder. A relative one counts from the new policy's folder.
    Path(PathBuf),
    /// A published version.
    Version(String),
}

/// Why there is no new policy.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name cannot be a crate's.
    #[error("`{name}` cannot be the name of a policy: {why}")]
    Name {
        /// The name, cut to what a person can read.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The SDK's path is not text.
    #[error("the path `{}` is not UTF-8", .0.display())]
    SdkPath(PathBuf),
    /// There is something in the folder already.
    #[error("`{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file could not be written.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes the policy `name` in `folder`, which is created or must be empty. Returns what was written.
pub fn scaffold(folder: &Path, name: &str, sdk: &Sdk) -> Result<Vec<PathBuf>, ScaffoldError> {
    check_name(name)?;
    let sdk = dependency(sdk)?;
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| ScaffoldError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    if std::fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
        return Err(ScaffoldError::NotEmpty(folder.to_owned()));
    }
    let mut written = Vec::new();
    for (file, template) in FILES {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        std::fs::write(&path, template.replace("{{name}}", name).replace("{{sdk}}", &sdk)).map_err(at(&path))?;
        written.push(path);
    }
    Ok(written)
}

fn check_name(name: &str) -> Result<(), ScaffoldError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let why = match name {
        "" => "it is empty",
        _ if MAX_NAME < name.len() => "it has more than 64 characters",
        _ if !name.chars().all(plain) => "use letters, digits, `_` and `-`",
        _ if !name.starts_with(|c: char| c.is_ascii_alphabetic()) => "it has to start with a letter",
        _ if TAKEN.contains(&name) || KEYWORDS.split(' ').any(|word| word == name) => {
            "the name is taken by Rust itself"
        }
        _ => return Ok(()),
    };
    Err(ScaffoldError::Name { name: name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect(), why })
}

/// The value of the dependency in `Cargo.toml`. A JSON string is a TOML string as well.
fn dependency(sdk: &Sdk) -> Result<String, ScaffoldError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match sdk {
        Sdk::Version(version) => Ok(quoted(version)),
        Sdk::Path(path) => {
            let text = path.to_str().ok_or_else(|| ScaffoldError::SdkPath(path.clone()))?;
            Ok(format!("{{ path = {} }}", quoted(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Sdk {
        Sdk::Version("0.1".to_owned())
    }

    #[test]
    fn writes_a_whole_policy() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/geo-fence");
        let written = scaffold(&folder, "geo-fence", &version()).unwrap();
        assert_eq!(written.len(), FILES.len());
        for path in written {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("{{"), "{}", path.display());
            if path.extension().is_some_and(|extension| extension == "json") {
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
        }
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("name = \"geo-fence\"") && manifest.contains("lictor-policy = \"0.1\""),
            "{manifest}"
        );
        let error = scaffold(&folder, "geo-fence", &version()).unwrap_err();
        assert!(matches!(error, ScaffoldError::NotEmpty(_)), "{error}");
    }

    #[test]
    fn sdk_may_be_a_path_with_quotes_in_it() {
        let sdk = Sdk::Path(PathBuf::from("/a \"b\"\\c"));
        assert_eq!(dependency(&sdk).unwrap(), r#"{ path = "/a \"b\"\\c" }"#);
    }

    #[test]
    fn refuses_names_that_are_none() {
        let long = "a".repeat(65);
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "a b", "a/b", "../a", ".", "a\"b", "é", "1a", "-a", "_", "fn", "std", "serde", "a\n", &long] {
            let error = scaffold(&dir.path().join("x"), name, &version()).unwrap_err();
            assert!(matches!(error, ScaffoldError::Name { .. }), "{name}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
        assert!(!dir.path().join("x").exists());
        for name in ["a", "Geo_Fence-2", "format"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn refuses_a_folder_that_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        let error = scaffold(&dir.path().join("x"), "a", &version()).unwrap_err();
        assert!(matches!(error, ScaffoldError::Io { .. }), "{error}");
    }
}
