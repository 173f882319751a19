//! Records in bulk, as a scan reads them.
//!
//! PERF: on SQLite a row for each record would cost more than what is in it, for it comes from another thread, which
//! it wakes. So many records are strung together in one text, each behind a head with the lengths of its parts:
//! `LENGTH OF ID,REVISION,LENGTH OF LOAD,LENGTH OF DOCUMENT;IDLOADDOCUMENT`, in bytes. PostgreSQL is faster with rows,
//! and they are strung together here. A large document is left out, and read by itself when it is its turn.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use serde_json::Value;

use super::{
    Kind,
    db::{Arg, Row, Tx},
    narrow::within,
    terms::encode,
};
use crate::error::Error;

/// Records that are read together.
const CHUNK: usize = 512;
/// Blocks of a table of PostgreSQL that are read together: a megabyte.
const BLOCKS: i64 = 128;
/// Bytes from which on a document is read by itself.
const LARGE: usize = 64 << 10;

/// Records that were read together.
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
    /// The records in the table's blocks from this one to that one.
    Blocks(i64, i64),
    /// These records.
    These(VecDeque<String>),
    Nothing,
}

impl Source {
    /// All records in the order of their ids.
    pub(super) fn in_order(kind: Kind) -> Self {
        Self::of(kind, Left::Behind(String::new()))
    }

    /// The records with these ids, which are in order.
    pub(super) fn these(kind: Kind, ids: Vec<String>) -> Self {
        Self::of(kind, Left::These(ids.into()))
    }

    /// All records, in the order in which they are read the fastest.
    ///
    /// PERF: in the order of the ids, PostgreSQL goes to a block of the table for each record, and to each block again
    /// and again. SQLite keeps its records in that order.
    pub(super) async fn in_any_order(tx: &mut Tx, kind: Kind) -> Result<Self, Error> {
        if !tx.is_postgres() {
            return Ok(Self::in_order(kind));
        }
        let sql = "SELECT pg_relation_size(CAST($1 AS regclass)) / CAST(current_setting('block_size') AS BIGINT)";
        let blocks = tx.fetch(sql, &[kind.table().into()]).await?.first().map_or(Ok(0), |row| row.int(0))?;
        Ok(Self::of(kind, Left::Blocks(0, blocks)))
    }

    fn of(kind: Kind, left: Left) -> Self {
        Self { kind, left, text: "".into(), entries: VecDeque::new() }
    }

    /// The next records; none if there are no more.
    pub(super) async fn next(&mut self, tx: &mut Tx) -> Result<Option<Piece>, Error> {
        // A block may hold nothing but what was removed.
        while self.entries.is_empty() && !matches!(self.left, Left::Nothing) {
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
        let (condition, values) = self.left.condition(tx.is_postgres());
        let Some(condition) = condition else { return Ok(()) };
        let args: Vec<_> = values.iter().map(Arg::from).collect();
        let rows = tx.fetch(&statement(self.kind, &condition, tx.is_postgres()), &args).await?;
        let (text, mut entries) = if tx.is_postgres() { string_together(&rows)? } else { strung_together(&rows)? };
        entries.sort_by(|one, other| part(&text, &one.id).cmp(part(&text, &other.id)));
        if let Left::Behind(last) = &mut self.left {
            match entries.last() {
                Some(entry) if CHUNK <= entries.len() => part(&text, &entry.id).clone_into(last),
                _ => self.left = Left::Nothing,
            }
        }
        self.text = text;
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

impl Left {
    /// The condition of what is to be read next, with its values; none if nothing is.
    fn condition(&mut self, postgres: bool) -> (Option<String>, Vec<String>) {
        match self {
            Self::Behind(last) => (Some(format!("id > $1 ORDER BY id LIMIT {CHUNK}")), vec![std::mem::take(last)]),
            Self::Blocks(next, end) if *next < *end => {
                let from = *next;
                *next = from.saturating_add(BLOCKS);
                let range = [from, *next].map(|block| format!("({block},0)"));
                (Some("ctid >= CAST($1 AS tid) AND ctid < CAST($2 AS tid)".into()), range.into())
            }
            Self::These(ids) if !ids.is_empty() => {
                let ids: Vec<Value> = ids.drain(..CHUNK.min(ids.len())).map(|id| Value::from(encode(&id))).collect();
                (Some(format!("id {} ORDER BY id", within(postgres, "$1"))), vec![Value::from(ids).to_string()])
            }
            Self::Blocks(..) | Self::These(_) | Self::Nothing => {
                *self = Self::Nothing;
                (None, Vec::new())
            }
        }
    }
}

fn statement(kind: Kind, condition: &str, postgres: bool) -> String {
    let load = if kind == Kind::Policy { "COALESCE(load, '')" } else { "''" };
    let document = format!("CASE WHEN octet_length(document) <= {LARGE} THEN document ELSE '' END");
    let table = kind.table();
    if postgres {
        return format!(
            "SELECT id, revision, {load}, {document}, octet_length(document) > {LARGE} FROM {table} WHERE {condition}"
        );
    }
    format!(
        "SELECT string_agg(record, '') FROM (
             SELECT octet_length(id) || ',' || revision || ',' || octet_length({load}) || ',' || octet_length(document)
                 || ';' || id || {load} || {document} AS record
             FROM {table} WHERE {condition}
         )"
    )
}

/// The records of rows, as text.
fn string_together(rows: &[Row]) -> Result<(Arc<str>, Vec<Entry>), Error> {
    let (mut text, mut entries) = (String::with_capacity(1 << 20), Vec::with_capacity(rows.len()));
    for row in rows {
        let mut add = |part: &str| {
            let start = text.len();
            text.push_str(part);
            start..text.len()
        };
        let (id, load, document) = (add(row.text(0)?), add(row.text(2)?), add(row.text(3)?));
        entries.push(Entry { id, load, document, revision: row.int(1)?, large: row.flag(4)? });
    }
    Ok((text.into(), entries))
}

/// The records of the one row that has them all.
fn strung_together(rows: &[Row]) -> Result<(Arc<str>, Vec<Entry>), Error> {
    let text = rows.first().map_or(Ok(None), |row| row.maybe_text(0))?.unwrap_or_default();
    let damaged = || Error::internal("the registry cannot be read", "records that run into each other");
    Ok((text.into(), entries(text).ok_or_else(damaged)?))
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
