//! How much a record's schemas may hold, all of them together, so that reading them takes a bounded time.

use serde_json::Value;

use crate::field::FieldError;

/// Values in the schemas: objects, lists, names and everything else.
const MAX_PARTS: usize = 10_000;
/// What the patterns may cost to compile: see [`Pattern`](super::pattern::Pattern).
const MAX_PATTERNS: usize = 256;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    parts: usize,
    patterns: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { parts: MAX_PARTS, patterns: MAX_PATTERNS }
    }
}

impl Budget {
    /// Takes what `value` has of parts.
    pub(super) fn take_parts(&mut self, value: &Value) -> Result<(), FieldError> {
        let n = count(value, self.parts.saturating_add(1));
        match self.parts.checked_sub(n) {
            Some(left) => self.parts = left,
            None => {
                return Err(FieldError::new(
                    "",
                    format!("is too large: a record's schemas have {MAX_PARTS} parts in all"),
                ));
            }
        }
        Ok(())
    }

    /// Takes what `n` patterns of the cheapest kind cost.
    pub(super) fn take_patterns(&mut self, n: usize) -> Result<(), FieldError> {
        let why = "is one pattern too many: a record's schemas have 256, or fewer if they are large";
        self.patterns = self.patterns.checked_sub(n).ok_or_else(|| FieldError::new("", why))?;
        Ok(())
    }
}

/// The number of values in `value`, or `enough` if there are more. Without recursion.
pub(super) fn count(value: &Value, enough: usize) -> usize {
    let (mut n, mut rest) = (0_usize, vec![value]);
    while let Some(value) = rest.pop() {
        n = n.saturating_add(1);
        if enough <= n {
            return enough;
        }
        match value {
            Value::Array(elements) => rest.extend(elements),
            Value::Object(members) => rest.extend(members.values()),
            _ => {}
        }
    }
    n
}
