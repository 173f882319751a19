//! Compiled code on disk: a file that is trusted only after its MAC was checked.
//!
//! ```text
//! "LICTOR-AOT-4\n" | MAC 32 | engine hash 32 | component digest 32 | about 9 | component code: length 8, sha256 32
//!                  | the twin's code … | the component's code …
//! ```
//!
//! The MAC (HMAC-SHA256 under a key that only this executor has) covers everything after it up to the component's code,
//! which the sha256 covers. Loading native code means running it, so a file that anybody else wrote, that was cut, or
//! that belongs to another engine or another component is refused, and the caller compiles again. The bytes that were
//! checked are copied to a sealed memory file and mapped from there: nothing can change between the check and the use.
//!
//! PERF: where there is a twin, the component's code is only checked, and stays in the file until it is needed, which it
//! never is for most policies: half of the memory of a policy. It is checked again then.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use hmac::{Hmac, Mac};
use lictor_model::Digest;
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8] = b"LICTOR-AOT-4\n";
const HASH: usize = 32;
/// How much of a file is checked at a time.
const PART: usize = 64 << 10;
/// The bytes of a file before the codes.
const HEAD: usize = MAGIC.len() + 3 * HASH + About::BYTES + 8 + HASH;

/// Native code for one component and one engine.
pub struct Artifact {
    component: Digest,
    engine: [u8; 32],
    content: Content,
}

/// Where the code of an artifact is.
enum Content {
    /// All here, as it was compiled.
    Made(Code),
    /// In a file in which it was kept: it was opened before, so its component is known to be linked.
    Kept { twin: Bytes, about: About, component: InFile },
}

/// Code in a file that was opened.
#[derive(Clone)]
pub(crate) struct InFile {
    file: Arc<File>,
    at: u64,
    len: usize,
    sha256: Digest,
}

/// The native code of a component, wherever it is.
pub(crate) enum Native {
    Here(Bytes),
    InFile(InFile),
}

impl InFile {
    /// Whether it is what it was, without taking memory for it.
    fn check(&self) -> Result<(), Distrust> {
        let (mut hasher, mut part, mut at, mut left) = (Sha256::new(), vec![0; PART], self.at, self.len);
        while 0 < left {
            let part = part.get_mut(..left.min(PART)).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
            hasher.update(&*part);
            (at, left) = (at + part.len() as u64, left - part.len());
        }
        match hasher.finalize().as_slice() == self.sha256.as_bytes() {
            true => Ok(()),
            false => Err(Distrust::BrokenSeal),
        }
    }
}

impl Native {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Here(code) => code.len(),
            Self::InFile(file) => file.len,
        }
    }

    /// Reads it. Not there any more is also what is no longer what it was.
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        let InFile { file, at, len, sha256 } = match self {
            Self::Here(code) => return Ok(code.clone()),
            Self::InFile(file) => file,
        };
        let mut code = vec![0; *len];
        file.read_exact_at(&mut code, *at)?;
        match Digest::of(&code) == *sha256 {
            true => Ok(code.into()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "it was changed on the disk")),
        }
    }
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

impl About {
    const BYTES: usize = 8 + 1;

    /// The memory (8 bytes, little-endian) and the flags.
    fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d, e, f, g, h] = self.initial_memory_bytes.to_le_bytes();
        [a, b, c, d, e, f, g, h, u8::from(self.uses_context) | u8::from(self.stateful) << 1]
    }

    fn from_bytes([a, b, c, d, e, f, g, h, flags]: [u8; Self::BYTES]) -> Self {
        let initial_memory_bytes = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Self { initial_memory_bytes, uses_context: flags & 1 != 0, stateful: flags & 2 != 0 }
    }
}

impl Code {
    /// All in one piece: the length of the component's code (8 bytes, little-endian), what is told of it, the codes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = (self.component.len() as u64).to_le_bytes();
        [&len, self.about.to_bytes().as_slice(), &self.component, &self.twin].concat()
    }

    /// Reads what [`Code::to_bytes`] wrote.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<8>()?;
        let (about, rest) = rest.split_first_chunk()?;
        let (component, twin) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let (component, twin) = (bytes.slice_ref(component), bytes.slice_ref(twin));
        Some(Self { component, twin, about: About::from_bytes(*about) })
    }
}

/// The key that artifacts are sealed under.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// The largest file that is read.
const MAX_FILE: u64 = 512 << 20;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It cannot be read, or not to the end of what it should have.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
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

    fn mac(&self, sealed: [&[u8]; 2]) -> Hmac<Sha256> {
        // As long as SHA-256's block, so that the key is used as it is.
        let mut block = [0; 64];
        let (key, _) = block.split_at_mut(HASH);
        key.copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        sealed.into_iter().for_each(|part| mac.update(part));
        mac
    }
}

impl Artifact {
    /// The same under another name: of what was made from something, rather than fetched.
    #[must_use]
    pub fn named(self, component: Digest) -> Self {
        Self { component, ..self }
    }

    /// Native code that was made of this component, here or in a child process.
    pub fn new(component: Digest, engine: [u8; 32], code: Code) -> Self {
        Self { component, engine, content: Content::Made(code) }
    }

