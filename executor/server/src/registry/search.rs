//! A query: candidates from the store, the matcher, then order, bounds and fields.
//!
//! The store only narrows; [`lictor_model::Filter`] alone decides. Without an order one pass finds the documents, and
//! ends when there are enough. With one, a first pass finds ids and what they are ordered by, and others the documents
//! of the page that is asked for: what is held is bounded by the answer, not by the registry. Documents stay the text
//! that they are stored as, unless only some of their fields are asked for.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use lictor_model::{
    Narrow, Query, document,
    filter::{Bound, Test},
    json,
    query::Rank,
};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Entity, Registry, lean};
use crate::{
    error::{Error, ErrorKind},
    store::{Candidate, Visit},
};

/// Bytes of documents that a query answers at most, and that an order is found by.
const MAX_ANSWER: usize = 64 << 20;
/// Kilobytes of all answers at most that were found and not yet sent: a client that reads slowly holds its own.
const MAX_HELD_KB: usize = 256 << 10;
/// What a document takes beside its text.
const OVERHEAD: usize = 64;
/// Documents that are asked for by their ids at once.
const CHUNK: usize = 500;

/// Shared by all registries of the process.
pub(super) static HELD: Semaphore = Semaphore::const_new(MAX_HELD_KB);

/// The documents that matched, in order.
#[derive(Debug)]
pub struct Found {
    /// Each one as JSON text.
    pub documents: Vec<String>,
    /// Their share of what is held at the same time: to be kept as long as they, or what was made of them.
    pub held: SemaphorePermit<'static>,
}

/// A match, and what it is ordered by.
struct Ranked {
    id: String,
    rank: Rank,
    bytes: usize,
}

/// What every pass needs.
struct Plan<E> {
    entity: Arc<E>,
    query: Query,
    /// The fields that the filter and the order look at.
    looked_at: Vec<String>,
    /// Whether any of them is computed.
    computed: bool,
    /// The fields that are answered, if not all that there are.
    kept: Option<Vec<String>>,
}

pub(super) async fn run<E: Entity>(registry: &Registry<E>, query: Query) -> Result<Found, Error> {
    let mut looked_at: Vec<String> = query.filter.fields().chain(query.options.fields()).map(str::to_owned).collect();
    looked_at.sort_unstable();
    looked_at.dedup();
    let computed = looked_at.iter().any(|field| E::COMPUTED.contains(&field.as_str()));
    let kept = query.options.keeps().map(|fields| fields.map(str::to_owned).collect());
    let plan = Arc::new(Plan { entity: Arc::clone(&registry.entity), query, looked_at, computed, kept });
    let options = &plan.query.options;
    let page = if options.sorts() {
        ordered(registry, plan).await?
    } else if options.limit().is_none() && options.skip() == 0 {
        all(registry, plan).await?
    } else {
        first(registry, plan).await?
    };
    page.found()
}

/// Everything that matches, in the order of the ids.
async fn all<E: Entity>(registry: &Registry<E>, plan: Arc<Plan<E>>) -> Result<Page, Error> {
    let narrow = plan.query.filter.narrow();
    let look = move |(found, bytes): &mut (Vec<(String, String)>, usize), candidate: &Candidate<'_>| {
        if plan.judge(candidate)?.is_some() {
            let document = plan.answer(candidate)?;
            *bytes += document.len();
            within_bounds(*bytes)?;
            found.push((candidate.id.to_string(), document));
        }
        Ok(ControlFlow::Continue(()))
    };
    let (mut found, _) = pass(registry, narrow, Order::Any, (Vec::new(), 0), look).await?;
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut page = Page::default();
    found.into_iter().try_for_each(|(_, document)| page.push(document))?;
    Ok(page)
}

