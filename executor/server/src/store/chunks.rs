//! Records in bulk, as a scan reads them.
//!
//! PERF: a row for each record would cost more than what is in it, for it wakes another thread. So the database strings
//! many records together in one text, each behind a head with the lengths of its parts:
//! `LENGTH OF ID,REVISION,LENGTH OF LOAD,LENGTH OF DOCUMENT;IDLOADDOCUMENT`, in bytes. A large document is left out,
//! and read by itself when it is its turn.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use serde_json::Value;

use super::{Kind, db::Tx, narrow::within, terms::encode};
use crate::error::Error;

/// Records that are read together.
const CHUNK: usize = 512;
/// Bytes from which on a document is read by itself.
const LARGE: usize = 64 << 10;

/// Records that were read together, in the order of their ids.
pub(super) struct Piece {
    text: Arc<str>,
    entries: Vec<Entry>,
}

/// Where in a text the parts of a record are.
struct Entry {
    id: Range<usize>,
    load: Range<usize>,
    document: Range<usize>,
    revision: i64,
    /// Whether the document is not there.
    large: bool,
}

/// A record as it was read.
pub(super) struct Raw<'a> {
    pub(super) id: &'a str,
    pub(super) load: &'a str,
    pub(super) document: &'a str,
    pub(super) revision: i64,
}

impl Piece {
    pub(super) fn records(&self) -> impl Iterator<Item = Raw<'_>> {
        self.entries.iter().map(|entry| Raw {
            id: part(&self.text, &entry.id),
            load: part(&self.text, &entry.load),
            document: part(&self.text, &entry.document),
            revision: entry.revision,
        })
    }
}

fn part<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

/// Where pieces come from.
pub(super) struct Source {
    kind: Kind,
    left: Left,
    /// Read already: the text, and what of it was not given out.
    text: Arc<str>,
    entries: VecDeque<Entry>,
}

/// What is still to be read.
enum Left {
    /// All records behind this id.
    Behind(String),
    /// These records.
    These(VecDeque<String>),
    Nothing,
}

impl Source {
    /// Of all records, or of those with these ids, which are in order.
    pub(super) fn new(kind: Kind, ids: Option<Vec<String>>) -> Self {
        let left = ids.map_or(Left::Behind(String::new()), |ids| Left::These(ids.into()));
        Self { kind, left, text: "".into(), entries: VecDeque::new() }
    }

    /// The next records; none if there are no more.
    pub(super) async fn next(&mut self, tx: &mut Tx) -> Result<Option<Piece>, Error> {
        if self.entries.is_empty() {
            self.read(tx).await?;
        }
        match self.entries.pop_front() {
            None => Ok(None),
            Some(entry) if entry.large => self.large(tx, entry).await.map(Some),
            Some(entry) => {
                let end = self.entries.iter().position(|entry| entry.large).unwrap_or(self.entries.len());
                let entries = [entry].into_iter().chain(self.entries.drain(..end)).collect();
                Ok(Some(Piece { text: Arc::clone(&self.text), entries }))
            }
        }
    }

    async fn read(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let (condition, value) = match &mut self.left {
            Left::Nothing => return Ok(()),
            Left::Behind(last) => ("> $1".to_owned(), std::mem::take(last)),
            Left::These(ids) => {
                let ids: Vec<Value> = ids.drain(..CHUNK.min(ids.len())).map(|id| Value::from(encode(&id))).collect();
                (within(tx.is_postgres(), "$1"), Value::from(ids).to_string())
            }
        };
        let rows = tx.fetch(&statement(self.kind, &condition), &[(&value).into()]).await?;
        let text = rows.first().map_or(Ok(None), |row| row.maybe_text(0))?.unwrap_or_default();
        let damaged = || Error::internal("the registry cannot be read", "records that run into each other");
        let mut entries = entries(text).ok_or_else(damaged)?;
        entries.sort_by(|one, other| part(text, &one.id).cmp(part(text, &other.id)));
        match &mut self.left {
            Left::Behind(last) if CHUNK <= entries.len() => {
                entries.last().map_or("", |entry| part(text, &entry.id)).clone_into(last);
            }
            Left::These(ids) if !ids.is_empty() => {}
            left => *left = Left::Nothing,
        }
        self.text = text.into();
        self.entries = entries.into();
        Ok(())
    }

