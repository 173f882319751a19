//! From the verified bytes behind `code` to the verified bytes of the component in them.
//!
//! What they are is decided by their content, never by a name: a bare component, a zip, or a tar, plain or packed with
//! gzip or xz. Exactly one member is taken, `code/policy.wasm`, or of a policy in Python its folder `code`; nothing is
//! ever written to a disk, and a member is never opened as an archive itself.
//!
//! An archive is judged as a whole. One hostile member, even one nobody asked for, refuses all of it: names that climb
//! or could mean different files to different tools, links and devices, members that share bytes, headers that
//! contradict each other or the data. So every member is unpacked to its end and counted on the way, against caps that
//! no header can talk about. What another tool shows to an auditor is then what runs here.
//!
//! Blocks the thread: for about a second at worst.

use std::{
    collections::HashSet,
    io::{self, BufRead, Read},
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream};
use lictor_model::record::PolicyKind;

use crate::{
    error::{LoadCode, LoadError, quoted, size},
    fetch::Verified,
    python::Package,
};

mod sniff;
mod tape;
mod zip;

use self::sniff::Kind;

/// The member that is the policy.
pub const MEMBER: &str = "code/policy.wasm";
/// What a policy written as a Python class has in its place.
pub const PYTHON_MEMBER: &str = "code/function.py";
/// What the class of a policy in Python is called.
const CLASS: &str = "AIOSv1PolicyRule";
/// The folder whose files a policy in Python is made of.
const FOLDER: &str = "code/";

/// How much an archive may hold. Made for tests; everyone else uses the default.
#[derive(Clone, Copy, Debug)]
struct Caps {
    /// Members, directories included.
    entries: usize,
    /// Bytes of all members, unpacked.
    total: u64,
    /// Bytes of the one that is taken.
    member: u64,
    /// Bytes that one packed byte may turn into, once [`Caps::ratio_from`] bytes are unpacked.
    ratio: u64,
    /// Where the ratio starts to count: a tar pads with zeros, so a small honest one is packed very well.
    ratio_from: u64,
    /// Memory for the dictionary of xz.
    xz_memory: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            entries: 10_000,
            total: 256 << 20,
            member: 64 << 20,
            ratio: 200,
            ratio_from: 1 << 20,
            // `xz -9` has a dictionary of 64 MiB and takes 65 to unpack.
            xz_memory: 66 << 20,
        }
    }
}

impl Caps {
    fn check_ratio(self, packed: u64, unpacked: u64) -> Result<(), LoadError> {
        if unpacked > self.ratio_from && unpacked > packed.saturating_mul(self.ratio) {
            return Err(bad_archive(format!("the archive unpacks to more than {} times its size", self.ratio)));
        }
        Ok(())
    }
}

/// What a policy of this kind runs, in what was fetched: a component, or a [`Package`] of Python files.
///
/// The result has its own digest. Blocks; run it where blocking is allowed.
pub fn code_of(verified: &Verified, kind: PolicyKind) -> Result<Verified, LoadError> {
    match kind {
        PolicyKind::WasmComponent => component_of(verified),
        PolicyKind::PythonClass => python_within(verified, Caps::default()),
    }
}

/// What kind of policy is in what was fetched, where nobody says: Python if there is `code/function.py` and no component.
pub fn kind_of(verified: &Verified) -> PolicyKind {
    let bytes = verified.bytes();
    let is_python = match sniff::kind(bytes) {
        Kind::Zip | Kind::Tar | Kind::Gzip | Kind::Xz => {
            let found = |kind| matches!(unpack(bytes, kind, Caps::default()), Ok(Unpacked::Members(_)));
            !found(PolicyKind::WasmComponent) && found(PolicyKind::PythonClass)
        }
        Kind::Other(_) => str::from_utf8(bytes).is_ok_and(|text| text.contains(CLASS)),
        Kind::Wasm => false,
    };
    if is_python { PolicyKind::PythonClass } else { PolicyKind::WasmComponent }
}

