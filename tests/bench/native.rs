//! The policy compiled natively, called through the same text as the component's exports.

use ip_allowlist::IpAllowlist;
use lictor_policy::glue::Slot;

use crate::{INPUT, PARAMETERS, Res};

/// The facts of a call, as the sandbox writes them.
const CALL: &str =
    r#"{"id":"bench","policy_rule_uri":"ip_allowlist:1.0-beta","origin":"bench","deadline_ms":1795600000000}"#;

/// A resident instance of the native code.
pub struct Native(Slot<IpAllowlist>);

impl Native {
    /// Constructed with the settings and parameters of the one in the sandbox.
    pub fn new() -> Res<Self> {
        let slot = Slot::empty();
        slot.init("ip_allowlist:1.0-beta", "{}", PARAMETERS).map_err(|failure| failure.message)?;
        Ok(Self(slot))
    }

    /// One call with the arguments of one in the sandbox: parameters, input, and facts that are the callee's own text.
    pub fn eval(&self) -> Res<String> {
        Ok(self.0.eval(Some(PARAMETERS), INPUT, CALL.to_owned()).map_err(|failure| failure.message)?)
    }
}
