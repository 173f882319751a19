//! The time of day, as the host tells it.

use crate::platform;

/// Milliseconds since the Unix epoch. Frozen for a policy whose record says `"deterministic": true`.
pub fn now_ms() -> u64 {
    platform::now_ms()
}