    /// The digest of the component it was compiled from.
    pub fn component(&self) -> Digest {
        self.component
    }

    pub(crate) fn engine(&self) -> &[u8; 32] {
        &self.engine
    }

    /// Whether it was opened before it was kept, so that its component is known to be linked.
    pub(crate) fn was_opened(&self) -> bool {
        matches!(self.content, Content::Kept { .. })
    }

    /// The code of the twin, what is told of the component, and its code.
    pub(crate) fn parts(&self) -> (&Bytes, About, Native) {
        match &self.content {
            Content::Made(Code { component, twin, about }) => (twin, *about, Native::Here(component.clone())),
            Content::Kept { twin, about, component } => (twin, *about, Native::InFile(component.clone())),
        }
    }

    /// The file to keep; none of what was read from one.
    pub fn seal(&self, key: &Key) -> Option<Vec<u8>> {
        let Content::Made(Code { component, twin, about }) = &self.content else { return None };
        let (len, sha256) = ((component.len() as u64).to_le_bytes(), Digest::of(component));
        let (made_from, about) = (self.component.as_bytes(), about.to_bytes());
        let head = [self.engine.as_slice(), made_from.as_slice(), &about, &len, sha256.as_bytes().as_slice()].concat();
        let mac = key.mac([&head, twin]).finalize().into_bytes();
        Some([MAGIC, mac.as_slice(), &head, twin, component].concat())
    }

    /// Reads a file that [`Artifact::seal`] made, for this component and this engine.
    pub fn unseal(key: &Key, mut file: File, component: Digest, engine: [u8; 32]) -> Result<Self, Distrust> {
        let size = file.metadata()?.len();
        let mut head = [0; HEAD];
        file.read_exact(&mut head)?;
        let rest = head.strip_prefix(MAGIC).ok_or(Distrust::Malformed)?;
        let (mac, sealed) = rest.split_first_chunk::<HASH>().ok_or(Distrust::Malformed)?;
        let (made_for, rest) = sealed.split_first_chunk::<HASH>().ok_or(Distrust::Malformed)?;
        let (made_from, rest) = rest.split_first_chunk::<HASH>().ok_or(Distrust::Malformed)?;
        let (about, rest) = rest.split_first_chunk().ok_or(Distrust::Malformed)?;
        let (len, sha256) = rest.split_first_chunk::<8>().ok_or(Distrust::Malformed)?;
        let sha256 = Digest::from_bytes(<[u8; HASH]>::try_from(sha256).map_err(|_| Distrust::Malformed)?);
        let len = u64::from_le_bytes(*len);
        let at =
            size.checked_sub(len).filter(|at| HEAD as u64 <= *at && size <= MAX_FILE).ok_or(Distrust::Malformed)?;
        let mut twin = Vec::with_capacity(usize::try_from(at).map_err(|_| Distrust::Malformed)?);
        file.by_ref().take(at - HEAD as u64).read_to_end(&mut twin)?;
        key.mac([sealed, &twin]).verify_slice(mac).map_err(|_| Distrust::BrokenSeal)?;
        if *made_for != engine || made_from != component.as_bytes() {
            return Err(Distrust::Other);
        }
        let len = usize::try_from(len).map_err(|_| Distrust::Malformed)?;
        let native = InFile { file: Arc::new(file), at, len, sha256 };
        native.check()?;
        let content = Content::Kept { twin: twin.into(), about: About::from_bytes(*about), component: native };
        Ok(Self { component, engine, content })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    // attack 56
    #[test]
    fn only_an_untouched_file_of_ours_is_trusted() {
        let (key, component, engine) = (Key::new([7; 32]), Digest::of(b"component"), [1; 32]);
        let about = About { initial_memory_bytes: 1 << 40, uses_context: false, stateful: true };
        let code = Code { component: Bytes::from_static(b"code"), twin: Bytes::from_static(b"twin"), about };
        let sealed = Artifact::new(component, engine, code.clone()).seal(&key).unwrap();
        let read = |bytes: &[u8], key: &Key, component, engine| -> Result<Code, String> {
            let artifact = Artifact::unseal(key, file(bytes), component, engine).map_err(|why| why.to_string())?;
            let (twin, about, native) = artifact.parts();
            Ok(Code { component: native.read().map_err(|why| why.to_string())?, twin: twin.clone(), about })
        };
        assert_eq!(read(&sealed, &key, component, engine), Ok(code));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(read(&changed, &key, component, engine).is_err(), "byte {at}");
            assert!(read(&sealed[..at], &key, component, engine).is_err(), "cut at {at}");
        }
        assert!(read(&[sealed.as_slice(), b"more"].concat(), &key, component, engine).is_err());
        let why = |key: &Key, component, engine| read(&sealed, key, component, engine).unwrap_err();
        assert_eq!(why(&Key::new([8; 32]), component, engine), "its seal is broken");
        for (component, engine) in [(Digest::of(b"other"), engine), (component, [2; 32])] {
            assert_eq!(why(&key, component, engine), "made for another engine or component");
        }
    }
}
