//! Write a policy for Lictor in Rust.
//!
//! A policy is a WebAssembly component that decides. Its author implements [`Policy`] for one type, names that type
//! in [`export!`], and builds for `wasm32-unknown-unknown` or `wasm32-wasip2`:
//!
//! ```
//! use lictor_policy::{Context, Empty, Failure, Policy, Schema, export};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, Schema)]
//! struct Settings {
//!     /// The largest order that needs no approval, in cents.
//!     #[schema(min = 0)]
//!     max_cents: u64,
//! }
//!
//! #[derive(Deserialize, Schema)]
//! struct Order {
//!     /// What the order costs, in cents.
//!     cents: u64,
//! }
//!
//! #[derive(Serialize, Schema)]
//! struct Decision {
//!     allowed: bool,
//! }
//!
//! struct SpendingLimit {
//!     settings: Settings,
//! }
//!
//! impl Policy for SpendingLimit {
//!     type Settings = Settings;
//!     type Parameters = Empty;
//!     type Input = Order;
//!     type Output = Decision;
//!
//!     fn new(_rule_id: &str, settings: Settings, _parameters: Empty) -> Result<Self, Failure> {
//!         Ok(Self { settings })
//!     }
//!
//!     fn eval(&mut self, _: Option<Empty>, order: Order, _: &mut Context) -> Result<Decision, Failure> {
//!         Ok(Decision { allowed: order.cents <= self.settings.max_cents })
//!     }
//! }
//!
//! export!(SpendingLimit);
//! ```
//!
//! What a policy may use beside its input is here as plain Rust: [`Context`] outlives the call, [`http`] sends
//! requests, [`mod@log`] writes log lines, [`clock`] tells the time and [`host`] calls what the host application hands
//! in. Each costs an import only if the policy uses it; a policy that uses none is a component without imports, which
//! is the fastest kind. Natively the same calls reach the fakes of [`testing`], so a policy is tested with `cargo test`.

// What the derive macro writes names this crate from outside.
#[cfg(test)]
extern crate self as lictor_policy;

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod arena;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod context;
mod export;
mod failure;
#[doc(hidden)]
pub mod glue;
pub mod host;
pub mod http;
pub mod log;
mod platform;
mod policy;
mod raw;
pub mod schema;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use context::{Call, Context};
pub use failure::Failure;
pub use policy::{Empty, Policy, Stateful};
pub use raw::Raw;
pub use schema::Schema;

/// Describes a type to [`Schema`], from its fields, their doc comments and its serde attributes.
///
/// Works on structs with named fields, newtype structs and enums whose variants hold nothing. The serde attributes
/// `rename`, `rename_all`, `default`, `skip`, `skip_serializing_if`, `deny_unknown_fields` and `transparent` are
/// honoured; those whose effect a schema cannot follow (`flatten`, `tag`, …) are compile errors, and so are type
/// parameters. `#[schema(…)]` on a field says more:
///
/// | attribute | holds for | meaning |
/// |---|---|---|
/// | `pattern = "…"` | strings | the regular expression it matches |
/// | `min = 0`, `max = 10` | numbers | inclusive bounds |
/// | `max_length = 100` | strings, lists | characters, elements |
/// | `description = "…"` | everything | instead of the doc comment |
/// | `as = Type` | everything | describe the field as if it were a `Type` |
///
/// On a list, a map or an option, `pattern`, `min` and `max` hold for what is inside.
///
/// ```compile_fail
/// #[derive(lictor_policy::Schema)]
/// enum Shape {
///     Circle { radius: f64 }, // error: implement it by hand
/// }
/// ```
///
/// ```compile_fail
/// #[derive(serde::Deserialize, lictor_policy::Schema)]
/// struct Settings {
///     #[serde(flatten)] // error: `Schema` cannot follow serde's `flatten`
///     rest: std::collections::BTreeMap<String, u32>,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(lictor_policy::Schema)]
/// struct Page<T> { // error: type parameters
///     items: Vec<T>,
/// }
/// ```
pub use lictor_policy_macros::Schema;

#[doc(hidden)]
pub use serde_json;
