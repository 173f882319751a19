//! What was acknowledged: for each thing the states that it may have.
//!
//! There is one such state after each change that was acknowledged. A change that was not answered may have been made or
//! not, which gives two, until the thing is seen again.

use std::{collections::BTreeMap, fmt::Debug};

/// One thing and the states that it may have.
#[derive(Debug)]
pub(crate) struct Entry<T>(Vec<T>);

impl<T: PartialEq + Debug> Entry<T> {
    pub(crate) fn new(state: T) -> Self {
        Self(vec![state])
    }

    /// A change was acknowledged.
    pub(crate) fn is(&mut self, state: T) {
        self.0 = vec![state];
    }

    /// A change was not answered.
    pub(crate) fn may_be(&mut self, state: T) {
        if !self.0.contains(&state) {
            self.0.push(state);
        }
    }

    /// The state, if it is known.
    pub(crate) fn known(&self) -> Option<&T> {
        match self.0.as_slice() {
            [state] => Some(state),
            _ => None,
        }
    }

    /// It was seen in this state, which must be one of those that it may have, and has it from now on.
    pub(crate) fn saw(&mut self, state: T) -> Result<(), String> {
        if !self.0.contains(&state) {
            return Err(format!("is {state:?}, and was acknowledged to be {:?}", self.0));
        }
        self.is(state);
        Ok(())
    }
}

/// Counts of anything by name.
pub(crate) type Counts = BTreeMap<String, u64>;

#[cfg(test)]
mod tests {
    use super::Entry;

    #[test]
    fn what_was_not_answered_may_be_either_until_it_is_seen() {
        let mut entry = Entry::new(None);
        entry.is(Some(1));
        entry.may_be(Some(2));
        assert_eq!(entry.known(), None);
        entry.saw(Some(2)).unwrap();
        assert_eq!(entry.known(), Some(&Some(2)));
        assert!(entry.saw(Some(1)).is_err(), "what was acknowledged is not taken back");
        assert!(entry.saw(None).is_err());
    }
}
