//! Per-user results: a p-value, a decision and a rank for every user.

use userprint_stats::{Side, StatsError, benjamini_hochberg_adjusted, conformal_p_values};

use crate::result::{sides, split};
use crate::{AttackError, UserStatistics};

/// What the attack says of every user, in columns in the order of [`UserStatistics`].
///
/// # Guarantees
/// - The p-value is exact for a user whose statistic is exchangeable with those of the held-out users: the chance
///   of one of at most `p` is at most `p`, whatever the distribution, and `p` itself up to `1 / (1 + n_held_out)`
///   where there are no ties.
///   It says nothing of a user who was drawn differently; that is what [`Validity`](crate::Validity) is for.
/// - At most `rate * n_held_out / n_users` of the users detected are held-out, always: of `n_held_out` p-values
///   among the others at most `n_held_out x` are at most `x`.
///   For users whose membership is not known the false discovery rate is at most `rate` in expectation over
///   exchangeable held-out users, as conformal p-values depend positively.
///
/// # Reference
/// Bates et al., arXiv:2104.08279 (conformal p-values and Benjamini-Hochberg); arXiv:2510.09717.
#[derive(Clone, Debug, PartialEq)]
pub struct PerUser {
    /// Chance of a statistic as high for a user that was not trained on, see [`per_user`].
    pub p_value: Vec<f64>,
    /// The least false discovery rate at which the user is detected: the p-value after Benjamini and Hochberg.
    pub q_value: Vec<f64>,
    /// Whether the user is called held-in at [`PerUser::rate`].
    pub is_detected: Vec<bool>,
    /// One more than the number of users with a higher statistic, among all users.
    pub rank: Vec<u32>,
    /// False discovery rate that was asked for.
    pub rate: f64,
    /// Number of held-in users detected.
    pub n_held_in_detected: usize,
    /// Number of held-out users detected; each is a false discovery.
    pub n_held_out_detected: usize,
    /// Number of held-out users that the p-values are made of.
    pub n_held_out: usize,
}

impl PerUser {
    /// The least p-value that a user not known to be held-out can have: `1 / (1 + n_held_out)`.
    ///
    /// ```
    /// # use userprint_attack::{UserStatistics, per_user};
    /// # use userprint_core::UserIdx;
    /// # let users = UserStatistics {
    /// #     user: (0..40).map(UserIdx).collect(),
    /// #     held_in: (0..40).map(|user| user < 1).collect(),
    /// #     statistic: (0..40).map(|user| -f64::from(user)).collect(),
    /// #     n_examples: vec![1; 40],
    /// # };
    /// assert_eq!(per_user(&users, 0.05)?.least_p_value(), 1.0 / 40.0);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn least_p_value(&self) -> f64 {
        1.0 / (1 + self.n_held_out) as f64
    }

    /// How many users must be detected together for any to be: the least `k` with
    /// `least_p_value() <= rate * k / n_users`; `None` if there are fewer users, so that nobody ever is.
    ///
    /// Few held-out users make p-values coarse, and no detection among many users is then no evidence of absence.
    ///
    /// ```
    /// # use userprint_attack::{UserStatistics, per_user};
    /// # use userprint_core::UserIdx;
    /// # let users = |n_held_in: u32| UserStatistics {
    /// #     user: (0..40).map(UserIdx).collect(),
    /// #     held_in: (0..40).map(|user| user < n_held_in).collect(),
    /// #     statistic: (0..40).map(|user| -f64::from(user)).collect(),
    /// #     n_examples: vec![1; 40],
    /// # };
    /// assert_eq!(per_user(&users(20), 0.05)?.least_detected(), Some(39)); // 20 held-in users are never enough
    /// assert_eq!(per_user(&users(1), 0.05)?.least_detected(), Some(20));
    /// assert_eq!(per_user(&users(30), 0.05)?.least_detected(), None);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn least_detected(&self) -> Option<usize> {
        let n_users = self.p_value.len();
        let is_enough = |k: &usize| self.least_p_value() * (n_users as f64 / *k as f64) <= self.rate;
        let least = (self.least_p_value() * n_users as f64 / self.rate).floor() as usize;
        (least.max(1)..=n_users).find(is_enough)
    }
}

