//! From a policy's folder to its package.
//!
//! ```text
//! folder ──build──► .wasm ──componentize──► component ──package──► .zip
//!                                               └──schemas──► record ──► .json
//! ```
//! [`pack`] goes the whole way, and [`python::pack_python`] that of a policy in Python; each step is a function of its own. [`scaffold`] makes a new folder to start from.
//! Prints nothing itself: what cargo says goes to stderr as cargo says it.

mod build;
mod component;
mod pack;
mod package;
pub mod python;
mod record;
mod scaffold;
mod schemas;

pub use build::{BuildError, Crate, build, cargo_from_env, read_crate};
pub use component::{ComponentizeError, componentize};
pub use pack::{PackError, Packed, pack};
pub use package::{PackageError, digest, package};
pub use record::{Identity, RecordError, record};
pub use scaffold::{ScaffoldError, Sdk, scaffold};
pub use schemas::{Schemas, SchemasError, schemas};
