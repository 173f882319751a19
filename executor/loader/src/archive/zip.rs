//! Zips, read strictly: the directory at the end must agree with every member's own header and with its data.
//!
//! The layout, little-endian, from <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>:
//! ```text
//! member:     PK\3\4, header of 30 bytes, name, extra, data, perhaps a descriptor; one after another
//! directory:  PK\1\2, header of 46 bytes, name, extra, comment; one per member
//! end:        PK\5\6, header of 22 bytes, comment; the last byte is the last of the file
//! ```
//! Readers differ in which of the two headers they believe, in where they look for the end, and in what they do with
//! members that overlap; each difference has been used to show one archive to a scanner and another to its victim.
//! The reader of the `zip` crate is lenient about them and keeps one of two members with the same name, hence this one.

use std::{io::Read, ops::Range};

use bytes::Bytes;
use flate2::{Crc, CrcReader, bufread::DeflateDecoder};

use super::{Caps, Members, Name, bad_archive, drain, too_large, too_many, unreadable};
use crate::error::{LoadError, quoted};

const END_LEN: usize = 22;
const CENTRAL_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const MAX_COMMENT: usize = 65_535;

/// Flags that change what the data is: encrypted (twice), patches to another file, headers masked.
const REFUSED_FLAGS: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// What the directory says about one member.
struct Entry<'a> {
    raw_name: &'a [u8],
    name: Name,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    unpacked: u32,
    offset: usize,
}

/// The members that are wanted of a zip that is sound from its first byte to its last.
pub(super) fn unpack(bytes: &Bytes, mut members: Members) -> Result<Members, LoadError> {
    let caps = members.caps;
    let (directory, n_entries) = find_directory(bytes, caps)?;
    let entries = read_directory(bytes, &directory, n_entries, &mut members)?;
    // All of them before any: what members share must be known before unpacking it even once.
    let ranges = entries.iter().map(|entry| entry.locate(bytes, directory.start)).collect::<Result<Vec<_>, _>>()?;
    check_disjoint(ranges.iter().map(|(whole, _)| whole.clone()).collect())?;
    let mut left = caps.total;
    for (entry, (_, data)) in entries.iter().zip(ranges) {
        let keep = members.wants(&entry.name);
        let unpacked = entry.unpack(bytes.slice(data), left, keep, caps)?;
        left = left.saturating_sub(entry.unpacked.into());
        if keep {
            members.keep(&entry.name, unpacked);
        }
    }
    Ok(members)
}

/// Where the directory is, and how many members it lists.
fn find_directory(bytes: &[u8], caps: Caps) -> Result<(Range<usize>, usize), LoadError> {
    let lowest = bytes.len().saturating_sub(END_LEN + MAX_COMMENT);
    let is_end = |at: &usize| {
        let comment = field16(bytes, at + 20).map(usize::from);
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(b"PK\x05\x06"))
            && comment.is_some_and(|len| at + END_LEN + len == bytes.len())
    };
    let mut ends = (lowest..bytes.len()).filter(is_end);
    let end = ends
        .next()
        .ok_or_else(|| bad_archive("the zip has no directory at its end: it is cut short, or something follows it"))?;
    if ends.next().is_some() {
        return Err(bad_archive("the zip has two directories"));
    }
    let malformed = || bad_archive("the zip has a malformed end");
    let field = |at| field16(bytes, end + at).ok_or_else(malformed);
    let (disk, first_disk, n_here, n_entries) = (field(4)?, field(6)?, field(8)?, field(10)?);
    let len = field32(bytes, end + 12).ok_or_else(malformed)?;
    let start = field32(bytes, end + 16).ok_or_else(malformed)?;
    let locator =
        end.checked_sub(20).and_then(|at| bytes.get(at..)).is_some_and(|rest| rest.starts_with(b"PK\x06\x07"));
    if locator || n_entries == u16::MAX || len == u32::MAX || start == u32::MAX {
        return Err(zip64());
    }
    if (disk, first_disk) != (0, 0) || n_here != n_entries {
        return Err(bad_archive("the zip is one of several parts"));
    }
    if usize::from(n_entries) > caps.entries {
        return Err(too_many(caps));
    }
    let (start, len) = (to_usize(start), to_usize(len));
    if start.checked_add(len) != Some(end) {
        return Err(bad_archive("the zip's directory is not where its end says"));
    }
    Ok((start..end, n_entries.into()))
}

