//! Compiled code on the disk, where somebody else may have written.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
};

use bytes::Bytes;
use lictor_model::Digest;
use lictor_sandbox::aot::{About, Artifact, Code, Distrust, Key};

/// Changes to a sealed file, or a whole file. It is opened only if it is what was sealed.
pub(crate) fn artifact(data: &[u8]) {
    let (key, component, engine) = (Key::new([7; 32]), Digest::of(b"component"), [1; 32]);
    let about = About { initial_memory_bytes: 1 << 16, uses_context: true, stateful: false };
    let code = Code { component: Bytes::from_static(b"the component"), twin: Bytes::from_static(b"twin"), about };
    assert_eq!(Code::from_bytes(&code.to_bytes().into()).as_ref(), Some(&code));
    drop(Code::from_bytes(&data.to_vec().into()));
    let sealed = Artifact::new(component, engine, code).seal(&key).expect("what was made can be sealed");
    let open = |bytes: &[u8]| Artifact::unseal(&key, file(bytes), component, engine).map(drop);
    let changed = changed(&sealed, data);
    assert_eq!(trusted(open(&changed)), changed == sealed);
    assert_eq!(trusted(open(data)), data == sealed);
}

fn trusted(opened: Result<(), Distrust>) -> bool {
    match opened {
        Ok(()) => true,
        Err(Distrust::Unreadable(error)) if error.kind() != std::io::ErrorKind::UnexpectedEof => panic!("{error}"),
        Err(_) => false,
    }
}

/// `sealed` with bytes changed: each change is where, in two bytes, and by what. 255 for where cuts there.
fn changed(sealed: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut res = sealed.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        match res.len() {
            0 => break,
            len if change[2] == 255 => res.truncate(at % len),
            len => res[at % len] ^= change[2],
        }
    }
    res
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("a file that can be written");
    file
}
