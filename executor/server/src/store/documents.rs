//! The records of the registries: one table for each kind, all of the same shape.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use lictor_model::json;
use serde_json::{Map, Value};

use super::{
    Kind, Record, Store,
    db::{Row, Tx},
    terms::{self, decode, encode},
};
use crate::error::{Error, ErrorKind};

/// Ids that one statement asks about.
const MAX_ASKED: usize = 500;
/// Records that are read at once where all of them are.
const BATCH: i64 = 500;

impl Store {
    /// Stores a record that is not there yet. Returns its revision, or none if the id is taken.
    pub async fn insert(&self, kind: Kind, id: &str, document: &Map<String, Value>) -> Result<Option<i64>, Error> {
        let mut tx = self.db.begin().await?;
        let revision = self.insert_within(&mut tx, kind, id, document).await?;
        if revision.is_some() {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        Ok(revision)
    }

    /// See [`Store::insert`]; where the id is taken, nothing was done.
    pub(super) async fn insert_within(
        &self,
        tx: &mut Tx,
        kind: Kind,
        id: &str,
        document: &Map<String, Value>,
    ) -> Result<Option<i64>, Error> {
        let (revision, id) = (new_revision(), encode(id));
        let sql = format!(
            "INSERT INTO {} (id, document, revision) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            kind.table()
        );
        if tx.execute(&sql, &[(&*id).into(), (&text_of(document)).into(), revision.into()]).await? == 0 {
            return Ok(None);
        }
        terms::put(tx, kind, &id, document).await?;
        self.announce(tx, kind, &id).await?;
        if kind == Kind::Policy {
            // What a call of an earlier policy of this uri wrote after that was removed is not its.
            self.remove_context(tx, &id).await?;
            self.remove_shadow_within(tx, &id).await?;
        }
        Ok(Some(revision))
    }

    /// The record with this id.
    pub async fn read(&self, kind: Kind, id: &str) -> Result<Option<Record>, Error> {
        let sql = format!("SELECT id, document, revision FROM {} WHERE id = $1", kind.table());
        let row = self.db.fetch_one(&sql, &[(&*encode(id)).into()]).await?;
        row.map(|row| record(&row)).transpose()
    }

    /// The revision of the record with this id.
    pub async fn revision(&self, kind: Kind, id: &str) -> Result<Option<i64>, Error> {
        let sql = format!("SELECT revision FROM {} WHERE id = $1", kind.table());
        let row = self.db.fetch_one(&sql, &[(&*encode(id)).into()]).await?;
        row.map(|row| row.int(0)).transpose()
    }

    /// Those of the ids that no record has.
    pub async fn missing<'a>(&self, kind: Kind, ids: &[&'a str]) -> Result<Vec<&'a str>, Error> {
        let mut there = HashSet::new();
        for ids in ids.chunks(MAX_ASKED) {
            let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
            let sql = format!("SELECT id FROM {} WHERE id IN ({})", kind.table(), places.join(", "));
            let ids: Vec<_> = ids.iter().map(|id| encode(id)).collect();
            let args: Vec<_> = ids.iter().map(|id| (&**id).into()).collect();
            for row in self.db.fetch(&sql, &args).await? {
                there.insert(decode(row.text(0)?).into_owned());
            }
        }
        Ok(ids.iter().copied().filter(|id| !there.contains(*id)).collect())
    }

    /// Puts `document` in the place of revision `revision` of `id`, under the id `new_id`. Returns the new revision, or
    /// none if there is no such revision any more; an error if `new_id` is taken.
    pub async fn replace(
        &self,
        kind: Kind,
        id: &str,
        revision: i64,
        new_id: &str,
        document: &Map<String, Value>,
    ) -> Result<Option<i64>, Error> {
        let mut tx = self.db.begin().await?;
        let done = self.replace_within(&mut tx, kind, (id, revision), new_id, document).await;
        match done {
            Ok(Some(_)) => tx.commit().await?,
            // The first error is the one to tell.
            _ => drop(tx.rollback().await),
        }
        done
    }

    /// See [`Store::replace`], of an id and its revision; where there is no new revision, the transaction must be undone.
    pub(super) async fn replace_within(
        &self,
        tx: &mut Tx,
        kind: Kind,
        (id, revision): (&str, i64),
        new_id: &str,
        document: &Map<String, Value>,
    ) -> Result<Option<i64>, Error> {
        let (old, new, next) = (encode(id), encode(new_id), new_revision());
        let load = if kind == Kind::Policy { ", load = NULL" } else { "" };
        let sql = format!(
            "UPDATE {} SET id = $1, document = $2, revision = $3{load} WHERE id = $4 AND revision = $5",
            kind.table()
        );
        let text = text_of(document);
        let args = [(&*new).into(), (&text).into(), next.into(), (&*old).into(), revision.into()];
        match tx.execute(&sql, &args).await {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {
                return Err(Error::new(ErrorKind::Conflict, format!("there is already a {} `{new_id}`", kind.name())));
            }
            Err(error) => return Err(error),
        }
        terms::remove(tx, kind, &old).await?;
        terms::put(tx, kind, &new, document).await?;
        self.announce(tx, kind, &old).await?;
        if old != new {
            self.announce(tx, kind, &new).await?;
            if kind == Kind::Policy {
                self.move_context(tx, &old, &new).await?;
                self.move_shadow(tx, &old, &new).await?;
            }
        }
        Ok(Some(next))
    }

    /// Removes a record, and with a policy its context; false if there is none.
    pub async fn remove(&self, kind: Kind, id: &str) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let found = self.remove_within(&mut tx, kind, id).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// See [`Store::remove`].
    pub(super) async fn remove_within(&self, tx: &mut Tx, kind: Kind, id: &str) -> Result<bool, Error> {
        let id = encode(id);
        let sql = format!("DELETE FROM {} WHERE id = $1", kind.table());
        if tx.execute(&sql, &[(&*id).into()]).await? == 0 {
            return Ok(false);
        }
        terms::remove(tx, kind, &id).await?;
        if kind == Kind::Policy {
            self.remove_context(tx, &id).await?;
            self.remove_shadow_within(tx, &id).await?;
        }
        self.announce(tx, kind, &id).await?;
        Ok(true)
    }
}

