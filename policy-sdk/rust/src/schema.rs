//! What a policy's documents look like, known at compile time.
//!
//! The derive macro makes each type a tree of [`Node`]s; a constant function renders the tree as JSON Schema (draft
//! 2020-12), so that `export!` can place the text in the component's custom section `lictor:schemas`:
//! `{"settings":…,"parameters":…,"input":…,"output":…}`. Nothing of it is in the policy's memory at run time.
//! A type that contains itself has no finite tree, and does not compile.

mod render;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::Policy;
use render::Sink;

/// A type whose JSON has a known shape. Derive it.
pub trait Schema {
    /// The shape.
    const NODE: &'static Node;
    /// Whether a field of this type may be absent.
    const OPTIONAL: bool = false;
}

/// The shape of a JSON value.
#[derive(Debug)]
#[non_exhaustive]
pub enum Node {
    /// Any value at all.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// Whether it is zero or more.
        unsigned: bool,
    },
    /// A number.
    Number,
    /// Text.
    String,
    /// One of these texts.
    Choices(&'static [&'static str]),
    /// A list whose elements all look like this.
    List(&'static Node),
    /// An object with any names, whose values all look like this.
    Map(&'static Node),
    /// An object with these fields.
    Object {
        /// The fields it may have.
        fields: &'static [Field],
        /// Whether it may have no others.
        closed: bool,
    },
    /// This, or `null`.
    Nullable(&'static Node),
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, for a person. Empty if nobody said.
    pub description: &'static str,
    /// What else holds for its value.
    pub limits: Limits,
    /// The shape of its value.
    pub node: &'static Node,
}

/// What else holds for a value. Numbers are kept as they were written.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The regular expression that text matches.
    pub pattern: Option<&'static str>,
    /// The smallest number.
    pub min: Option<&'static str>,
    /// The largest number.
    pub max: Option<&'static str>,
    /// The most characters of a text, or elements of a list.
    pub max_length: Option<&'static str>,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { pattern: None, min: None, max: None, max_length: None };
}

/// The JSON Schema of `T`.
pub fn schema_of<T: Schema>() -> String {
    let mut counter = Sink::new(&mut []);
    counter.node(T::NODE, &Limits::NONE, false);
    let mut bytes = vec![0; counter.length()];
    Sink::new(&mut bytes).node(T::NODE, &Limits::NONE, false);
    String::from_utf8(bytes).unwrap_or_default()
}

/// The shapes of a policy's four documents.
#[doc(hidden)]
#[derive(Debug)]
pub struct Schemas {
    parts: [(&'static str, &'static Node); 4],
}

impl Schemas {
    #[doc(hidden)]
    #[must_use]
    pub const fn of<P: Policy>() -> Self
    where
        P::Settings: Schema,
        P::Parameters: Schema,
        P::Input: Schema,
        P::Output: Schema,
    {
        Self {
            parts: [
                ("settings", P::Settings::NODE),
                ("parameters", P::Parameters::NODE),
                ("input", P::Input::NODE),
                ("output", P::Output::NODE),
            ],
        }
    }
}

#[doc(hidden)]
#[must_use]
pub const fn section_length(schemas: &Schemas) -> usize {
    let mut counter = Sink::new(&mut []);
    counter.schemas(schemas);
    counter.length()
}

#[doc(hidden)]
#[must_use]
pub const fn section<const N: usize>(schemas: &Schemas) -> [u8; N] {
    let mut bytes = [0; N];
    Sink::new(&mut bytes).schemas(schemas);
    bytes
}

macro_rules! leaf {
    ($node:expr => $($type:ty),+) => {
        $(impl Schema for $type {
            const NODE: &'static Node = &$node;
        })+
    };
}

leaf!(Node::Any => Value, RawValue);
leaf!(Node::Boolean => bool);
leaf!(Node::Integer { unsigned: false } => i8, i16, i32, i64, isize);
leaf!(Node::Integer { unsigned: true } => u8, u16, u32, u64, usize);
leaf!(Node::Number => f32, f64);
leaf!(Node::String => String, str, char);

impl<T: Schema> Schema for Vec<T> {
    const NODE: &'static Node = &Node::List(T::NODE);
}

impl<T: Schema> Schema for [T] {
    const NODE: &'static Node = &Node::List(T::NODE);
}

impl<T: Schema, S> Schema for HashMap<String, T, S> {
    const NODE: &'static Node = &Node::Map(T::NODE);
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    const NODE: &'static Node = &Node::Map(T::NODE);
}

impl<T: Schema> Schema for Option<T> {
    const NODE: &'static Node = &Node::Nullable(T::NODE);
    const OPTIONAL: bool = true;
}

impl<T: Schema + ?Sized> Schema for Box<T> {
    const NODE: &'static Node = T::NODE;
    const OPTIONAL: bool = T::OPTIONAL;
}

impl<T: Schema + ?Sized> Schema for &T {
    const NODE: &'static Node = T::NODE;
    const OPTIONAL: bool = T::OPTIONAL;
}

impl<T: Schema + ToOwned + ?Sized> Schema for std::borrow::Cow<'_, T> {
    const NODE: &'static Node = T::NODE;
    const OPTIONAL: bool = T::OPTIONAL;
}
