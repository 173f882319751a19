//! Archives, honest or not: entry names are written as they are given.

use std::io::Write as _;

use zip::write::SimpleFileOptions;

/// A zip of these entries. A name that ends in `/` is a folder.
pub fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).expect("an entry can be started");
        zip.write_all(bytes).expect("an entry can be written");
    }
    zip.finish().expect("a zip can be finished").into_inner()
}

/// A tar of these entries.
pub fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        // `set_path` would refuse the names that tests are about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_cksum();
        tar.append(&header, *bytes).expect("an entry can be written");
    }
    tar.into_inner().expect("a tar can be finished")
}

/// A tar.gz of these entries.
pub fn tar_gz_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar_of(entries)).expect("gzip can be written");
    gz.finish().expect("gzip can be finished")
}

/// A tar.xz of these entries.
pub fn tar_xz_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&tar_of(entries)).expect("xz can be written");
    xz.finish().expect("xz can be finished")
}
