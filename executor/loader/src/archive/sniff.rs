//! What some bytes are, by how they start: to choose a reader, and to tell a person what they sent instead.

use std::fmt;

/// What some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// WebAssembly in binary form: a component, perhaps. A zip glued to the end of one is still this.
    Wasm,
    /// A zip, even an empty one.
    Zip,
    /// Something packed with gzip.
    Gzip,
    /// Something packed with xz.
    Xz,
    /// A tar.
    Tar,
    /// Nothing that is read here.
    Other(What),
}

/// What people send by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Empty,
    WasmText,
    Elf,
    Known(&'static str),
    Unknown,
}

impl What {
    /// Whether it is code at least, in a form that does not run here.
    pub(super) fn is_code(self) -> bool {
        matches!(self, Self::WasmText | Self::Elf)
    }
}

const KINDS: [(&[u8], Kind); 7] = [
    (b"\0asm", Kind::Wasm),
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip),
    (b"\x1f\x8b", Kind::Gzip),
    (b"\xfd7zXZ\0", Kind::Xz),
    (b"\x7fELF", Kind::Other(What::Elf)),
    (b"PK\x07\x08", Kind::Other(What::Known("a zip in several parts"))),
];

const NAMES: [(&[u8], &str); 8] = [
    (b"(\xb5/\xfd", "packed with zstd"),
    (b"BZh", "packed with bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\xca\xfe\xba\xbe", "a Java class or a Mach-O program"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"MZ", "a Windows program"),
    (b"%PDF", "a PDF"),
];

/// Where a tar says that it is one, and what it says there.
const TAR_MAGIC: (std::ops::Range<usize>, &[u8]) = (257..262, b"ustar");

pub(super) fn kind(bytes: &[u8]) -> Kind {
    let (range, magic) = TAR_MAGIC;
    if let Some((_, kind)) = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return *kind;
    }
    if bytes.get(range) == Some(magic) {
        return Kind::Tar;
    }
    let name = NAMES.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| What::Known(name));
    Kind::Other(name.unwrap_or_else(|| text(bytes)))
}

/// Tells texts apart by the start of the first kilobyte, after white space and a byte order mark.
fn text(bytes: &[u8]) -> What {
    let head = bytes.get(..1024).unwrap_or(bytes);
    if head.is_empty() {
        return What::Empty;
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start().to_ascii_lowercase();
    let starts = |words: &[&str]| words.iter().any(|word| head.starts_with(word.as_bytes()));
    if starts(&["(component", "(module", ";;"]) {
        return What::WasmText;
    }
    if starts(&["<!doctype html", "<html", "<head", "<body"]) {
        return What::Known("an HTML page");
    }
    if starts(&["version https://git-lfs"]) {
        return What::Known("a pointer to a file in Git LFS");
    }
    if starts(&["{", "["]) {
        return What::Known("JSON");
    }
    // A character may be cut by the end of the head.
    let utf8 = str::from_utf8(&head).map_or_else(|error| error.error_len().is_none(), |_| true);
    if utf8 && !head.contains(&0) { What::Known("text") } else { What::Unknown }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wasm => f.write_str("WebAssembly"),
            Self::Zip => f.write_str("a zip"),
            Self::Gzip => f.write_str("packed with gzip"),
            Self::Xz => f.write_str("packed with xz"),
            Self::Tar => f.write_str("a tar"),
            Self::Other(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty",
            Self::WasmText => "WebAssembly in text form",
            Self::Elf => "machine code (ELF)",
            Self::Known(name) => name,
            Self::Unknown => "of no known kind",
        })
    }
}
