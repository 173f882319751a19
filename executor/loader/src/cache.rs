//! What is kept on disk between processes: components and compiled code, by what they are.
//!
//! ```text
//! cache/key                              32 secret bytes; whoever has them can make code that we run
//! cache/components/<sha256>.wasm         checked against its name when it is read
//! cache/artifacts/<sha256>-<engine>.aot  checked against its MAC when it is read (`sandbox::aot`)
//! ```
//!
//! The folder belongs to its owner alone. A file appears whole or not at all (written aside, synced, renamed), so
//! processes may share the folder and may die at any point. A file that is wrong is removed and made again, and a
//! folder that cannot be written only costs time: everything also works from memory.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use lictor_model::Digest;
use lictor_sandbox::aot::{Artifact, Key};
use rand::Rng as _;

use crate::error::{LoadCode, LoadError};

/// The most that all kept files may take together.
const MAX_BYTES: u64 = 8 << 30;
/// The largest single file that is read back.
const MAX_FILE: usize = 512 << 20;

/// A folder of components and compiled code.
pub struct DiskCache {
    dir: PathBuf,
    key: Key,
}

impl DiskCache {
    /// Opens or makes the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let failed = |error: io::Error| {
            let message = format!("the cache folder `{}` cannot be used: {error}", dir.display());
            LoadError::new(LoadCode::Internal, message).caused_by(error)
        };
        private_folder(dir).map_err(failed)?;
        private_folder(&dir.join("components")).map_err(failed)?;
        private_folder(&dir.join("artifacts")).map_err(failed)?;
        let key = read_or_make_key(&dir.join("key")).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), key: Key::new(key) })
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("components").join(format!("{}.wasm", digest.to_hex()))
    }

    fn artifact_path(&self, digest: &Digest, engine: &[u8; 32]) -> PathBuf {
        let engine = Digest::from_bytes(*engine).to_hex();
        let short = engine.get(..16).unwrap_or(&engine);
        self.dir.join("artifacts").join(format!("{}-{short}.aot", digest.to_hex()))
    }

    /// The component with this digest, if it is there and is what its name says.
    pub fn component(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.component_path(digest);
        let bytes = read(&path)?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        distrusted(&path, "its digest is not its name");
        None
    }

    /// Keeps a component.
    pub fn keep_component(&self, digest: &Digest, bytes: &[u8]) {
        self.keep(&self.component_path(digest), bytes);
    }

    /// The compiled code of a component for an engine, if it is there and sealed by us.
    pub fn artifact(&self, digest: &Digest, engine: [u8; 32]) -> Option<Artifact> {
        let path = self.artifact_path(digest, &engine);
        let file = File::open(&path).ok()?;
        match Artifact::unseal(&self.key, file, *digest, engine) {
            Ok(artifact) => Some(artifact),
            Err(error) => {
                distrusted(&path, &error.to_string());
                None
            }
        }
    }

    /// Whether there is compiled code of a component for an engine; whether it can be trusted is seen when it is opened.
    pub(crate) fn has_artifact(&self, digest: &Digest, engine: &[u8; 32]) -> bool {
        self.artifact_path(digest, engine).is_file()
    }

    /// Keeps compiled code.
    pub fn keep_artifact(&self, artifact: &Artifact, engine: &[u8; 32]) {
        if let Some(file) = artifact.seal(&self.key) {
            self.keep(&self.artifact_path(&artifact.component(), engine), &file);
        }
    }

    /// Writes a file whole. A failure is only logged: the next process does the work again.
    fn keep(&self, path: &Path, bytes: &[u8]) {
        if let Err(error) = write_whole(path, bytes) {
            tracing::warn!(path = %path.display(), %error, "cannot keep a file in the cache; it will be made again");
            return;
        }
        self.prune();
    }

    /// Removes the files that were not used for longest until the rest fits.
    fn prune(&self) {
        let mut files = Vec::new();
        for folder in ["components", "artifacts"] {
            for entry in fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten() {
                if let Ok(meta) = entry.metadata() {
                    files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()));
                }
            }
        }
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        if total <= MAX_BYTES {
            return;
        }
        files.sort();
        for (_, len, path) in files {
            if total <= MAX_BYTES {
                break;
            }
            tracing::info!(path = %path.display(), "the cache is full: removing the file that was made longest ago");
            drop(fs::remove_file(path));
            total = total.saturating_sub(len);
        }
    }
}

fn distrusted(path: &Path, why: &str) {
    tracing::warn!(path = %path.display(), why, "a file in the cache is not used, and removed");
    drop(fs::remove_file(path));
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let len = usize::try_from(file.metadata().ok()?.len()).ok().filter(|len| *len <= MAX_FILE)?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes).ok().map(|()| bytes)
}

/// Makes the folder if it is not there, and takes everybody else's rights on it.
fn private_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let meta = fs::metadata(dir)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; 32]> {
    if let Ok(bytes) = fs::read(path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    // Another process may make the folder's key at the same time: the first one stays.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::read(path).map(<[u8; 32]>::try_from)? {
                Ok(key) => Ok(key),
                Err(_) => {
                    refused.file.persist(path)?;
                    Ok(key)
                }
            }
        }
        Err(refused) => Err(refused.error),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // attack 56
    #[test]
    fn a_changed_component_is_removed_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(&dir.path().join("cache")).unwrap();
        let digest = Digest::of(b"bytes");
        cache.keep_component(&digest, b"bytes");
        assert_eq!(cache.component(&digest).unwrap(), b"bytes");
        fs::write(cache.component_path(&digest), b"other").unwrap();
        assert_eq!(cache.component(&digest), None);
        assert!(!cache.component_path(&digest).exists());
    }

    // attack 56
    #[test]
    fn the_folder_is_its_owners_alone_and_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        DiskCache::open(dir.path()).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let key = fs::read(dir.path().join("key")).unwrap();
        assert_eq!(fs::metadata(dir.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        DiskCache::open(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("key")).unwrap(), key);
    }

    // attack 58
    #[test]
    fn processes_that_share_a_folder_see_whole_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let digest = Digest::of(&bytes);
        // As if somebody had died while writing.
        let cache = DiskCache::open(dir.path()).unwrap();
        fs::write(dir.path().join("components/.tmp-left-behind"), &bytes[..1000]).unwrap();
        assert_eq!(cache.component(&digest), None);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (bytes, dir) = (&bytes, dir.path());
                scope.spawn(move || {
                    let cache = DiskCache::open(dir).unwrap();
                    for _ in 0..20 {
                        cache.keep_component(&digest, bytes);
                        // A part of it would not have its digest, and would be removed.
                        assert!(cache.component(&digest).is_some_and(|found| found == *bytes));
                    }
                });
            }
        });
        let key = fs::read(dir.path().join("key")).unwrap();
        assert_eq!(key.len(), 32);
    }

    // attack 57
    #[test]
    fn a_folder_that_cannot_be_written_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(&dir.path().join("cache")).unwrap();
        fs::remove_dir_all(dir.path().join("cache")).unwrap();
        let digest = Digest::of(b"bytes");
        cache.keep_component(&digest, b"bytes");
        assert_eq!(cache.component(&digest), None);
    }
}
