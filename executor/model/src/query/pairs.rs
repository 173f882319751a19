//! Dotted paths with a number each, in the order in which they are given: the shape of `sort` and `projection`.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{field::shorten, path::Path};

/// More paths than these serve no reader.
const MAX_PATHS: usize = 100;

/// Paths, and whether each is meant positively: 1 or `name` is, -1, 0 or `-name` is not.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(Path, Number)>);

/// What stands beside a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// 1, `true` or the path alone.
    One,
    /// 0 or `false`.
    Zero,
    /// -1.
    MinusOne,
    /// A dash before the path.
    Dash,
}

/// An object of JSON with its keys as they come, which a map would lose.
struct InOrder(Vec<(String, Value)>);

impl Pairs {
    /// Reads `a,-b` or `{"a": 1, "b": -1}`; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let pairs = if text.trim_start().starts_with('{') { of_json(text)? } else { of_names(text)? };
        match pairs.len() {
            0 => Err("names no field".to_owned()),
            n if MAX_PATHS < n => Err(format!("names more than {MAX_PATHS} fields")),
            _ => Ok(Self(pairs)),
        }
    }
}

fn of_names(text: &str) -> Result<Vec<(Path, Number)>, String> {
    let pair = |item: &str| match item.strip_prefix('-') {
        Some(name) => Ok((path(name)?, Number::Dash)),
        None => Ok((path(item)?, Number::One)),
    };
    text.split(',').map(|item| pair(item.trim())).collect()
}

fn of_json(text: &str) -> Result<Vec<(Path, Number)>, String> {
    let InOrder(pairs) = serde_json::from_str(text).map_err(|error| format!("is not valid JSON: {error}"))?;
    let pair = |(name, value): &(String, Value)| {
        let number = match value {
            Value::Bool(true) => Some(Number::One),
            Value::Bool(false) => Some(Number::Zero),
            value => [(1.0, Number::One), (0.0, Number::Zero), (-1.0, Number::MinusOne)]
                .into_iter()
                .find_map(|(float, number)| (value.as_f64() == Some(float)).then_some(number)),
        };
        let number =
            number.ok_or_else(|| format!("has `{}` with a value that is none of 1, 0, -1", shorten(name, 40)))?;
        Ok((path(name)?, number))
    };
    pairs.iter().map(pair).collect()
}

fn path(text: &str) -> Result<Path, String> {
    match Path::parse(text) {
        Ok(path) if !text.starts_with('$') => Ok(path),
        Ok(_) => Err(format!("has the operator `{}`: it takes paths alone", shorten(text, 40))),
        Err(error) => Err(format!("has `{}`, which {}", shorten(text, 40), error.message())),
    }
}

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
                let mut res = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    res.push(entry);
                }
                Ok(InOrder(res))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
