//! `$regex` with `$options`: patterns that run in linear time.
//!
//! Patterns are not anchored. Other than in MongoDB there are no backreferences and no look-around, whose cost no
//! bound holds, and `$` without the option `m` is the very end of the text, not also the place before a last newline.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::{
    compare::type_name,
    field::{FieldError, shorten},
};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 1000;
/// What a compiled pattern, and the cache of its matcher, may take. In bytes.
const MAX_SIZE: usize = 2 << 20;
/// How deeply groups may be nested.
const MAX_NESTING: u32 = 50;

/// A pattern that strings are searched for.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    prefix: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
}

impl Pattern {
    /// Reads the operands of `$regex` and, if there is one, of `$options`.
    pub(super) fn parse(pattern: &Value, options: Option<&Value>) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new("$regex", message);
        let Value::String(text) = pattern else {
            return Err(wrong(format!("must be a string, not {}", type_name(pattern))));
        };
        if MAX_LENGTH < text.len() {
            return Err(wrong(format!("is longer than {MAX_LENGTH} bytes")));
        }
        let flags = Flags::parse(options)?;
        let regex = RegexBuilder::new(text)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_all)
            .ignore_whitespace(flags.extended)
            .size_limit(MAX_SIZE)
            .dfa_size_limit(MAX_SIZE)
            .nest_limit(MAX_NESTING)
            .build()
            .map_err(|error| wrong(explain(&error)))?;
        Ok(Self { regex, prefix: flags.keep_prefix().then(|| prefix(text)).flatten() })
    }

    pub(super) fn found_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What every text begins with in which the pattern is found, if that is known.
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

impl Flags {
    fn parse(options: Option<&Value>) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new("$options", message);
        let mut res = Self::default();
        let Some(options) = options else { return Ok(res) };
        let Value::String(letters) = options else {
            return Err(wrong(format!("must be a string, not {}", type_name(options))));
        };
        for letter in letters.chars() {
            match letter {
                'i' => res.ignore_case = true,
                'm' => res.multi_line = true,
                's' => res.dot_all = true,
                'x' => res.extended = true,
                _ => {
                    let given = shorten(&letter.to_string(), 1);
                    return Err(wrong(format!("has the letter `{given}`: there are i, m, s and x")));
                }
            }
        }
        Ok(res)
    }

    /// Whether the letters at the beginning of a pattern, after `^`, stand for themselves at the beginning of a text.
    fn keep_prefix(self) -> bool {
        !self.ignore_case && !self.multi_line && !self.extended
    }
}

/// The last line of the parser's report says what is wrong; those before draw where.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "is too large when compiled: repeat less, or smaller classes".to_owned(),
        error => {
            let report = error.to_string();
            let reason = report.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let linear = ["look-around", "backreferences"].iter().any(|word| reason.contains(word));
            let why = if linear { "; patterns run in linear time, which these would not allow" } else { "" };
            format!("is not a valid pattern: {}{why}", shorten(reason, 200))
        }
    }
}

/// The letters after a leading `^`, up to the first that is not plain. An alternative might begin otherwise.
fn prefix(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix('^').filter(|rest| !rest.contains('|'))?;
    let plain = |c: char| c.is_alphanumeric() || " _-:/,;=@%!\"'<>".contains(c);
    let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
    let (letters, after) = rest.split_at_checked(end)?;
    let mut res = letters.to_owned();
    if after.starts_with(['*', '?', '{', '+']) {
        // It repeats the last letter, be it no times.
        res.pop();
    }
    (!res.is_empty()).then_some(res)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prefix_is_what_every_match_begins_with() {
        let table = [
            ("^abc", Some("abc")),
            ("^a-b:1.0", Some("a-b:1")),
            ("^abc$", Some("abc")),
            ("^abc?", Some("ab")),
            ("^abc{0}", Some("ab")),
            ("^abc+", Some("ab")),
            ("^a|b", None),
            ("^a(b|c)", None),
            ("^a(?i)bc", Some("a")),
            ("^(?i)abc", None),
            ("^", None),
            ("^a*", None),
            ("abc", None),
            (r"^\w", None),
        ];
        for (pattern, expected) in table {
            let prefix = Pattern::parse(&json!(pattern), None).unwrap().prefix;
            assert_eq!(prefix.as_deref(), expected, "{pattern}");
            for flags in ["i", "m", "x", "smx"] {
                let prefix = Pattern::parse(&json!(pattern), Some(&json!(flags))).unwrap().prefix;
                assert_eq!(prefix, None, "{pattern} {flags}");
            }
        }
    }

    #[test]
    fn takes_patterns_of_everyday_size() {
        for pattern in [r"^[\w.-]{1,32}$", r"^\d{1,3}(\.\d{1,3}){3}$", r"(?i)^(net|sec)\w*:\d+", "^[a-z0-9-]{1,63}$"] {
            assert!(Pattern::parse(&json!(pattern), None).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let table = [
            (json!(1), None, "must be a string, not a number"),
            (json!("("), None, "unclosed group"),
            (json!("*"), None, "repetition operator missing expression"),
            (json!(r"(a)\1"), None, "backreferences are not supported; patterns run in linear time"),
            (json!("a(?=b)"), None, "look-around, including look-ahead and look-behind, is not supported; patterns"),
            (json!(r"(\w{100}){100}"), None, "too large when compiled"),
            (json!("a".repeat(1001)), None, "longer than 1000 bytes"),
            (json!("a"), Some(json!("g")), "has the letter `g`"),
            (json!("a"), Some(json!(1)), "must be a string"),
        ];
        for (pattern, options, expected) in table {
            let error = Pattern::parse(&pattern, options.as_ref()).unwrap_err();
            assert!(error.message().contains(expected), "{pattern}: {error}");
        }
    }
}
