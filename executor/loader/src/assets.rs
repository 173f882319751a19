//! Code that a server has itself: asked for before anything is fetched.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lictor_model::CodeRef;

use crate::error::LoadError;

/// A registry of assets, as far as loading is concerned.
pub trait Assets: fmt::Debug + Send + Sync {
    /// What it has for `code`. An error where `code` names something that should be here and is not.
    fn find<'a>(&'a self, code: &'a CodeRef) -> BoxFuture<'a, Result<Asset, LoadError>>;
}

/// What a registry has for a code reference.
#[derive(Clone, Debug)]
pub enum Asset {
    /// Nothing: the reference does not name one of its assets.
    Not,
    /// The bytes.
    Bytes(Bytes),
    /// Where to fetch it, under the same rules as everything else.
    At(CodeRef),
}
