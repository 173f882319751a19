//! Going through the records of a registry, or through those that may match.
//!
//! Records are read while those read before are looked at on a thread for blocking work: a scan of everything uses two
//! processors, and never one of those that answer calls. What waits is bounded, and all of it is one state.

use std::{borrow::Cow, ops::ControlFlow};

use lictor_model::{Digest, filter::Narrow};

use super::{
    Kind, Store,
    chunks::{Piece, Source},
    db::Tx,
    loads::{LoadState, read_load},
    narrow::candidates,
    terms::decode,
};
use crate::error::Error;

/// What a scan shows of a record.
pub struct Candidate<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The document's JSON, as it was stored.
    pub document: &'a str,
    /// Its revision.
    pub revision: i64,
    load: &'a str,
}

impl Candidate<'_> {
    /// Of a policy: the component that loading found, and how loading stands.
    pub fn load(&self) -> Result<(Option<Digest>, LoadState), Error> {
        read_load(self.load)
    }
}

/// What looks at the records of a scan.
pub trait Visit: Send + 'static {
    /// Looks at one; `Break` ends the scan.
    fn visit(&mut self, candidate: &Candidate<'_>) -> Result<ControlFlow<()>, Error>;

    /// Whether they must come in the order of their ids. Who goes through most of them anyway, and needs no order,
    /// gets them sooner.
    fn in_order(&self) -> bool {
        true
    }
}

impl Store {
    /// Shows `visit` every record that is within the bounds, and maybe more, and returns it.
    pub async fn scan<V: Visit>(&self, kind: Kind, narrow: &Narrow, visit: V) -> Result<V, Error> {
        let mut tx = self.db.snapshot().await?;
        if let Some(ids) = candidates(&mut tx, kind, narrow).await? {
            return go_through(tx, Source::these(kind, ids), visit).await;
        }
        // Who waits for the turn to go through everything keeps no connection from the others.
        tx.rollback().await?;
        let _turn = self.scans.acquire().await;
        let mut tx = self.db.snapshot().await?;
        let source =
            if visit.in_order() { Source::in_order(kind) } else { Source::in_any_order(&mut tx, kind).await? };
        go_through(tx, source, visit).await
    }
}

async fn go_through<V: Visit>(mut tx: Tx, mut source: Source, mut visit: V) -> Result<V, Error> {
    let mut next = source.next(&mut tx).await?;
    while let Some(piece) = next {
        let looking = tokio::task::spawn_blocking(move || look(visit, &piece));
        next = source.next(&mut tx).await?;
        let flow;
        (visit, flow) = looking.await.map_err(|error| Error::internal("a scan broke", error))??;
        if flow.is_break() {
            break;
        }
    }
    tx.rollback().await?;
    Ok(visit)
}

fn look<V: Visit>(mut visit: V, piece: &Piece) -> Result<(V, ControlFlow<()>), Error> {
    for raw in piece.records() {
        let (document, revision, load) = (raw.document, raw.revision, raw.load);
        if visit.visit(&Candidate { id: decode(raw.id), document, revision, load })?.is_break() {
            return Ok((visit, ControlFlow::Break(())));
        }
    }
    Ok((visit, ControlFlow::Continue(())))
}
