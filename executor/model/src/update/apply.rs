//! Changes, one after the other, on one document.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::{Action, Change};
use crate::{
    compare::{Ordered, compare, integer, type_name},
    field::FieldError,
    filter::Elements,
    path::{Part, Path, shown},
};

/// How many places an update may fill up with `null`, all lists together.
const MAX_FILLED: usize = 10_000;

/// A document that is being changed.
pub(super) struct Applying {
    /// Always an object.
    document: Value,
    filled: usize,
}

impl Applying {
    pub(super) fn new(document: Map<String, Value>) -> Self {
        Self { document: Value::Object(document), filled: 0 }
    }

    pub(super) fn finish(self) -> Value {
        self.document
    }

    pub(super) fn apply(&mut self, change: &Change) -> Result<(), FieldError> {
        let path = &change.path;
        match &change.action {
            Action::Set(value) => self.put(path, value.clone()),
            Action::Unset => {
                self.remove(path);
                Ok(())
            }
            Action::Add(amount) => self.reckon(path, amount, "$inc", sum),
            Action::Multiply(factor) => self.reckon(path, factor, "$mul", product),
            Action::Least(value) => self.put_if(path, value, |old| compare(value, old).is_lt()),
            Action::Greatest(value) => self.put_if(path, value, |old| compare(value, old).is_gt()),
            Action::Rename(target) => self.rename(path, target),
            Action::Push(values) => {
                self.list(path, "$push")?.extend(values.iter().cloned());
                Ok(())
            }
            Action::AddToSet(values) => {
                add_missing(self.list(path, "$addToSet")?, values);
                Ok(())
            }
            Action::Pull(elements) => self.pull(path, elements),
        }
    }

    /// What is at a path, each part taken as a field or a position.
    fn find(&mut self, parts: &[Part]) -> Option<&mut Value> {
        parts.iter().try_fold(&mut self.document, child)
    }

    /// The place of a path, made if it is not there.
    fn place(&mut self, path: &Path) -> Result<&mut Value, FieldError> {
        let (mut at, mut made) = (&mut self.document, false);
        for part in path.parts() {
            if made {
                *at = Value::Object(Map::new());
            }
            made = child(at, part).is_none();
            at = make(at, part, path, &mut self.filled)?;
        }
        Ok(at)
    }

    fn put(&mut self, path: &Path, value: Value) -> Result<(), FieldError> {
        *self.place(path)? = value;
        Ok(())
    }

