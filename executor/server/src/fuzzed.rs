//! The inputs that fuzzing has found, for the targets that are private.

/// Runs a target once over each input that is kept for it.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in std::fs::read_dir(&folder).expect("a corpus") {
        check(&std::fs::read(file.expect("a file").path()).expect("an input"));
        inputs += 1;
    }
    assert!(0 < inputs, "{target} has no input");
}
