//! A query: which documents, in which order, how many of them, and which of their fields.
//!
//! The filter is the body of the request, the options stand in the query string, each at most once:
//!
//! - `limit`: how many documents at most; 0, as in MongoDB, means all of them;
//! - `skip`: how many are left out at the beginning;
//! - `sort`: dotted paths, the most important first, `name,-version` or `{"name": 1, "version": -1}`. Values of several
//!   types come in MongoDB's order; a list counts as its least element, or its greatest when the order is descending,
//!   and an empty one as less than everything; a missing value counts as `null`. Documents that are equal keep the
//!   order they had.
//! - `projection`: dotted paths to keep, `name,version` or `{"name": 1}`, or to leave out, `-code` or `{"code": 0}`;
//!   not both. Paths lead through the objects of lists; no field is treated unlike the others.
//!
//! Source: MongoDB manual, "db.collection.find()", "cursor.sort()" and "Project Fields to Return from Query".

mod pairs;
mod projection;
mod sort;

use std::cmp::Ordering;

use serde_json::{Map, Value};

pub use self::sort::Rank;
use self::{pairs::Pairs, projection::Projection, sort::Sort};
use crate::{
    field::{FieldError, shorten},
    filter::Filter,
    nearest::nearest,
};

const OPTIONS: [&str; 4] = ["limit", "skip", "sort", "projection"];

/// Which documents, and what of them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which documents.
    pub filter: Filter,
    /// What of them.
    pub options: Options,
}

/// Order, number and fields of the documents that a query answers.
#[derive(Clone, Debug, Default)]
pub struct Options {
    limit: Option<usize>,
    skip: usize,
    sort: Sort,
    projection: Option<Projection>,
}

impl Options {
    /// Reads the decoded pairs of a query string.
    ///
    /// # Errors
    /// For an option that is unknown or given twice, and a value that is not what its option takes; at the option.
    pub fn parse<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldError> {
        let (mut res, mut seen) = (Self::default(), Vec::new());
        for (name, value) in pairs {
            if seen.contains(&name) {
                return Err(FieldError::new(name, "is given twice"));
            }
            match name {
                "limit" => res.limit = Some(count(name, value)?).filter(|limit| *limit != 0),
                "skip" => res.skip = count(name, value)?,
                "sort" => res.sort = Sort::parse(&Pairs::parse(value).map_err(|why| FieldError::new(name, why))?)?,
                "projection" => {
                    let pairs = Pairs::parse(value).map_err(|why| FieldError::new(name, why))?;
                    res.projection = Some(Projection::parse(&pairs)?);
                }
                _ => return Err(unknown(name)),
            }
            seen.push(name);
        }
        Ok(res)
    }

    /// How many documents at most; none: all of them.
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// How many documents are left out at the beginning.
    pub fn skip(&self) -> usize {
        self.skip
    }

    /// Whether documents come in another order than they are found in, so that all matches must be known first. If not,
    /// `skip` and `limit` together say after how many matches a scan can end.
    pub fn sorts(&self) -> bool {
        !self.sort.is_empty()
    }

    /// The top-level fields that the order depends on: a scan need not read the others to know the order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.sort.fields()
    }

    /// What a document is ordered by, for a scan that cannot keep the documents.
    pub fn rank(&self, document: &Map<String, Value>) -> Rank {
        self.sort.rank(document)
    }

    /// Which of two documents comes first, by their ranks.
    pub fn compare(&self, left: &Rank, right: &Rank) -> Ordering {
        self.sort.compare(left, right)
    }

    /// Whether not all fields are asked for.
    pub fn projects(&self) -> bool {
        self.projection.is_some()
    }

    /// The top-level fields that are asked for, if they are named: a scan need not read the others.
    pub fn keeps(&self) -> Option<impl Iterator<Item = &str>> {
        self.projection.as_ref().and_then(Projection::keeps)
    }

    /// Puts documents in order, then takes those that `skip` and `limit` leave.
    pub fn order(&self, documents: &mut Vec<Map<String, Value>>) {
        self.sort.order(documents);
        documents.drain(..self.skip.min(documents.len()));
        documents.truncate(self.limit.unwrap_or(usize::MAX));
    }

    /// The fields of `document` that are asked for.
    pub fn project(&self, document: Map<String, Value>) -> Map<String, Value> {
        match &self.projection {
            Some(projection) => projection.apply(document),
            None => document,
        }
    }
}

fn count(name: &str, value: &str) -> Result<usize, FieldError> {
    let wrong = || {
        let message = format!("must be a whole number, 0 or more, not `{}`", shorten(value, 40));
        FieldError::new(name, message)
    };
    value.parse().map_err(|_| wrong())
}

fn unknown(name: &str) -> FieldError {
    let hint = nearest(name, &OPTIONS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let given = shorten(name, 40);
    let message = format!("unknown option `{given}`: {hint}a query has {}", OPTIONS.join(", "));
    FieldError::new(given, message)
}

#[cfg(test)]
mod tests;
