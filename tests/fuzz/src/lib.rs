//! What must hold for any bytes: one function for each parser of what comes from outside, and two models that the real
//! registry and the real schedule of jobs are held against.
//!
//! ```text
//! TARGETS ──┬ tests/corpus.rs   runs each once over `corpus/<name>`, as an ordinary test
//!           └ src/main.rs       hands one of them to libFuzzer: `make fuzz`
//! ```
//!
//! A target takes bytes and returns if all is well. Texts are easy to read and to write, so where the input is a
//! document or several, it is lines of JSON. What is private in the server has its targets there, in `http::fuzzing` and
//! `executors::fuzzing`; their corpora are here too.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a target cannot go on with is a finding"
)]

mod answers;
mod archives;
mod artifacts;
mod components;
mod config;
mod guests;
mod jobs;
mod json;
mod languages;
mod log;
#[cfg(fuzzing)]
mod modules;
mod names;
mod records;
mod registry;
mod schemas;
mod store;

use std::sync::LazyLock;

use lictor_model::json::parse;
use serde_json::Value;
use tokio::runtime::Runtime;

/// What must hold for any bytes, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Those whose inputs are an ordinary test, too.
pub const TARGETS: [Target; 18] = [
    ("json", json::json),
    ("filter", languages::filter),
    ("update", languages::update),
    ("query", languages::query),
    ("schema", schemas::schema),
    ("record", records::record),
    ("name", names::name),
    ("address", names::address),
    ("archive", archives::archive),
    ("package", archives::package),
    ("artifact", artifacts::artifact),
    ("component", components::component),
    ("guest", guests::guest),
    ("answer", answers::answer),
    ("config", config::config),
    ("log", log::log),
    ("registry", registry::registry),
    ("job", jobs::job),
];

/// Those that take more than a test has: the doors of what is private in the server, and wasm-smith.
#[cfg(fuzzing)]
pub const ONLY_FUZZED: &[Target] = &[
    ("module", modules::module),
    ("wire", lictor::http::fuzzing::wire),
    ("body", lictor::http::fuzzing::body),
    ("batch", lictor::http::fuzzing::batch),
    ("envelope", lictor::executors::fuzzing::envelope),
];

/// Where what waits is run.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The JSON values that the lines of `data` are, as many as are asked for.
fn values<const N: usize>(data: &[u8]) -> Option<[Value; N]> {
    let lines = str::from_utf8(data).ok()?.lines().map(|line| parse(line).ok());
    lines.take(N).collect::<Option<Vec<_>>>()?.try_into().ok()
}