/// The component in what was fetched: the bytes themselves, or the member `code/policy.wasm` of an archive.
///
/// Only looks at the first bytes of the component; whether it is one is for the compiler to say. The result has its
/// own digest. Blocks; run it where blocking is allowed.
pub fn component_of(verified: &Verified) -> Result<Verified, LoadError> {
    component_within(verified, Caps::default())
}

fn component_within(verified: &Verified, caps: Caps) -> Result<Verified, LoadError> {
    let bytes = verified.bytes();
    let members = match unpack(bytes, PolicyKind::WasmComponent, caps)? {
        Unpacked::Bare(Kind::Wasm) => return Ok(verified.clone()),
        Unpacked::Bare(Kind::Other(what)) if what.is_code() => {
            return Err(not_a_component(format!("the code is {what}, not a WebAssembly component")));
        }
        Unpacked::Bare(kind) => {
            return Err(bad_archive(format!(
                "the code is {kind}; it must be a component, or one in a zip, tar.gz or tar.xz"
            )));
        }
        Unpacked::Members(members) => members,
    };
    let member = members.into_iter().next().map(|(_, bytes)| bytes).unwrap_or_default();
    match sniff::kind(&member) {
        Kind::Wasm => Ok(verified.member(member)),
        other => Err(not_a_component(format!("`{MEMBER}` in the archive is {other}, not a WebAssembly component"))),
    }
}

/// The package of the files in the archive's folder `code`, or of the one file that was fetched, if that is Python.
fn python_within(verified: &Verified, caps: Caps) -> Result<Verified, LoadError> {
    let bytes = verified.bytes();
    let package = match unpack(bytes, PolicyKind::PythonClass, caps)? {
        Unpacked::Members(members) => {
            let inside = |(name, bytes): (String, Bytes)| Some((name.strip_prefix(FOLDER)?.to_owned(), bytes));
            Package::of(members.into_iter().filter_map(inside))?
        }
        Unpacked::Bare(kind) => match str::from_utf8(bytes) {
            Ok(text) if !text.trim().is_empty() && !matches!(kind, Kind::Wasm) && !text.contains('\0') => {
                Package::of([("function.py".to_owned(), bytes.clone())])?
            }
            _ => {
                return Err(bad_archive(format!(
                    "the code is {kind}; a policy in Python is a zip, tar.gz or tar.xz with `{PYTHON_MEMBER}`, or that file"
                )));
            }
        },
    };
    Ok(verified.member(package.into_bytes()))
}

/// What was in an archive, or what that is which is none.
enum Unpacked {
    Members(Vec<(String, Bytes)>),
    Bare(Kind),
}

fn unpack(bytes: &Bytes, kind: PolicyKind, caps: Caps) -> Result<Unpacked, LoadError> {
    let members = Members::new(kind, caps);
    let members = match sniff::kind(bytes) {
        Kind::Zip => zip::unpack(bytes, members)?,
        Kind::Tar => unpack_tar(&**bytes, bytes, members)?,
        Kind::Gzip => unpack_tar(MultiGzDecoder::new(&**bytes), bytes, members)?,
        Kind::Xz => unpack_tar(xz_decoder(bytes, caps)?, bytes, members)?,
        bare => return Ok(Unpacked::Bare(bare)),
    };
    members.found().map(Unpacked::Members)
}

/// What the name of a file with these bytes ends in, if they are code or an archive of a kind that is read.
pub fn suffix_of(bytes: &[u8]) -> Option<&'static str> {
    match sniff::kind(bytes) {
        Kind::Wasm => Some(".wasm"),
        Kind::Zip => Some(".zip"),
        Kind::Tar => Some(".tar"),
        Kind::Gzip => Some(".tar.gz"),
        Kind::Xz => Some(".tar.xz"),
        Kind::Other(_) => None,
    }
}

