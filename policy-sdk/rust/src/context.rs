//! The third argument of `eval`: a store that outlives the call, and facts about the call.

use std::cell::OnceCell;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::platform::Bucket;
use crate::{Failure, glue};

/// Keys and values that outlive the call, and facts about the call.
///
/// The store belongs to this policy (or function) alone, survives its upgrades, and is bounded by the limit
/// `context_kb`. It is opened at its first use: a policy that leaves it alone makes no host call. Its failures are
/// `denied_capability` if the policy was not granted its context, `not_available` if this host has none, and
/// `context_failed`.
#[derive(Debug, Default)]
pub struct Context {
    call_text: Option<String>,
    call: OnceCell<Call>,
    bucket: Option<Bucket>,
}

/// Facts about a call. A management command has none: every field is empty.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
#[non_exhaustive]
pub struct Call {
    /// The id of the call, which also names it in the host's log.
    pub id: String,
    /// The policy as it was addressed, such as `ip_allowlist:1.0-beta`.
    pub policy_rule_uri: String,
    /// What the call came through, such as `http` or `job`.
    pub origin: String,
    /// The wall-clock time in milliseconds since the Unix epoch at which the call is stopped.
    pub deadline_ms: Option<u64>,
}

impl Context {
    pub(crate) fn of_call(text: String) -> Self {
        Self { call_text: Some(text), ..Self::default() }
    }

    /// Facts about this call. Read from the host's text at the first use.
    pub fn call(&self) -> &Call {
        self.call.get_or_init(|| {
            let text = self.call_text.as_deref().unwrap_or("{}");
            serde_json::from_str(text).unwrap_or_default()
        })
    }

    /// The value of `key`, if there is one. A value of another shape fails as `invalid_data`.
    pub fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.get_bytes(key)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|err| Failure::invalid_data(format_args!("context key `{key}`: {err}")))
    }

    /// Makes `value` the value of `key`, as JSON.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Failure> {
        let text = glue::to_text(value)?;
        self.set_bytes(key, text.as_bytes())
    }

    /// The bytes of `key`, if there are any.
    pub fn get_bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.bucket()?.get(key)
    }

    /// Makes `bytes` the value of `key`.
    pub fn set_bytes(&mut self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.bucket()?.set(key, bytes)
    }

    /// Forgets `key`. It need not exist.
    pub fn delete(&mut self, key: &str) -> Result<(), Failure> {
        self.bucket()?.delete(key)
    }

    /// Whether `key` has a value.
    pub fn contains(&mut self, key: &str) -> Result<bool, Failure> {
        self.bucket()?.contains(key)
    }

    /// All keys, in no particular order. Costs as much as there are keys.
    pub fn keys(&mut self) -> Result<Vec<String>, Failure> {
        self.bucket()?.keys()
    }

    fn bucket(&mut self) -> Result<&Bucket, Failure> {
        if self.bucket.is_none() {
            self.bucket = Some(Bucket::open()?);
        }
        self.bucket.as_ref().ok_or_else(|| Failure::new("context_failed", "the context did not open"))
    }
}
