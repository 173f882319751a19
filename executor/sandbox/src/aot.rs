//! Compiled code on disk: a file that is trusted only after its MAC was checked.
//!
//! ```text
//! "LICTOR-AOT-2\n" | MAC 32 | engine hash 32 | component digest 32 | length 8 | native code … | the twin's code …
//! ```
//!
//! The MAC (HMAC-SHA256 under a key that only this executor has) covers everything after it. Loading native code
//! means running it, so a file that anybody else wrote, that was cut, or that belongs to another engine or another
//! component is refused, and the caller compiles again. The bytes that were checked are copied to a sealed memory
//! file and mapped from there: nothing can change between the check and the use.

use hmac::{Hmac, Mac};
use lictor_model::Digest;
use sha2::Sha256;

const MAGIC: &[u8] = b"LICTOR-AOT-2\n";
const HASH: usize = 32;

/// Native code for one component and one engine.
pub struct Artifact {
    component: Digest,
    engine: [u8; 32],
    code: Code,
}

/// Native code: of a component and, if it has one, of its twin (see `twin`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The component's.
    pub component: Vec<u8>,
    /// The twin's; empty if there is none.
    pub twin: Vec<u8>,
}

impl Code {
    /// Both in one piece: the length of the first (8 bytes, little-endian), the first, the second.
    pub fn to_bytes(&self) -> Vec<u8> {
        [(self.component.len() as u64).to_le_bytes().as_slice(), &self.component, &self.twin].concat()
    }

    /// Reads what [`Code::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let (component, twin) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        Some(Self { component: component.to_vec(), twin: twin.to_vec() })
    }
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
    pub(crate) fn new(component: Digest, engine: [u8; 32], code: Code) -> Self {
        Self { component, engine, code }
    }

    /// Native code made in a child process that was given this component.
    pub fn from_child(component: Digest, engine: [u8; 32], code: Code) -> Self {
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
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The file to keep.
    pub fn seal(&self, key: &Key) -> Vec<u8> {
        let sealed = [self.engine.as_slice(), self.component.as_bytes().as_slice(), &self.code.to_bytes()].concat();
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
        let code = Code::from_bytes(code).ok_or(Distrust::Malformed)?;
        Ok(Self { component, engine, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_file_of_ours_is_trusted() {
        let (key, component, engine) = (Key::new([7; 32]), Digest::of(b"component"), [1; 32]);
        let code = Code { component: b"code".to_vec(), twin: b"twin".to_vec() };
        let file = Artifact::new(component, engine, code.clone()).seal(&key);
        assert_eq!(Artifact::unseal(&key, &file, component, engine).unwrap().code(), &code);
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