/// Whole streams after one another are one file to gzip and xz, so they are here; anything else after one is refused.
fn xz_decoder(bytes: &[u8], caps: Caps) -> Result<XzDecoder<&[u8]>, LoadError> {
    let stream = stream::Stream::new_stream_decoder(caps.xz_memory, stream::CONCATENATED);
    let stream = stream.map_err(|error| LoadError::new(LoadCode::Internal, "cannot set up xz").caused_by(error))?;
    Ok(XzDecoder::new_stream(bytes, stream))
}

fn unpack_tar(unpacked: impl Read, packed: &[u8], members: Members) -> Result<Members, LoadError> {
    tape::unpack(Meter::new(unpacked, packed.len(), members.caps), members)
}

/// Counts what comes out of a decoder, and stops it where an honest archive would have ended long ago.
struct Meter<R> {
    inner: R,
    caps: Caps,
    packed: u64,
    unpacked: u64,
}

impl<R: Read> Meter<R> {
    fn new(inner: R, packed: usize, caps: Caps) -> Self {
        Self { inner, caps, packed: u64::try_from(packed).unwrap_or(u64::MAX), unpacked: 0 }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.unpacked = self.unpacked.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        if self.unpacked > self.caps.total {
            return Err(io::Error::other(too_large("the archive", self.caps.total)));
        }
        self.caps.check_ratio(self.packed, self.unpacked).map_err(io::Error::other)?;
        Ok(n)
    }
}

/// The members seen so far: judges their names, keeps those that are wanted, and remembers what a message about a
/// missing one needs.
struct Members {
    kind: PolicyKind,
    caps: Caps,
    seen: HashSet<String>,
    sample: Vec<String>,
    kept: Vec<(String, Bytes)>,
}

/// A member's name that is safe, in its one canonical form, and whether it is written as that of a directory.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    path: String,
    is_dir: bool,
}

/// The longest name of a member, in bytes. With the cap on members it bounds what remembering them takes.
const MAX_NAME: usize = 1024;
/// How many members a message names.
const SAMPLE: usize = 5;

impl Members {
    fn new(kind: PolicyKind, caps: Caps) -> Self {
        Self { kind, caps, seen: HashSet::new(), sample: Vec::new(), kept: Vec::new() }
    }

    /// Whether the content of this member is what is wanted.
    fn wants(&self, name: &Name) -> bool {
        !name.is_dir
            && match self.kind {
                PolicyKind::WasmComponent => name.path == MEMBER,
                PolicyKind::PythonClass => name.path.starts_with(FOLDER) && Package::takes(&name.path),
            }
    }

    fn keep(&mut self, name: &Name, bytes: Bytes) {
        self.kept.push((name.path.clone(), bytes));
    }

    /// What was kept, if the one that there must be is among it.
    fn found(self) -> Result<Vec<(String, Bytes)>, LoadError> {
        let needed = self.needed();
        if self.kept.iter().any(|(name, _)| name == needed) { Ok(self.kept) } else { Err(self.missing()) }
    }

    fn needed(&self) -> &'static str {
        match self.kind {
            PolicyKind::WasmComponent => MEMBER,
            PolicyKind::PythonClass => PYTHON_MEMBER,
        }
    }

    /// Admits one more member called `raw`.
    fn admit(&mut self, raw: &[u8]) -> Result<Name, LoadError> {
        let name = Name::parse(raw)?;
        // The folder that everything is in: `./`.
        if name.path.is_empty() {
            return Ok(name);
        }
        // On a disk that ignores case, one of two such members would replace the other.
        if !self.seen.insert(name.path.to_lowercase()) {
            return Err(bad_archive(format!(
                "the archive holds {} twice, perhaps in another case",
                quoted(&name.path)
            )));
        }
        if self.seen.len() > self.caps.entries {
            return Err(too_many(self.caps));
        }
        if !name.is_dir && self.sample.len() < SAMPLE {
            self.sample.push(quoted(&name.path));
        }
        Ok(name)
    }

    /// What to say when the one that there must be was not among them.
    fn missing(&self) -> LoadError {
        let (needed, other) = match self.kind {
            PolicyKind::WasmComponent => (MEMBER, (PYTHON_MEMBER, "in Python", "python_class_v1")),
            PolicyKind::PythonClass => (PYTHON_MEMBER, (MEMBER, "that is a component", "wasm_component_v1")),
        };
        let (other, what, kind) = other;
        if self.seen.contains(other) {
            return bad_archive(format!(
                "the archive holds `{other}` and no `{needed}`: a policy {what} needs the type `{kind}`"
            ));
        }
        if self.sample.is_empty() {
            return bad_archive(format!("the archive holds no `{needed}`, nor any other file"));
        }
        bad_archive(format!("the archive holds no `{needed}`; it holds {}", self.sample.join(", ")))
    }
}

