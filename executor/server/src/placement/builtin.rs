//! The policies that the server carries, to ask where nobody names another one.
//!
//! They are examples like the others, in `guest-examples`, built to be small (`make builtin`). A server that never needs
//! one never loads it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::{
    error::Error,
    policies::{Policies, Ready},
};

/// Picks an executor.
pub(super) static ALLOCATOR: Carried = Carried {
    record: include_str!("../../../../guest-examples/allocator/policy.json"),
    component: include_bytes!("builtin/allocator.wasm"),
};

/// Says whether something fits.
pub(super) static ESTIMATOR: Carried = Carried {
    record: include_str!("../../../../guest-examples/estimator/policy.json"),
    component: include_bytes!("builtin/estimator.wasm"),
};

/// A policy within this executable.
pub(super) struct Carried {
    /// Its record, as its example has it.
    record: &'static str,
    /// Its code.
    component: &'static [u8],
}

/// A policy within this executable, once it was needed.
pub(super) struct Builtin {
    carried: &'static Carried,
    ready: OnceCell<Arc<Ready>>,
}

impl Builtin {
    pub(super) fn new(carried: &'static Carried) -> Self {
        Self { carried, ready: OnceCell::new() }
    }

    /// The policy, loaded by whoever needs it first.
    pub(super) async fn ready(&self, policies: &Policies) -> Result<Arc<Ready>, Error> {
        let load = async { policies.carried(self.carried.record, self.carried.component).await.map(Arc::new) };
        self.ready.get_or_try_init(|| load).await.map(Arc::clone)
    }
}
