//! How the loading of each policy stands.
//!
//! It is noted for one revision of the record, and gone when that changes: a policy of which nothing is noted is not
//! loaded yet. It stands beside the document, as a JSON list, so that who goes through the records finds it there.

use lictor_model::Digest;
use serde_json::{Map, Value, json};

use super::{
    Store,
    documents::document_of,
    terms::{decode, encode},
};
use crate::error::Error;

/// A policy as it is stored.
#[derive(Clone, Debug)]
pub struct PolicyRow {
    /// The record, normalised.
    pub document: Map<String, Value>,
    /// Another one with every change of the record, and never one that was there before.
    pub revision: i64,
    /// The component that loading found.
    pub component: Option<Digest>,
    /// How loading stands.
    pub load: LoadState,
}

/// How the loading of a policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Not finished.
    Pending,
    /// It can run.
    Ready,
    /// It cannot.
    Failed {
        /// A stable code.
        code: String,
        /// For a person.
        message: String,
    },
}

impl Store {
    /// The policy with this uri.
    pub async fn policy(&self, uri: &str) -> Result<Option<PolicyRow>, Error> {
        let sql = "SELECT document, revision, load FROM policies WHERE id = $1";
        let Some(row) = self.db.fetch_one(sql, &[(&*encode(uri)).into()]).await? else { return Ok(None) };
        let (component, load) = read_load(row.maybe_text(2)?.unwrap_or_default())?;
        Ok(Some(PolicyRow { document: document_of(row.text(0)?)?, revision: row.int(1)?, component, load }))
    }

    /// The uris of policies whose loading is not finished.
    pub async fn pending(&self) -> Result<Vec<String>, Error> {
        let rows = self.db.fetch("SELECT id FROM policies WHERE load IS NULL ORDER BY id", &[]).await?;
        rows.iter().map(|row| Ok(decode(row.text(0)?).into_owned())).collect()
    }

    /// Notes how the loading of one revision ended; a component that was found before stays if none is given. Nothing
    /// happens if the record has changed since.
    pub async fn loaded(
        &self,
        uri: &str,
        revision: i64,
        component: Option<Digest>,
        load: &LoadState,
    ) -> Result<(), Error> {
        let (state, code, message) = match load {
            LoadState::Pending => return Ok(()),
            LoadState::Ready => ("ready", None, None),
            LoadState::Failed { code, message } => ("failed", Some(code), Some(message)),
        };
        let uri = encode(uri);
        let mut tx = self.db.begin().await?;
        let sql = "SELECT load FROM policies WHERE id = $1 AND revision = $2";
        if let Some(row) = tx.fetch(sql, &[(&*uri).into(), revision.into()]).await?.first() {
            let before = read_load(row.maybe_text(0)?.unwrap_or_default())?.0;
            let component = component.or(before).map(|digest| digest.to_string());
            let load = json!([component, state, code, message]).to_string();
            let sql = "UPDATE policies SET load = $3 WHERE id = $1 AND revision = $2";
            tx.execute(sql, &[(&*uri).into(), revision.into(), (&load).into()]).await?;
        }
        tx.commit().await
    }
}

/// The component and the state, from the text that is noted; from an empty one if nothing is.
pub(super) fn read_load(text: &str) -> Result<(Option<Digest>, LoadState), Error> {
    if text.is_empty() {
        return Ok((None, LoadState::Pending));
    }
    let (component, state, code, message): (Option<String>, String, Option<String>, Option<String>) =
        serde_json::from_str(text).map_err(|error| Error::internal("how a policy loaded cannot be read", error))?;
    let load = match state.as_str() {
        "ready" => LoadState::Ready,
        _ => LoadState::Failed { code: code.unwrap_or_default(), message: message.unwrap_or_default() },
    };
    Ok((component.and_then(|text| text.parse().ok()), load))
}
