//! From a code reference to an asset: what loading asks before it fetches anything.
//!
//! A URL under one of this server's own addresses is never fetched: it names an asset, or nothing. What is not here now
//! may be uploaded later, so its absence is no lasting failure.

use std::ops::ControlFlow;

use futures_util::future::BoxFuture;
use lictor_loader::{Asset, LoadCode, LoadError};
use lictor_model::{
    CodeRef, HostUri, Narrow, asset,
    code::AssetRef,
    filter::{Bound, Test},
};
use serde_json::{Map, Value};

use super::{Assets, id_of};
use crate::{
    error::Error,
    store::{Candidate, Kind, Visit, document_of},
};

/// An asset may be at the URL of another one, which may be too; not for ever.
const MAX_HOPS: usize = 4;

impl lictor_loader::Assets for Assets {
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>> {
        Box::pin(self.resolve(code))
    }
}

/// What an asset turned out to be.
enum Is {
    File(bytes::Bytes),
    At(CodeRef),
}

impl Assets {
    async fn resolve(&self, code: &CodeRef) -> Result<Asset, LoadError> {
        let Some(mut wanted) = self.asset_of(code) else { return Ok(Asset::Not) };
        for _ in 0..MAX_HOPS {
            match self.look_up(&wanted, code).await? {
                Is::File(bytes) => return Ok(Asset::Bytes(bytes)),
                Is::At(place) => match self.asset_of(&place) {
                    Some(next) => wanted = next,
                    None => return Ok(Asset::At(place)),
                },
            }
        }
        Err(unreachable(format!("`{code}` is at the URL of an asset, and that again, more than {MAX_HOPS} times")))
    }

    /// The asset that `code` names: as such, or by a URL of this server's.
    fn asset_of(&self, code: &CodeRef) -> Option<AssetRef> {
        match code {
            CodeRef::Asset(asset) => Some(asset.clone()),
            CodeRef::Http(url) => {
                let below = |own: &HostUri| own.below(url.as_str()).and_then(|path| path.strip_prefix("asset-object/"));
                let id = self.parts.own.iter().find_map(below)?;
                Some(AssetRef::Id(id.split(['?', '/']).next()?.into()))
            }
            CodeRef::File(_) | CodeRef::Path(_) | CodeRef::Python(_) => None,
        }
    }

    async fn look_up(&self, asset: &AssetRef, code: &CodeRef) -> Result<Is, LoadError> {
        let missing = || unreachable(format!("`{code}` is not in the registry of assets: upload it there"));
        let (id, document) = match asset {
            AssetRef::Id(id) => (id.to_string(), None),
            AssetRef::Uri(uri) => {
                let record = self.parts.store.read(Kind::Asset, uri).await.map_err(ours)?.ok_or_else(missing)?;
                (id_of(&record.document).to_owned(), Some(record.document))
            }
        };
        if let Some(file) = self.parts.store.asset_file(&id).await.map_err(ours)? {
            let object = self.bytes(file).await.map_err(ours)?.ok_or_else(missing)?;
            return Ok(Is::File(object.bytes));
        }
        let document = match document {
            Some(document) => document,
            None => self.by_id(&id).await.map_err(ours)?.ok_or_else(missing)?,
        };
        match asset::place(&document) {
            Ok(Some(place)) => Ok(Is::At(place)),
            _ => Err(unreachable(format!("`{code}` has neither a file nor an asset_public_url"))),
        }
    }

    async fn by_id(&self, id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let bounds = vec![Bound { field: "asset_id".into(), test: Test::OneOf(vec![id.to_owned()]) }];
        let (narrow, visit) = (Narrow { bounds }, ById { id: id.to_owned(), found: None });
        Ok(self.parts.store.scan(Kind::Asset, &narrow, visit).await?.found)
    }
}

/// Looks for the record with an id.
struct ById {
    id: String,
    found: Option<Map<String, Value>>,
}

impl Visit for ById {
    fn visit(&mut self, candidate: &Candidate<'_>) -> Result<ControlFlow<()>, Error> {
        let document = document_of(candidate.document)?;
        if id_of(&document) != self.id {
            return Ok(ControlFlow::Continue(()));
        }
        self.found = Some(document);
        Ok(ControlFlow::Break(()))
    }
}

fn unreachable(why: String) -> LoadError {
    LoadError::new(LoadCode::CodeUnreachable, why)
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
fn ours(error: Error) -> LoadError {
    match error.kind() {
        crate::error::ErrorKind::Busy => unreachable(error.message().to_owned()),
        _ => LoadError::new(LoadCode::Internal, error.chain()),
    }
}
