//! From JSON to what a filter asks.
//!
//! Errors are placed by the dotted path of what is wrong within the filter, such as `$or.1.tags.$in`.

use serde_json::{Map, Value};

use super::{
    condition::{Clause, Condition, Relation, whole},
    kind::Kinds,
    pattern::Pattern,
};
use crate::{
    compare::{compare, type_name},
    field::{FieldError, shorten},
    nearest::nearest,
    path::{Path, shown},
};

/// How many conditions and lists of conditions a filter may have.
const MAX_CLAUSES: usize = 1000;
/// How many patterns a filter may have: each takes memory.
const MAX_PATTERNS: usize = 20;

/// Operators that stand beside fields.
const LOGICAL: [&str; 3] = ["$and", "$nor", "$or"];
/// Operators that stand under a field.
const OPERATORS: [&str; 17] = [
    "$all",
    "$elemMatch",
    "$eq",
    "$exists",
    "$gt",
    "$gte",
    "$in",
    "$lt",
    "$lte",
    "$mod",
    "$ne",
    "$nin",
    "$not",
    "$options",
    "$regex",
    "$size",
    "$type",
];

/// Reads one filter, and counts what it is made of.
#[derive(Default)]
pub(super) struct Parser {
    clauses: usize,
    patterns: usize,
}

impl Parser {
    /// A filter, or a part of one that is a filter by itself.
    pub(super) fn filter(&mut self, fields: &Map<String, Value>) -> Result<Clause, FieldError> {
        let all = fields.iter().map(|(name, value)| self.clause(name, value));
        Ok(Clause::All(all.collect::<Result<_, _>>()?))
    }

    fn clause(&mut self, name: &str, value: &Value) -> Result<Clause, FieldError> {
        self.count()?;
        match name {
            "$and" => Ok(Clause::All(self.filters(name, value)?)),
            "$or" => Ok(Clause::Any(self.filters(name, value)?)),
            "$nor" => Ok(Clause::Neither(self.filters(name, value)?)),
            _ if name.starts_with('$') => Err(FieldError::new(shown(name), beside_fields(name))),
            _ => {
                let path = path(name)?;
                let condition = self.condition(value).map_err(|error| error.within(&shown(name)))?;
                Ok(Clause::At(path, condition))
            }
        }
    }

    /// The list of a logical operator.
    fn filters(&mut self, name: &str, value: &Value) -> Result<Vec<Clause>, FieldError> {
        let all = list(name, value)?;
        if all.is_empty() {
            return Err(FieldError::new(name, "must be a list of at least one filter"));
        }
        let parse = |(idx, filter): (usize, &Value)| match filter {
            Value::Object(fields) => self.filter(fields).map_err(|error| error.within(&idx.to_string()).within(name)),
            other => {
                let message = format!("must be a filter, an object, not {}", type_name(other));
                Err(FieldError::new(format!("{name}.{idx}"), message))
            }
        };
        all.iter().enumerate().map(parse).collect()
    }

    /// What stands under a field: operators, or a value that it equals.
    pub(super) fn condition(&mut self, value: &Value) -> Result<Condition, FieldError> {
        match value {
            Value::Object(fields) if has_operators(fields) => self.operators(fields),
            _ => Ok(Condition::Equal(literal(value)?)),
        }
    }

    fn operators(&mut self, fields: &Map<String, Value>) -> Result<Condition, FieldError> {
        if let Some(name) = fields.keys().find(|name| !name.starts_with('$')) {
            let message = format!("mixes operators with `{}`, which is none", shorten(name, 40));
            return Err(FieldError::new("", message));
        }
        let mut all = Vec::with_capacity(fields.len());
        for (name, operand) in fields {
            self.count()?;
            all.extend(self.operator(name, operand, fields)?);
        }
        Ok(match <[Condition; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(all) => Condition::All(all),
        })
    }

