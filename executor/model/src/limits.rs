//! What one call may use, and the ceiling that a server sets for all.
//!
//! An author writes a [`LimitsSpec`]; a call runs under [`Limits`], which only [`LimitsSpec::within`] makes: there
//! is no other way to a run, so nothing runs above the ceiling.

use serde::{Deserialize, Serialize};

use crate::field::{FieldError, shorten};

/// What a policy record asks for. A field that is absent takes the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSpec {
    /// Wall-clock milliseconds for `init`, the call and its host calls together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Linear memory of all the component's instances, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Instructions, as wasmtime counts fuel. Absent: not metered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The answer, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_kb: Option<u64>,
    /// Log lines, standard output and error together, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_kb: Option<u64>,
    /// Outgoing HTTP requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_requests: Option<u64>,
    /// The policy's context: keys and values together, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_kb: Option<u64>,
    /// Calls of this policy at the same time. 0: no bound of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u64>,
}

/// The names of all limits.
const KNOWN: [&str; 8] =
    ["timeout_ms", "memory_mb", "fuel", "output_kb", "log_kb", "http_requests", "context_kb", "max_concurrency"];

/// What one call runs under: within the ceiling, every field decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    timeout_ms: u64,
    memory_mb: u64,
    fuel: Option<u64>,
    output_kb: u64,
    log_kb: u64,
    http_requests: u64,
    context_kb: u64,
    max_concurrency: u64,
}

/// The most that any policy is given, whatever its record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// See [`LimitsSpec::timeout_ms`].
    pub timeout_ms: u64,
    /// See [`LimitsSpec::memory_mb`].
    pub memory_mb: u64,
    /// See [`LimitsSpec::output_kb`].
    pub output_kb: u64,
    /// See [`LimitsSpec::log_kb`].
    pub log_kb: u64,
    /// See [`LimitsSpec::http_requests`].
    pub http_requests: u64,
    /// See [`LimitsSpec::context_kb`].
    pub context_kb: u64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            timeout_ms: 60_000,
            memory_mb: 512,
            output_kb: 16_384,
            log_kb: 1024,
            http_requests: 100,
            context_kb: 16_384,
        }
    }
}

impl LimitsSpec {
    /// Reads the `limits` of a record: an object of non-negative integers under known names.
    pub fn parse(value: &serde_json::Value) -> Result<Self, FieldError> {
        let Some(fields) = value.as_object() else { return Err(FieldError::new("limits", "must be an object")) };
        for (name, asked) in fields {
            if !KNOWN.contains(&name.as_str()) {
                let why = format!("has `{}`, which is no limit: there are {}", shorten(name, 40), KNOWN.join(", "));
                return Err(FieldError::new("limits", why));
            }
            if !asked.is_null() && !asked.is_u64() {
                return Err(FieldError::new(format!("limits.{name}"), "must be a whole number, not below 0"));
            }
        }
        let spec: Self = serde_json::from_value(value.clone())
            .map_err(|error| FieldError::new("limits", format!("is wrong: {error}")))?;
        let positive = [
            ("timeout_ms", spec.timeout_ms),
            ("memory_mb", spec.memory_mb),
            ("fuel", spec.fuel),
            ("output_kb", spec.output_kb),
        ];
        for (name, asked) in positive {
            if asked == Some(0) {
                return Err(FieldError::new(format!("limits.{name}"), "must be at least 1"));
            }
        }
        Ok(spec)
    }

    /// The limits that a call gets: what was asked, or the default, but never above `ceiling`.
    pub fn within(&self, ceiling: &Ceiling) -> Limits {
        let clamp = |asked: Option<u64>, default: u64, most: u64| asked.unwrap_or(default).min(most);
        Limits {
            timeout_ms: clamp(self.timeout_ms, 1000, ceiling.timeout_ms),
            memory_mb: clamp(self.memory_mb, 64, ceiling.memory_mb),
            fuel: self.fuel,
            output_kb: clamp(self.output_kb, 1024, ceiling.output_kb),
            log_kb: clamp(self.log_kb, 64, ceiling.log_kb),
            http_requests: clamp(self.http_requests, 8, ceiling.http_requests),
            context_kb: clamp(self.context_kb, 1024, ceiling.context_kb),
            max_concurrency: self.max_concurrency.unwrap_or(0),
        }
    }