    /// A record whose document was left out.
    async fn large(&self, tx: &mut Tx, entry: Entry) -> Result<Piece, Error> {
        let (id, load) = (part(&self.text, &entry.id), part(&self.text, &entry.load));
        let sql = format!("SELECT document FROM {} WHERE id = $1", self.kind.table());
        let rows = tx.fetch(&sql, &[id.into()]).await?;
        let document = rows.first().map_or(Ok(""), |row| row.text(0))?;
        let (loads, documents) = (id.len(), id.len() + load.len());
        let text: Arc<str> = [id, load, document].concat().into();
        let (load, document) = (loads..documents, documents..text.len());
        Ok(Piece { entries: vec![Entry { id: 0..loads, load, document, large: false, ..entry }], text })
    }
}

fn statement(kind: Kind, condition: &str) -> String {
    let load = if kind == Kind::Policy { "COALESCE(load, '')" } else { "''" };
    format!(
        "SELECT string_agg(record, '') FROM (
             SELECT octet_length(id) || ',' || revision || ',' || octet_length({load}) || ',' || octet_length(document)
                 || ';' || id || {load} || CASE WHEN octet_length(document) <= {LARGE} THEN document ELSE '' END AS record
             FROM {} WHERE id {condition} ORDER BY id LIMIT {CHUNK}
         ) AS records",
        kind.table()
    )
}

/// Where the parts of the records in a text are; none if it is not what the statement makes.
fn entries(text: &str) -> Option<Vec<Entry>> {
    let (mut res, mut at) = (Vec::with_capacity(CHUNK), 0);
    while at < text.len() {
        let (head, _) = text.get(at..)?.split_once(';')?;
        let mut numbers = head.split(',').map(str::parse::<i64>);
        let mut number = || numbers.next()?.ok();
        let (id, revision, load, document) = (number()?, number()?, number()?, number()?);
        let large = i64::try_from(LARGE).ok()? < document;
        let id = after(at + head.len() + 1, id)?;
        let load = after(id.end, load)?;
        let document = after(load.end, if large { 0 } else { document })?;
        at = document.end;
        // The ends are within the text, and between its characters.
        [&id, &load, &document].into_iter().try_for_each(|range| text.get(range.clone()).map(drop))?;
        res.push(Entry { id, load, document, revision, large });
    }
    Some(res)
}

fn after(start: usize, length: i64) -> Option<Range<usize>> {
    Some(start..start.checked_add(usize::try_from(length).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str, i64)]) {
        let piece = Piece { text: text.into(), entries: entries(text).unwrap() };
        let found: Vec<_> = piece.records().map(|raw| (raw.id, raw.load, raw.document, raw.revision)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn records_are_told_apart_by_their_lengths() {
        check("", &[]);
        check("1,7,0,2;a{}", &[("a", "", "{}", 7)]);
        check("1,7,2,2;a[]{}3,-8,0,8;;,1{\"ü\":1}", &[("a", "[]", "{}", 7), (";,1", "", "{\"ü\":1}", -8)]);
        check("1,7,0,65537;a1,8,0,2;b{}", &[("a", "", "", 7), ("b", "", "{}", 8)]);
    }

    #[test]
    fn what_is_no_record_is_no_panic() {
        for text in ["x", "1,2;", "1,2,3,4;", "1,7,0,2;a{", "1,7,0,-2;a{}", "1,7,0,1;aü", "9223372036854775807,1,1,1;"]
        {
            assert!(entries(text).is_none(), "{text}");
        }
    }
}
