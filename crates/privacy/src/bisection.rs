//! Bisection to the last digits.

/// The least value that is enough, between one that is not and one that is; rounded up.
pub(crate) fn least(mut short: f64, mut enough: f64, is_enough: impl Fn(f64) -> bool) -> f64 {
    while enough - short > 1e-15 * enough {
        let middle = 0.5 * (short + enough);
        if middle <= short || middle >= enough {
            break;
        }
        if is_enough(middle) { enough = middle } else { short = middle }
    }
    enough
}
