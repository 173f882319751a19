//! The records of assets among the other registries.

use lictor_model::{
    AssetDraft, Entry, FieldError,
    asset::{AssetError, AssetKind, PUBLIC_URL},
    field::shorten,
};
use serde_json::{Map, Value, json};

use super::{id_of, kind_of};
use crate::{
    error::{Error, ErrorKind},
    registry::Entity,
    store::{Candidate, Kind, Record, Store, document_of},
};

/// What is said of assets as records.
pub(super) struct Entries {
    base: String,
}

impl Entries {
    /// Of the server that others find at `base`.
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned() }
    }

    /// Where others find the file of the asset with this id.
    pub(super) fn public_url(&self, id: &str) -> String {
        format!("{}/asset-object/{id}", self.base)
    }

    /// What is read back beside a stored record: where a file is depends on this server's address.
    fn place(&self, document: &Map<String, Value>) -> Map<String, Value> {
        match kind_of(document) {
            AssetKind::File => Map::from_iter([(PUBLIC_URL.to_owned(), json!(self.public_url(id_of(document))))]),
            AssetKind::External => Map::new(),
        }
    }
}

pub(super) fn not_found(uri: &str) -> Error {
    Error::new(ErrorKind::NotFound, message(uri))
}

fn message(uri: &str) -> String {
    format!("Asset not found: there is no asset `{}`", shorten(uri, 200))
}

impl Entity for Entries {
    const KIND: Kind = Kind::Asset;
    const NOUN: &'static str = "asset";
    const ID: &'static str = "asset_uri";
    const COMPUTED: &'static [&'static str] = &[PUBLIC_URL];

    fn parse(&self, body: Value) -> Result<Entry, FieldError> {
        let parsed = AssetDraft::parse(body, AssetKind::External);
        let draft = parsed.map_err(|error| match error {
            AssetError::Field(error) => error,
            other => FieldError::new(other.field(), other.to_string()),
        })?;
        Ok(Entry { id: draft.uri.as_str().into(), document: draft.document, warnings: draft.warnings })
    }

    fn not_found(&self, id: &str) -> String {
        message(id)
    }

    fn computed(&self, candidate: &Candidate<'_>) -> Result<Map<String, Value>, Error> {
        Ok(self.place(&document_of(candidate.document)?))
    }

    async fn read(&self, store: &Store, id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let Some(Record { mut document, .. }) = store.read(Kind::Asset, id).await? else { return Ok(None) };
        document.extend(self.place(&document));
        Ok(Some(document))
    }
}
