//! Numbers as a paper prints them: `.71`, `−0.12`, `5,120`, `1 %`.

/// `value` with `digits` decimals and a true minus sign.
pub(crate) fn decimals(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let is_zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if value < 0.0 && !is_zero { format!("−{text}") } else { text }
}

/// As [`decimals`], with the sign always shown.
pub(crate) fn signed(value: f64, digits: usize) -> String {
    let text = decimals(value, digits);
    if value > 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { format!("+{text}") } else { text }
}

/// A probability without its leading zero; never rounded to 0 or 1.
pub(crate) fn probability(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let least = format!(".{:0>digits$}", 1);
    let most = format!(".{}", "9".repeat(digits));
    match (text.strip_prefix('0'), value) {
        (Some(_), v) if v > 0.0 && v < 0.5 / 10_f64.powi(i32::try_from(digits).unwrap_or(i32::MAX)) => {
            format!("< {least}")
        }
        (Some(rest), v) if v > 0.0 => rest.to_string(),
        (Some(_), _) => "0".to_string(),
        (None, v) if v < 1.0 => format!("> {most}"),
        (None, _) => text,
    }
}

/// An interval of probabilities, as `.64 to .78`.
pub(crate) fn interval(bounds: [f64; 2], digits: usize) -> String {
    bounds.map(|bound| probability(bound, digits)).join(" to ")
}

/// Two decimals for probabilities read together; three where two would make one look like 0, .5 or 1.
pub(super) fn digits_for(values: &[f64]) -> usize {
    let hides =
        |v: &f64| [0.0, 0.5, 1.0].into_iter().any(|mark| *v != mark && (v - mark).abs() < 0.005 + 1e-12);
    if values.iter().any(hides) { 3 } else { 2 }
}

/// An integer with commas between thousands.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate in percent, as `0.1 %`.
pub(super) fn percent(rate: f64) -> String {
    format!("{}\u{a0}%", (rate * 1e8).round() / 1e6)
}

/// Seconds, as `0.04 s`, `12.3 s`, `4 min 05 s` or `1 h 02 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 0.95 {
        return format!("{seconds:.2} s");
    }
    if seconds < 99.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    if whole < 3600.0 {
        return format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0);
    }
    let minutes = (seconds / 60.0).round();
    format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
}

/// A configuration name as words: `token_mean_likelihood_ratio` is `token mean likelihood ratio`.
pub(super) fn words(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_lose_their_leading_zero_but_not_their_meaning() {
        let print = |v, d| probability(v, d);
        assert_eq!(
            [print(0.714, 2), print(0.5, 2), print(0.0, 2), print(1.0, 2)],
            [".71", ".50", "0", "1.00"]
        );
        assert_eq!([print(0.997, 2), print(0.0004, 3), print(0.04, 3)], ["> .99", "< .001", ".040"]);
    }

    #[test]
    fn digits_grow_where_two_would_mislead() {
        assert_eq!(digits_for(&[0.71, 0.64, 0.78]), 2);
        assert_eq!(digits_for(&[0.71, 0.503, 0.78]), 3);
        assert_eq!(digits_for(&[1.0, 0.99, 1.0]), 2);
    }

    #[test]
    fn signs_and_groups() {
        assert_eq!([decimals(-0.126, 2), decimals(-0.001, 2), signed(0.12, 2)], ["−0.13", "0.00", "+0.12"]);
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
        assert_eq!([percent(0.001), percent(0.01), percent(0.1)], ["0.1\u{a0}%", "1\u{a0}%", "10\u{a0}%"]);
        assert_eq!(
            [duration(12.34), duration(245.0), duration(3725.0)],
            ["12.3 s", "4 min 05 s", "1 h 02 min"]
        );
    }
}
