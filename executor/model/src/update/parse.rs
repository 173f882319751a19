//! From JSON to changes.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{Action, Change};
use crate::{
    compare::type_name,
    field::{FieldError, shorten},
    filter::Elements,
    nearest::nearest,
    path::{Path, shown},
};

const OPERATORS: [&str; 10] =
    ["$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$push", "$pull", "$addToSet"];
/// What MongoDB takes beside `$each`.
const MODIFIERS: [&str; 3] = ["$position", "$slice", "$sort"];

/// The changes of an update, in the order of their paths.
pub(super) fn changes(operators: Map<String, Value>) -> Result<Vec<Change>, FieldError> {
    let mut res = Vec::new();
    for (name, operands) in operators {
        if !OPERATORS.contains(&name.as_str()) {
            return Err(FieldError::new(shown(&name), not_an_operator(&name)));
        }
        let Value::Object(operands) = operands else {
            let message = format!("must be an object of dotted paths, not {}", type_name(&operands));
            return Err(FieldError::new(name, message));
        };
        for (text, operand) in operands {
            let path = path(&text)?;
            let action = action(&name, operand).map_err(|message| FieldError::new(shown(&text), message))?;
            res.push(Change { path, action });
        }
    }
    check_paths(&mut res)?;
    Ok(res)
}

/// The path of a change.
pub(super) fn path(text: &str) -> Result<Path, FieldError> {
    let path = Path::parse(text)?;
    let wrong = |message: String| Err(FieldError::new(shown(text), message));
    if let Some(part) = path.parts().iter().find(|part| part.name.starts_with('$')) {
        let part = shorten(&part.name, 40);
        return wrong(format!("has the part `{part}`: name a position by its number; no field may begin with `$`"));
    }
    if path.top() == "_id" {
        return wrong("cannot be changed".to_owned());
    }
    Ok(path)
}

/// Puts changes in the order of their paths, and refuses two that are in each other's way.
pub(super) fn check_paths(changes: &mut [Change]) -> Result<(), FieldError> {
    changes.sort_by(|left, right| order(&left.path, &right.path));
    let targets = changes.iter().filter_map(|change| match &change.action {
        Action::Rename(target) => Some(target),
        _ => None,
    });
    let mut paths: Vec<&Path> = changes.iter().map(|change| &change.path).chain(targets).collect();
    paths.sort_by(|left, right| order(left, right));
    // Whatever stands between a path and one that leads into it leads into it too, so neighbours suffice.
    let clash = paths.windows(2).find_map(|pair| match pair {
        [outer, inner] if inner.parts().starts_with(outer.parts()) => Some((outer, inner)),
        _ => None,
    });
    clash.map_or(Ok(()), |(outer, inner)| {
        let message = format!("is changed twice: by `{}` and by `{}`", shown(outer.as_str()), shown(inner.as_str()));
        Err(FieldError::new(shown(inner.as_str()), message))
    })
}

/// Part by part; positions by number, so that a list is filled from its beginning.
fn order(left: &Path, right: &Path) -> Ordering {
    let parts = left.parts().iter().zip(right.parts());
    let mut orders =
        parts.map(|(left, right)| left.position.cmp(&right.position).then_with(|| left.name.cmp(&right.name)));
    orders.find(|order| order.is_ne()).unwrap_or_else(|| left.parts().len().cmp(&right.parts().len()))
}

/// One operator at one path, or what is wrong with its operand.
fn action(name: &str, operand: Value) -> Result<Action, String> {
    match name {
        "$set" => Ok(Action::Set(operand)),
        "$unset" => Ok(Action::Unset),
        "$inc" => Ok(Action::Add(number(name, operand)?)),
        "$mul" => Ok(Action::Multiply(number(name, operand)?)),
        "$min" => Ok(Action::Least(operand)),
        "$max" => Ok(Action::Greatest(operand)),
        "$rename" => Ok(Action::Rename(target(&operand)?)),
        "$push" => Ok(Action::Push(values(name, operand)?)),
        "$addToSet" => Ok(Action::AddToSet(values(name, operand)?)),
        "$pull" => Elements::parse(&operand).map(Action::Pull).map_err(|error| match error.field() {
            "" => format!("`$pull`: {}", error.message()),
            at => format!("`$pull`: `{at}`: {}", error.message()),
        }),
        _ => Err(not_an_operator(name)),
    }
}

fn number(name: &str, operand: Value) -> Result<Number, String> {
    match operand {
        Value::Number(number) => Ok(number),
        other => Err(format!("`{name}` takes a number, not {}", type_name(&other))),
    }
}

fn target(operand: &Value) -> Result<Path, String> {
    let Value::String(text) = operand else {
        return Err(format!("`$rename` takes the new path, a string, not {}", type_name(operand)));
    };
    path(text).map_err(|error| format!("`$rename`: `{}` {}", error.field(), error.message()))
}

/// A value, or each of several.
fn values(name: &str, operand: Value) -> Result<Vec<Value>, String> {
    let Value::Object(mut fields) = operand else { return Ok(vec![operand]) };
    if let Some(modifier) = MODIFIERS.iter().find(|modifier| fields.contains_key(**modifier)) {
        return Err(format!("`{name}` with `{modifier}` is not available: it takes a value, or `$each` alone"));
    }
    match fields.remove("$each") {
        None => Ok(vec![Value::Object(fields)]),
        Some(_) if !fields.is_empty() => Err(format!("`{name}` takes `$each` alone, without other fields beside it")),
        Some(Value::Array(all)) => Ok(all),
        Some(other) => Err(format!("`{name}`: `$each` takes a list, not {}", type_name(&other))),
    }
}

fn not_an_operator(name: &str) -> String {
    let given = shorten(name, 40);
    if !name.starts_with('$') {
        return format!("`{given}` is a field beside operators: put it under `$set`, or send the whole document");
    }
    let hint = nearest(name, &OPERATORS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    format!("unknown operator `{given}`: {hint}there are {}", OPERATORS.join(", "))
}
