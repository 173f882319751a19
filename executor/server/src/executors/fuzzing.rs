//! What must hold for any answer of another executor, for a fuzzer and for its corpus in `tests/fuzz/corpus`.
//!
//! Here, since what reads answers is private. Nothing of this is in a server that is served.

use lictor_loader::Answer;
use lictor_model::json;

use super::envelope;

/// A status in two bytes, and an answer. What we answer with is an envelope of ours, and every reading of it agrees
/// whether something was decided.
pub fn envelope(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk() else { return };
    let status = u16::from_le_bytes(*status);
    let answer = Answer { status, etag: None, retry_after: None, body: body.to_vec().into() };
    let read = envelope::read("e", &answer);
    assert_eq!(envelope::read_checked("e", &answer).is_ok(), read.is_ok());
    drop((envelope::read_whole("e", &answer), envelope::read_data("e", &answer)));
    let Ok(text) = read else { return };
    assert!(json::check(&text).is_ok(), "{text}");
    // As a client of ours would: what was passed on is passed on as it is.
    let again = Answer { status: 200, etag: None, retry_after: None, body: text.clone().into() };
    assert_eq!(envelope::read("e", &again).ok(), Some(text));
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_found_before_still_holds() {
        crate::fuzzed::replay("envelope", super::envelope);
    }
}