fn read_directory<'a>(
    bytes: &'a [u8],
    directory: &Range<usize>,
    n_entries: usize,
    members: &mut Members,
) -> Result<Vec<Entry<'a>>, LoadError> {
    let malformed = || bad_archive("the zip has a malformed directory");
    let mut res = Vec::new();
    let mut at = directory.start;
    for _ in 0..n_entries {
        let whole =
            bytes.get(at..directory.end).filter(|rest| rest.starts_with(b"PK\x01\x02")).ok_or_else(malformed)?;
        let (entry, len) = read_entry(whole, members).transpose()?.ok_or_else(malformed)?;
        res.push(entry);
        at += len;
    }
    if at == directory.end { Ok(res) } else { Err(bad_archive("the zip's directory lists more than its end counts")) }
}

/// The first entry of what is left of the directory, and its length. `None` if it is cut short.
fn read_entry<'a>(bytes: &'a [u8], members: &mut Members) -> Option<Result<(Entry<'a>, usize), LoadError>> {
    let raw_name = part(bytes, CENTRAL_LEN, field16(bytes, 28)?)?;
    let extra = part(bytes, CENTRAL_LEN + raw_name.len(), field16(bytes, 30)?)?;
    let comment = part(bytes, CENTRAL_LEN + raw_name.len() + extra.len(), field16(bytes, 32)?)?;
    let len = CENTRAL_LEN + raw_name.len() + extra.len() + comment.len();
    let (disk, attributes, offset) = (field16(bytes, 34)?, field32(bytes, 38)?, field32(bytes, 42)?);
    let (flags, method) = (field16(bytes, 8)?, field16(bytes, 10)?);
    let (crc, packed, unpacked) = (field32(bytes, 16)?, field32(bytes, 20)?, field32(bytes, 24)?);
    let name = match members.admit(raw_name) {
        Ok(name) => name,
        Err(error) => return Some(Err(error)),
    };
    let entry = Entry { raw_name, name, flags, method, crc, packed, unpacked, offset: to_usize(offset) };
    let checked = if [packed, unpacked, offset].contains(&u32::MAX) { Err(zip64()) } else { Ok(()) };
    let checked = checked.and_then(|()| check_extra(extra)).and_then(|()| entry.check(disk, attributes));
    Some(checked.map(|()| (entry, len)))
}

/// Extra fields that would replace what the header says: zip64 sizes, a second name, AES.
fn check_extra(mut extra: &[u8]) -> Result<(), LoadError> {
    while !extra.is_empty() {
        let malformed = || bad_archive("the zip has a malformed extra field");
        let id = field16(extra, 0).ok_or_else(malformed)?;
        let len = field16(extra, 2).ok_or_else(malformed)?;
        match id {
            0x0001 => return Err(zip64()),
            0x7075 => return Err(bad_archive("the zip gives a member two names")),
            0x9901 => return Err(bad_archive("the zip is encrypted")),
            _ => {}
        }
        extra = extra.get(4 + usize::from(len)..).ok_or_else(malformed)?;
    }
    Ok(())
}

