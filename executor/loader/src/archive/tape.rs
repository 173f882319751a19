//! Tars, member by member as they lie on the tape.
//!
//! The `tar` crate reads headers and their checksums. What a header means is decided here, because that is where tools
//! disagree: a name may come from the header, from a GNU long name or from a pax record, a size from two places. Where
//! an archive says such a thing twice, or says it in the one way that some tools ignore, it is refused.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use super::{Members, Meter, bad_archive, drain, is_memory_limit, only_zeros, too_large, too_many, unreadable};
use crate::error::{LoadError, quoted};

/// The most that the headers about one member may hold, in bytes.
const MAX_EXTENSION: u64 = 64 << 10;

/// The members that are wanted of a tar that is sound from its first block to its last.
pub(super) fn unpack(meter: Meter<impl Read>, members: Members) -> Result<Members, LoadError> {
    let mut archive = Archive::new(meter);
    let mut walk = Walk { members, long_name: None, n_headers: 0 };
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        walk.entry(entry.map_err(|error| walk.unreadable(error))?)?;
    }
    if walk.long_name.is_some() {
        return Err(bad_archive("the archive ends with the name of a member that does not follow"));
    }
    // One reader stops at the mark of the end, another goes on: nothing may be behind it.
    if !only_zeros(archive.into_inner()).map_err(unreadable)? {
        return Err(bad_archive("the archive goes on after its end"));
    }
    Ok(walk.members)
}

struct Walk {
    members: Members,
    /// The name for the next member, where a header of its own gave one.
    long_name: Option<Vec<u8>>,
    n_headers: usize,
}

impl Walk {
    /// Tells a tar that is damaged from something else that was packed, such as a component on its own.
    fn unreadable(&self, error: io::Error) -> LoadError {
        let ours = is_memory_limit(&error) || error.get_ref().is_some_and(|inner| inner.is::<LoadError>());
        let not_a_header = error.kind() == io::ErrorKind::Other && !ours;
        match unreadable(error) {
            error if self.n_headers == 0 && not_a_header => {
                bad_archive("the archive starts with no tar that can be read").caused_by(error)
            }
            error => error,
        }
    }

    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), LoadError> {
        self.n_headers += 1;
        // A member has at most two headers of its own before it.
        if self.n_headers > self.members.caps.entries.saturating_mul(3) {
            return Err(too_many(self.members.caps));
        }
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => pax_name(&extension(&mut entry)?).and_then(|name| match name {
                Some(_) => Err(bad_archive("the archive gives one name to all of its members")),
                None => Ok(()),
            }),
            EntryType::XHeader => {
                let name = pax_name(&extension(&mut entry)?)?;
                name.map_or(Ok(()), |name| self.set_name(name))
            }
            EntryType::GNULongName => {
                let mut name = extension(&mut entry)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                self.set_name(name)
            }
            other => self.member(&mut entry, other),
        }
    }

    fn set_name(&mut self, name: Vec<u8>) -> Result<(), LoadError> {
        match self.long_name.replace(name) {
            Some(first) => Err(bad_archive(format!(
                "the archive gives two names to {}",
                quoted(&first.escape_ascii().to_string())
            ))),
            None => Ok(()),
        }
    }

    fn member<R: Read>(&mut self, entry: &mut Entry<'_, R>, entry_type: EntryType) -> Result<(), LoadError> {
        let raw = self.long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = self.members.admit(&raw)?;
        let claimed = entry.header().entry_size().map_err(unreadable)?;
        let is_dir = match entry_type {
            // Before there was a type for them, directories were files with a slash at the end.
            EntryType::Regular => name.is_dir,
            EntryType::Directory => true,
            other => return Err(bad_archive(format!("{} in the archive is {}", quoted(&name.path), describe(other)))),
        };
        if is_dir && claimed != 0 {
            return Err(bad_archive(format!("the directory {} in the archive has content", quoted(&name.path))));
        }
        if claimed > self.members.caps.total {
            return Err(too_large("the archive", self.members.caps.total));
        }
        // Old tars write a directory as a file, so that its name may not show what it is.
        let keep = !is_dir && self.members.wants(&name);
        let (bytes, n_read) = drain(entry, keep.then_some(&name), self.members.caps).map_err(unreadable)?;
        if n_read != claimed {
            return Err(bad_archive("the archive ends too early"));
        }
        if keep {
            self.members.keep(&name, bytes);
        }
        Ok(())
    }
}

fn extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, LoadError> {
    let claimed = entry.header().entry_size().map_err(unreadable)?;
    if claimed > MAX_EXTENSION {
        return Err(bad_archive(format!("the archive has {claimed} bytes of headers about one member")));
    }
    let mut res = Vec::new();
    let n_read = entry.take(MAX_EXTENSION).read_to_end(&mut res).map_err(unreadable)?;
    if u64::try_from(n_read).ok() == Some(claimed) { Ok(res) } else { Err(bad_archive("the archive ends too early")) }
}

/// The `path` among pax records, each of which is `<its length> <key>=<value>\n`.
fn pax_name(mut records: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let mut name = None;
    while !records.is_empty() {
        let (key, value, rest) =
            pax_record(records).ok_or_else(|| bad_archive("the archive has a malformed pax header"))?;
        records = rest;
        match key {
            b"path" if name.is_some() => return Err(bad_archive("the archive names one member twice in a pax header")),
            b"path" => name = Some(value.to_vec()),
            // Sizes only differ from the header's above 8 GiB; the others make a member something else than its bytes.
            b"size" | b"linkpath" | b"hdrcharset" => return Err(refused_pax(key)),
            _ if key.starts_with(b"GNU.sparse.") => return Err(refused_pax(key)),
            _ => {}
        }
    }
    Ok(name)
}

fn refused_pax(key: &[u8]) -> LoadError {
    bad_archive(format!(
        "the archive has the pax header {}, which a policy has no need of",
        quoted(&key.escape_ascii().to_string())
    ))
}

fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let digits = records.get(..space).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let len = str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(len)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = pair.split_at_checked(equals)?;
    Some((key, value.strip_prefix(b"=")?, rest))
}

fn describe(entry_type: EntryType) -> &'static str {
    match entry_type {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::GNULongLink => "a link with a long name",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "neither a file nor a directory",
    }
}
