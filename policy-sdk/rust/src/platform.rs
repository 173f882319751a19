//! Where the policy's calls to its host end: in the component's imports, or natively in the fakes of `testing`.
//! Nothing else in this crate knows which.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Bucket, call_host, log, now_ms, send};
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{Bucket, call_host, log, now_ms, send};
