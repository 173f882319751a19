//! Files of the decision log.

use std::{fs, ops::ControlFlow};

use lictor::decisions::{
    chain::{self, Hash},
    read::{Filter, each},
    verify::{Trust, verify},
};

/// What an input begins with whose hashes are to be made right first: so it is read further than to the first of them.
const SEAL: &[u8] = b"seal\n";

/// Segments, one after the other behind `\n---\n`, of a log that nobody wrote. Whatever they are, what is read of them is
/// what lines say, and a log whose hashes do not hold is not whole.
pub(crate) fn log(data: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let sealed = data.strip_prefix(SEAL);
    let mut before = chain::NOTHING;
    let mut first = 1_usize;
    let mut lines = 0;
    for segment in split(sealed.unwrap_or(data)) {
        let segment = if sealed.is_some() { seal(segment, &mut before) } else { segment.to_owned() };
        let name = format!("decisions-{first:016}.jsonl");
        fs::write(folder.path().join(name), &segment).expect("a folder of ours takes a file");
        let here = segment.iter().filter(|byte| **byte == b'\n').count();
        (first, lines) = (first + here.max(1), lines + here);
    }
    let report = verify(folder.path(), &Trust::default()).expect("the files can be read");
    // Nothing is signed by a key that is nowhere.
    assert!(report.finding.is_some() || lines == 0, "{report:?}");
    let mut found = 0;
    let read = each(folder.path(), &Filter::default(), |decision| {
        assert!(!decision.text.contains('\n'));
        found += 1;
        ControlFlow::Continue(())
    });
    read.expect("the files can be read");
    assert!(found <= lines);
}

/// The lines of a segment, each with the hash that it should have.
fn seal(segment: &[u8], before: &mut Hash) -> Vec<u8> {
    let mut res = Vec::new();
    for line in segment.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let start = res.len();
        res.extend_from_slice(chain::split(line).map_or(line, |(text, _)| text));
        *before = chain::seal(&mut res, start, before);
    }
    res
}

fn split(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    const MARK: &[u8] = b"\n---\n";
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let here = rest?;
        let at = here.windows(MARK.len()).position(|window| window == MARK);
        rest = at.map(|at| &here[at + MARK.len()..]);
        Some(at.map_or(here, |at| &here[..=at]))
    })
}
