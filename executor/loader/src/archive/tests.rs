//! Archives no honest tool makes, each built here byte by byte, and the honest ones beside them.

use std::io::Write;

use flate2::{Compression, Crc, write::GzEncoder};
use liblzma::write::XzEncoder;
use tar::{EntryType, Header};

use super::*;
use crate::fetch::Fetched;

const WASM: &[u8] = b"\0asm\x0d\0\x01\0 and then the sections of a component";

fn verified(bytes: &[u8]) -> Verified {
    Fetched::of(bytes.to_vec()).verify(None).unwrap()
}

fn open_within(bytes: &[u8], caps: Caps) -> Result<Verified, LoadError> {
    component_within(&verified(bytes), caps)
}

#[track_caller]
fn accepts(bytes: &[u8]) {
    let component = component_of(&verified(bytes)).unwrap();
    assert_eq!(component.bytes(), WASM);
    assert_eq!(component.digest(), verified(WASM).digest());
}

#[track_caller]
fn refuses(bytes: &[u8], expected: &str) {
    refuses_within(Caps::default(), bytes, expected);
}

#[track_caller]
fn refuses_within(caps: Caps, bytes: &[u8], expected: &str) {
    let error = open_within(bytes, caps).unwrap_err();
    assert_eq!(error.code(), LoadCode::BadArchive, "{error}");
    assert!(error.message().contains(expected), "{expected:?} in {error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

// ---- what is not an archive ----

#[test]
fn bare_component_is_itself() {
    accepts(WASM);
}

// attack 40: both at once.
#[test]
fn polyglot_of_component_and_zip_is_the_component() {
    let polyglot = [WASM, &zip_of(&[Member::new(MEMBER, WASM)])].concat();
    assert_eq!(component_of(&verified(&polyglot)).unwrap().digest(), verified(&polyglot).digest());
}

#[test]
fn says_what_was_sent_instead_of_an_archive() {
    let rows: [(&[u8], LoadCode, &str); 10] = [
        (b"", LoadCode::BadArchive, "is empty"),
        (b"<!DOCTYPE html><p>404", LoadCode::BadArchive, "an HTML page"),
        (b"\xef\xbb\xbf{\"a\": 1}", LoadCode::BadArchive, "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", LoadCode::BadArchive, "Git LFS"),
        (b"hello", LoadCode::BadArchive, "text"),
        (b"(\xb5/\xfd\0", LoadCode::BadArchive, "zstd"),
        (b"\x01\x02\xff\0", LoadCode::BadArchive, "no known kind"),
        (b"\x7fELF\x02", LoadCode::NotAComponent, "machine code (ELF)"),
        (b"\n (component)", LoadCode::NotAComponent, "WebAssembly in text form"),
        (b";; a policy\n(module)", LoadCode::NotAComponent, "WebAssembly in text form"),
    ];
    for (bytes, code, expected) in rows {
        let error = component_of(&verified(bytes)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

// attack 49
#[test]
fn nested_archive_is_not_unpacked() {
    let nested = zip_of(&[Member::new(MEMBER, WASM)]);
    for outer in [zip_of(&[Member::new(MEMBER, &nested)]), gzip(&tar_of(&[(MEMBER, &nested)]))] {
        let error = component_of(&verified(&outer)).unwrap_err();
        assert_eq!((error.code(), error.message().contains("is a zip")), (LoadCode::NotAComponent, true), "{error}");
    }
}

#[test]
fn missing_member_is_named_with_what_there_is() {
    let names = ["a", "b/c", "policy.wasm", "x/code/policy.wasm", "Code/policy.wasm", "z"];
    let members: Vec<_> = names.iter().map(|name| Member::new(name, WASM)).collect();
    refuses(
        &zip_of(&members),
        "holds no `code/policy.wasm`; it holds `a`, `b/c`, `policy.wasm`, `x/code/policy.wasm`, `Code/policy.wasm`",
    );
    refuses(&zip_of(&[]), "nor any other file");
    refuses(&gzip(&tar_of(&[("a\u{301}", b"")])), "it holds `a\\u{301}`");
    refuses(&gzip(&tar_of(&[])), "nor any other file");
    refuses(&gzip(&tar_of(&[("code/policy.wasm/", b"")])), "nor any other file");
}

#[test]
fn python_policy_is_told_its_type() {
    refuses(&zip_of(&[Member::new("code/function.py", b"class AIOSv1PolicyRule: ...")]), "python_class_v1");
    refuses(&xz(&tar_of(&[("./code/function.py", b"x")])), "python_class_v1");
}

// ---- names, in every kind ----

#[test]
fn takes_the_member_from_every_kind() {
    let others = [("code/", &b""[..]), ("README.md", b"hello"), (MEMBER, WASM), ("code/schemas/in.json", b"{}")];
    let tar = tar_of(&others);
    for archive in [tar.clone(), gzip(&tar), xz(&tar)] {
        accepts(&archive);
    }
    accepts(&zip_of(&others.map(|(name, data)| Member::new(name, data))));
    accepts(&zip_of(&others.map(|(name, data)| Member::new(name, data).deflated())));
    accepts(&gzip(&tar_of(&[("./", b""), ("./code/", b""), ("./code/policy.wasm", WASM)])));
    accepts(&tar_of(&[("code//policy.wasm", WASM)]));
}

// attack 44
#[test]
fn hostile_name_refuses_the_whole_archive() {
    let long = "x".repeat(1025);
    let rows: [(&[u8], &str); 15] = [
        (b"../../etc/passwd", "climbs out"),
        (b"code/../../x", "climbs out"),
        (b"code/..", "climbs out"),
        (b"/etc/passwd", "absolute"),
        (b"//server/share", "absolute"),
        (b"C:/windows", "drive letter"),
        (b"c:x", "drive letter"),
        (b"code\\policy.wasm", "backslash"),
        (b"..\\x", "backslash"),
        (b"a\0b", "control characters"),
        (b"a\nb", "control characters"),
        (b"caf\xe9", "not UTF-8"),
        (long.as_bytes(), "too long"),
        (b"code/./policy.wasm", "twice"),
        (b"CODE/Policy.wasm", "twice"),
    ];
    for (name, expected) in rows {
        refuses(&zip_of(&[Member::new(MEMBER, WASM), Member::raw(name, b"")]), expected);
        let long_name = [
            tar_entry(EntryType::GNULongName, b"././@LongLink", &[name, b"\0"].concat()),
            tar_entry(EntryType::Regular, b"x", b""),
        ];
        refuses(
            &gzip(&tape(&[&[tar_entry(EntryType::Regular, MEMBER.as_bytes(), WASM)], &long_name[..]].concat())),
            expected,
        );
        if !name.contains(&b'\n') && !name.contains(&0) && name.len() <= 100 {
            refuses(
                &gzip(&tape(&[
                    tar_entry(EntryType::Regular, MEMBER.as_bytes(), WASM),
                    tar_entry(EntryType::Regular, name, b""),
                ])),
                expected,
            );
        }
    }
    refuses(&zip_of(&[Member::new(MEMBER, WASM), Member::raw(b"", b"")]), "is empty");
}

// attack 47
#[test]
fn file_given_twice_is_refused() {
    refuses(&zip_of(&[Member::new(MEMBER, WASM), Member::new(MEMBER, b"other")]), "twice");
    refuses(&gzip(&tar_of(&[(MEMBER, WASM), (MEMBER, b"other")])), "twice");
    refuses(&gzip(&tar_of(&[("É", b""), ("é", b"")])), "twice");
}

// ---- bombs ----

// attack 46
#[test]
fn bomb_is_stopped_by_its_ratio() {
    let zeros = vec![0; 8 << 20];
    let tar = tar_of(&[("zeros", &zeros), (MEMBER, WASM)]);
    let expected = "more than 200 times its size";
    refuses(&gzip(&tar), expected);
    refuses(&xz(&tar), expected);
    refuses(&zip_of(&[Member::new(MEMBER, WASM), Member::new("zeros", &zeros).deflated()]), expected);
}

#[test]
fn small_archive_of_mostly_padding_is_no_bomb() {
    accepts(&xz(&[tar_of(&[(MEMBER, WASM)]), vec![0; 512 << 10]].concat()));
}

// attack 46
#[test]
fn archive_is_stopped_at_its_total_and_member_caps() {
    let caps = Caps { total: 1 << 20, member: 1000, ..Caps::default() };
    let noise: Vec<u8> = (0..400_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let three = [("a", &noise[..]), ("b", &noise), ("c", &noise)];
    refuses_within(caps, &gzip(&tar_of(&three)), "more than 1 MiB");
    refuses_within(caps, &tar_of(&three), "more than 1 MiB");
    refuses_within(caps, &zip_of(&three.map(|(name, data)| Member::new(name, data))), "more than 1 MiB");
    refuses_within(caps, &zip_of(&three.map(|(name, data)| Member::new(name, data).deflated())), "more than 1 MiB");
    let one = [WASM, &noise[..1000]].concat();
    refuses_within(caps, &gzip(&tar_of(&[(MEMBER, &one)])), "`code/policy.wasm` unpacks to more than 1000 bytes");
    refuses_within(caps, &zip_of(&[Member::new(MEMBER, &one)]), "`code/policy.wasm` unpacks to more than 1000 bytes");
    refuses_within(
        caps,
        &zip_of(&[Member::new(MEMBER, &one).deflated()]),
        "`code/policy.wasm` unpacks to more than 1000 bytes",
    );
}

// attack 48
#[test]
fn million_tiny_members_are_refused_after_ten_thousand() {
    let names: Vec<_> = (0..10_001).map(|n| format!("f{n}")).collect();
    let members: Vec<_> = names.iter().map(|name| Member::new(name, b"")).collect();
    refuses(&zip_of(&members), "more than 10000 members");
    let tar: Vec<_> = names.iter().map(|name| tar_entry(EntryType::Regular, name.as_bytes(), b"")).collect();
    refuses_within(Caps { ratio: 1_000_000, ..Caps::default() }, &gzip(&tape(&tar)), "more than 10000 members");
    let headers = vec![tar_entry(EntryType::XGlobalHeader, b"g", b"10 a=bcde\n"); 50];
    refuses_within(Caps { entries: 10, ..Caps::default() }, &tape(&headers), "more than 10 members");
}

// attack 50
#[test]
fn window_of_four_gigabytes_is_refused_and_that_of_xz_9_is_not() {
    // The block header is at 12: its length, flags, the filter's id, the length and value of its property, padding, CRC.
    let with_window = |property: u8| {
        let mut res = xz(&tar_of(&[(MEMBER, WASM)]));
        assert_eq!(res[14..16], [0x21, 1]);
        res[16] = property;
        let len = usize::from(res[12]) * 4;
        let sum = crc(&res[12..12 + len]).to_le_bytes();
        res[12 + len..16 + len].copy_from_slice(&sum);
        res
    };
    accepts(&with_window(28));
    refuses(&with_window(40), "too much memory");
}

// ---- tar ----

fn tar_entry(entry_type: EntryType, name: &[u8], data: &[u8]) -> Vec<u8> {
    tar_entry_with(entry_type, name, data, |_| {})
}

fn tar_entry_with(entry_type: EntryType, name: &[u8], data: &[u8], tweak: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(entry_type);
    header.set_size(data.len().try_into().unwrap());
    header.set_mode(0o644);
    tweak(&mut header);
    header.set_cksum();
    let mut res = [header.as_bytes(), data].concat();
    res.resize(res.len().next_multiple_of(512), 0);
    res
}

fn tape(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut res = entries.concat();
    res.resize(res.len() + 1024, 0);
    res
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let entry_type = |name: &str| if name.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
    tape(&members.iter().map(|(name, data)| tar_entry(entry_type(name), name.as_bytes(), data)).collect::<Vec<_>>())
}

// attack 45
#[test]
fn link_device_or_pipe_refuses_the_whole_tar() {
    let rows = [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse file"),
        (EntryType::GNULongLink, "link with a long name"),
        (EntryType::Continuous, "neither a file nor a directory"),
        (EntryType::new(b'Z'), "neither a file nor a directory"),
    ];
    for (entry_type, expected) in rows {
        refuses(
            &gzip(&tape(&[tar_entry(EntryType::Regular, MEMBER.as_bytes(), WASM), tar_entry(entry_type, b"x", b"")])),
            expected,
        );
        refuses(&tape(&[tar_entry(entry_type, MEMBER.as_bytes(), b"")]), expected);
    }
}

#[test]
fn long_name_of_either_kind_is_the_name() {
    let member = tar_entry(EntryType::Regular, b"short", WASM);
    let gnu = tar_entry(EntryType::GNULongName, b"././@LongLink", b"code/policy.wasm\0");
    let pax = |records: &[u8]| tar_entry(EntryType::XHeader, b"PaxHeaders/x", records);
    // The two digits of its length, a space, `=` and a line end are part of a record.
    let record = |key: &str, value: &str| format!("{} {key}={value}\n", key.len() + value.len() + 5).into_bytes();
    let path = record("path", MEMBER);
    let global = tar_entry(
        EntryType::XGlobalHeader,
        b"pax_global_header",
        &record("comment", "0123456789012345678901234567890123456789"),
    );
    accepts(&tape(&[gnu.clone(), member.clone()]));
    accepts(&tape(&[pax(&[record("mtime", "1.123456789"), path.clone()].concat()), member.clone()]));
    accepts(&tape(&[global, pax(&path), member.clone()]));
    // A value may hold line ends: it is as long as its record says.
    accepts(&tape(&[pax(&[record("SCHILY.xattr.a", "\n\n9 path=x\n"), path.clone()].concat()), member.clone()]));
    refuses(&tape(&[pax(&[path.clone(), path].concat()), member.clone()]), "twice");
    for key in ["size", "linkpath", "GNU.sparse.major", "hdrcharset"] {
        refuses(&tape(&[pax(&record(key, "1234567")), member.clone()]), &format!("pax header `{key}`"));
    }
    let rows: [(&[u8], &str); 5] = [
        (b"\n9 path=x\n", "malformed"),
        (b"11 path=x\n", "malformed"),
        (b"99999999999999999999 path=x\n", "malformed"),
        (b"5 path=x\n", "malformed"),
        (b"9 pathx\n\n", "malformed"),
    ];
    for (records, expected) in rows {
        refuses(&tape(&[pax(records), member.clone()]), expected);
    }
    refuses(&tape(&[gnu.clone(), pax(b"9 path=x\n"), member.clone()]), "two names");
    refuses(&tape(&[gnu.clone(), gnu.clone(), member.clone()]), "two names");
    refuses(&tape(&[member, gnu]), "does not follow");
    refuses(&tape(&[tar_entry(EntryType::XGlobalHeader, b"g", b"9 path=x\n")]), "one name to all");
    refuses(&tape(&[pax(&vec![b' '; 65 << 10])]), "bytes of headers");
}

// attack 47
#[test]
fn tar_that_lies_is_refused() {
    let member = tar_entry(EntryType::Regular, MEMBER.as_bytes(), WASM);
    let sized = |size: u64| tar_entry_with(EntryType::Regular, b"x", b"data", |header| header.set_size(size));
    refuses(&tape(&[member.clone(), sized(1 << 40)]), "unpacks to more than 256 MiB");
    refuses(&tape(&[member.clone(), sized(1 << 20)]), "ends too early");
    refuses(&tape(&[member.clone(), sized(u64::MAX - 5)]), "damaged");
    refuses(&tape(&[member.clone(), tar_entry(EntryType::Directory, b"d", b"hidden")]), "has content");
    refuses(&[tape(std::slice::from_ref(&member)), member.clone()].concat(), "goes on after its end");
    refuses(&gzip(&[tape(std::slice::from_ref(&member)), b"x".to_vec()].concat()), "goes on after its end");
    let mut broken = tape(&[member.clone(), member]);
    broken[1024] ^= 1;
    refuses(&broken, "checksum");
}

#[test]
fn packed_streams_may_follow_one_another_and_nothing_else_may() {
    let tar = tar_of(&[(MEMBER, WASM)]);
    let (first, second) = tar.split_at(512);
    accepts(&[gzip(first), gzip(second)].concat());
    accepts(&[xz(first), xz(second)].concat());
    for packed in [gzip(&tar), xz(&tar)] {
        refuses(&[&packed[..], b"garbage!"].concat(), "the archive");
        refuses(&[&packed[..], &zip_of(&[Member::new(MEMBER, b"other")])].concat(), "the archive");
        refuses(&packed[..packed.len() - 1], "ends too early");
    }
    refuses(&gzip(WASM), "no tar that can be read");
    refuses(&xz(&WASM.repeat(100)), "no tar that can be read");
    refuses(&gzip(&zip_of(&[Member::new(MEMBER, WASM)])), "no tar that can be read");
}

// ---- zip ----

/// One member of a zip: what its data is, and what each of its two headers says.
#[derive(Clone)]
struct Member {
    central: Says,
    local: Says,
    data: Vec<u8>,
    descriptor: Vec<u8>,
    attributes: u32,
    offset: Option<u32>,
}

#[derive(Clone)]
struct Says {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    unpacked: u32,
    extra: Vec<u8>,
}

impl Member {
    fn new(name: &str, data: &[u8]) -> Self {
        Self::raw(name.as_bytes(), data)
    }

    fn raw(name: &[u8], data: &[u8]) -> Self {
        let len = data.len().try_into().unwrap();
        let says = Says {
            name: name.into(),
            flags: 0,
            method: 0,
            crc: crc(data),
            packed: len,
            unpacked: len,
            extra: Vec::new(),
        };
        Self {
            central: says.clone(),
            local: says,
            data: data.into(),
            descriptor: Vec::new(),
            attributes: 0,
            offset: None,
        }
    }

    fn deflated(self) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.data).unwrap();
        let data = encoder.finish().unwrap();
        let packed = data.len().try_into().unwrap();
        Self { data, ..self }.both(|says| (says.method, says.packed) = (8, packed))
    }

    /// As written by a tool that does not know the size beforehand.
    fn streamed(mut self, signature: &[u8]) -> Self {
        self = self.both(|says| says.flags |= 8);
        let Says { crc, packed, unpacked, .. } = self.central;
        (self.local.crc, self.local.packed, self.local.unpacked) = (0, 0, 0);
        self.descriptor = [signature, &crc.to_le_bytes(), &packed.to_le_bytes(), &unpacked.to_le_bytes()].concat();
        self
    }

    fn both(mut self, change: impl Fn(&mut Says)) -> Self {
        change(&mut self.central);
        change(&mut self.local);
        self
    }

    fn tweak(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Says {
    /// The fields that both headers have in the same order.
    fn header(&self) -> Vec<u8> {
        let mut res = vec![20, 0];
        res.extend([self.flags, self.method, 0, 0x21].iter().flat_map(|n| n.to_le_bytes()));
        res.extend([self.crc, self.packed, self.unpacked].iter().flat_map(|n| n.to_le_bytes()));
        res.extend([self.name.len(), self.extra.len()].iter().flat_map(|n| u16::try_from(*n).unwrap().to_le_bytes()));
        res
    }
}

fn zip_of(members: &[Member]) -> Vec<u8> {
    zip_with(members, |_| {}, b"")
}

/// A zip whose end record (without signature and comment) was changed before it was written.
fn zip_with(members: &[Member], change_end: impl Fn(&mut [u8]), comment: &[u8]) -> Vec<u8> {
    let (mut res, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let offset = member.offset.unwrap_or(res.len().try_into().unwrap());
        res.extend(
            [
                b"PK\x03\x04",
                &member.local.header()[..],
                &member.local.name,
                &member.local.extra,
                &member.data,
                &member.descriptor,
            ]
            .concat(),
        );
        let tail = [&[0; 8][..], &member.attributes.to_le_bytes(), &offset.to_le_bytes()].concat();
        // Made by version 2.0 on Unix, so that the attributes hold a mode.
        let made_by = [20, 3];
        directory.extend(
            [
                b"PK\x01\x02",
                &made_by[..],
                &member.central.header(),
                &tail[2..],
                &member.central.name,
                &member.central.extra,
            ]
            .concat(),
        );
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (len, start) = (u32::try_from(directory.len()).unwrap(), u32::try_from(res.len()).unwrap());
    let mut end = [&[0; 4][..], &count, &count, &len.to_le_bytes(), &start.to_le_bytes()].concat();
    change_end(&mut end);
    let comment_len = u16::try_from(comment.len()).unwrap().to_le_bytes();
    [&res[..], &directory, b"PK\x05\x06", &end, &comment_len, comment].concat()
}

#[test]
fn honest_zips_of_all_sorts_are_read() {
    let member = Member::new(MEMBER, WASM);
    accepts(&zip_of(&[member.clone().deflated().streamed(b"")]));
    accepts(&zip_of(&[
        Member::new("a", b"aa").deflated().streamed(b"PK\x07\x08"),
        member.clone().streamed(b"PK\x07\x08"),
    ]));
    accepts(&zip_of(&[member.clone().tweak(|m| m.attributes = 0o100_644 << 16)]));
    accepts(&zip_of(&[member.clone().both(|says| says.extra = b"UT\x05\0\x01abcd".to_vec())]));
    accepts(&zip_with(&[member.clone().both(|says| says.flags = 1 << 11)], |_| {}, b"a comment"));
    accepts(&zip_of(&[Member::new("code/", b"").tweak(|m| m.attributes = 0o040_755 << 16), member]));
}

#[test]
fn zip_written_by_the_zip_crate_is_read() {
    let mut writer = ::zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Deflated);
    writer.add_directory("code", options).unwrap();
    writer.start_file(MEMBER, options.unix_permissions(0o644)).unwrap();
    writer.write_all(WASM).unwrap();
    writer.start_file("policy.json", options).unwrap();
    writer.write_all(b"{}").unwrap();
    accepts(&writer.finish().unwrap().into_inner());
}

// attack 46
#[test]
fn overlapping_members_are_refused() {
    let kernel = Member::new("a", &vec![b'x'; 4096]).deflated();
    // The quoted kind needs other headers in the data; sharing one member is the plain kind.
    let shared = Member { data: Vec::new(), offset: Some(0), ..kernel.clone() };
    refuses(&zip_of(&[kernel.clone(), shared.clone()]), "twice");
    let renamed = shared.both(|says| says.name = b"b".to_vec());
    refuses(&zip_of(&[kernel, renamed]), "not what its directory says");
    // A whole second member inside the data of the first.
    let inner = Member::new("b", b"inner");
    let bytes = zip_of(std::slice::from_ref(&inner));
    let outer = Member::new("a", &bytes[..36]);
    let inside = Member { data: Vec::new(), offset: Some(31), ..inner };
    let mut overlapping = zip_of(&[outer.clone(), inside.clone()]);
    // Take out the stray local header that the builder wrote for the inner one.
    let stray = 31 + 36;
    overlapping.drain(stray..stray + 31);
    let end = overlapping.len() - 6;
    overlapping[end..end + 4].copy_from_slice(&u32::try_from(stray).unwrap().to_le_bytes());
    refuses(&overlapping, "overlap");
}

// attack 47
#[test]
fn zip_whose_headers_disagree_is_refused() {
    type Change = fn(&mut Member);
    let changes: [Change; 11] = [
        |m| m.local.name = b"code/policy.wasn".to_vec(),
        |m| m.local.name = b"code/policy".to_vec(),
        |m| m.central.name = b"code/other.wasm!".to_vec(),
        |m| m.local.method = 8,
        |m| m.local.flags = 8,
        |m| m.local.crc ^= 1,
        |m| m.local.packed -= 1,
        |m| m.local.unpacked += 1,
        |m| m.offset = Some(1),
        |m| m.offset = Some(1 << 30),
        |m| *m = m.clone().both(|says| says.packed += 100),
    ];
    for change in changes {
        refuses(&zip_of(&[Member::new(MEMBER, WASM).tweak(change)]), "is not what its directory says");
    }
    let streamed = Member::new(MEMBER, WASM).deflated().streamed(b"PK\x07\x08");
    let changes: [Change; 3] = [|m| m.descriptor[4] ^= 1, |m| m.descriptor.clear(), |m| m.local.unpacked = 7];
    for change in changes {
        refuses(&zip_of(&[streamed.clone().tweak(change)]), "is not what its directory says");
    }
}

// attack 47
#[test]
fn zip_that_lies_about_its_data_is_refused() {
    let lie = "size and checksum it claims";
    for member in [Member::new(MEMBER, WASM), Member::new(MEMBER, WASM).deflated()] {
        refuses(&zip_of(&[member.clone().both(|says| says.crc ^= 1)]), lie);
        refuses(&zip_of(&[member.clone().both(|says| says.unpacked -= 1)]), lie);
        refuses(&zip_of(&[member.both(|says| says.unpacked += 1)]), lie);
    }
    // Claims little, unpacks to much: stops one byte beyond the claim.
    let bomb = Member::new("bomb", &vec![0; 4 << 20]).deflated().both(|says| says.unpacked = 10);
    refuses(&zip_of(&[bomb]), lie);
    let padded = Member::new(MEMBER, WASM).deflated().tweak(|m| {
        m.data.push(0);
        *m = m.clone().both(|says| says.packed += 1);
    });
    refuses(&zip_of(&[padded]), "something behind its data");
    let garbage = Member::new(MEMBER, WASM).both(|says| says.method = 8);
    refuses(&zip_of(&[garbage]), "damaged");
}

// attack 45
#[test]
fn zip_member_that_is_no_file_is_refused() {
    type Change = fn(&mut Member);
    let rows: [(Change, &str); 13] = [
        (|m| m.attributes = 0o120_777 << 16, "symbolic link"),
        (|m| m.attributes = 0o020_666 << 16, "device"),
        (|m| m.attributes = 0o060_666 << 16, "device"),
        (|m| m.attributes = 0o010_666 << 16, "named pipe"),
        (|m| m.attributes = 0o140_666 << 16, "neither a file"),
        (|m| *m = m.clone().both(|says| says.flags = 1), "encrypted"),
        (|m| *m = m.clone().both(|says| says.flags = 1 << 6), "encrypted"),
        (|m| *m = m.clone().both(|says| says.flags = 1 << 13), "encrypted"),
        (|m| *m = m.clone().both(|says| says.extra = b"\x01\x99\x07\0abcdefg".to_vec()), "encrypted"),
        (|m| *m = m.clone().both(|says| says.method = 12), "method 12"),
        (|m| *m = m.clone().both(|says| says.extra = b"up\x06\0\x01abcdx".to_vec()), "two names"),
        (|m| m.local.extra = b"UT\xff\0".to_vec(), "malformed extra"),
        (|m| *m = m.clone().both(|says| says.name = b"dir/".to_vec()), "directory with content"),
    ];
    for (change, expected) in rows {
        refuses(&zip_of(&[Member::new(MEMBER, WASM), Member::new("x", b"data").tweak(change)]), expected);
    }
}

// attack 47
#[test]
fn absurd_zip64_is_refused() {
    let sizes = [&[1, 0, 16, 0][..], &(1_u64 << 63).to_le_bytes(), &(1_u64 << 63).to_le_bytes()].concat();
    let member = Member::new(MEMBER, WASM);
    let absurd =
        member.clone().both(|says| (says.extra, says.packed, says.unpacked) = (sizes.clone(), u32::MAX, u32::MAX));
    refuses(&zip_of(&[absurd]), "zip64");
    refuses(&zip_of(&[member.clone().tweak(|m| m.local.extra = sizes.clone())]), "zip64");
    refuses(&zip_of(&[member.clone().tweak(|m| m.offset = Some(u32::MAX))]), "zip64");
    for field in [6, 8, 12] {
        let change = |end: &mut [u8]| end[field..field + if field == 6 { 2 } else { 4 }].fill(0xff);
        refuses(&zip_with(std::slice::from_ref(&member), change, b""), "zip64");
    }
}

#[test]
fn zip_with_a_doubtful_end_is_refused() {
    let member = [Member::new(MEMBER, WASM)];
    let honest = zip_of(&member);
    refuses(&[&honest[..], b"x"].concat(), "cut short, or something follows");
    refuses(&honest[..honest.len() - 1], "cut short, or something follows");
    refuses(&zip_with(&member, |_| {}, &zip_of(&[])), "two directories");
    refuses(&zip_with(&member, |end| end[0] = 1, b""), "several parts");
    refuses(&zip_with(&member, |end| end[4] = 2, b""), "several parts");
    refuses(&zip_with(&member, |end| end[12] ^= 1, b""), "not where its end says");
    refuses(&zip_with(&member, |end| (end[4], end[6]) = (2, 2), b""), "malformed directory");
    refuses(&zip_with(&member, |end| (end[4], end[6]) = (0, 0), b""), "lists more than its end counts");
    let mut shifted = b"PK\x03\x04 something in front".to_vec();
    shifted.extend(&honest);
    refuses(&shifted, "not where its end says");
}

// ---- everything at once ----

// attack 91: archives.
#[test]
fn cut_anywhere_it_is_refused_and_flipped_anywhere_it_is_the_same_or_refused() {
    let tar = tar_of(&[("code/", b""), (MEMBER, WASM), ("b", b"bb")]);
    let zip = zip_of(&[
        Member::new("code/", b""),
        Member::new(MEMBER, WASM).deflated().streamed(b"PK\x07\x08"),
        Member::new("b", b"bb"),
    ]);
    for archive in [gzip(&tar), xz(&tar), zip] {
        for len in 0..archive.len() {
            assert!(component_of(&verified(&archive[..len])).is_err(), "cut at {len}");
        }
        for (at, bit) in (0..archive.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = archive.clone();
            flipped[at] ^= 1 << bit;
            // Dates and such may change; what runs may not.
            if let Ok(component) = component_of(&verified(&flipped)) {
                assert_eq!(component.bytes(), WASM, "bit {bit} at {at}");
            }
        }
    }
}