/// The page that is asked for, in the order of the ids.
async fn first<E: Entity>(registry: &Registry<E>, plan: Arc<Plan<E>>) -> Result<Page, Error> {
    let (narrow, limit) = (plan.query.filter.narrow(), plan.query.options.limit().unwrap_or(usize::MAX));
    let state = (plan.query.options.skip(), Page::default());
    let look = move |(skip, page): &mut (usize, Page), candidate: &Candidate<'_>| {
        if plan.judge(candidate)?.is_none() {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(left) = skip.checked_sub(1) {
            *skip = left;
            return Ok(ControlFlow::Continue(()));
        }
        page.push(plan.answer(candidate)?)?;
        Ok(if page.documents.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    };
    Ok(pass(registry, narrow, Order::Ids, state, look).await?.1)
}

/// The page that is asked for, in the order that is asked for.
async fn ordered<E: Entity>(registry: &Registry<E>, plan: Arc<Plan<E>>) -> Result<Page, Error> {
    let ids = rank(registry, Arc::clone(&plan)).await?;
    let mut page = Page::default();
    for chunk in ids.chunks(CHUNK) {
        let narrow = Narrow { bounds: vec![Bound { field: E::ID.into(), test: Test::OneOf(chunk.to_vec()) }] };
        let plan = Arc::clone(&plan);
        let look = move |(found, bytes): &mut (HashMap<String, String>, usize), candidate: &Candidate<'_>| {
            // What was changed since the first pass may not match any more.
            if plan.judge(candidate)?.is_some() {
                let document = plan.answer(candidate)?;
                *bytes += document.len();
                within_bounds(*bytes)?;
                found.insert(candidate.id.to_string(), document);
            }
            Ok(ControlFlow::Continue(()))
        };
        let (mut found, _) = pass(registry, narrow, Order::Any, (HashMap::new(), page.bytes), look).await?;
        chunk.iter().filter_map(|id| found.remove(id)).try_for_each(|document| page.push(document))?;
    }
    Ok(page)
}

/// The ids of the page that is asked for, in the order that is asked for.
async fn rank<E: Entity>(registry: &Registry<E>, plan: Arc<Plan<E>>) -> Result<Vec<String>, Error> {
    let (skip, limit) = (plan.query.options.skip(), plan.query.options.limit().unwrap_or(usize::MAX));
    let (narrow, judge, most) = (plan.query.filter.narrow(), Arc::clone(&plan), skip.saturating_add(limit));
    let look = move |(ranked, bytes): &mut (Vec<Ranked>, usize), candidate: &Candidate<'_>| {
        let Some(fields) = judge.judge(candidate)? else { return Ok(ControlFlow::Continue(())) };
        let rank = judge.query.options.rank(&fields);
        let one = Ranked { bytes: candidate.id.len() + rank.weight(), id: candidate.id.to_string(), rank };
        *bytes += one.bytes;
        ranked.push(one);
        if most.saturating_mul(2).max(CHUNK) <= ranked.len() {
            judge.sort(ranked);
            ranked.truncate(most);
            *bytes = ranked.iter().map(|one| one.bytes).sum();
        }
        within_bounds(*bytes)?;
        Ok(ControlFlow::Continue(()))
    };
    let (mut ranked, _) = pass(registry, narrow, Order::Any, (Vec::new(), 0), look).await?;
    plan.sort(&mut ranked);
    Ok(ranked.into_iter().skip(skip).take(limit).map(|one| one.id).collect())
}

/// How the candidates of a pass come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By their ids, so that the pass may end early.
    Ids,
    /// As they are read the fastest.
    Any,
}

