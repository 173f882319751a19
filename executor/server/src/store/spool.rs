//! A file on its way into the database: kept on disk as it comes, so that neither memory nor a transaction waits for a
//! slow client. It has no name there, and is gone when the process is.

use std::{fs::File, io::Write as _, os::unix::fs::FileExt as _, path::Path};

use bytes::Bytes;
use lictor_model::{Digest, digest::Hasher};

use crate::error::Error;

/// Bytes of a file in one row of the database.
pub(super) const CHUNK: u64 = 1 << 20;

/// What came of a file so far.
pub struct Spool {
    file: File,
    hasher: Hasher,
    size: u64,
}

/// A file that is there as a whole.
pub struct Spooled {
    file: File,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
}

fn failed(error: std::io::Error) -> Error {
    Error::internal("a file cannot be kept in the data directory", error)
}

/// Runs what reads and writes a disk where that holds up nobody else.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("a file was not kept", error))?.map_err(failed)
}

impl Spool {
    /// An empty one, on the disk that `folder` is on.
    pub async fn new(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_owned();
        let file = blocking(move || tempfile::tempfile_in(folder)).await?;
        Ok(Self { file, hasher: Hasher::default(), size: 0 })
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    pub async fn push(self, bytes: Bytes) -> Result<Self, Error> {
        let Self { mut file, mut hasher, size } = self;
        blocking(move || {
            file.write_all(&bytes)?;
            hasher.push(&bytes);
            Ok(Self { file, hasher, size: size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) })
        })
        .await
    }

    /// Says that nothing more comes.
    pub fn finish(self) -> Spooled {
        Spooled { file: self.file, digest: self.hasher.finish(), size: self.size }
    }
}

impl Spooled {
    /// The bytes that belong into row `idx`; none after the last.
    pub(super) async fn chunk(&self, idx: u64) -> Result<Option<Vec<u8>>, Error> {
        let start = idx.saturating_mul(CHUNK);
        let length = self.size.saturating_sub(start).min(CHUNK);
        if length == 0 {
            return Ok(None);
        }
        let file = self.file.try_clone().map_err(failed)?;
        let read = blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact_at(&mut bytes, start)?;
            Ok(bytes)
        });
        read.await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_in_comes_out_in_chunks_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<u8> = (0..CHUNK * 2 + 5).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let mut spool = Spool::new(folder.path()).await.unwrap();
        for part in all.chunks(700_001) {
            spool = spool.push(Bytes::copy_from_slice(part)).await.unwrap();
        }
        let spooled = spool.finish();
        assert_eq!((spooled.digest, spooled.size), (Digest::of(&all), all.len() as u64));
        let mut back = Vec::new();
        for idx in 0..3 {
            back.extend(spooled.chunk(idx).await.unwrap().unwrap());
        }
        assert!(back == all && spooled.chunk(3).await.unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