    /// One operator; `$options` is a part of `$regex`, its sibling.
    fn operator(
        &mut self,
        name: &str,
        operand: &Value,
        siblings: &Map<String, Value>,
    ) -> Result<Option<Condition>, FieldError> {
        let at = |error: FieldError| error.within(name);
        let compare = |relation| Ok(Some(Condition::Compare(relation, literal(operand).map_err(at)?)));
        let not = |condition| Ok(Some(Condition::Not(Box::new(condition))));
        match name {
            "$eq" => Ok(Some(Condition::Equal(literal(operand).map_err(at)?))),
            "$ne" => not(Condition::Equal(literal(operand).map_err(at)?)),
            "$gt" => compare(Relation::Greater),
            "$gte" => compare(Relation::GreaterOrEqual),
            "$lt" => compare(Relation::Less),
            "$lte" => compare(Relation::LessOrEqual),
            "$in" => Ok(Some(one_of(name, operand)?)),
            "$nin" => not(one_of(name, operand)?),
            "$not" => not(self.negated(operand).map_err(at)?),
            "$exists" => {
                if truth(operand)? {
                    Ok(Some(Condition::Exists))
                } else {
                    not(Condition::Exists)
                }
            }
            "$type" => Ok(Some(Condition::Type(Kinds::parse(operand)?))),
            "$regex" => Ok(Some(self.pattern(operand, siblings.get("$options"))?)),
            "$options" if siblings.contains_key("$regex") => Ok(None),
            "$options" => Err(FieldError::new(name, "is a part of `$regex`, which is missing")),
            "$all" => Ok(Some(self.all(operand)?)),
            "$elemMatch" => Ok(Some(self.element(operand).map_err(at)?)),
            "$size" => Ok(Some(size(operand)?)),
            "$mod" => Ok(Some(remainder(operand)?)),
            _ => Err(FieldError::new("", under_a_field(name))),
        }
    }

    fn negated(&mut self, operand: &Value) -> Result<Condition, FieldError> {
        match operand {
            Value::Object(fields) if has_operators(fields) => self.operators(fields),
            _ => Err(FieldError::new("", "must be an object of operators; for a value use `$ne`")),
        }
    }

    fn pattern(&mut self, pattern: &Value, options: Option<&Value>) -> Result<Condition, FieldError> {
        self.patterns = self.patterns.saturating_add(1);
        if MAX_PATTERNS < self.patterns {
            return Err(FieldError::new("$regex", format!("is one of more than {MAX_PATTERNS} patterns")));
        }
        Ok(Condition::Regex(Pattern::parse(pattern, options)?))
    }

    /// `$all`: values that are each there, or `$elemMatch` of which each is met. Without any, nothing matches.
    fn all(&mut self, operand: &Value) -> Result<Condition, FieldError> {
        let values = list("$all", operand)?;
        if values.is_empty() {
            return Ok(Condition::In(Vec::new()));
        }
        let n_elements = values.iter().filter(|value| value.get("$elemMatch").is_some()).count();
        if n_elements != 0 && n_elements != values.len() {
            return Err(FieldError::new("$all", "mixes `$elemMatch` with plain values"));
        }
        let parse = |(idx, value): (usize, &Value)| {
            self.count()?;
            let condition = match value {
                Value::Object(fields) if n_elements != 0 => self.operators(fields),
                _ => literal(value).map(Condition::Equal),
            };
            condition.map_err(|error| error.within(&idx.to_string()).within("$all"))
        };
        Ok(Condition::All(values.iter().enumerate().map(parse).collect::<Result<_, _>>()?))
    }

    /// `$elemMatch`: operators for the element itself, or a filter for the object that it is.
    fn element(&mut self, operand: &Value) -> Result<Condition, FieldError> {
        let Value::Object(fields) = operand else {
            let message = format!("must be an object of operators, or a filter, not {}", type_name(operand));
            return Err(FieldError::new("", message));
        };
        if is_of_values(fields) {
            return Ok(Condition::Element(Box::new(self.operators(fields)?)));
        }
        Ok(Condition::ElementMatches(Box::new(self.filter(fields)?)))
    }

    fn count(&mut self) -> Result<(), FieldError> {
        self.clauses = self.clauses.saturating_add(1);
        if MAX_CLAUSES < self.clauses {
            return Err(FieldError::new("", format!("the filter has more than {MAX_CLAUSES} conditions; use `$in`")));
        }
        Ok(())
    }
}

/// Whether an object is one of operators, and not a value.
fn has_operators(fields: &Map<String, Value>) -> bool {
    fields.keys().any(|name| name.starts_with('$'))
}

/// Whether an object asks of elements as values, and is not a filter for objects.
pub(super) fn is_of_values(fields: &Map<String, Value>) -> bool {
    fields.keys().any(|name| name.starts_with('$') && !LOGICAL.contains(&name.as_str()))
}

