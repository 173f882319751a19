//! What the programs of the benchmark share: the policy that is measured, what it is asked, the same code natively, the
//! parts of a server without HTTP, and an allocator that counts.

pub mod allocations;
pub mod inside;
pub mod native;
pub mod subject;

use std::error::Error;

/// What everything here may fail with.
pub type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the policy decides about.
pub const INPUT: &str = r#"{"ip":"10.0.0.1"}"#;
/// What a call brings beside it.
pub const PARAMETERS: &str = r#"{"local_allowlist":["127.0.0.1","192.168.0.1","10.0.0.1"]}"#;

/// The sample in the middle.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
