//! Which elements of a list an update takes out: the operand of `$pull`.

use serde_json::Value;

use super::{
    condition::{Clause, Condition},
    parse::{Parser, is_of_values},
};
use crate::{compare::equal, field::FieldError, path::Holder};

/// Some elements of a list.
#[derive(Clone, Debug)]
pub(crate) struct Elements(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Those that equal this.
    Equal(Value),
    /// Those that are as operators ask.
    Meeting(Condition),
    /// The objects that match a filter.
    Matching(Clause),
}

impl Elements {
    /// Reads the operand: a value, an object of operators, or a filter for elements that are objects.
    pub(crate) fn parse(operand: &Value) -> Result<Self, FieldError> {
        let mut parser = Parser::default();
        Ok(Self(match operand {
            Value::Object(fields) if is_of_values(fields) => Kind::Meeting(parser.condition(operand)?),
            Value::Object(fields) => Kind::Matching(parser.filter(fields)?),
            value => Kind::Equal(value.clone()),
        }))
    }

    /// Whether `element` is one of them.
    pub(crate) fn include(&self, element: &Value) -> bool {
        match (&self.0, element) {
            (Kind::Equal(value), _) => equal(element, value),
            (Kind::Meeting(condition), _) => condition.holds_for(element),
            (Kind::Matching(clause), Value::Object(fields)) => clause.matches(Holder::Fields(fields)),
            (Kind::Matching(_), _) => false,
        }
    }
}