fn path(text: &str) -> Result<Path, FieldError> {
    let path = Path::parse(text)?;
    match path
        .parts()
        .iter()
        .find(|part| OPERATORS.contains(&part.name.as_str()) || LOGICAL.contains(&part.name.as_str()))
    {
        Some(part) => {
            let message = format!("has the operator `{0}` in a path: write {{\"field\": {{\"{0}\": …}}}}", part.name);
            Err(FieldError::new(shown(text), message))
        }
        None => Ok(path),
    }
}

/// A value to compare with. MongoDB takes an operator in it as the name of a field, which no author ever means.
fn literal(value: &Value) -> Result<Value, FieldError> {
    match operator_within(value) {
        None => Ok(value.clone()),
        Some(name) => {
            let message = format!(
                "has `{}` within a value, where operators mean nothing: for a field of an object use a dotted path, \
                 {{\"a.b\": {{\"$gt\": 1}}}}; for a pattern in a list use `$or`",
                shorten(name, 40)
            );
            Err(FieldError::new("", message))
        }
    }
}

fn operator_within(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| if name.starts_with('$') { Some(name.as_str()) } else { operator_within(value) }),
        Value::Array(all) => all.iter().find_map(operator_within),
        _ => None,
    }
}

fn list<'a>(name: &str, operand: &'a Value) -> Result<&'a [Value], FieldError> {
    let wrong = || FieldError::new(name, format!("must be a list, not {}", type_name(operand)));
    operand.as_array().map(Vec::as_slice).ok_or_else(wrong)
}

fn one_of(name: &str, operand: &Value) -> Result<Condition, FieldError> {
    let parse = |(idx, value): (usize, &Value)| literal(value).map_err(|error| error.within(&format!("{name}.{idx}")));
    let mut all: Vec<Value> = list(name, operand)?.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    all.sort_by(compare);
    Ok(Condition::In(all))
}

fn truth(operand: &Value) -> Result<bool, FieldError> {
    match operand {
        Value::Bool(wanted) => Ok(*wanted),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        other => Err(FieldError::new("$exists", format!("must be true or false, not {}", type_name(other)))),
    }
}

fn size(operand: &Value) -> Result<Condition, FieldError> {
    let exact = operand.as_number().and_then(|number| {
        let exact = number.as_f64().is_some_and(|float| float.fract() == 0.0);
        whole(number).filter(|_| exact).and_then(|number| u64::try_from(number).ok())
    });
    exact.map(Condition::Size).ok_or_else(|| FieldError::new("$size", "must be a whole number, 0 or more"))
}

fn remainder(operand: &Value) -> Result<Condition, FieldError> {
    let wrong = |message: &str| Err(FieldError::new("$mod", message));
    let integer = |value: &Value| value.as_number().and_then(whole).and_then(|number| i64::try_from(number).ok());
    let [divisor, remainder] = list("$mod", operand)? else {
        return wrong("must be a list of two numbers: the divisor and the remainder");
    };
    match (integer(divisor), integer(remainder)) {
        (Some(0), _) => wrong("has the divisor 0"),
        (Some(divisor), Some(remainder)) => Ok(Condition::Remainder { divisor, remainder }),
        _ => wrong("must be a list of two numbers of at most 64 bits: the divisor and the remainder"),
    }
}

fn beside_fields(name: &str) -> String {
    let given = shorten(name, 40);
    if OPERATORS.contains(&name) {
        return format!("the operator `{given}` stands under a field: {{\"field\": {{\"{given}\": …}}}}");
    }
    unknown(name, &LOGICAL)
}

fn under_a_field(name: &str) -> String {
    let given = shorten(name, 40);
    if LOGICAL.contains(&name) {
        return format!(
            "the operator `{given}` stands beside fields, not under one: {{\"{given}\": [{{\"field\": …}}]}}"
        );
    }
    unknown(name, &OPERATORS)
}

/// What to say of an operator that is none of `known`.
fn unknown(name: &str, known: &[&str]) -> String {
    let near = nearest(name, &OPERATORS).or_else(|| nearest(name, &LOGICAL));
    let hint = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    format!("unknown operator `{}`: {hint}here are {}", shorten(name, 40), known.join(", "))
}

#[cfg(test)]
mod tests;
