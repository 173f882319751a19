//! A database for models: one for all inputs of a thread, which leave nothing behind.

use lictor::store::{Location, Store};
use tempfile::TempDir;

use crate::RUNTIME;

struct Place {
    store: Store,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::File(folder.path().join("lictor.db"));
        let store = RUNTIME.block_on(Store::open(&location)).expect("a database");
        Self { store, _folder: folder }
    }
}

thread_local! {
    static PLACE: Place = Place::new();
}

/// The one of this thread.
pub(crate) fn store() -> Store {
    PLACE.with(|place| place.store.clone())
}