impl Name {
    fn parse(raw: &[u8]) -> Result<Self, LoadError> {
        let Ok(text) = str::from_utf8(raw) else {
            return Err(bad_archive(format!(
                "the archive has the name {}, which is not UTF-8",
                quoted(&raw.escape_ascii().to_string())
            )));
        };
        let drive =
            |text: &str| text.as_bytes().get(1) == Some(&b':') && text.starts_with(|c: char| c.is_ascii_alphabetic());
        let why = match text {
            "" => "is empty",
            _ if text.len() > MAX_NAME => "is too long",
            _ if text.chars().any(char::is_control) => "contains control characters",
            _ if text.starts_with('/') => "is absolute",
            _ if text.contains('\\') => "contains a backslash",
            _ if drive(text) => "starts with a drive letter",
            _ if text.split('/').any(|part| part == "..") => "climbs out of the archive",
            _ => {
                let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
                return Ok(Self { is_dir: text.ends_with('/') || parts.is_empty(), path: parts.join("/") });
            }
        };
        Err(bad_archive(format!("the archive has the name {}, which {why}", quoted(text))))
    }
}

/// Reads `reader` to its end, keeping what it gives if it is a member to `keep`; says how much it gave.
fn drain(mut reader: impl Read, keep: Option<&Name>, caps: Caps) -> io::Result<(Bytes, u64)> {
    let mut kept = Vec::new();
    let Some(name) = keep else { return Ok((Bytes::new(), io::copy(&mut reader, &mut io::sink())?)) };
    let n_read = io::copy(&mut reader.by_ref().take(caps.member.saturating_add(1)), &mut kept)?;
    if n_read > caps.member {
        return Err(io::Error::other(too_large(&quoted(&name.path), caps.member)));
    }
    Ok((kept.into(), n_read))
}

/// Whether nothing but zeros is left.
fn only_zeros(reader: impl Read) -> io::Result<bool> {
    let mut reader = io::BufReader::new(reader);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(true);
        }
        if chunk.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let n_read = chunk.len();
        reader.consume(n_read);
    }
}

/// What stopped a reader: one of our caps, or data that its decoder cannot make sense of.
fn unreadable(error: io::Error) -> LoadError {
    match error.downcast::<LoadError>() {
        Ok(ours) => ours,
        Err(error) if is_memory_limit(&error) => {
            bad_archive("the archive takes too much memory to unpack: its xz dictionary is larger than that of `xz -9`")
                .caused_by(error)
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            bad_archive("the archive ends too early").caused_by(error)
        }
        Err(error) => bad_archive(format!("the archive is damaged: {}", quoted(&error.to_string()))).caused_by(error),
    }
}

fn is_memory_limit(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(|inner| matches!(inner, stream::Error::MemLimit))
}

fn bad_archive(message: impl Into<String>) -> LoadError {
    LoadError::new(LoadCode::BadArchive, message)
}

fn not_a_component(message: impl Into<String>) -> LoadError {
    LoadError::new(LoadCode::NotAComponent, message)
}

fn too_large(what: &str, cap: u64) -> LoadError {
    bad_archive(format!("{what} unpacks to more than {}", size(cap)))
}

fn too_many(caps: Caps) -> LoadError {
    bad_archive(format!("the archive has more than {} members", caps.entries))
}

#[cfg(test)]
mod tests;