/// Shows every candidate to `look`, which keeps what it wants in `state`, until that has seen enough.
async fn pass<E, S, F>(registry: &Registry<E>, narrow: Narrow, order: Order, state: S, look: F) -> Result<S, Error>
where
    E: Entity,
    S: Send + 'static,
    F: FnMut(&mut S, &Candidate<'_>) -> Result<ControlFlow<()>, Error> + Send + 'static,
{
    Ok(registry.store.scan(E::KIND, &narrow, Pass { order, state, look }).await?.state)
}

struct Pass<S, F> {
    order: Order,
    state: S,
    look: F,
}

impl<S, F> Visit for Pass<S, F>
where
    S: Send + 'static,
    F: FnMut(&mut S, &Candidate<'_>) -> Result<ControlFlow<()>, Error> + Send + 'static,
{
    fn visit(&mut self, candidate: &Candidate<'_>) -> Result<ControlFlow<()>, Error> {
        (self.look)(&mut self.state, candidate)
    }

    fn in_order(&self) -> bool {
        self.order == Order::Ids
    }
}

/// Adds fields that an object does not have to its text.
fn lay_over(text: &str, fields: Map<String, Value>) -> String {
    let mut res = text.trim_ascii_end().strip_suffix('}').unwrap_or(text).trim_ascii_end().to_owned();
    for (name, value) in fields {
        let comma = if res.ends_with('{') { "" } else { "," };
        res.push_str(&format!("{comma}{}:{value}", Value::String(name)));
    }
    res.push('}');
    res
}

/// What is answered so far.
#[derive(Default)]
struct Page {
    documents: Vec<String>,
    bytes: usize,
}

impl Page {
    fn push(&mut self, document: String) -> Result<(), Error> {
        self.bytes += document.len() + OVERHEAD;
        within_bounds(self.bytes)?;
        self.documents.push(document);
        Ok(())
    }

    fn found(self) -> Result<Found, Error> {
        let share = u32::try_from(self.bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let busy = |_| Error::new(ErrorKind::Busy, "too many large answers are on their way: ask again, or for less");
        Ok(Found { documents: self.documents, held: HELD.try_acquire_many(share).map_err(busy)? })
    }
}

impl<E: Entity> Plan<E> {
    /// The fields of a candidate that are looked at, if it matches.
    fn judge(&self, candidate: &Candidate<'_>) -> Result<Option<Map<String, Value>>, Error> {
        let mut fields = lean::read(candidate.document, &self.looked_at).ok_or_else(|| damaged(candidate))?;
        if self.computed {
            fields.extend(self.entity.computed(candidate)?);
        }
        Ok(Some(fields).filter(|fields| self.query.filter.matches(fields)))
    }

    /// What is answered of a match, as JSON text.
    fn answer(&self, candidate: &Candidate<'_>) -> Result<String, Error> {
        let computed = self.entity.computed(candidate)?;
        if !self.query.options.projects() && !E::OVERRIDES {
            // PERF: a document that is answered whole is not read.
            return Ok(lay_over(candidate.document, computed));
        }
        let read = match &self.kept {
            Some(kept) => lean::read(candidate.document, kept),
            None => json::parse(candidate.document).ok().and_then(|document| document::object(document, "").ok()),
        };
        let mut document = read.ok_or_else(|| damaged(candidate))?;
        document.extend(computed);
        Ok(Value::Object(self.query.options.project(document)).to_string())
    }

    /// Puts matches in order, equal ones in that of their ids.
    fn sort(&self, ranked: &mut [Ranked]) {
        ranked.sort_by(|a, b| self.query.options.compare(&a.rank, &b.rank).then_with(|| a.id.cmp(&b.id)));
    }
}

fn within_bounds(bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_ANSWER {
        return Ok(());
    }
    let why = format!(
        "more than {} MiB of records match: ask for fewer with a narrower filter or `limit` and `skip`, or for less of each with `projection`",
        MAX_ANSWER >> 20
    );
    Err(Error::new(ErrorKind::InvalidInput, why))
}

fn damaged(candidate: &Candidate<'_>) -> Error {
    Error::internal("a stored record cannot be read", format!("`{}` is not a document", candidate.id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_laid_over_a_text() {
        for (text, fields, expected) in [
            ("{}", json!({}), "{}"),
            ("{}", json!({"a": 1}), r#"{"a":1}"#),
            (r#"{"b":"}"}"#, json!({"a": 1, "c\"": [null]}), r#"{"b":"}","a":1,"c\"":[null]}"#),
            ("{ } ", json!({"a": 1}), r#"{"a":1}"#),
        ] {
            let Value::Object(fields) = fields else { unreachable!() };
            let laid = lay_over(text, fields);
            assert_eq!(laid.replace("{ ", "{"), expected);
            assert!(json::parse(&laid).is_ok(), "{laid}");
        }
    }
}
