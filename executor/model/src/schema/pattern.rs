//! Patterns: regular expressions that need time linear in the text, unanchored.
//!
//! `\d`, `\w` and `\s` mean ASCII, as in JSON Schema. Look-around and back-references, which need more than linear time,
//! are refused. Linear is not cheap for every expression, so one that compiles to more is charged more: to the budget of
//! its record, and to the work of each check.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use regex::{Regex, RegexBuilder};
use regex_automata::{
    Input,
    dfa::{Automaton as _, dense},
    nfa::thompson,
    util::syntax,
};

use super::budget::Budget;
use crate::field::{FieldError, shorten};

/// What a usual pattern compiles to at most, in bytes.
pub(super) const SMALL: usize = 64 << 10;
/// What any pattern compiles to at most, in bytes.
pub(super) const MAX: usize = 512 << 10;
/// How much more than a usual one a large one costs.
pub(super) const LARGE_WEIGHT: u32 = 16;

/// What a pattern may take as a whole automaton, in bytes.
const WHOLE: usize = 16 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    matcher: Arc<Matcher>,
    /// As its author wrote it.
    text: Box<str>,
    /// What a byte of text costs.
    pub(super) weight: u32,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "is in an `Arc` in any case")]
enum Matcher {
    /// As a whole automaton, if it is a small one.
    ///
    /// PERF: it needs no memory of its own for a search, which `regex` takes from a pool that all threads share: 0.33 of the
    /// 12.7 us of a request.
    Whole(dense::DFA<Vec<u32>>),
    Regex(Regex),
}

/// The small patterns that are in use, by their texts: those of one field are found in many records.
///
/// PERF: compiling takes 0.2 ms, of which a usual record has four, and each takes up to 16 kB.
static IN_USE: LazyLock<Mutex<HashMap<Box<str>, Weak<Matcher>>>> = LazyLock::new(Mutex::default);

impl Pattern {
    /// Compiles `text`.
    pub(super) fn parse(text: &str, budget: &mut Budget) -> Result<Self, FieldError> {
        budget.take_patterns(1)?;
        let pattern = |matcher, weight| Self { matcher, text: text.into(), weight };
        if let Some(matcher) = in_use(text) {
            return Ok(pattern(matcher, 1));
        }
        let in_ascii = ascii_classes(text);
        let small = whole(&in_ascii).map(Matcher::Whole);
        if let Some(small) = small.or_else(|| compile(&in_ascii, SMALL).ok().map(Matcher::Regex)) {
            let matcher = Arc::new(small);
            put_in_use(text, &matcher);
            return Ok(pattern(matcher, 1));
        }
        budget.take_patterns(LARGE_WEIGHT as usize - 1)?;
        let regex = compile(&in_ascii, MAX).map_err(|error| FieldError::new("", explain(&error)))?;
        Ok(pattern(Arc::new(Matcher::Regex(regex)), LARGE_WEIGHT))
    }

    /// Whether it is somewhere in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        match &*self.matcher {
            // It gives up at bytes that it was told to give up at, and was told none.
            Matcher::Whole(whole) => {
                whole.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
            }
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }

    /// What a text without it is told.
    pub(super) fn message(&self) -> String {
        mismatch(&self.text)
    }
}

/// What a text that does not match `pattern` is told.
pub(super) fn mismatch(pattern: &str) -> String {
    // Not escaped: a pattern is full of backslashes, and is to be recognised.
    let mut shown: String = pattern.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if pattern.chars().nth(100).is_some() {
        shown.push('…');
    }
    format!("must match the pattern `{shown}`")
}

fn in_use(text: &str) -> Option<Arc<Matcher>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner).get(text)?.upgrade()
}

fn put_in_use(text: &str, matcher: &Arc<Matcher>) {
    let mut all = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that are gone are looked for when the map would have to grow: each time it has doubled.
    if all.len() == all.capacity() {
        all.retain(|_, matcher| matcher.strong_count() != 0);
    }
    all.insert(text.into(), Arc::downgrade(matcher));
}

