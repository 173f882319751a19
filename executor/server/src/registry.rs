//! What the registries have in common: create, read, update, delete and query, over documents in the store.
//!
//! An [`Entity`] says what a record of one kind must hold and what is read back beside it; everything else is here
//! once, so that all kinds answer alike. A change is made to the revision that it was computed from, and made again on
//! what somebody else left in between: no change is lost, and none is half of two.

mod lean;
mod search;

use std::{future::Future, sync::Arc};

use lictor_model::{Entry, FieldError, Query, Update};
use serde_json::{Map, Value};

pub use self::search::Found;
use crate::{
    error::{Error, ErrorKind},
    store::{Candidate, Kind, Record, Store},
};

/// One kind of record.
pub trait Entity: Send + Sync + 'static {
    /// The table of its records.
    const KIND: Kind;
    /// What a record is called in messages.
    const NOUN: &'static str;
    /// The field of a record that holds its id.
    const ID: &'static str;
    /// The fields that [`Entity::computed`] gives; no stored document has them, but for kinds where it overrides.
    const COMPUTED: &'static [&'static str] = &[];
    /// Whether what is computed takes the place of something stored.
    const OVERRIDES: bool = false;

    /// Reads a record as it was sent.
    fn parse(&self, body: Value) -> Result<Entry, FieldError>;

    /// What is said of an id that no record has.
    fn not_found(&self, id: &str) -> String;

    /// The path that `path` of an update stands for, where that is another one.
    fn renamed(_path: &str) -> Option<String> {
        None
    }

    /// What is read back beside the stored fields of a record that a query looks at. Must not wait.
    fn computed(&self, _candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        Ok(Map::new())
    }

    /// One record as clients see it: its stored fields, and those that are computed.
    fn read(&self, store: &Store, id: &str) -> impl Future<Output = Result<Option<Map<String, Value>>, Error>> + Send {
        async { Ok(store.read(Self::KIND, id).await?.map(|record| record.document)) }
    }
}

/// The records of one kind. Cheap to clone.
pub struct Registry<E> {
    store: Store,
    entity: Arc<E>,
}

impl<E> Clone for Registry<E> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), entity: Arc::clone(&self.entity) }
    }
}

/// How a new record fared.
#[derive(Clone, Debug)]
pub struct Created {
    /// What was asked for, and is there now.
    pub entry: Entry,
    /// Its revision, if it was not there before.
    pub revision: Option<i64>,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What was there.
    pub before: Record,
    /// What is there now, maybe under another id.
    pub entry: Entry,
    /// Its revision.
    pub revision: i64,
}

impl<E: Entity> Registry<E> {
    /// The records of this kind in `store`.
    pub fn new(store: Store, entity: E) -> Self {
        Self { store, entity: Arc::new(entity) }
    }

    /// What this kind is.
    pub fn entity(&self) -> &E {
        &self.entity
    }

    /// Stores what a client posted. The same record again is fine, another one under its id is a conflict.
    pub async fn create(&self, body: Value) -> Result<Created, Error> {
        self.insert(self.entity.parse(body)?).await
    }

    /// Stores a record that passed every check.
    pub async fn insert(&self, entry: Entry) -> Result<Created, Error> {
        loop {
            let revision = self.store.insert(E::KIND, &entry.id, &entry.document).await?;
            if revision.is_some() {
                return Ok(Created { entry, revision });
            }
            match self.store.read(E::KIND, &entry.id).await? {
                Some(there) if there.document == entry.document => return Ok(Created { entry, revision: None }),
                Some(_) => return Err(taken::<E>(&entry.id, "change that one with PUT, or give this one another id")),
                // Removed in between.
                None => {}
            }
        }
    }

    /// A record as it is stored.
    pub async fn stored(&self, id: &str) -> Result<Record, Error> {
        let found = self.store.read(E::KIND, id).await?;
        found.ok_or_else(|| self.missing(id))
    }

    /// A record as clients see it.
    pub async fn read(&self, id: &str) -> Result<Map<String, Value>, Error> {
        let found = self.entity.read(&self.store, id).await?;
        found.ok_or_else(|| self.missing(id))
    }

    /// Replaces or changes a record. A change of its identity moves it, unless the place is taken.
    pub async fn update(&self, id: &str, body: Value) -> Result<Changed, Error> {
        self.update_if(id, body, |_, _| Ok(())).await
    }

    /// The same, if `allow` has nothing against what comes of it.
    pub async fn update_if(
        &self,
        id: &str,
        body: Value,
        allow: impl Fn(&Map<String, Value>, &Value) -> Result<(), Error>,
    ) -> Result<Changed, Error> {
        let update = Update::parse(body)?.renamed(E::renamed)?;
        let apply = |document: Map<String, Value>| {
            let after = update.apply(document.clone())?;
            allow(&document, &after)?;
            Ok(after)
        };
        let mut changed = self.change_or_fail(id, apply).await?;
        if let Update::Change(_) = update {
            let asked = update.apply(changed.before.document.clone())?;
            let ignored = ignored::<E>(&asked, &changed);
            changed.entry.warnings.extend(ignored);
        }
        Ok(changed)
    }

    /// Changes a record by `change`, which is asked again if somebody else changed it in between.
    pub async fn change(
        &self,
        id: &str,
        change: impl Fn(Map<String, Value>) -> Result<Value, FieldError>,
    ) -> Result<Changed, Error> {
        self.change_or_fail(id, |document| Ok(change(document)?)).await
    }

    async fn change_or_fail(
        &self,
        id: &str,
        change: impl Fn(Map<String, Value>) -> Result<Value, Error>,
    ) -> Result<Changed, Error> {
        loop {
            let before = self.stored(id).await?;
            let entry = self.entity.parse(change(before.document.clone())?)?;
            let done = self.store.replace(E::KIND, id, before.revision, &entry.id, &entry.document).await;
            match done {
                Ok(Some(revision)) => return Ok(Changed { before, entry, revision }),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    return Err(taken::<E>(&entry.id, "this change would put another one in its place"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes a record.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        if self.store.remove(E::KIND, id).await? { Ok(()) } else { Err(self.missing(id)) }
    }

    /// The records that match, as clients see them.
    pub async fn query(&self, query: Query) -> Result<Found, Error> {
        search::run(self, query).await
    }

    /// That no record has this id.
    pub fn missing(&self, id: &str) -> Error {
        Error::new(ErrorKind::NotFound, self.entity.not_found(id))
    }
}

/// A warning for each computed field that an update would change: `asked` is what would come of it.
fn ignored<E: Entity>(asked: &Value, changed: &Changed) -> Vec<String> {
    let says_other = |name: &&&str| {
        let value = asked.get(**name);
        value.is_some() && value != changed.before.document.get(**name) && value != changed.entry.document.get(**name)
    };
    let computed = E::COMPUTED.iter().chain([&E::ID]).filter(says_other);
    computed.map(|name| format!("`{name}` is computed: what the update says of it has no effect")).collect()
}

fn taken<E: Entity>(id: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("there is already another {} `{id}`: {advice}", E::NOUN))
}

#[cfg(test)]
mod tests;
