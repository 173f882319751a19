//! Compiled code on disk: a file that is trusted only after its MAC was checked.
//!
//! ```text
//! "LICTOR-AOT-3\n" | MAC 32 | engine hash 32 | component digest 32 | length 8 | memory 8 | flags 1 | native code … | the twin's code …
//! ```
//!
//! The MAC (HMAC-SHA256 under a key that only this executor has) covers everything after it. Loading native code
//! means running it, so a file that anybody else wrote, that was cut, or that belongs to another engine or another
//! component is refused, and the caller compiles again. The bytes that were checked are copied to a sealed memory
//! file and mapped from there: nothing can change between the check and the use.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use lictor_model::Digest;
use sha2::Sha256;

const MAGIC: &[u8] = b"LICTOR-AOT-3\n";
const HASH: usize = 32;

/// Native code for one component and one engine.
pub struct Artifact {
    component: Digest,
    engine: [u8; 32],
    code: Code,
    /// Whether it was opened before it was kept, so that its component is known to be linked.
    kept: bool,
}

/// Native code: of a component and, if it has one, of its twin (see `twin`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The component's.
    pub component: Bytes,
    /// The twin's; empty if there is none.
    pub twin: Bytes,
    /// What is told of the component without mapping it.
    pub about: About,
}

/// What is told of a component without mapping its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The linear memory that an instance starts with, in bytes.
    pub initial_memory_bytes: u64,
    /// Whether it imports the context.
    pub uses_context: bool,
    /// Whether it exports `state`.
    pub stateful: bool,
}

impl Code {
    /// All in one piece: the length of the first code and the memory (8 bytes each, little-endian), the flags, the codes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let About { initial_memory_bytes, uses_context, stateful } = self.about;
        let len = (self.component.len() as u64).to_le_bytes();
        let flags = [u8::from(uses_context) | u8::from(stateful) << 1];
        [&len, &initial_memory_bytes.to_le_bytes(), flags.as_slice(), &self.component, &self.twin].concat()
    }

    /// Reads what [`Code::to_bytes`] wrote.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let (memory, rest) = rest.split_first_chunk::<8>()?;
        let (flags, rest) = rest.split_first()?;
        let (component, twin) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let (component, twin) = (bytes.slice_ref(component), bytes.slice_ref(twin));
        let about = About {
            initial_memory_bytes: u64::from_le_bytes(*memory),
            uses_context: flags & 1 != 0,
            stateful: flags & 2 != 0,
        };
        Some(Self { component, twin, about })
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
        Self { component, engine, code, kept: false }
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

    pub(crate) fn was_opened(&self) -> bool {
        self.kept
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
    pub fn unseal(key: &Key, file: &Bytes, component: Digest, engine: [u8; 32]) -> Result<Self, Distrust> {
        let rest = file.strip_prefix(MAGIC).ok_or(Distrust::Malformed)?;
        let (mac, sealed) = rest.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        key.mac(sealed).verify_slice(mac).map_err(|_| Distrust::BrokenSeal)?;
        let (made_for, rest) = sealed.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        let (made_from, code) = rest.split_at_checked(HASH).ok_or(Distrust::Malformed)?;
        if made_for != engine || made_from != component.as_bytes() {
            return Err(Distrust::Other);
        }
        let code = Code::from_bytes(&file.slice_ref(code)).ok_or(Distrust::Malformed)?;
        Ok(Self { component, engine, code, kept: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_file_of_ours_is_trusted() {
        let (key, component, engine) = (Key::new([7; 32]), Digest::of(b"component"), [1; 32]);
        let about = About { initial_memory_bytes: 1 << 40, uses_context: false, stateful: true };
        let code = Code { component: Bytes::from_static(b"code"), twin: Bytes::from_static(b"twin"), about };
        let file = Bytes::from(Artifact::new(component, engine, code.clone()).seal(&key));
        assert_eq!(Artifact::unseal(&key, &file, component, engine).unwrap().code(), &code);
        let refused = |key: &Key, file: &Bytes, component, engine| Artifact::unseal(key, file, component, engine).err();
        for at in 0..file.len() {
            let mut changed = file.to_vec();
            changed[at] ^= 1;
            assert!(refused(&key, &changed.into(), component, engine).is_some(), "byte {at}");
            assert!(refused(&key, &file.slice(..at), component, engine).is_some(), "cut at {at}");
        }
        assert_eq!(refused(&Key::new([8; 32]), &file, component, engine), Some(Distrust::BrokenSeal));
        assert_eq!(refused(&key, &file, Digest::of(b"other"), engine), Some(Distrust::Other));
        assert_eq!(refused(&key, &file, component, [2; 32]), Some(Distrust::Other));
    }
}
