//! Every input that is kept, once through its target: seeds, what fuzzing found, and what once went wrong.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and says where"
)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use lictor_fuzz::TARGETS;

/// Targets that are not run here: those that are private in the server, which has tests of its own for their inputs, and
/// the one that takes wasm-smith.
const ONLY_FUZZED: [&str; 5] = ["wire", "body", "batch", "envelope", "module"];

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(corpus().join(target)).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

fn replay(target: &str) {
    let (_, check) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let inputs = inputs(target);
    assert!(!inputs.is_empty());
    for (name, input) in inputs {
        // Shown where one fails.
        println!("{name}");
        check(&input);
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replayed! {
    json filter update query schema record name address archive package artifact component guest answer config log
    registry job
}

#[test]
fn every_target_is_replayed_and_its_corpus_is_small() {
    assert_eq!(TARGETS.map(|(name, _)| name), REPLAYED);
    let folders = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
    let folders: BTreeSet<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let known: BTreeSet<_> = REPLAYED.iter().chain(&ONLY_FUZZED).map(|name| (*name).to_owned()).collect();
    assert_eq!(folders, known);
    let sizes: Vec<_> = known.iter().flat_map(|name| inputs(name)).map(|(_, input)| input.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 64 << 10) && sizes.iter().sum::<usize>() <= 3 << 20);
}
