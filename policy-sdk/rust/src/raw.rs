//! JSON that passes through as it came.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Failure;
use crate::schema::{Node, Schema};

/// A JSON document kept as the text it came as, and described as a `T`.
///
/// Cheaper than reading everything into values when most of it is only passed on, and exact: what is echoed is what
/// was sent, to the byte.
pub struct Raw<T> {
    text: Box<RawValue>,
    described_as: PhantomData<fn() -> T>,
}

impl<T> Raw<T> {
    /// The text as it came.
    pub fn as_str(&self) -> &str {
        self.text.get()
    }

    /// Reads the text, borrowing from it where `U` does. Fails as `invalid_data`.
    pub fn read<'a, U: Deserialize<'a>>(&'a self) -> Result<U, Failure> {
        serde_json::from_str(self.as_str()).map_err(Failure::invalid_data)
    }
}

impl<T> From<Box<RawValue>> for Raw<T> {
    fn from(text: Box<RawValue>) -> Self {
        Self { text, described_as: PhantomData }
    }
}

impl<T> From<Raw<T>> for Box<RawValue> {
    fn from(raw: Raw<T>) -> Self {
        raw.text
    }
}

impl<'de, T> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

impl<T> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<T> std::fmt::Debug for Raw<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        Self::from(self.text.clone())
    }
}

impl<T: Schema> Schema for Raw<T> {
    const NODE: &'static Node = T::NODE;
    const OPTIONAL: bool = T::OPTIONAL;
}
