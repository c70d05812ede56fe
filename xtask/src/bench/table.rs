//! Numbers as people read them, and what is said of several rounds.

/// Median and extremes of at least one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// `None` for no numbers.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[upper] } else { (values[upper - 1] + values[upper]) / 2.0 };
        Some(Self { median, least, most })
    }
}

/// A whole number with commas.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

/// Bytes in decimal megabytes.
pub(super) fn megabytes(n_bytes: u64) -> String {
    format!("{} MB", grouped(n_bytes as f64 / 1e6))
}

/// How far two numbers are apart, relative to the second.
pub(super) fn relative_difference(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { ((found - expected) / expected).abs() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn numbers_are_grouped() {
        let shown = [0.0, 999.6, 1234.0, -1_234_567.0].map(grouped);
        assert_eq!(shown, ["0", "1,000", "1,234", "-1,234,567"]);
        assert_eq!(megabytes(501_000_000), "501 MB");
    }

    #[test]
    fn differences_are_relative() {
        assert_eq!(relative_difference(-99.0, -100.0), 0.01);
        assert_eq!(relative_difference(0.0, 0.0), 0.0);
        assert!(relative_difference(f64::NAN, 1.0).is_nan());
    }
}
