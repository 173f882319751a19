//! The body of a batch, with every document left as the text it came as.

use std::{fmt, ops::Range};

use lictor_model::{FieldError, field::shorten};
use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::super::execute::{self, present, required};
use crate::error::Error;

/// Inputs of one batch.
const MAX_INPUTS: usize = 10_000;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    policy_rule_uri: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    inputs: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    parameters: Option<&'a RawValue>,
}

/// One policy and its inputs: the text of the request, and where in it things are.
pub(super) struct Batch {
    text: String,
    uri: String,
    parameters: Option<Range<usize>>,
    inputs: Vec<Range<usize>>,
}

impl Batch {
    /// Reads the text of a request.
    pub(super) fn parse(text: String) -> Result<Self, Error> {
        let body: Body<'_> = serde_json::from_str(&text).map_err(|error| execute::not_a_request(&error))?;
        let uri = execute::text("policy_rule_uri", body.policy_rule_uri)?.into_owned();
        let inputs = list(body.inputs.ok_or_else(|| required("inputs"))?)?;
        let inputs = inputs.into_iter().map(|input| place(&text, input.get())).collect();
        let parameters = execute::parameters(body.parameters)?.map(|parameters| place(&text, parameters));
        Ok(Self { uri, parameters, inputs, text })
    }

    /// Which policy.
    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// The parameters of its calls, if it brings some.
    pub(super) fn parameters(&self) -> Option<&str> {
        self.parameters.clone().and_then(|place| self.text.get(place))
    }

    /// How many inputs there are.
    pub(super) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// One of the inputs.
    pub(super) fn input(&self, idx: usize) -> &str {
        self.inputs.get(idx).cloned().and_then(|place| self.text.get(place)).unwrap_or("null")
    }
}

fn list(inputs: &RawValue) -> Result<Vec<&RawValue>, FieldError> {
    let raw = inputs.get();
    if !raw.starts_with('[') {
        return Err(FieldError::new("inputs", format!("must be a list, not `{}`", shorten(raw, 40))));
    }
    // It is JSON, as it was read before: what can be wrong is its length.
    let too_many = |_| FieldError::new("inputs", format!("must be at most {MAX_INPUTS} inputs: send several batches"));
    serde_json::Deserializer::from_str(raw).deserialize_seq(Inputs).map_err(too_many)
}

/// Reads a list up to its bound.
struct Inputs;

impl<'de> Visitor<'de> for Inputs {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut inputs = Vec::new();
        while let Some(input) = access.next_element()? {
            if inputs.len() == MAX_INPUTS {
                return Err(serde::de::Error::custom("too many"));
            }
            inputs.push(input);
        }
        Ok(inputs)
    }
}

/// Where in `text` the `part` of it is.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Batch, Error> {
        Batch::parse(text.into())
    }

    #[test]
    fn every_input_is_the_text_that_it_came_as() {
        let batch = parse(r#" {"inputs": [ 1.50, {"a":1, "a":2},null , "ü"], "policy_rule_uri": "a:1-b"}"#).unwrap();
        let inputs: Vec<&str> = (0..batch.len()).map(|idx| batch.input(idx)).collect();
        assert_eq!(inputs, ["1.50", r#"{"a":1, "a":2}"#, "null", "\"ü\""]);
        assert_eq!((batch.uri(), batch.parameters()), ("a:1-b", None));
        let batch = parse(r#"{"policy_rule_uri": "a:1-b", "parameters": {"p": 1.0}, "inputs": []}"#).unwrap();
        assert_eq!((batch.len(), batch.parameters()), (0, Some(r#"{"p": 1.0}"#)));
        let deep = format!("{}{}", "[".repeat(126), "]".repeat(126));
        let batch = parse(&format!(r#"{{"policy_rule_uri": "a:1-b", "inputs": [{deep}]}}"#)).unwrap();
        assert_eq!(batch.input(0), deep);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let list = |n: usize| vec!["0"; n].join(",");
        for (inputs, field) in [
            ("5".into(), Some("inputs")),
            ("null".into(), Some("inputs")),
            ("{\"a\": 1}".into(), Some("inputs")),
            (format!("[{}]", list(MAX_INPUTS)), None),
            (format!("[{}]", list(MAX_INPUTS + 1)), Some("inputs")),
            (format!("[{}]", list(1_000_000)), Some("inputs")),
        ] {
            let parsed = parse(&format!(r#"{{"policy_rule_uri": "a:1-b", "inputs": {inputs}}}"#));
            let found = parsed.as_ref().err().map(|error| error.field());
            assert_eq!(found, field.map(Some), "{}", inputs.chars().take(20).collect::<String>());
        }
    }
}
