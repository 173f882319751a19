//! What is asked of a candidate that runs beside a policy.

use serde_json::Value;

use crate::{
    document::{object, text},
    field::{FieldError, shorten},
    id::PolicyUri,
};

/// A candidate for the place of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowSpec {
    /// The policy that runs beside the one in force.
    pub candidate: PolicyUri,
    /// So many of a hundred calls are put before it too, chosen at random.
    pub sample_percent: u8,
}

/// Every field that means something.
const KNOWN: [&str; 2] = ["candidate", "sample_percent"];

impl ShadowSpec {
    /// Reads what was sent for the policy `policy_rule_uri`.
    pub fn parse(body: Value, policy_rule_uri: &str) -> Result<Self, FieldError> {
        let document = object(body, "`candidate`, and maybe `sample_percent`")?;
        if let Some(name) = document.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            let why = "means nothing here: there are `candidate` and `sample_percent`";
            return Err(FieldError::new(shorten(name, 60), why));
        }
        let named = text(&document, "candidate")?.parse::<PolicyUri>();
        let candidate = named.map_err(|error| FieldError::new("candidate", error.message()))?;
        if candidate.as_str() == policy_rule_uri {
            return Err(FieldError::new("candidate", "must be another policy than the one that it runs beside"));
        }
        Ok(Self { candidate, sample_percent: document.get("sample_percent").map_or(Ok(100), percent)? })
    }
}

fn percent(value: &Value) -> Result<u8, FieldError> {
    let n = value.as_u64().and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=100).contains(n));
    n.ok_or_else(|| FieldError::new("sample_percent", "must be a whole number from 1 to 100"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shadow_names_another_policy_and_how_many_calls_it_gets() {
        for (body, candidate, sample_percent) in [
            (json!({"candidate": "p:2.0-x"}), "p:2.0-x", 100),
            (json!({"candidate": "q:1.0-x", "sample_percent": 1}), "q:1.0-x", 1),
        ] {
            let candidate = candidate.parse().unwrap();
            assert_eq!(ShadowSpec::parse(body, "p:1.0-x").unwrap(), ShadowSpec { candidate, sample_percent });
        }
        for (body, field) in [
            (json!([]), ""),
            (json!({}), "candidate"),
            (json!({"candidate": 5}), "candidate"),
            (json!({"candidate": ""}), "candidate"),
            (json!({"candidate": "p"}), "candidate"),
            (json!({"candidate": "p:1.0-x"}), "candidate"),
            (json!({"policy_rule_uri": "p:2.0-x"}), "policy_rule_uri"),
            (json!({"candidate": "p:2.0-x", "sample_percent": 0}), "sample_percent"),
            (json!({"candidate": "p:2.0-x", "sample_percent": 101}), "sample_percent"),
            (json!({"candidate": "p:2.0-x", "sample_percent": 0.5}), "sample_percent"),
            (json!({"candidate": "p:2.0-x", "sample_percent": null}), "sample_percent"),
        ] {
            assert_eq!(ShadowSpec::parse(body.clone(), "p:1.0-x").unwrap_err().field(), field, "{body}");
        }
    }
}
