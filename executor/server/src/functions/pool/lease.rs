//! A replica that somebody has.

use std::sync::Arc;

use super::{Pool, Resident};
use crate::error::Error;

/// What a replica was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A call.
    Call,
    /// Something of the server itself.
    Us,
}

/// Where a replica belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u32,
    /// Which of the places of that number that there were.
    pub(super) made: u64,
}

/// A replica until it is given back, which dropping this does.
pub(in crate::functions) struct Lease<R: Resident> {
    /// None once it was given back.
    pool: Option<Arc<Pool<R>>>,
    place: Place,
    replica: Option<R>,
    whose: For,
}

impl<R: Resident> Lease<R> {
    pub(super) fn new(pool: &Arc<Pool<R>>, place: Place, replica: R, whose: For) -> Self {
        Self { pool: Some(Arc::clone(pool)), place, replica: Some(replica), whose }
    }

    /// Its number.
    pub(in crate::functions) fn number(&self) -> u32 {
        self.place.number
    }

    /// The replica.
    pub(in crate::functions) fn replica(&mut self) -> Result<&mut R, Error> {
        self.replica.as_mut().ok_or_else(|| Error::internal("the function cannot be called", "a lease has no replica"))
    }

    /// Puts another replica in the place of this one, and returns it. The other one is given back.
    pub(in crate::functions) fn exchange(&mut self, other: R) -> Option<R> {
        self.replica.replace(other)
    }

    /// Ends the replica: another one is to take its place.
    pub(in crate::functions) fn condemn(mut self) {
        self.replica = None;
    }

    /// The replica alone, of which nothing is given back.
    pub(super) fn defuse(mut self) -> Option<R> {
        self.pool = None;
        self.replica.take()
    }
}

impl<R: Resident> Drop for Lease<R> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(self.place, self.replica.take(), self.whose);
        }
    }
}
