//! What a misspelled name was meant to be.

/// The most letters that a misspelled name may be off by.
const MAX_DISTANCE: usize = 2;
/// No name of ours is longer, so nothing longer is compared.
const MAX_LENGTH: usize = 20;

/// The one of `known` that `given` is nearest to, if it is near any.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    if MAX_LENGTH < given.len() {
        return None;
    }
    let distances = known.iter().map(|known| (distance(given, known), *known));
    let near =
        distances.filter(|(distance, known)| *distance <= MAX_DISTANCE && distance.saturating_mul(2) < known.len());
    near.min().map(|(_, known)| known)
}

/// How many letters must be added, removed or replaced, by Wagner and Fischer: one row of the table at a time.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (line, left) in left.chars().enumerate() {
        let mut next = vec![line.saturating_add(1)];
        for (pair, right) in row.windows(2).zip(right.chars()) {
            let [diagonal, above] = pair else { continue };
            let before = next.last().copied().unwrap_or_default();
            let replaced = diagonal.saturating_add(usize::from(left != right));
            next.push(replaced.min(above.saturating_add(1)).min(before.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["$regex", "$in", "$elemMatch", "$exists"];
        let table = [
            ("$regx", Some("$regex")),
            ("$elemmatch", Some("$elemMatch")),
            ("$exist", Some("$exists")),
            ("$ni", None),
            ("$where", None),
            ("", None),
        ];
        for (given, expected) in table {
            assert_eq!(nearest(given, &known), expected, "{given}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
