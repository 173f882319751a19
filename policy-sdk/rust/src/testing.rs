//! A policy under `cargo test`: fakes for what a host gives, and a harness that goes through the same JSON as the
//! component.
//!
//! ```
//! use lictor_policy::testing::{Harness, World};
//! # use lictor_policy::{Context, Empty, Failure, Policy};
//! # use serde_json::Value;
//! # struct Echo;
//! # impl Policy for Echo {
//! #     type Settings = Empty; type Parameters = Empty; type Input = Value; type Output = Value;
//! #     fn new(_: &str, _: Empty, _: Empty) -> Result<Self, Failure> { Ok(Self) }
//! #     fn eval(&mut self, _: Option<Empty>, input: Value, _: &mut Context) -> Result<Value, Failure> { Ok(input) }
//! # }
//! use serde_json::json;
//!
//! let world = World::new().route("https://example.com/list", 200, &json!({"allowlist": []}));
//! let mut policy = Harness::<Echo>::new(&json!({}), &json!({}))?;
//! assert_eq!(policy.eval(&json!({"ip": "127.0.0.1"}))?, json!({"ip": "127.0.0.1"}));
//! assert_eq!(world.n_host_calls(), 0);
//! # Ok::<(), lictor_policy::Failure>(())
//! ```

pub(crate) mod fakes;
mod fixtures;
mod harness;
#[cfg(test)]
mod tests;

pub use fakes::{Line, World};
pub use fixtures::{check_fixtures, run_fixtures};
pub use harness::Harness;
