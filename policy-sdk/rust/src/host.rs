//! Functions that a host application, or a dialect, hands to the policy by name.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, glue, platform};

/// Calls the host function `name` with `args` and reads its answer.
///
/// Fails with the function's own failure, with `denied_capability` if the policy was not granted it in
/// `capabilities.host`, with `not_available` if this host does not have it, and with `invalid_data` if the answer is
/// not a `T`.
pub fn call<T: DeserializeOwned>(name: &str, args: &(impl Serialize + ?Sized)) -> Result<T, Failure> {
    let answer = platform::call_host(name, &glue::to_text(args)?)?;
    serde_json::from_str(&answer)
        .map_err(|err| Failure::invalid_data(format_args!("answer of host function `{name}`: {err}")))
}
