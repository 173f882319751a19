//! What was measured, by key.

use std::{cell::RefCell, collections::BTreeSet};

use crate::{Res, table::Table};

/// The unit of what is not measured but said: the machine, the commit.
const FACT: &str = "fact";

/// The figures of a run, and which of them were asked for.
pub(crate) struct Figures {
    all: Vec<Figure>,
    /// What is in a table already.
    shown: RefCell<BTreeSet<String>>,
}

struct Figure {
    key: String,
    value: String,
    unit: String,
}

impl Figures {
    pub(crate) fn read(text: &str) -> Res<Self> {
        let line = |line: &str| -> Res<Figure> {
            let [key, value, unit] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("`{line}` is not a key, a value and a unit").into());
            };
            Ok(Figure { key: key.to_owned(), value: value.to_owned(), unit: unit.to_owned() })
        };
        Ok(Self { all: text.lines().map(line).collect::<Res<_>>()?, shown: RefCell::default() })
    }

    /// What stands there, the last of them if it was measured twice.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let figure = self.all.iter().rfind(|figure| figure.key == key)?;
        self.shown.borrow_mut().insert(figure.key.clone());
        Some(&figure.value)
    }

    /// A number, unless it is not there or none.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(crate) fn unit(&self, key: &str) -> &str {
        self.all.iter().rfind(|figure| figure.key == key).map_or("", |figure| &figure.unit)
    }

    /// What no other table has asked for.
    pub(crate) fn others(&self) -> Table {
        let mut table = Table::new(["figure", "value"]);
        for Figure { key, value, unit } in &self.all {
            if unit != FACT && !self.shown.borrow().contains(key) {
                let value = value.parse().map_or_else(|_| value.clone(), |number| with_unit(number, unit));
                table.row([key.replace('_', " "), value]);
            }
        }
        table
    }

    /// The machine and whatever else was written down of the run.
    pub(crate) fn facts(&self) -> Table {
        let mut table = Table::new(["", ""]);
        for figure in self.all.iter().filter(|figure| figure.unit == FACT) {
            table.row([figure.key.replace('_', " "), figure.value.clone()]);
        }
        table
    }
}

/// A number as a reader wants it: few digits, and a comma at every third.
pub(crate) fn with_unit(number: f64, unit: &str) -> String {
    let text = match number.abs() {
        ..10.0 => format!("{number:.3}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => grouped(&format!("{number:.0}")),
    };
    match unit {
        "" | "ratio" => text,
        "us" => format!("{text} µs"),
        "kb" => format!("{text} kB"),
        "share" => format!("{:.1} %", number * 100.0),
        other => format!("{text} {other}"),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n != 0 && (digits.len() - n).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Figures, with_unit};

    #[test]
    fn numbers_are_short_and_grouped() {
        let cases = [
            (0.75, "ratio", "0.750"),
            (0.049, "share", "4.9 %"),
            (5.91, "us", "5.910 µs"),
            (1_999.6, "us", "2,000 µs"),
            (40_000.0, "kB", "40,000 kB"),
            (1_234_567.0, "", "1,234,567"),
            (-100.0, "", "-100"),
        ];
        for (number, unit, expected) in cases {
            assert_eq!(with_unit(number, unit), expected);
        }
    }

    #[test]
    fn a_line_that_is_no_figure_is_refused() {
        assert!(Figures::read("a\t1\tus\n").is_ok());
        for text in ["a\t1\n", "a 1 us\n", "\n"] {
            assert!(Figures::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_was_not_measured() {
        let figures = Figures::read("a\tNaN\tus\nb\t\tus\nc\t1\tus\nc\t2\tus\n").unwrap();
        assert_eq!(["a", "b", "c", "d"].map(|key| figures.number(key)), [None, None, Some(2.0), None]);
    }
}