    /// One sentence for each limit that was asked above `ceiling` and is therefore cut.
    pub fn cut_by(&self, ceiling: &Ceiling) -> Vec<String> {
        let pairs = [
            ("timeout_ms", self.timeout_ms, ceiling.timeout_ms),
            ("memory_mb", self.memory_mb, ceiling.memory_mb),
            ("output_kb", self.output_kb, ceiling.output_kb),
            ("log_kb", self.log_kb, ceiling.log_kb),
            ("http_requests", self.http_requests, ceiling.http_requests),
            ("context_kb", self.context_kb, ceiling.context_kb),
        ];
        let above = |&(_, asked, most): &(&str, Option<u64>, u64)| asked.is_some_and(|asked| most < asked);
        pairs
            .into_iter()
            .filter(above)
            .map(|(name, _, most)| format!("`limits.{name}` is above this server's ceiling and is cut to {most}"))
            .collect()
    }
}

impl Limits {
    /// How long the whole call may take.
    pub fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.timeout_ms)
    }

    /// Linear memory in bytes.
    pub fn memory_bytes(&self) -> usize {
        bytes(self.memory_mb, 1024 * 1024)
    }

    /// Fuel, if the call is metered.
    pub fn fuel(&self) -> Option<u64> {
        self.fuel
    }

    /// The longest answer in bytes.
    pub fn output_bytes(&self) -> usize {
        bytes(self.output_kb, 1024)
    }

    /// The most of its log that is kept, in bytes.
    pub fn log_bytes(&self) -> usize {
        bytes(self.log_kb, 1024)
    }

    /// Outgoing requests of one call.
    pub fn http_requests(&self) -> u64 {
        self.http_requests
    }

    /// The size of the context in bytes.
    pub fn context_bytes(&self) -> usize {
        bytes(self.context_kb, 1024)
    }

    /// Calls at the same time; 0 is no bound.
    pub fn max_concurrency(&self) -> u64 {
        self.max_concurrency
    }

    /// The same limits with a time-out of at most `timeout_ms`: a caller can only lower it.
    #[must_use]
    pub fn with_timeout_at_most(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = self.timeout_ms.min(timeout_ms);
        self
    }
}

fn bytes(n: u64, unit: u64) -> usize {
    usize::try_from(n.saturating_mul(unit)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_cut_to_the_ceiling_and_told_so() {
        let spec = LimitsSpec::parse(&json!({"timeout_ms": 999_999, "memory_mb": 8})).unwrap();
        let limits = spec.within(&Ceiling::default());
        assert_eq!(limits.timeout().as_millis(), 60_000);
        assert_eq!(limits.memory_bytes(), 8 << 20);
        assert_eq!(spec.cut_by(&Ceiling::default()).len(), 1);
        assert_eq!(limits.with_timeout_at_most(5).timeout().as_millis(), 5);
        assert_eq!(limits.with_timeout_at_most(u64::MAX).timeout().as_millis(), 60_000);
    }

    #[test]
    fn refuses_unknown_negative_and_zero_limits_by_name() {
        for (limits, named) in [
            (json!({"timeout": 5}), "timeout"),
            (json!({"timeout_ms": -5}), "limits.timeout_ms"),
            (json!({"timeout_ms": 0}), "limits.timeout_ms"),
            (json!({"memory_mb": "64"}), "limits.memory_mb"),
            (json!({"memory_mb": 1.5}), "limits.memory_mb"),
            (json!([]), "limits"),
        ] {
            let error = LimitsSpec::parse(&limits).unwrap_err().to_string();
            assert!(error.contains(named), "{limits}: {error}");
        }
    }
}
