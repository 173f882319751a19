//! What an author implements.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{Node, Schema};
use crate::{Context, Failure};

/// A rule that is constructed once, decides and can be managed.
///
/// An instance may live for one call or for months; what it keeps in itself lasts as long as the instance, and what
/// it keeps in the [`Context`] lasts longer.
pub trait Policy: Sized + 'static {
    /// The settings stored with the policy. JSON that does not fit is refused as `invalid_settings`.
    type Settings: DeserializeOwned;
    /// The parameters, stored or brought by a call. JSON that does not fit is refused as `invalid_parameters`.
    type Parameters: DeserializeOwned;
    /// What is decided about. JSON that does not fit is refused as `invalid_input`.
    type Input: DeserializeOwned;
    /// The decision.
    type Output: Serialize;

    /// Constructs the rule. `parameters` are those of the call that made this instance, or else the stored ones.
    fn new(rule_id: &str, settings: Self::Settings, parameters: Self::Parameters) -> Result<Self, Failure>;

    /// Decides about `input`. `parameters` are those of this call; if it brought none, the rule uses its own.
    fn eval(
        &mut self,
        parameters: Option<Self::Parameters>,
        input: Self::Input,
        context: &mut Context,
    ) -> Result<Self::Output, Failure>;

    /// Carries out the management command `action`. Without an implementation every action is `unknown_action`.
    fn management(&mut self, action: &str, data: Value, context: &mut Context) -> Result<Value, Failure> {
        let _ = (data, context);
        Err(Failure::unknown_action(action))
    }
}

/// A policy whose instances can be replaced without forgetting. Exported with `export!(Name, stateful)`.
pub trait Stateful: Policy {
    /// Returns everything [`restore`](Self::restore) needs to continue where this instance stands.
    fn save(&mut self) -> Result<Vec<u8>, Failure>;

    /// Continues from what `save` of the policy `from_policy_uri` returned, which may be an older version of this
    /// one. Called after [`new`](Policy::new); a refusal keeps the old instance in service.
    fn restore(&mut self, from_policy_uri: &str, data: &[u8]) -> Result<(), Failure>;
}

/// For a policy without settings or parameters: any object, whose members are ignored.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Empty {}

impl Schema for Empty {
    const NODE: &'static Node = &Node::Object { fields: &[], closed: false };
}
