//! A component as the archive that a policy record points to.
//!
//! The same component gives the same bytes on every machine, so that a digest in a record can be checked by building
//! again: no clock, no permissions of this machine, no platform in the archive.

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Where the component is in the archive.
const ENTRY: &str = "code/policy.wasm";

/// Why a component did not become an archive.
#[derive(Debug, thiserror::Error)]
#[error("the archive could not be written")]
pub struct PackageError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A zip archive that holds `component` as `code/policy.wasm`.
pub fn package(component: &[u8]) -> Result<Vec<u8>, PackageError> {
    archive([(ENTRY, component)])
}

/// A zip archive of these files, in this order.
pub(crate) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, PackageError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, options).map_err(|e| PackageError(e.into()))?;
        zip.write_all(bytes).map_err(|e| PackageError(e.into()))?;
    }
    Ok(zip.finish().map_err(|e| PackageError(e.into()))?.into_inner())
}

/// The digest of `bytes` as records write it: `sha256:` and 64 hex digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn holds_the_component_and_nothing_else() {
        let component: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let archive = package(&component).unwrap();
        assert!(archive.len() < component.len() / 2);
        let mut zip = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        assert_eq!(zip.len(), 1);
        assert_eq!(zip.by_index(0).unwrap().name().unwrap(), ENTRY);
        let mut inside = Vec::new();
        zip.by_index(0).unwrap().read_to_end(&mut inside).unwrap();
        assert_eq!(inside, component);
    }

    #[test]
    fn same_component_gives_the_same_bytes() {
        let archive = package(b"component").unwrap();
        assert_eq!(package(b"component").unwrap(), archive);
        // A day in the archive would make another one tomorrow.
        let mut zip = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        assert_eq!(zip.by_index(0).unwrap().last_modified(), Some(DateTime::DEFAULT));
    }

    #[test]
    fn digest_is_the_usual_sha256() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
