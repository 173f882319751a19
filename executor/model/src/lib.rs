//! The nouns of Lictor, in the order a reader meets them: ids, records, limits, capabilities, outcomes.
//!
//! Pure: no I/O, no clock, no task, no runtime. Everything here is a value that was parsed once and is trusted
//! afterwards, and nothing here can panic on any input.
#![forbid(unsafe_code)]

pub mod address;
pub mod capabilities;
pub mod code;
pub mod digest;
pub mod field;
pub mod filter;
pub mod id;
pub mod json;
pub mod limits;
pub mod outcome;
pub mod record;
pub mod update;

pub use capabilities::{Capabilities, Origin};
pub use code::CodeRef;
pub use digest::Digest;
pub use field::FieldError;
pub use filter::Filter;
pub use id::{ExecutorId, PolicyUri};
pub use limits::{Limits, LimitsSpec};
pub use outcome::{Failure, Outcome, Stop, StopKind, Usage};
pub use record::{Draft, PolicySpec};
pub use update::Update;
