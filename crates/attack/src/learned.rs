//! The learned combination: one statistic of many, weighed on other users than it is judged on.

use userprint_core::Seed;

use crate::folds::stratified_folds;
use crate::logistic::LogisticRegression;
use crate::{AttackError, UserStatistics};

/// How a combination is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedSettings {
    /// Into how many parts the users are dealt; each is judged by weights fitted on the others.
    pub n_folds: usize,
    /// The ridge penalty of [`LogisticRegression::fit`], on features of standard deviation 1.
    pub penalty: f64,
}

/// One statistic a user from several, by logistic regression that is cross-fitted over users.
///
/// Users are dealt into folds, both sides alike.
/// For each fold, features are standardised by mean and standard deviation over the users of the other folds, a
/// logistic regression tells held-in from held-out among those, and the fold's users get the weighted sum `w z`,
/// less its mean over the fold and over its standard deviation there.
/// No user's label has a part in the weights that the user is judged by.
/// A feature that is constant over a training part has weight 0 there.
///
/// Why sums are standardised within the fold: a fold's weights lean towards the labels of all other folds, and
/// away from its own, so that sums of different folds, with or without intercepts, are not comparable.
/// Without an effect their AUROC over all users averages .45 with 12 users a side, one feature and 12 folds, and
/// .482 with 30 a side and 5 folds; standardised, .492 and .498 (standard errors .005 and .003).
///
/// # Errors
/// [`AttackError::NoFeatures`]; [`AttackError::UnequalColumns`]; [`AttackError::OtherUsers`] unless all features are
/// of the same users; [`AttackError::BadFeature`]; [`AttackError::TooFewFolds`] below 2;
/// [`AttackError::TooFewUsers`] if a side has fewer users than there are folds;
/// [`AttackError::FeatureSpread`] or [`AttackError::SumSpread`] where a standard deviation overflows; [`AttackError::ConstantFeatures`] if no
/// feature varies; those of [`LogisticRegression::fit`].
///
/// ```
/// use userprint_attack::learned::{LearnedSettings, learned};
/// use userprint_attack::{UserStatistics, evaluate};
/// use userprint_core::{Seed, UserIdx};
/// // Neither feature tells the sides apart, their difference does.
/// let held_in: Vec<bool> = (0..40).map(|user| user % 2 == 0).collect();
/// let feature = |of: &dyn Fn(u32) -> f64| UserStatistics {
///     user: (0..40).map(UserIdx).collect(), held_in: held_in.clone(), n_examples: vec![1; 40],
///     statistic: (0..40).map(of).collect(),
/// };
/// let level = |user: u32| f64::from(user * 7 % 20);
/// let features = [feature(&|user| level(user) + 2.0 * f64::from(user % 2 == 0)), feature(&level)];
/// let users = learned(&features, LearnedSettings { n_folds: 5, penalty: 1e-3 }, Seed(7))?;
/// assert_eq!(evaluate(&users, 100, Seed(7))?.auroc, 1.0);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn learned(
    features: &[UserStatistics],
    settings: LearnedSettings,
    seed: Seed,
) -> Result<UserStatistics, AttackError> {
    let first = features.first().ok_or(AttackError::NoFeatures)?;
    check_users(features, first)?;
    let columns: Vec<&[f64]> = features.iter().map(|feature| feature.statistic.as_slice()).collect();
    let fold_of = stratified_folds(&first.held_in, settings.n_folds, seed.named("learned"))?;
    let mut users = first.clone();
    for fold in 0..settings.n_folds {
        let training: Vec<usize> = (0..fold_of.len()).filter(|&user| fold_of[user] != fold).collect();
        let combination = Combination::fit(&columns, &first.held_in, &training, settings.penalty)?;
        let judged: Vec<usize> = (0..fold_of.len()).filter(|&user| fold_of[user] == fold).collect();
        let sums: Vec<f64> =
            judged.iter().map(|&user| combination.apply(columns.iter().map(|column| column[user]))).collect();
        let scale = Scale::new(&sums).map_err(|std_dev| AttackError::SumSpread { std_dev })?;
        for (user, sum) in judged.into_iter().zip(sums) {
            users.statistic[user] = scale.apply(sum);
        }
    }
    Ok(users)
}

fn check_users(features: &[UserStatistics], first: &UserStatistics) -> Result<(), AttackError> {
    use crate::examples::check_length;
    for (feature, found) in features.iter().enumerate() {
        check_length("held_in", found.held_in.len(), found.user.len())?;
        check_length("statistic", found.statistic.len(), found.user.len())?;
        if found.user != first.user || found.held_in != first.held_in {
            return Err(AttackError::OtherUsers { feature });
        }
        if let Some(row) = found.statistic.iter().position(|value| !value.is_finite()) {
            return Err(AttackError::BadFeature { feature, row, value: found.statistic[row] });
        }
    }
    Ok(())
}

/// Weights for features as they come, with the standardisation that they were fitted with.
#[derive(Debug)]
pub(crate) struct Combination {
    scales: Vec<Scale>,
    regression: LogisticRegression,
}

#[derive(Clone, Copy, Debug)]
struct Scale {
    mean: f64,
    std_dev: f64,
}

impl Combination {
    /// Fits to some of the rows.
    pub(crate) fn fit(
        columns: &[&[f64]],
        held_in: &[bool],
        rows: &[usize],
        penalty: f64,
    ) -> Result<Self, AttackError> {
        let taken: Vec<Vec<f64>> =
            columns.iter().map(|column| rows.iter().map(|&row| column[row]).collect()).collect();
        let scale = |(feature, column): (usize, &Vec<f64>)| {
            Scale::new(column).map_err(|std_dev| AttackError::FeatureSpread { feature, std_dev })
        };
        let scales = taken.iter().enumerate().map(scale).collect::<Result<Vec<_>, _>>()?;
        if scales.iter().all(|scale| scale.std_dev == 0.0) {
            return Err(AttackError::ConstantFeatures);
        }
        let standardised: Vec<Vec<f64>> = taken
            .iter()
            .zip(&scales)
            .map(|(column, scale)| column.iter().map(|&value| scale.apply(value)).collect())
            .collect();
        let held_in: Vec<bool> = rows.iter().map(|&row| held_in[row]).collect();
        let regression = LogisticRegression::fit(&standardised, &held_in, penalty)?;
        Ok(Self { scales, regression })
    }

    /// The weighted sum of a row's standardised features.
    pub(crate) fn apply(&self, row: impl Iterator<Item = f64>) -> f64 {
        let standardised: Vec<f64> = row.zip(&self.scales).map(|(value, scale)| scale.apply(value)).collect();
        self.regression.weighted_sum(&standardised)
    }
}

impl Scale {
    /// Mean and standard deviation; the latter alone where it is not finite.
    fn new(column: &[f64]) -> Result<Self, f64> {
        let n = column.len() as f64;
        let mean = column.iter().map(|value| value / n).sum::<f64>();
        let variance = column.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>();
        let std_dev = if column.iter().all(|value| *value == column[0]) { 0.0 } else { variance.sqrt() };
        if std_dev.is_finite() { Ok(Self { mean, std_dev }) } else { Err(std_dev) }
    }

    fn apply(self, value: f64) -> f64 {
        if self.std_dev == 0.0 { 0.0 } else { (value - self.mean) / self.std_dev }
    }
}

#[cfg(test)]
mod tests;