fn compile(pattern: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(size).nest_limit(100).build()
}

/// The automaton of a pattern, if it is small and needs nothing that an automaton has not. `regex` accepts the same.
fn whole(pattern: &str) -> Option<dense::DFA<Vec<u32>>> {
    let config = dense::Config::new().dfa_size_limit(Some(WHOLE)).determinize_size_limit(Some(4 * WHOLE));
    dense::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().nest_limit(100))
        .thompson(thompson::Config::new().nfa_size_limit(Some(SMALL)))
        .build(pattern)
        .ok()
}

fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            format!("is a pattern that compiles to more than {} KiB: repeat less in it", MAX >> 10)
        }
        // The first lines of the message draw the pattern with a mark below.
        other => {
            let text = other.to_string();
            let why = text.lines().last().unwrap_or_default();
            format!("is not a regular expression: {}", shorten(why.strip_prefix("error: ").unwrap_or(why), 200))
        }
    }
}

/// `pattern` with the classes that Unicode has thousands of characters for written out in ASCII. What replaces one is
/// itself a class, which may stand inside another.
fn ascii_classes(pattern: &str) -> String {
    let mut res = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        match escaped {
            Some('d') => res.push_str("[0-9]"),
            Some('D') => res.push_str("[^0-9]"),
            Some('w') => res.push_str("[0-9A-Za-z_]"),
            Some('W') => res.push_str("[^0-9A-Za-z_]"),
            Some('s') => res.push_str(r"[\t\n\x0B\x0C\r ]"),
            Some('S') => res.push_str(r"[^\t\n\x0B\x0C\r ]"),
            Some(other) => res.extend(['\\', other]),
            None => res.push(c),
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, &mut Budget::default()).unwrap().is_in(text)
    }

    #[test]
    fn patterns_are_unanchored_and_their_classes_ascii() {
        for (pattern, text, expected) in [
            ("b", "abc", true),
            ("^b", "abc", false),
            ("", "", true),
            (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.1", true),
            (r"^\d{1,3}(\.\d{1,3}){3}$", "not an ip", false),
            (r"^\d$", "٣", false),
            (r"^[\w.-]+$", "a_b.c-1", true),
            (r"^[\w.-]+$", "é", false),
            (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.1\n", false),
            (r"\bno\b", "a no, b", true),
            (r"\bno\b", "éno", false),
            ("(?i)straße", "STRASSE", false),
            ("(?i)é", "É", true),
            (r"^[^\s]+$", "a b", false),
            (r"^\\d$", r"\d", true),
            (r"^\S\W\D$", "a--", true),
            (r"^\p{L}$", "é", true),
            ("(?i)^abc$", "ABC", true),
        ] {
            assert_eq!(is_in(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_or_little_space_is_refused() {
        for (pattern, says) in [
            ("(", "unclosed group"),
            ("(?=a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            ("a{1000}{1000}", "512 KiB"),
            (r"\", "incomplete escape"),
            (&"(".repeat(1000), "regular expression"),
        ] {
            let error = Pattern::parse(pattern, &mut Budget::default()).unwrap_err();
            assert!(error.message().contains(says), "{pattern:.20}: {error}");
            assert!(error.message().len() < 400, "{pattern:.20}");
        }
    }

    #[test]
    fn a_pattern_that_makes_backtracking_engines_hang_is_matched() {
        assert!(!is_in("^(a+)+$", &format!("{}b", "a".repeat(100_000))));
    }

    #[test]
    fn patterns_share_a_budget_and_large_ones_take_more_of_it() {
        let fit = |pattern: &str| {
            let mut budget = Budget::default();
            (0..1000).take_while(|_| Pattern::parse(pattern, &mut budget).is_ok()).count()
        };
        assert_eq!(fit("^a$"), 256);
        assert_eq!(fit("^.{1,500}$"), 16);
    }
}
