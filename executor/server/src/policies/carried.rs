//! Policies that this executable carries.

use lictor_loader::Fetched;
use lictor_model::{Draft, json};

use super::{Policies, Ready};
use crate::error::Error;

impl Policies {
    /// Makes a policy ready of which both the record and the component are at hand. It is in no registry.
    pub async fn carried(&self, record: &str, component: &'static [u8]) -> Result<Ready, Error> {
        let record = json::parse(record).map_err(|error| Error::internal("a record cannot be read", error))?;
        let draft = Draft::parse(record)?;
        let component = Fetched::of(component).verify(None)?;
        let limits = draft.spec.limits.within(&self.parts.bounds.ceiling);
        let module = self.parts.loader.load_bytes(component.bytes().to_vec(), limits.fuel().is_some()).await?;
        Ok(self.assemble(&draft, module, limits)?)
    }
}