impl Entry<'_> {
    fn check(&self, disk: u16, attributes: u32) -> Result<(), LoadError> {
        let refuse = |why: &str| Err(bad_archive(format!("{} in the zip {why}", quoted(&self.name.path))));
        // Unix tools keep the mode of the file in the upper half; others leave it empty.
        match attributes >> 16 & 0o170_000 {
            0 | 0o100_000 | 0o040_000 => {}
            0o120_000 => return refuse("is a symbolic link"),
            0o020_000 | 0o060_000 => return refuse("is a device"),
            0o010_000 => return refuse("is a named pipe"),
            _ => return refuse("is neither a file nor a directory"),
        }
        if self.flags & REFUSED_FLAGS != 0 {
            return refuse("is encrypted");
        }
        if !matches!(self.method, STORED | DEFLATED) {
            return refuse(&format!("is packed with method {}, where only stored and deflate are read", self.method));
        }
        if disk != 0 {
            return refuse("is on another disk");
        }
        if self.name.is_dir && self.unpacked != 0 {
            return refuse("is a directory with content");
        }
        Ok(())
    }

    /// Where the member is, as a whole and its data alone, if its own header says the same as the directory.
    fn locate(&self, bytes: &[u8], end: usize) -> Result<(Range<usize>, Range<usize>), LoadError> {
        let lies = || bad_archive(format!("{} in the zip is not what its directory says", quoted(&self.name.path)));
        let members = bytes.get(..end).ok_or_else(lies)?;
        let header = members.get(self.offset..).filter(|rest| rest.starts_with(b"PK\x03\x04")).ok_or_else(lies)?;
        let read16 = |at| field16(header, at).ok_or_else(lies);
        let read32 = |at| field32(header, at).ok_or_else(lies);
        let raw_name = part(header, LOCAL_LEN, read16(26)?).ok_or_else(lies)?;
        let extra = part(header, LOCAL_LEN + raw_name.len(), read16(28)?).ok_or_else(lies)?;
        check_extra(extra)?;
        let relevant = REFUSED_FLAGS | FLAG_DESCRIPTOR | FLAG_UTF8;
        let same = raw_name == self.raw_name && read16(8)? == self.method && (read16(6)? ^ self.flags) & relevant == 0;
        let deferred = self.flags & FLAG_DESCRIPTOR != 0;
        let agrees = |there: u32, here: u32| there == here || deferred && there == 0;
        let same = same
            && agrees(read32(14)?, self.crc)
            && agrees(read32(18)?, self.packed)
            && agrees(read32(22)?, self.unpacked);
        if !same {
            return Err(lies());
        }
        let start = self.offset + LOCAL_LEN + raw_name.len() + extra.len();
        let data = start..start.checked_add(to_usize(self.packed)).ok_or_else(lies)?;
        let rest = members.get(data.end..).ok_or_else(lies)?;
        let descriptor = if deferred { self.descriptor_len(rest).ok_or_else(lies)? } else { 0 };
        Ok((self.offset..data.end + descriptor, data))
    }

    /// The length of the descriptor that `bytes` start with; its signature is optional.
    fn descriptor_len(&self, bytes: &[u8]) -> Option<usize> {
        let says_same = |at: usize| {
            Some(
                (field32(bytes, at)?, field32(bytes, at + 4)?, field32(bytes, at + 8)?)
                    == (self.crc, self.packed, self.unpacked),
            )
        };
        if bytes.starts_with(b"PK\x07\x08") && says_same(4)? {
            return Some(16);
        }
        says_same(0)?.then_some(12)
    }

    /// Unpacks the member to its end; gives its bytes if they are to be kept.
    fn unpack(&self, data: Bytes, left: u64, keep: bool, caps: Caps) -> Result<Bytes, LoadError> {
        let refuse = |why: &str| bad_archive(format!("{} in the zip {why}", quoted(&self.name.path)));
        let (packed, unpacked) = (u64::from(self.packed), u64::from(self.unpacked));
        if unpacked > left {
            return Err(too_large("the archive", caps.total));
        }
        caps.check_ratio(packed, unpacked)?;
        if keep && unpacked > caps.member {
            return Err(too_large(&quoted(&self.name.path), caps.member));
        }
        if self.method == STORED {
            let mut crc = Crc::new();
            crc.update(&data);
            let sound = packed == unpacked && crc.sum() == self.crc;
            return if sound { Ok(data) } else { Err(refuse("does not have the size and checksum it claims")) };
        }
        let mut decoder = DeflateDecoder::new(&*data);
        // One byte more than claimed is enough to know that the claim is false, and makes the caps above hold.
        let mut reader = CrcReader::new(decoder.by_ref().take(unpacked.saturating_add(1)));
        let (bytes, n_read) = drain(&mut reader, keep.then_some(&self.name), caps).map_err(unreadable)?;
        if (n_read, reader.crc().sum()) != (unpacked, self.crc) {
            return Err(refuse("does not have the size and checksum it claims"));
        }
        if decoder.total_in() != packed {
            return Err(refuse("has something behind its data"));
        }
        Ok(bytes)
    }
}

/// A member that lies in another is unpacked twice, and a thousand of them a thousand times.
fn check_disjoint(mut ranges: Vec<Range<usize>>) -> Result<(), LoadError> {
    ranges.sort_by_key(|range| range.start);
    let overlap = ranges.iter().zip(ranges.iter().skip(1)).any(|(this, next)| next.start < this.end);
    if overlap { Err(bad_archive("the zip has members that overlap")) } else { Ok(()) }
}

fn zip64() -> LoadError {
    bad_archive("the zip is a zip64, which no policy is large enough to need")
}

fn part(bytes: &[u8], at: usize, len: u16) -> Option<&[u8]> {
    bytes.get(at..)?.get(..usize::from(len))
}

fn field16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|raw| u16::from_le_bytes(*raw))
}

fn field32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
}

fn to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
