//! Whether an address is on a list, with Python's idea of equality, and without building the list.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What Python takes for false.
const FALSY: [&str; 6] = ["[]", "null", "{}", "\"\"", "0", "false"];

/// The `ip` of a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Address<'a> {
    /// Absent, or a value that Python takes for false.
    #[default]
    Missing,
    Text(Cow<'a, str>),
    /// Numbers and `true` equal each other by value.
    Number(f64),
    /// A list or an object, which cannot be on a list.
    Unhashable,
}

impl Address<'_> {
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

/// A JSON list, kept as the text it came as.
#[derive(Debug, Default)]
pub(crate) struct List(Option<Box<RawValue>>);

impl List {
    /// Whether Python would take it for false.
    pub(crate) fn is_empty(&self) -> bool {
        let Some(text) = &self.0 else { return true };
        let compact = || text.get().bytes().filter(|byte| !byte.is_ascii_whitespace());
        FALSY.iter().any(|falsy| compact().eq(falsy.bytes()))
    }

    /// Whether `ip` is an element. Fails if this is no list, or holds what Python cannot put into a set.
    pub(crate) fn contains(&self, ip: &Address<'_>) -> Result<bool, serde_json::Error> {
        if *ip == Address::Unhashable {
            return Err(Error::custom("`ip` is a list or an object"));
        }
        let Some(text) = &self.0 else { return Ok(false) };
        Elements(ip).deserialize(&mut serde_json::Deserializer::from_str(text.get()))
    }
}

impl From<Box<RawValue>> for List {
    fn from(text: Box<RawValue>) -> Self {
        Self(Some(text))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(text) => text.serialize(serializer),
            None => [(); 0].serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Address<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl<'de> Visitor<'de> for AddressVisitor {
    type Value = Address<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Address::Missing } else { Address::Text(Cow::Borrowed(text)) })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Address::Missing } else { Address::Text(Cow::Owned(text.to_owned())) })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(if number == 0.0 { Address::Missing } else { Address::Number(number) })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        self.visit_f64(f64::from(truth))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Address::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut is_empty = true;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            is_empty = false;
        }
        Ok(if is_empty { Address::Missing } else { Address::Unhashable })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut is_empty = true;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            is_empty = false;
        }
        Ok(if is_empty { Address::Missing } else { Address::Unhashable })
    }
}

/// Reads a list and says whether the address is in it.
struct Elements<'a>(&'a Address<'a>);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of IP addresses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let mut is_found = false;
        while let Some(is_it) = elements.next_element_seed(Element(self.0))? {
            is_found |= is_it;
        }
        Ok(is_found)
    }
}

/// Reads one element and says whether it is the address.
#[derive(Clone, Copy)]
struct Element<'a>(&'a Address<'a>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Address::Text(ip) if ip == text))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        Ok(matches!(self.0, Address::Number(ip) if *ip == number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        self.visit_f64(number as f64)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<bool, E> {
        self.visit_f64(f64::from(truth))
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}
