//! What the WIT contract becomes in Rust. Generated; nothing but `export!` and the wasm platform reads it.
#![allow(clippy::allow_attributes, reason = "what the generator emits varies")]
#![allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic, clippy::restriction, unused, reason = "generated")]

/// The world `policy`.
pub mod policy {
    wit_bindgen::generate!({
        world: "lictor:policy/policy",
        path: "../../wit",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_policy",
        default_bindings_module: "lictor_policy::bindings::policy",
    });
}

/// What the world `stateful-policy` adds to it. A world of its own, because two worlds that both export `rule` cannot
/// share a crate; the two are merged again when the component is made.
pub mod state {
    wit_bindgen::generate!({
        inline: "package lictor:sdk; world state-of-policy { export lictor:policy/state@1.0.0; }",
        world: "lictor:sdk/state-of-policy",
        path: "../../wit",
        with: { "lictor:policy/types@1.0.0": crate::bindings::policy::lictor::policy::types },
        pub_export_macro: true,
        export_macro_name: "__export_state",
        default_bindings_module: "lictor_policy::bindings::state",
    });
}

use crate::Failure;
use policy::lictor::policy::types;

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let details = failure.details.map(|details| details.to_string());
        Self { code: failure.code, message: failure.message, details }
    }
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        let details = failure.details.and_then(|text| serde_json::from_str(&text).ok());
        Self { code: failure.code, message: failure.message, details }
    }
}
