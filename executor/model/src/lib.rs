//! The nouns of Lictor, in the order a reader meets them: ids, records, limits, capabilities, outcomes.
//!
//! Pure: no I/O, no clock, no task, no runtime. Everything here is a value that was parsed once and is trusted
//! afterwards, and nothing here can panic on any input.
#![forbid(unsafe_code)]

pub mod address;
pub mod alloc;
pub mod asset;
pub mod capabilities;
pub mod code;
mod compare;
pub mod difference;
pub mod digest;
pub mod document;
pub mod executor;
pub mod field;
pub mod filter;
pub mod function;
pub mod graph;
pub mod hex;
pub mod id;
pub mod job;
pub mod json;
pub mod limits;
mod nearest;
pub mod outcome;
mod path;
pub mod query;
pub mod record;
pub mod schema;
pub mod shadow;
pub mod time;
pub mod update;

pub use asset::{AssetDraft, AssetUri};
pub use capabilities::{Capabilities, Origin};
pub use code::CodeRef;
pub use digest::Digest;
pub use document::Entry;
pub use executor::{ExecutorDraft, ExecutorSpec, HostUri};
pub use field::FieldError;
pub use filter::{Filter, Narrow};
pub use function::{Deploy, FunctionSpec};
pub use id::{ExecutorId, GraphUri, PolicyUri};
pub use limits::{Limits, LimitsSpec};
pub use outcome::{Failure, Outcome, Stop, StopKind, Usage};
pub use query::Query;
pub use record::{Draft, PolicySpec};
pub use schema::{Schema, SchemaMode, Schemas, Violation};
pub use shadow::ShadowSpec;
pub use time::Time;
pub use update::Update;