    /// Puts `value` where nothing is, or where what is there admits it.
    fn put_if(&mut self, path: &Path, value: &Value, admits: impl Fn(&Value) -> bool) -> Result<(), FieldError> {
        match self.find(path.parts()) {
            Some(old) if admits(old) => *old = value.clone(),
            Some(_) => {}
            None => self.put(path, value.clone())?,
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Option<Value> {
        let (last, parents) = path.parts().split_last()?;
        match self.find(parents)? {
            Value::Object(fields) => fields.shift_remove(&last.name),
            Value::Array(all) => all.get_mut(last.position?).map(Value::take),
            _ => None,
        }
    }

    fn rename(&mut self, path: &Path, target: &Path) -> Result<(), FieldError> {
        for path in [path, target] {
            if self.leads_through_list(path) {
                return Err(FieldError::new(shown(path.as_str()), "leads through a list, which `$rename` cannot"));
            }
        }
        self.remove(path).map_or(Ok(()), |value| self.put(target, value))
    }

    fn leads_through_list(&mut self, path: &Path) -> bool {
        let n_parents = path.parts().len().saturating_sub(1);
        (1..=n_parents)
            .any(|n| path.parts().get(..n).and_then(|parts| self.find(parts)).is_some_and(|at| at.is_array()))
    }

    /// Replaces the number at a path, 0 if there is none, by what `reckon` makes of it.
    fn reckon(
        &mut self,
        path: &Path,
        operand: &Number,
        name: &str,
        reckon: fn(&Number, &Number) -> Option<Number>,
    ) -> Result<(), FieldError> {
        let wrong = |message: String| FieldError::new(shown(path.as_str()), message);
        let old = match self.find(path.parts()) {
            None => Number::from(0),
            Some(Value::Number(number)) => number.clone(),
            Some(other) => return Err(wrong(format!("is {}, where `{name}` needs a number", type_name(other)))),
        };
        let too_large = || wrong(format!("would become a number that is too large, by `{name}`"));
        self.put(path, Value::Number(reckon(&old, operand).ok_or_else(too_large)?))
    }

    /// The list at a path, made if nothing is there.
    fn list(&mut self, path: &Path, name: &str) -> Result<&mut Vec<Value>, FieldError> {
        if self.find(path.parts()).is_none() {
            self.put(path, Value::Array(Vec::new()))?;
        }
        match self.find(path.parts()) {
            Some(Value::Array(all)) => Ok(all),
            other => Err(no_list(path, name, other.as_deref())),
        }
    }

    fn pull(&mut self, path: &Path, elements: &Elements) -> Result<(), FieldError> {
        match self.find(path.parts()) {
            None => {}
            Some(Value::Array(all)) => all.retain(|element| !elements.include(element)),
            Some(other) => return Err(no_list(path, "$pull", Some(other))),
        }
        Ok(())
    }
}

fn no_list(path: &Path, name: &str, found: Option<&Value>) -> FieldError {
    let found = found.map_or("missing", type_name);
    FieldError::new(shown(path.as_str()), format!("is {found}, where `{name}` needs a list"))
}

fn child<'a>(at: &'a mut Value, part: &Part) -> Option<&'a mut Value> {
    match at {
        Value::Object(fields) => fields.get_mut(&part.name),
        Value::Array(all) => all.get_mut(part.position?),
        _ => None,
    }
}

/// The place that `part` names in `at`, with `null` in it if it was not there.
fn make<'a>(at: &'a mut Value, part: &Part, path: &Path, filled: &mut usize) -> Result<&'a mut Value, FieldError> {
    let wrong = |message: String| FieldError::new(shown(path.as_str()), message);
    let name = shown(&part.name);
    match at {
        Value::Object(fields) => Ok(fields.entry(part.name.as_str()).or_insert(Value::Null)),
        Value::Array(all) => {
            let outside =
                || wrong(format!("has the part `{name}`, which is not a position in the list that it leads to"));
            let position = part.position.ok_or_else(outside)?;
            let missing = position.saturating_add(1).saturating_sub(all.len());
            *filled = filled.saturating_add(missing);
            if MAX_FILLED < *filled {
                return Err(wrong(format!("is more than {MAX_FILLED} places beyond the end of the list")));
            }
            all.extend(std::iter::repeat_n(Value::Null, missing));
            all.get_mut(position).ok_or_else(outside)
        }
        other => {
            let found = type_name(other);
            Err(wrong(format!("cannot be reached: `{name}` would be a field of {found}")))
        }
    }
}

/// Appends each of `values` that `all` does not have yet.
fn add_missing(all: &mut Vec<Value>, values: &[Value]) {
    let mut known: BTreeSet<Ordered<'_>> = all.iter().map(Ordered).collect();
    let missing: Vec<Value> = values.iter().filter(|value| known.insert(Ordered(value))).cloned().collect();
    drop(known);
    all.extend(missing);
}

fn sum(left: &Number, right: &Number) -> Option<Number> {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => number(left.checked_add(right)?),
        _ => Number::from_f64(left.as_f64()? + right.as_f64()?),
    }
}

fn product(left: &Number, right: &Number) -> Option<Number> {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => number(left.checked_mul(right)?),
        _ => Number::from_f64(left.as_f64()? * right.as_f64()?),
    }
}

/// An integer of at most 64 bits.
fn number(value: i128) -> Option<Number> {
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}
