//! Normal densities of the example statistic on the two sides.

use crate::AttackError;

/// `x = mean of the side + effect of the user + rest`, normal, of equal variances on both sides.
///
/// Equal variances keep the log-likelihood ratio increasing in the statistic, so that higher means held-in for
/// every example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Density {
    pub(super) mean_held_in: f64,
    pub(super) mean_held_out: f64,
    /// Variance of the users' effects.
    pub(super) user_variance: f64,
    /// Variance of the rest.
    pub(super) rest_variance: f64,
}

impl Density {
    /// Takes the examples of a user as independent: no effect of the user.
    pub(super) fn independent(held_in: &[&[f64]], held_out: &[&[f64]]) -> Result<Self, AttackError> {
        let sums = Sums::new(held_in, held_out);
        let variance = (sums.between + sums.within) / (sums.n_examples - 2.0);
        sums.density(0.0, variance)
    }

    /// Estimates the two variances by the analysis of variance of users within sides.
    ///
    /// `rest = SSW / (N - a)`, `user = max(0, SSB / (a - 2) - rest) / n_0`, over `a` users with `N` examples, with
    /// `n_0 = (N - Σ_sides Σ n_i² / N_side) / (a - 2)`.
    ///
    /// # Reference
    /// Searle, Casella & McCulloch, Variance Components, 1992: unbalanced data.
    pub(super) fn with_user_effect(held_in: &[&[f64]], held_out: &[&[f64]]) -> Result<Self, AttackError> {
        let sums = Sums::new(held_in, held_out);
        let rest = sums.within / (sums.n_examples - sums.n_users);
        let effective_size = (sums.n_examples - sums.concentration) / (sums.n_users - 2.0);
        let user = (sums.between / (sums.n_users - 2.0) - rest).max(0.0) / effective_size;
        sums.density(user, rest)
    }

    /// The log-likelihood ratio of each example of a user given those before it.
    ///
    /// With `s` the sum of the `k` examples before, less the side's mean each, the next one is normal with mean
    /// `mean + user s / (rest + k user)` and variance `rest + user rest / (rest + k user)` on either side.
    pub(super) fn increments(&self, statistic: &[f64]) -> Vec<f64> {
        let (user, rest) = (self.user_variance, self.rest_variance);
        let shift = self.mean_held_in - self.mean_held_out;
        let middle = f64::midpoint(self.mean_held_in, self.mean_held_out);
        let mut before = 0.0;
        let increment = |(k, value): (usize, &f64)| {
            let scale = rest + k as f64 * user;
            // The part of the shift between the sides that the examples before have not explained.
            let left = shift * rest / scale;
            let surprise = (value - middle) - user * before / scale;
            before += value - middle;
            left * surprise / (rest + user * rest / scale)
        };
        statistic.iter().enumerate().map(increment).collect()
    }
}

/// Sums of squares around the means of sides and of users.
struct Sums {
    mean_held_in: f64,
    mean_held_out: f64,
    n_examples: f64,
    n_users: f64,
    between: f64,
    within: f64,
    /// `Σ_sides Σ n_i² / N_side`.
    concentration: f64,
}

impl Sums {
    fn new(held_in: &[&[f64]], held_out: &[&[f64]]) -> Self {
        let [mean_held_in, mean_held_out] = [held_in, held_out].map(|side| mean(&side.concat()));
        let mut sums = Self {
            mean_held_in,
            mean_held_out,
            n_examples: 0.0,
            n_users: (held_in.len() + held_out.len()) as f64,
            between: 0.0,
            within: 0.0,
            concentration: 0.0,
        };
        for (side, mean_of_side) in [(held_in, mean_held_in), (held_out, mean_held_out)] {
            let n_of_side: f64 = side.iter().map(|examples| examples.len() as f64).sum();
            sums.n_examples += n_of_side;
            for examples in side {
                let (n, mean) = (examples.len() as f64, mean(examples));
                sums.concentration += n * n / n_of_side;
                sums.between += n * (mean - mean_of_side).powi(2);
                sums.within += examples.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            }
        }
        sums
    }

    /// A fit in the wrong direction is no evidence: the sides then have one mean.
    fn density(&self, user_variance: f64, rest_variance: f64) -> Result<Density, AttackError> {
        if !(rest_variance > 0.0 && rest_variance.is_finite() && user_variance.is_finite()) {
            return Err(AttackError::NoSpreadOfExamples { variance: rest_variance });
        }
        let mean_held_in = self.mean_held_in.max(self.mean_held_out);
        Ok(Density { mean_held_in, mean_held_out: self.mean_held_out, user_variance, rest_variance })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
