//! Compiled code on disk: a file that is trusted only after its MAC was checked.
//!
//! ```text
//! "LICTOR-AOT-1\n" | MAC 32 | engine hash 32 | component digest 32 | native code …
//! ```
//!
//! The MAC (HMAC-SHA256 under a key that only this executor has) covers everything after it. Loading native code
//! means running it, so a file that anybody else wrote, that was cut, or that belongs to another engine or another
//! component is refused, and the caller compiles again. The bytes that were checked are copied to a sealed memory
//! file and mapped from there: nothing can change between the check and the use.

use hmac::{Hmac, Mac};
use lictor_model::Digest;
use sha2::Sha256;

const MAGIC: &[u8] = b"LICTOR-AOT-1\n";
const HASH: usize = 32;

/// Native code for one component and one engine.
pub struct Artifact {
    component: Digest,
    engine: [u8; 32],
    code: Vec<u8>,
}

/// The key that artifacts are sealed under.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// Why a file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Too short, or not an artifact.
    #[error("not an artifact")]
    Malformed,
    /// Not sealed under our key, or changed since.
    #[error("its seal is broken")]
    BrokenSeal,
    /// Made for another engine or another component.
    #[error("made for another engine or component")]
    Other,
}

impl Key {
    /// A key from 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self, sealed: &[u8]) -> Hmac<Sha256> {
        // As long as SHA-256's block, so that the key is used as it is.
        let mut block = [0; 64];
        let (key, _) = block.split_at_mut(HASH);
        key.copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(sealed);
        mac
    }
}

impl Artifact {
    pub(crate) fn new(component: Digest, engine: [u8; 32], code: Vec<u8>) -> Self {
        Self { component, engine, code }
    }

    /// Native code made in a child process that was given this component.
    pub fn from_child(component: Digest, engine: [u8; 32], code: Vec<u8>) -> Self {
        Self::new(component, engine, code)
    }

    /// The digest of the component it was compiled from.
    pub fn component(&self) -> Digest {
        self.component
    }

    pub(crate) fn engine(&self) -> &[u8; 32] {
        &self.engine
    }

    /// The native code.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// The file to keep.
    pub fn seal(&self, key: &Key) -> Vec<u8> {
        let sealed = [self.engine.as_slice(), self.component.as_bytes().as_slice(), &self.code].concat();
        let mac = key.mac(&sealed).finalize().into_bytes();
        [MAGIC, mac.as_slice(), &sealed].concat()
    }

    /// Reads a file that [`Artifact::seal`] made, for this component and this engine.
    pub fn unseal(key: &Key, file: &[u8], component: Digest, engine: [u8; 32]) -> Result<Self, Distrust> {
        let rest = file.strip_prefix(MAGIC).ok_or(Distrust::Malformed)?;
        let (mac, sealed) = rest.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        key.mac(sealed).verify_slice(mac).map_err(|_| Distrust::BrokenSeal)?;
        let (made_for, rest) = sealed.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        let (made_from, code) = rest.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        if made_for != engine || made_from != component.as_bytes() {
            return Err(Distrust::Other);
        }
        Ok(Self { component, engine, code: code.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_file_of_ours_is_trusted() {
        let (key, component, engine) = (Key::new([7; 32]), Digest::of(b"component"), [1; 32]);
        let file = Artifact::new(component, engine, b"code".to_vec()).seal(&key);
        assert_eq!(Artifact::unseal(&key, &file, component, engine).unwrap().code(), b"code");
        let refused = |key: &Key, file: &[u8], component, engine| Artifact::unseal(key, file, component, engine).err();
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(refused(&key, &changed, component, engine).is_some(), "byte {at}");
            assert!(refused(&key, &file[..at], component, engine).is_some(), "cut at {at}");
        }
        assert_eq!(refused(&Key::new([8; 32]), &file, component, engine), Some(Distrust::BrokenSeal));
        assert_eq!(refused(&key, &file, Digest::of(b"other"), engine), Some(Distrust::Other));
        assert_eq!(refused(&key, &file, component, [2; 32]), Some(Distrust::Other));
    }
}
