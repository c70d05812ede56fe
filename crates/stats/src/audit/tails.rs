//! Tails of the number of wrong guesses when each is right by a coin of odds `e^epsilon`.

use crate::binomial::{probability, upper_tail};

/// `Bin(n_guesses, 1 / (1 + e^epsilon))`, the wrong guesses at the edge of epsilon-differential privacy.
///
/// Wrong rather than right ones, so that a large epsilon is a small number and not 1 less rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrongGuesses {
    n_guesses: u64,
    wrong: f64,
    right: f64,
}

/// Smaller probabilities are left out of sums.
const NEGLIGIBLE: f64 = 1e-290;

impl WrongGuesses {
    pub(super) fn new(n_guesses: u64, epsilon: f64) -> Self {
        let odds = (-epsilon).exp();
        Self { n_guesses, wrong: odds / (1.0 + odds), right: 1.0 / (1.0 + odds) }
    }

    /// `Pr[wrong <= n_wrong]`.
    pub(super) fn at_most(self, n_wrong: u64) -> f64 {
        upper_tail(self.n_guesses - n_wrong, self.n_guesses, self.right, self.wrong)
    }

    /// `max over i of Pr[n_wrong < wrong <= n_wrong + i] / i`: the largest mean of probabilities in a row.
    ///
    /// The probabilities rise to the mode and fall after, so the mean rises until it meets the next of them.
    pub(super) fn largest_mean_above(self, n_wrong: u64) -> f64 {
        let start = self.first_above(n_wrong);
        if start > self.n_guesses {
            return 0.0;
        }
        let mut term = self.probability(start);
        let mut sum = term;
        let mut mean = sum / (start - n_wrong) as f64;
        for k in start..self.n_guesses {
            term *= (self.n_guesses - k) as f64 / (k + 1) as f64 * (self.wrong / self.right);
            if term <= mean {
                break;
            }
            sum += term;
            mean = sum / (k + 1 - n_wrong) as f64;
        }
        mean
    }

    /// The first count above `n_wrong` whose probability is not negligible, at most the mode where that is above.
    fn first_above(self, n_wrong: u64) -> u64 {
        let mode = (self.n_guesses as f64 * self.wrong) as u64;
        let (mut low, mut high) = (n_wrong + 1, mode.max(n_wrong + 1));
        while low < high {
            let middle = u64::midpoint(low, high);
            if self.probability(middle) < NEGLIGIBLE {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn probability(self, n_wrong: u64) -> f64 {
        probability(n_wrong, self.n_guesses, self.wrong, self.right)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All probabilities by the recurrence of Pascal's triangle: no logarithm, no gamma function.
    fn probabilities(n: usize, epsilon: f64) -> Vec<f64> {
        let wrong = 1.0 / (1.0 + epsilon.exp());
        let mut row = vec![0.0; n + 1];
        row[0] = 1.0;
        for _ in 0..n {
            for k in (0..=n).rev() {
                row[k] = row[k] * (1.0 - wrong) + if k > 0 { row[k - 1] * wrong } else { 0.0 };
            }
        }
        row
    }

    proptest! {
        #[test]
        fn agrees_with_pascals_triangle(n in 1usize..120, share in 0.0f64..=1.0, epsilon in 0.0f64..8.0) {
            let n_wrong = (share * n as f64) as usize;
            // Beyond, the triangle goes through powers that are too small to have all their digits.
            prop_assume!((n_wrong + 1) as f64 * epsilon < 650.0);
            let row = probabilities(n, epsilon);
            let wrong = WrongGuesses::new(n as u64, epsilon);
            let below: f64 = row[..=n_wrong].iter().sum();
            let found = wrong.at_most(n_wrong as u64);
            prop_assert!((found - below).abs() < 1e-11 * below, "{found} {below}");
            let largest = (1..=n - n_wrong)
                .map(|i| row[n_wrong + 1..=n_wrong + i].iter().sum::<f64>() / i as f64)
                .fold(0.0, f64::max);
            let found = wrong.largest_mean_above(n_wrong as u64);
            prop_assert!((found - largest).abs() <= 1e-11 * largest, "{found} {largest}");
        }
    }

    #[test]
    fn far_tails_do_not_underflow_to_nothing() {
        let wrong = WrongGuesses::new(1_000_000_000, 0.0);
        assert_eq!(wrong.at_most(0), 0.0);
        // A run of probabilities that starts half a billion counts below the mean and sums to nearly 1.
        let mean = wrong.largest_mean_above(0);
        assert!((mean / 2e-9 - 1.0).abs() < 1e-3, "{mean}");
        assert_eq!(WrongGuesses::new(10, 2000.0).at_most(0), 1.0);
    }
}
