//! `lictor new`: a folder to start a policy from.

use std::path::{Path, PathBuf};

use clap::Args;
use lictor_pack::{ScaffoldError, Sdk, scaffold};

use super::{Failure, print, source::explain};

/// Start a new policy in Rust.
///
/// Makes a crate with a small policy that builds, decides and is tested.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct New {
    /// The policy's name: letters, digits, `_` and `-`.
    name: String,
    /// The folder to make [default: NAME].
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Take the SDK from this folder, instead of the published one of this version.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lictor new amount_limit
  lictor new amount_limit --path policies/amount_limit --sdk ../lictor/policy-sdk/rust";

impl New {
    pub(super) fn run(self) -> Result<(), Failure> {
        let sdk = match self.sdk {
            Some(path) => Sdk::Path(sdk_folder(&path)?),
            None => Sdk::Version(env!("CARGO_PKG_VERSION").to_owned()),
        };
        let folder = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        let written = scaffold(&folder, &self.name, &sdk).map_err(|error| failure(&error))?;
        for path in &written {
            print::line(&path.display().to_string())?;
        }
        let shown = folder.display();
        print::line(&format!(
            "
Next:
  cd {shown}
  rustup target add wasm32-unknown-unknown    # once
  cargo test                                  # runs expected.json natively
  lictor test .                               # and in the sandbox
  lictor eval . --input '{{\"amount\": 7}}'
  lictor pack .                               # makes the package and its record"
        ))
    }
}

/// The folder as the new crate finds it: a path that a person typed counts from where they are.
fn sdk_folder(path: &Path) -> Result<PathBuf, Failure> {
    let wrong = |why: String| Failure::Usage(format!("`--sdk`: {why}"));
    let folder = path.canonicalize().map_err(|error| wrong(format!("`{}`: {error}", path.display())))?;
    match folder.join("Cargo.toml").is_file() {
        true => Ok(folder),
        false => Err(wrong(format!("`{}` holds no Cargo.toml: it is policy-sdk/rust that is needed", path.display()))),
    }
}

fn failure(error: &ScaffoldError) -> Failure {
    let message = explain(error);
    match error {
        ScaffoldError::Name { .. } | ScaffoldError::SdkPath(_) | ScaffoldError::NotEmpty(_) => Failure::Usage(message),
        ScaffoldError::Io { .. } => Failure::Internal(message),
    }
}
