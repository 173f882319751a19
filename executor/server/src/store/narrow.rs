//! The records that may match a filter, looked up by what they are found by.
//!
//! Each bound is looked up by a statement of its own, so simple that either database has only one way to run it; those
//! that leave few records come first, and the one that leaves the fewest gives the candidates. The matcher decides in
//! any case.

use std::{borrow::Cow, collections::BTreeSet};

use lictor_model::filter::{Bound, Narrow, Test};
use serde_json::Value;

use super::{
    Kind,
    db::{Arg, Tx},
    terms::{decode, encode, low_of, value_of},
};
use crate::error::Error;

/// Bounds that are used of one filter.
const MAX_BOUNDS: usize = 8;
/// So few candidates that looking further would cost more than it saves.
const FEW: usize = 200;
/// Candidates of one bound that are fetched before another bound is tried.
const SOME: usize = 2000;
/// If more than one record in so many is a candidate, going through all of them is faster.
const WORTH_IT: i64 = 4;

/// A statement that gives the ids of the records within some of the bounds.
struct Lookup {
    sql: String,
    values: Vec<String>,
    postgres: bool,
}

/// The ids of all records that may match, in order; none if that may be any.
pub(super) async fn candidates(tx: &mut Tx, kind: Kind, narrow: &Narrow) -> Result<Option<Vec<String>>, Error> {
    let lookups = lookups(kind, narrow, tx.is_postgres());
    let mut best: Option<BTreeSet<String>> = None;
    for lookup in &lookups {
        let Some(ids) = lookup.run(tx, SOME).await? else { continue };
        let enough = ids.len() <= FEW;
        if best.as_ref().is_none_or(|best| ids.len() < best.len()) {
            best = Some(ids);
        }
        if enough {
            break;
        }
    }
    if best.is_none() {
        best = of_many(tx, kind, &lookups).await?;
    }
    Ok(best.map(|ids| ids.into_iter().collect()))
}

/// What the bound leaves that leaves the least, unless that is too much to look up one by one.
async fn of_many(tx: &mut Tx, kind: Kind, lookups: &[Lookup]) -> Result<Option<BTreeSet<String>>, Error> {
    let mut best: Option<(i64, &Lookup)> = None;
    for lookup in lookups {
        let n = lookup.count(tx).await?;
        if best.is_none_or(|(least, _)| n < least) {
            best = Some((n, lookup));
        }
    }
    let Some((n, lookup)) = best else { return Ok(None) };
    let all = tx.fetch(&format!("SELECT COUNT(*) FROM {}", kind.table()), &[]).await?;
    let all = all.first().map_or(Ok(0), |row| row.int(0))?;
    if all / WORTH_IT < n { Ok(None) } else { lookup.run(tx, usize::try_from(n).unwrap_or(usize::MAX)).await }
}

/// What an index knows of the bounds, the most telling first.
fn lookups(kind: Kind, narrow: &Narrow, postgres: bool) -> Vec<Lookup> {
    let known = |bound: &&Bound| bound.field == kind.id_field() || kind.indexed().contains(&&*bound.field);
    let mut bounds: Vec<_> = narrow.bounds.iter().filter(known).take(MAX_BOUNDS).collect();
    bounds.sort_by_key(|bound| rank(kind, bound));
    let groups = bounds.chunk_by(|one, next| one.field == next.field && !may_be_list(&one.field));
    groups.filter_map(|group| Lookup::new(kind, group, postgres)).collect()
}

/// How early a bound is used: those that leave few records first, as far as one can know.
fn rank(kind: Kind, bound: &Bound) -> (bool, Option<usize>) {
    // None, the id, comes before all fields.
    let place = kind.indexed().iter().position(|field| *field == bound.field);
    (matches!(bound.test, Test::Range { .. }), place)
}

/// Whether a field may hold several strings, so that two bounds may be met by different ones. The records' own checks
/// make the others one string each.
fn may_be_list(field: &str) -> bool {
    field.ends_with("tags")
}

impl Lookup {
    /// For bounds of one field, which one string meets together.
    fn new(kind: Kind, bounds: &[&Bound], postgres: bool) -> Option<Self> {
        let field = &bounds.first()?.field;
        let mut lookup = Self { sql: String::new(), values: Vec::new(), postgres };
        if field == kind.id_field() {
            lookup.sql = format!("SELECT id FROM {} WHERE TRUE", kind.table());
            bounds.iter().for_each(|bound| lookup.test("id", &bound.test, encode));
        } else {
            lookup.sql.push_str("SELECT id FROM terms WHERE kind = $1 AND field = $2");
            lookup.values.extend([kind.name().to_owned(), field.clone()]);
            bounds.iter().for_each(|bound| lookup.test("value", &bound.test, value_of));
        }
        Some(lookup)
    }

    /// The ids, if there are not more than `most`; one that is found twice counts twice.
    async fn run(&self, tx: &mut Tx, most: usize) -> Result<Option<BTreeSet<String>>, Error> {
        // PERF: a database that has to put them in order may choose its way through the tables for that.
        let sql = format!("{} LIMIT {}", self.sql, most.saturating_add(1));
        let rows = tx.fetch(&sql, &self.args()).await?;
        if most < rows.len() {
            return Ok(None);
        }
        rows.iter().map(|row| Ok(decode(row.text(0)?).into_owned())).collect::<Result<_, _>>().map(Some)
    }

    /// How many there are; one that is found twice counts twice.
    async fn count(&self, tx: &mut Tx) -> Result<i64, Error> {
        let sql = format!("SELECT COUNT(*) FROM ({}) AS found", self.sql);
        tx.fetch(&sql, &self.args()).await?.first().map_or(Ok(0), |row| row.int(0))
    }

    fn args(&self) -> Vec<Arg<'_>> {
        self.values.iter().map(Arg::from).collect()
    }

    /// Whether an end of a range is itself within it is left to the matcher: it may have been cut.
    fn test(&mut self, column: &str, test: &Test, stored: fn(&str) -> Cow<'_, str>) {
        match test {
            Test::OneOf(values) => {
                let values: Vec<String> = values.iter().map(|value| stored(value).into_owned()).collect();
                let condition = match values.as_slice() {
                    [value] => format!("= {}", self.value(value.clone())),
                    _ => within(self.postgres, &self.value(Value::from(values).to_string())),
                };
                self.sql.push_str(&format!(" AND {column} {condition}"));
            }
            Test::Range { low, high } => {
                for (operator, end, in_index) in [(">=", low, low_of as fn(&str) -> Cow<'_, str>), ("<=", high, encode)]
                {
                    if let Some((end, _)) = end {
                        let value = self.value(in_index(end).into_owned());
                        self.sql.push_str(&format!(" AND {column} {operator} {value}"));
                    }
                }
            }
        }
    }

    /// Takes a value and returns its placeholder.
    fn value(&mut self, value: String) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

/// The condition of being one of a JSON list of texts: one placeholder for any number of them.
pub(super) fn within(postgres: bool, placeholder: &str) -> String {
    if postgres {
        format!("= ANY (ARRAY (SELECT jsonb_array_elements_text(CAST({placeholder} AS jsonb))))")
    } else {
        format!("IN (SELECT value FROM json_each({placeholder}))")
    }
}
