//! What an index finds records by: one row for each string of an indexed field, by the kind, the field and the value.
//!
//! A row says no more than that a record may match: the matcher of the filter language decides. So values are cut to a
//! length that every index takes, and a cut value is compared like a whole one: that can only add candidates. What may
//! match is looked up in `narrow.rs`.

use std::borrow::Cow;

use lictor_model::filter::strings;
use serde_json::{Map, Value};

use super::{Kind, db::Tx};
use crate::error::Error;

/// The longest value that is indexed, in bytes; PostgreSQL takes a row of a third of a page.
const MAX_VALUE: usize = 600;

/// The text as the databases store it: PostgreSQL takes no NUL. The order stays that of the bytes, and no two texts
/// become one.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
}

/// The text that was encoded.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1}') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\u{1}\u{1}", "\0").replace("\u{1}\u{2}", "\u{1}"))
}

/// The text as the index holds it.
pub(super) fn value_of(text: &str) -> Cow<'_, str> {
    let encoded = encode(text);
    if encoded.len() <= MAX_VALUE {
        return encoded;
    }
    let end = encoded.floor_char_boundary(MAX_VALUE);
    Cow::Owned(encoded.get(..end).unwrap_or_default().to_owned())
}

/// Where a range that begins at this text begins in the index.
///
/// A value is cut between two characters, so the cut one may be up to three bytes shorter than [`MAX_VALUE`] and come
/// before a text that is cut later. A beginning that is shorter than every cut value comes before none that it should
/// not. The end of a range needs no cut: what was cut comes before the whole.
pub(super) fn low_of(text: &str) -> Cow<'_, str> {
    let encoded = encode(text);
    if encoded.len() <= MAX_VALUE - 3 {
        return encoded;
    }
    let end = encoded.floor_char_boundary(MAX_VALUE - 3);
    Cow::Owned(encoded.get(..end).unwrap_or_default().to_owned())
}

/// Stores what the record is found by.
pub(super) async fn put(tx: &mut Tx, kind: Kind, id: &str, document: &Map<String, Value>) -> Result<(), Error> {
    let terms = kind.indexed().iter().flat_map(|field| {
        let texts = strings(document, field).into_iter();
        texts.map(|text| Value::from(vec![(*field).to_owned(), value_of(text).into_owned()]))
    });
    let terms: Vec<Value> = terms.collect();
    if terms.is_empty() {
        return Ok(());
    }
    let rows = if tx.is_postgres() { "jsonb_array_elements(CAST($3 AS jsonb))" } else { "json_each($3)" };
    // Two long values may be one after they were cut.
    let sql = format!(
        "INSERT INTO terms (kind, field, value, id)
         SELECT $1, term.value ->> 0, term.value ->> 1, $2 FROM {rows} AS term WHERE TRUE ON CONFLICT DO NOTHING"
    );
    tx.execute(&sql, &[kind.name().into(), id.into(), (&Value::from(terms).to_string()).into()]).await.map(drop)
}

/// Removes what the record is found by.
pub(super) async fn remove(tx: &mut Tx, kind: Kind, id: &str) -> Result<(), Error> {
    let sql = "DELETE FROM terms WHERE kind = $1 AND id = $2";
    tx.execute(sql, &[kind.name().into(), id.into()]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_value_lies_in_every_range_that_the_whole_one_lies_in() {
        // Values around the cut, of characters of one to four bytes, and of those that are encoded as two.
        let ends = ["", "a", "a\u{e9}", "\u{e9}", "\u{e9}z", "\u{20ac}", "\u{10ffff}", "\0b", "\u{1}", "zzzzzz"];
        let lengths = MAX_VALUE - 5..=MAX_VALUE + 1;
        let texts: Vec<String> =
            lengths.flat_map(|n| ends.map(|end| format!("{}{end}{end}{end}", "m".repeat(n)))).collect();
        for value in &texts {
            for end in &texts {
                if end <= value {
                    assert!(low_of(end) <= value_of(value), "{value:?} is not below {end:?}");
                }
                if value <= end {
                    assert!(value_of(value) <= encode(end), "{value:?} is not above {end:?}");
                }
            }
        }
    }
}
