//! Packages of policies.

use std::io::{Cursor, Read as _};

use arbitrary::{Arbitrary as _, Unstructured};
use lictor_loader::{
    Fetched, LoadError, Package,
    archive::{MEMBER, code_of, component_of},
};
use lictor_model::record::PolicyKind;
use lictor_tests::{tar_gz_of, tar_of, tar_xz_of, zip_of};

/// What every component begins with.
const MAGIC: &[u8] = b"\0asm";
/// What a member may unpack to.
const MAX_MEMBER: usize = 64 << 20;

fn unpack(archive: &[u8]) -> Result<Vec<u8>, LoadError> {
    let verified = Fetched::of(archive.to_vec()).verify(None)?;
    Ok(component_of(&verified)?.bytes().to_vec())
}

/// Any file. What is found in it is code, and in a zip what other tools find under that name; a policy in Python is a
/// package with the one file that there must be.
pub(crate) fn archive(data: &[u8]) {
    let verified = Fetched::of(data.to_vec()).verify(None).expect("nothing was promised");
    if let Ok(package) = code_of(&verified, PolicyKind::PythonClass) {
        assert!(Package::is(package.bytes()));
        let files = Package::files(package.bytes());
        assert!(
            files.iter().any(|(name, _)| name == "function.py") && files.iter().all(|(name, _)| !name.contains(".."))
        );
    }
    let Ok(found) = unpack(data) else { return };
    assert!(found.starts_with(MAGIC) && found.len() <= MAX_MEMBER);
    if data.starts_with(b"PK") {
        assert_eq!(by_the_crate(data).expect("another tool reads it too"), found);
    }
}

fn by_the_crate(zip: &[u8]) -> Option<Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(zip)).ok()?;
    let at = (0..zip.len()).find(|at| {
        // Our names are those without `.` and empty parts.
        let name = zip.by_index_raw(*at).and_then(|file| Ok(file.name()?.into_owned())).unwrap_or_default();
        name.split('/').filter(|part| !matches!(*part, "" | ".")).eq(MEMBER.split('/'))
    })?;
    let mut bytes = Vec::new();
    zip.by_index(at).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Names that an archive may have, and some that none may have.
const NAMES: [&str; 16] = [
    MEMBER,
    MEMBER,
    "./code/policy.wasm",
    "Code/Policy.wasm",
    "code//policy.wasm",
    "code/",
    "code/other",
    "README",
    "a",
    "a/b",
    "../a",
    "/a",
    "a\\b",
    "c:a",
    "code/policy.wasm/x",
    "A",
];

/// An archive made of members. The member is found if it is there once and every name is one that may be.
pub(crate) fn package(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((kind, members)) = members(&mut bytes) else { return };
    let entries: Vec<_> = members.iter().map(|(name, content)| (*name, content.as_slice())).collect();
    let make = [zip_of, tar_of, tar_gz_of, tar_xz_of][kind];
    // The crate writes no name twice.
    let distinct =
        entries.iter().enumerate().all(|(at, (name, _))| entries[..at].iter().all(|(other, _)| other != name));
    if kind == 0 && !distinct {
        return;
    }
    let found = unpack(&make(&entries)).ok();
    assert_eq!(found.as_deref(), expected(&entries), "{kind} {entries:?}");
}

type Members = Vec<(&'static str, Vec<u8>)>;

fn members(bytes: &mut Unstructured<'_>) -> arbitrary::Result<(usize, Members)> {
    let (kind, mut members) = (bytes.int_in_range(0..=3)?, Members::new());
    for _ in 0..bytes.int_in_range(0..=5)? {
        let name = *bytes.choose(&NAMES)?;
        let mut content = if bool::arbitrary(bytes)? { MAGIC.to_vec() } else { Vec::new() };
        let n = bytes.int_in_range(0..=40)?;
        content.extend_from_slice(bytes.bytes(n.min(bytes.len()))?);
        // A folder has nothing in it.
        members.push((name, if name.ends_with('/') { Vec::new() } else { content }));
    }
    Ok((kind, members))
}

/// What must be found: the same as in the code, said of names alone.
fn expected<'a>(entries: &[(&str, &'a [u8])]) -> Option<&'a [u8]> {
    let path = |name: &str| {
        let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        parts.join("/")
    };
    let hostile = |name: &str| name.starts_with(['/', '.']) && !name.starts_with("./") || name.contains(['\\', ':']);
    let mut seen = std::collections::HashSet::new();
    let sound = entries.iter().all(|(name, _)| !hostile(name) && seen.insert(path(name).to_lowercase()));
    let (_, found) = entries.iter().find(|(name, _)| path(name) == MEMBER && !name.ends_with('/'))?;
    (sound && found.starts_with(MAGIC)).then_some(*found)
}