/// Works out again what the records of this kind are found by.
pub(super) async fn index_again(tx: &mut Tx, kind: Kind) -> Result<(), Error> {
    tx.execute("DELETE FROM terms WHERE kind = $1", &[kind.name().into()]).await?;
    let sql = format!("SELECT id, document, revision FROM {} WHERE id > $1 ORDER BY id LIMIT $2", kind.table());
    let mut last = String::new();
    loop {
        let rows = tx.fetch(&sql, &[(&last).into(), BATCH.into()]).await?;
        for row in &rows {
            let record = record(row)?;
            terms::put(tx, kind, &encode(&record.id), &record.document).await?;
        }
        match rows.last() {
            Some(row) => row.text(0)?.clone_into(&mut last),
            None => return Ok(()),
        }
    }
}

/// A number that no record had before, also not one that was deleted: what finished loading late must not be taken for
/// the loading of its successor.
pub(super) fn new_revision() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    if last < now { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 }
}

pub(super) fn text_of(document: &Map<String, Value>) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

/// What a stored text says.
pub fn document_of(text: &str) -> Result<Map<String, Value>, Error> {
    let damaged = |what: String| Error::internal("a stored record cannot be read", what);
    match json::parse(text).map_err(|error| damaged(error.to_string()))? {
        Value::Object(document) => Ok(document),
        _ => Err(damaged("not an object".into())),
    }
}

/// The record of a row that begins with `id, document, revision`.
fn record(row: &Row) -> Result<Record, Error> {
    Ok(Record { id: decode(row.text(0)?).into_owned(), document: document_of(row.text(1)?)?, revision: row.int(2)? })
}
