//! Decides whether a change may be made now: inside a daily maintenance window, or at any time if it is urgent.
//!
//! Written against the WIT contract with wit-bindgen alone, for whoever wants to see what the SDK does for the other
//! examples, or has to do without it.

mod window;

use std::cell::RefCell;

use bindings::exports::lictor::policy::rule::Guest;
use bindings::lictor::policy::types::Failure;
use bindings::wasi::clocks::wall_clock;
use window::{Change, Decision, Window};

#[allow(unsafe_code, reason = "generated, and more of it for wasm than natively")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "policy", generate_all });

    // The names of the exports mean nothing to a native linker.
    #[cfg(target_arch = "wasm32")]
    export!(Component with_types_in self);
    #[cfg(target_arch = "wasm32")]
    use super::Component;
}

thread_local! {
    static WINDOW: RefCell<Option<Window>> = const { RefCell::new(None) };
}

/// The policy. Its one instance is kept beside it, since the exports are functions without a receiver.
pub struct Component;

impl Guest for Component {
    fn init(_rule_id: String, settings: String, _parameters: String) -> Result<(), Failure> {
        let window = serde_json::from_str(&settings).map_err(|err| failure("invalid_settings", &err))?;
        WINDOW.set(Some(window));
        Ok(())
    }

    fn eval(_parameters: Option<String>, input: String, _call: String) -> Result<String, Failure> {
        let change: Change = serde_json::from_str(&input).map_err(|err| failure("invalid_input", &err))?;
        let decision = WINDOW.with_borrow(|window| match window {
            Some(window) => Ok(window.decide(&change, || wall_clock::now().seconds)),
            None => Err(failure("not_initialized", &"`init` has not succeeded")),
        })?;
        to_text(&decision)
    }

    fn management(action: String, _data: String) -> Result<String, Failure> {
        Err(failure("unknown_action", &format_args!("unknown action `{action}`")))
    }
}

fn to_text(decision: &Decision) -> Result<String, Failure> {
    serde_json::to_string(decision).map_err(|err| failure("invalid_output", &err))
}

fn failure(code: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure { code: code.to_owned(), message: why.to_string(), details: None }
}

#[cfg(test)]
mod tests;
