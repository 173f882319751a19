//! `$type`: the types of JSON values by MongoDB's names and numbers.
//!
//! A number written without fraction or exponent is an `int` if it has 32 bits, otherwise a `long`; any other number
//! is a `double`. Types that no JSON document holds (dates, object ids, …) are refused by name.

use serde_json::{Number, Value};

use crate::{
    compare::type_name,
    field::{FieldError, shorten},
};

/// The types that are asked for; one suffices.
#[derive(Clone, Debug)]
pub(super) struct Kinds(Vec<Kind>);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Double,
    String,
    Object,
    Array,
    Bool,
    Null,
    Int,
    Long,
    Number,
}

/// Names and numbers; `number` is all kinds of numbers and has no number of its own.
const KINDS: [(&str, Option<i64>, Kind); 9] = [
    ("double", Some(1), Kind::Double),
    ("string", Some(2), Kind::String),
    ("object", Some(3), Kind::Object),
    ("array", Some(4), Kind::Array),
    ("bool", Some(8), Kind::Bool),
    ("null", Some(10), Kind::Null),
    ("int", Some(16), Kind::Int),
    ("long", Some(18), Kind::Long),
    ("number", None, Kind::Number),
];

impl Kinds {
    pub(super) fn parse(operand: &Value) -> Result<Self, FieldError> {
        match operand {
            Value::Array(all) if all.is_empty() => Err(FieldError::new("$type", "names no type: the list is empty")),
            Value::Array(all) => Ok(Self(all.iter().map(kind).collect::<Result<_, _>>()?)),
            one => Ok(Self(vec![kind(one)?])),
        }
    }

    pub(super) fn admit(&self, value: &Value) -> bool {
        self.0.iter().any(|kind| kind.admits(value))
    }
}

fn kind(operand: &Value) -> Result<Kind, FieldError> {
    let found = KINDS.iter().find(|(name, code, _)| match operand {
        Value::String(text) => text == name,
        Value::Number(number) => code.is_some_and(|code| is(number, code)),
        _ => false,
    });
    found.map(|(_, _, kind)| *kind).ok_or_else(|| {
        let given = match operand {
            Value::String(text) => format!("`{}`", shorten(text, 40)),
            Value::Number(number) => number.to_string(),
            other => type_name(other).to_owned(),
        };
        let known =
            KINDS.iter().map(|(name, code, _)| code.map_or((*name).to_owned(), |code| format!("{name} ({code})")));
        let known: Vec<String> = known.collect();
        FieldError::new("$type", format!("{given} names no type of a JSON value; there are {}", known.join(", ")))
    })
}

fn is(number: &Number, code: i64) -> bool {
    number.as_i64() == Some(code) || number.as_f64() == Some(code as f64)
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Int, Value::Number(number)) => fits_int(number),
            (Self::Long, Value::Number(number)) => !number.is_f64() && !fits_int(number),
            (Self::Double, Value::Number(number)) => number.is_f64(),
            (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Null, Value::Null) => true,
            _ => false,
        }
    }
}

fn fits_int(number: &Number) -> bool {
    number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}
