//! When and where a text was written, out of what a file says.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sha2::{Digest, Sha256};
use userprint_core::Origin;

use crate::{Columns, CorpusError, Position};

/// Numbers of this many digits and more are milliseconds.
const MILLISECONDS: u64 = 100_000_000_000;

/// What pandas makes of a missing time where it writes integers.
const NOT_A_TIME: i64 = i64::MIN;

/// The column of seconds since 1970 in files of our own.
pub(crate) const TIMESTAMP_S: &str = "timestamp_s";

/// What the columns `timestamp` and `source` of a row say; an empty value says nothing, and neither does the integer
/// that pandas writes for a missing time.
///
/// # Errors
/// [`CorpusError::NotATime`] for a timestamp that is none.
pub(crate) fn origin(
    columns: &Columns,
    position: &Position,
    timestamp: Option<&str>,
    source: Option<&str>,
) -> Result<Origin, CorpusError> {
    let said =
        |value: Option<&str>| value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
    let not_a_time = || CorpusError::NotATime {
        position: position.clone(),
        column: columns.timestamp.clone().unwrap_or_default(),
    };
    let time = said(timestamp).filter(|time| whole_number(time) != Some(NOT_A_TIME));
    // Our own column says its unit, so that 1970 is no year of it.
    let own = |time: &str| whole_number(time).filter(|_| columns.timestamp.as_deref() == Some(TIMESTAMP_S));
    let timestamp_s =
        time.map(|time| own(&time).or_else(|| seconds(&time)).ok_or_else(not_a_time)).transpose()?;
    let hash = |name: String| {
        let digest = Sha256::digest(&name);
        u64::from_le_bytes(std::array::from_fn(|i| digest[i]))
    };
    Ok(Origin { timestamp_s, source: said(source).map(hash) })
}

/// A whole number, written as an integer or with zeros behind the point.
fn whole_number(time: &str) -> Option<i64> {
    let whole = match time.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => time,
    };
    whole.parse().ok()
}

/// Seconds since 1970 of a date in ISO 8601 or of a mail, of a year, or of seconds or milliseconds since 1970.
///
/// What is left out is as early as can be; a time without its zone is in UTC.
pub(crate) fn seconds(time: &str) -> Option<i64> {
    if let Some(number) = whole_number(time) {
        return match number {
            1..=9999 => seconds(&format!("{number:04}-01-01")),
            _ if number.unsigned_abs() >= MILLISECONDS => Some(number.div_euclid(1000)),
            _ => Some(number),
        };
    }
    let with_zone = DateTime::parse_from_rfc3339(time)
        .or_else(|_| DateTime::parse_from_rfc2822(time))
        .map(|time| time.timestamp());
    let without_zone = || {
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        formats.iter().find_map(|format| NaiveDateTime::parse_from_str(time, format).ok())
    };
    let day = || {
        let first_of_month = format!("{time}-01");
        [time, &first_of_month].iter().find_map(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok())
    };
    let midnight = || day()?.and_hms_opt(0, 0, 0);
    with_zone.ok().or_else(|| Some(without_zone().or_else(midnight)?.and_utc().timestamp()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn times_are_seconds() {
        let second = 1_257_894_000; // 2009-11-10 23:00 UTC, a Tuesday
        for time in [
            "1257894000",
            "1257894000123",
            "1257894000.0",
            "1257894000000.00",
            "2009-11-10T23:00:00Z",
            "2009-11-10T23:00:00.123Z",
            "2009-11-11 00:00:00+01:00",
            "2009-11-10 23:00:00",
            "2009-11-10T23:00",
            "Tue, 10 Nov 2009 18:00:00 -0500",
        ] {
            assert_eq!(seconds(time), Some(second), "{time}");
        }
        assert_eq!(seconds("2009-11-10"), Some(second - 23 * 3600));
        assert_eq!(
            [seconds("1970"), seconds("1970-02"), seconds("1970-02-01")],
            [Some(0), Some(2_678_400), Some(2_678_400)]
        );
        assert_eq!(seconds("-5"), Some(-5));
        for no_time in [
            "yesterday",
            "1257894000.5",
            "1257894000.",
            "2009-13",
            "2009-11-31",
            "99999-01-01T00:00:00Z",
            "9223372036854775808",
            "1e9",
        ] {
            assert_eq!(seconds(no_time), None, "{no_time}");
        }
    }

    #[test]
    fn blank_says_nothing_and_nonsense_is_not_shown() {
        let columns = Columns { timestamp: Some("when".to_owned()), ..Columns::default() };
        let position = Position::row(Path::new("rows"), 3);
        for nothing in [" ", "-9223372036854775808", "-9223372036854775808.0"] {
            assert_eq!(origin(&columns, &position, Some(nothing), None).unwrap(), Origin::default());
        }
        let own = Columns { timestamp: Some(TIMESTAMP_S.to_owned()), ..Columns::default() };
        for (columns, expected) in [(&own, 1990), (&columns, 631_152_000)] {
            assert_eq!(origin(columns, &position, Some("1990"), None).unwrap().timestamp_s, Some(expected));
        }
        assert_eq!(seconds("-9223372036854775807"), Some(-9_223_372_036_854_776));
        let [a, b] = ["a", "b"].map(|source| origin(&columns, &position, None, Some(source)).unwrap().source);
        assert!(a.is_some() && a != b);
        let error = origin(&columns, &position, Some("a secret"), None).unwrap_err().to_string();
        assert!(
            error.starts_with("rows, row 3: column `when` is no time") && !error.contains("secret"),
            "{error}"
        );
    }
}
