//! Points in time as records say them: RFC 3339, UTC, with milliseconds.

use serde_json::Value;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A point in time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// The point so many milliseconds after the beginning of 1970.
    pub fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// So many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Reads what [`Time`] writes; only that.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hours, minutes, seconds, ms) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
        let in_day = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms;
        let time = Self(days(year, month, day).checked_mul(DAY)?.checked_add(in_day)?);
        // What is not written so, such as the 30th of February, is something else.
        (time.to_string() == text).then_some(time)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let ms = self.0.rem_euclid(DAY);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000)
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        Self::String(time.to_string())
    }
}

/// Days since 1970 of a date of the Gregorian calendar. Years begin in March here, so that leap days end them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The other way round.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_826_154_009, "2000-02-29T12:09:14.009Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Time::from_millis(ms).to_string(), text);
            assert_eq!(Time::parse(text).map(Time::millis), Some(ms), "{text}");
        }
    }

    #[test]
    fn every_day_is_the_one_after_the_last() {
        let mut before = date(-800_000);
        for n in -799_999..800_000 {
            let (year, month, day) = date(n);
            let next = day == before.2 + 1 || (day == 1 && (month == before.1 % 12 + 1));
            assert!(next && days(year, month, day) == n, "{n}: {before:?} {year} {month} {day}");
            before = (year, month, day);
        }
    }

    #[test]
    fn nothing_else_is_read() {
        for text in [
            "",
            "now",
            "2024-02-30T00:00:00.000Z",
            "2024-01-01T00:00:00Z",
            "2024-01-01 00:00:00.000Z",
            "2024-01-01T24:00:00.000Z",
            "2024-13-01T00:00:00.000Z",
            "２024-01-01T00:00:00.000Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
        for ms in [i64::MIN, i64::MAX] {
            drop(Time::from_millis(ms).to_string());
        }
    }
}