/// Ranks every user among the held-out users and decides at a false discovery rate.
///
/// A held-in user has `p = (1 + #{held-out >= t}) / (1 + n_held_out)`.
/// A held-out user is ranked among the *other* held-out users, `p = (1 + #{others >= t}) / n_held_out`, so that its
/// own statistic is not evidence about itself.
/// The decision is Benjamini and Hochberg's over all users, as the attacker does not know who is held-out.
///
/// # Errors
/// [`AttackError::UnequalColumns`]; [`AttackError::Stats`] if a side is empty, a statistic is not finite, or the
/// rate is not above 0 and below 1.
///
/// # Reference
/// arXiv:2510.09717; Benjamini & Hochberg, Journal of the Royal Statistical Society B 57(1), 1995.
/// ```
/// use userprint_attack::{UserStatistics, per_user};
/// use userprint_core::UserIdx;
/// let users = UserStatistics {
///     user: (0..6).map(UserIdx).collect(),
///     held_in: vec![true, true, false, false, false, false],
///     statistic: vec![9.0, 8.0, 3.0, 1.0, 0.0, 0.0],
///     n_examples: vec![1; 6],
/// };
/// let found = per_user(&users, 0.5)?;
/// assert_eq!(found.p_value, [0.2, 0.2, 0.25, 0.5, 1.0, 1.0]);
/// assert_eq!(found.rank, [1, 2, 3, 4, 5, 5]);
/// assert_eq!((found.n_held_in_detected, found.n_held_out_detected), (2, 1));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn per_user(users: &UserStatistics, rate: f64) -> Result<PerUser, AttackError> {
    let (held_in, held_out) = sides(users)?;
    if held_in.is_empty() {
        return Err(StatsError::EmptySide { side: Side::HeldIn }.into());
    }
    if held_out.is_empty() {
        return Err(StatsError::EmptySide { side: Side::HeldOut }.into());
    }
    if !(rate > 0.0 && rate < 1.0) {
        return Err(StatsError::RateOutOfRange { name: "false discovery rate", value: rate }.into());
    }
    let p_value = rank_p_values(&users.statistic, &users.held_in)?;
    let n_held_out = held_out.len();
    let q_value = benjamini_hochberg_adjusted(&p_value)?;
    let is_detected: Vec<bool> = q_value.iter().map(|&q_value| q_value <= rate).collect();
    let n_detected = |wanted: bool| {
        is_detected.iter().zip(&users.held_in).filter(|row| *row.0 && *row.1 == wanted).count()
    };
    Ok(PerUser {
        n_held_in_detected: n_detected(true),
        n_held_out_detected: n_detected(false),
        rank: ranks(&users.statistic),
        p_value,
        q_value,
        is_detected,
        rate,
        n_held_out,
    })
}

/// The p-value of each user, `(1 + #{held-out >= t}) / (1 + n)`, a held-out user left out of those it is ranked among.
pub(crate) fn rank_p_values(statistic: &[f64], held_in: &[bool]) -> Result<Vec<f64>, StatsError> {
    let mut held_out = split(statistic, held_in).1;
    let mut p_value = conformal_p_values(statistic, &held_out)?;
    held_out.sort_unstable_by(f64::total_cmp);
    for ((p_value, value), _) in p_value.iter_mut().zip(statistic).zip(held_in).filter(|row| !row.1) {
        // The user itself is the one that is added.
        let as_high = held_out.len() - held_out.partition_point(|other| other < value);
        *p_value = as_high as f64 / held_out.len() as f64;
    }
    Ok(p_value)
}

/// From 1 for the highest value; ties share the best.
fn ranks(values: &[f64]) -> Vec<u32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n_higher = |&value: &f64| sorted.len() - sorted.partition_point(|&other| other <= value);
    values.iter().map(|value| 1 + n_higher(value) as u32).collect()
}

#[cfg(test)]
mod tests;
