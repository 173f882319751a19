//! Standard output and standard error. A reader that went away (`| head`) is no failure, and nothing that a policy
//! chose can steer a terminal.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write as _},
};

use super::Failure;

/// Writes `text` and a newline to standard output.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{}", calm(text)).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Internal(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON document as exactly one line. Its newlines are between its values: inside a string they are escaped.
pub(super) fn json_line(json: &str) -> Result<(), Failure> {
    line(&json.replace(['\n', '\r'], " "))
}

/// Writes a line to standard error, if anybody reads it.
pub(super) fn note(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{}", calm(&text.to_string())));
}

/// `text` with control characters written out as JSON would, so that it means the same as JSON.
fn calm(text: &str) -> String {
    let mut res = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = !c.is_control() || matches!(c, '\n' | '\t');
        // Those of Unicode that turn the writing direction.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if plain && !turns {
            res.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(res, "\\u{:04x}", u32::from(c));
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_cannot_steer_a_terminal_and_is_the_same_json() {
        let json = "{\"a\": \"\u{9b}2J\u{7f}\u{202e}é…\"}";
        let calmed = calm(json);
        assert_eq!(calmed, "{\"a\": \"\\u009b2J\\u007f\\u202eé…\"}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&calmed), read(json));
    }
}
