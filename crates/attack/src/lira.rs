//! LiRA at user level: the user's statistic against the same under models that never saw the user.

use userprint_core::TextScores;

use crate::example_statistics::statistics_with_target;
use crate::examples::check_length;
use crate::{Aggregate, AttackError, Model, NamedScores, ScoredExamples, Statistic, UserStatistics};

/// Whose spread over the shadow models a user's distance is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spread {
    /// The user's own: needs many shadow models, since with `k` of them a user's variance is known from `k - 1`
    /// degrees of freedom and its smallest values make the largest statistics.
    OfEachUser,
    /// One for all, from the variances of all users: the choice for few shadow models.
    Pooled,
}

/// How far each user's statistic lies above what models say that never saw the user, in standard deviations.
///
/// For each of `k` shadow models, which are the [`more_references`](ScoredExamples::more_references) and not the
/// main reference, the statistic is computed with the shadow in the target's place and aggregated by user.
/// With `m` and `s` mean and standard deviation of a user's `k` values, and `t` the value under the target,
/// `z = (t - m) / (s sqrt(1 + 1/k))`; a Gaussian `N(m, s²)` gives the one-sided tail `Phi(-z)` but for the factor,
/// which is the error of `m`.
/// Under the null, `z` has Student's distribution with `k - 1` degrees of freedom for [`Spread::OfEachUser`],
/// and is close to standard normal for [`Spread::Pooled`] where users' true spreads are alike.
///
/// # Errors
/// [`AttackError::TooFewShadows`] below 2 shadow models; [`AttackError::ShadowsAsReferences`] for a statistic that
/// compares with the further references, which are the shadows; [`AttackError::NoSpread`] where a spread is 0, with the
/// user if it is the user's; those of [`user_statistics`](crate::user_statistics).
///
/// # Reference
/// Carlini et al., arXiv:2112.03570 (the offline attack, and one variance for all with few models);
/// Kandpal et al., arXiv:2310.09266, App. B, for users.
/// ```
/// use userprint_attack::lira::{Spread, lira};
/// use userprint_attack::{Aggregate, NamedScores, ScoredExamples, TokenMeanLogLikelihood};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood: [f64; 2]| TextScores {
///     log_likelihood: log_likelihood.to_vec(), n_tokens: vec![1; 2], ..TextScores::default()
/// };
/// let shadow = |name: &str, of| NamedScores { name: name.to_owned(), scores: scores(of) };
/// let user = vec![UserIdx(0), UserIdx(1)];
/// let examples = ScoredExamples::new(user, vec![true, false], scores([-1.0, -8.0]), scores([-9.0, -9.0]))?
///     .with_more_references(vec![shadow("a", [-4.0, -9.0]), shadow("b", [-6.0, -7.0])])?;
/// let users = lira(&examples, &TokenMeanLogLikelihood, Aggregate::Mean, Spread::Pooled)?;
/// assert!((users.statistic[0] - 4.0 / 3f64.sqrt()).abs() < 1e-12 && users.statistic[1] == 0.0);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn lira(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
    aggregate: Aggregate,
    spread: Spread,
) -> Result<UserStatistics, AttackError> {
    let shadows = examples.more_references();
    if shadows.len() < 2 {
        return Err(AttackError::TooFewShadows { found: shadows.len(), needed: 2 });
    }
    if statistic.needs().more_references {
        return Err(AttackError::ShadowsAsReferences { statistic: statistic.name() });
    }
    let of = |scores: &TextScores| statistics_with_target(examples, scores, statistic)?.aggregated(aggregate);
    let mut users = of(examples.target())?;
    let of_shadow = |(index, shadow): (usize, &NamedScores)| {
        of(&shadow.scores).map(|users| users.statistic).map_err(|error| about_shadow(error, index))
    };
    let by_shadow = shadows.iter().enumerate().map(of_shadow).collect::<Result<Vec<_>, _>>()?;
    let fits: Vec<Fit> = (0..users.user.len()).map(|user| Fit::new(&by_shadow, user)).collect();
    let pooled = fits.iter().map(|fit| fit.variance).sum::<f64>() / fits.len() as f64;
    let error_of_mean = 1.0 + 1.0 / shadows.len() as f64;
    for (position, fit) in fits.iter().enumerate() {
        let (variance, user_idx) = match spread {
            Spread::OfEachUser => (fit.variance, Some(users.user[position].0)),
            Spread::Pooled => (pooled, None),
        };
        let z = (users.statistic[position] - fit.mean) / (variance * error_of_mean).sqrt();
        if !(variance > 0.0 && variance.is_finite() && z.is_finite()) {
            return Err(AttackError::NoSpread { user_idx, variance });
        }
        users.statistic[position] = z;
    }
    Ok(users)
}

/// A shadow stands in the target's place, and errors should say which.
fn about_shadow(error: AttackError, index: usize) -> AttackError {
    match error {
        AttackError::TooCoarse { statistic, model: Model::Target, needed, found } => {
            AttackError::TooCoarse { statistic, model: Model::MoreReference { index }, needed, found }
        }
        error => error,
    }
}

/// How much likelier each user's statistic is under models that saw the user than under those that did not.
///
/// `shadows` are trained as the target was, each on users drawn anew; their `held_in` says whom they saw. Through a user's
/// statistics under those that saw it goes one Gaussian, through the others another; the two variances are those of
/// all users together, from so few models (the residuals of each side over its degrees of freedom), and each grows by the
/// error of its mean. The answer is the logarithm of the ratio of densities at the target's statistic.
///
/// # Errors
/// [`AttackError::UnequalColumns`]; [`AttackError::ShadowOfOtherUsers`]; [`AttackError::OneSidedShadows`] for a user that all shadows saw, or none;
/// [`AttackError::NoSpread`] where no side of a user has two shadows, or they never differ.
///
/// # Reference
/// Carlini et al., arXiv:2112.03570, the online attack with one variance for all; Kandpal et al., EMNLP 2024, App. B, for users.
/// ```
/// use userprint_attack::UserStatistics;
/// use userprint_attack::lira::online_lira;
/// use userprint_core::UserIdx;
/// let run = |held_in: bool, statistic: f64| UserStatistics {
///     user: vec![UserIdx(0)], held_in: vec![held_in], statistic: vec![statistic], n_examples: vec![1],
/// };
/// let shadows = [run(true, 1.0), run(true, 3.0), run(false, -1.0), run(false, 1.0)];
/// let found = online_lira(&run(true, 1.5), &shadows)?;
/// // Means 2 and 0, variances 2 on both sides, each times 3/2: (1.5² - 0.5²) / 6.
/// assert!((found.statistic[0] - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn online_lira(
    target: &UserStatistics,
    shadows: &[UserStatistics],
) -> Result<UserStatistics, AttackError> {
    if let Some(shadow) = shadows.iter().position(|shadow| shadow.user != target.user) {
        return Err(AttackError::ShadowOfOtherUsers { shadow });
    }
    for users in shadows.iter().chain([target]) {
        check_length("held_in", users.held_in.len(), users.user.len())?;
        check_length("statistic", users.statistic.len(), users.user.len())?;
    }
    let of_user = |row: usize, seen: bool| -> Result<Side, AttackError> {
        let own = shadows.iter().filter(|shadow| shadow.held_in[row] == seen);
        let values: Vec<f64> = own.map(|shadow| shadow.statistic[row]).collect();
        let user_idx = target.user[row].0;
        Side::new(&values).ok_or(AttackError::OneSidedShadows { user_idx, is_seen: !seen })
    };
    let side = |seen: bool| -> Result<Vec<Side>, AttackError> {
        (0..target.user.len()).map(|row| of_user(row, seen)).collect()
    };
    let sides = [side(true)?, side(false)?];
    let variances = [pooled_variance(&sides[0])?, pooled_variance(&sides[1])?];
    let mut users = target.clone();
    for (row, statistic) in users.statistic.iter_mut().enumerate() {
        let log_density = |of: usize| {
            let side = &sides[of][row];
            let variance = variances[of] * (1.0 + 1.0 / side.n);
            -0.5 * ((*statistic - side.mean).powi(2) / variance + variance.ln())
        };
        *statistic = log_density(0) - log_density(1);
    }
    Ok(users)
}

/// A user's statistics under the shadow models of one side.
struct Side {
    n: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Side {
    fn new(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then_some(Self { n, mean, squares })
    }
}

fn pooled_variance(sides: &[Side]) -> Result<f64, AttackError> {
    let degrees: f64 = sides.iter().map(|side| side.n - 1.0).sum();
    let variance = sides.iter().map(|side| side.squares).sum::<f64>() / degrees;
    let is_spread = variance > 0.0 && variance.is_finite();
    is_spread.then_some(variance).ok_or(AttackError::NoSpread { user_idx: None, variance })
}

/// A Gaussian through a user's statistics under the shadow models.
struct Fit {
    mean: f64,
    variance: f64,
}

impl Fit {
    fn new(by_shadow: &[Vec<f64>], user: usize) -> Self {
        let k = by_shadow.len() as f64;
        let mean = by_shadow.iter().map(|shadow| shadow[user]).sum::<f64>() / k;
        let squares: f64 = by_shadow.iter().map(|shadow| (shadow[user] - mean).powi(2)).sum();
        Self { mean, variance: squares / (k - 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use userprint_core::{Seed, UserIdx};
    use userprint_stats::{Alternative, Roc, mann_whitney};

    use super::*;
    use crate::normal::normal;
    use crate::{MeanReferenceLikelihoodRatio, MinK, NamedScores, Percent, TokenMeanLogLikelihood};

    fn column(values: Vec<f64>) -> TextScores {
        TextScores { n_tokens: vec![1; values.len()], log_likelihood: values, ..TextScores::default() }
    }

    /// One text a user: each user's own level, noise of each model, and `effect` on even users under the target.
    fn examples(n_users: u32, n_shadows: usize, effect: f64, seed: u64) -> ScoredExamples {
        let mut rng = Seed(seed).rng();
        let level: Vec<f64> = (0..n_users).map(|_| -60.0 + 3.0 * normal(&mut rng)).collect();
        let mut model = |effect: f64| {
            let value = |(user, level): (usize, &f64)| {
                level + normal(&mut rng) + if user % 2 == 0 { effect } else { 0.0 }
            };
            column(level.iter().enumerate().map(value).collect())
        };
        let (target, reference) = (model(effect), model(0.0));
        let shadows =
            (0..n_shadows).map(|i| NamedScores { name: i.to_string(), scores: model(0.0) }).collect();
        let user: Vec<UserIdx> = (0..n_users).map(UserIdx).collect();
        let held_in = user.iter().map(|user| user.0 % 2 == 0).collect();
        ScoredExamples::new(user, held_in, target, reference)
            .and_then(|examples| examples.with_more_references(shadows))
            .unwrap()
    }

    fn z(examples: &ScoredExamples, spread: Spread) -> Vec<f64> {
        lira(examples, &TokenMeanLogLikelihood, Aggregate::Mean, spread).unwrap().statistic
    }

    /// 4000 users under the null: mean 0 and variance 1 (pooled) or 9/7 (Student, 9 degrees of freedom), each within
    /// 5 standard errors: a false alarm in fewer than 1 in 10^5 seeds.
    #[test]
    fn calibrated_under_the_null() {
        let examples = examples(4000, 10, 0.0, 1);
        for (spread, variance) in [(Spread::Pooled, 1.0f64), (Spread::OfEachUser, 9.0 / 7.0)] {
            let z = z(&examples, spread);
            let mean = z.iter().sum::<f64>() / 4000.0;
            let found = z.iter().map(|z| z * z).sum::<f64>() / 4000.0;
            assert!(mean.abs() < 5.0 * (variance / 4000.0).sqrt(), "{spread:?} {mean}");
            assert!((found - variance).abs() < 5.0 * variance * (3.2 / 4000f64).sqrt(), "{spread:?} {found}");
        }
    }

    /// With three shadows, a variance of three values misleads; one for all does better, and either beats the target
    /// alone, which mostly sees the users' levels. Standard errors of an AUROC here are about .012.
    #[test]
    fn few_shadows_share_a_variance() {
        let examples = examples(1000, 3, 2.0, 2);
        let auroc = |statistic: &[f64]| {
            let side = |even: usize| statistic.iter().skip(even).step_by(2).copied().collect::<Vec<_>>();
            Roc::new(&side(0), &side(1)).unwrap().auroc()
        };
        let target = auroc(&examples.target().log_likelihood);
        let (own, pooled) = (auroc(&z(&examples, Spread::OfEachUser)), auroc(&z(&examples, Spread::Pooled)));
        // Theory: Phi(2 / sqrt(2 (1 + 1/3))) = .890 pooled, Phi(2 / sqrt(2 (9 + 1))) = .673 for the target.
        assert!((pooled - 0.890).abs() < 0.05 && (target - 0.673).abs() < 0.07, "{pooled} {target}");
        assert!(target < own && own < pooled, "{target} {own} {pooled}");
    }

    #[test]
    fn by_hand() {
        let shadow =
            |name: &str, of: [f64; 2]| NamedScores { name: name.to_owned(), scores: column(of.to_vec()) };
        let examples = ScoredExamples::new(
            vec![UserIdx(3), UserIdx(7)],
            vec![true, false],
            column(vec![-2.0, -8.0]),
            column(vec![-1.0, -1.0]),
        )
        .and_then(|examples| {
            let shadows =
                vec![shadow("a", [-5.0, -9.0]), shadow("b", [-6.0, -3.0]), shadow("c", [-7.0, -3.0])];
            examples.with_more_references(shadows)
        })
        .unwrap();
        // Means -6 and -5, variances 1 and 12.
        let close = |found: Vec<f64>, expect: [f64; 2]| {
            assert!(
                found.iter().zip(expect).all(|(found, expect)| (found - expect).abs() < 1e-12),
                "{found:?}"
            );
        };
        close(z(&examples, Spread::OfEachUser), [4.0 / (4.0 / 3.0f64).sqrt(), -3.0 / 16f64.sqrt()]);
        close(z(&examples, Spread::Pooled), [4.0 / (26.0 / 3.0f64).sqrt(), -3.0 / (26.0 / 3.0f64).sqrt()]);
    }

    #[test]
    fn bad_input() {
        let error = |examples: &ScoredExamples, spread| {
            lira(examples, &TokenMeanLogLikelihood, Aggregate::Mean, spread).unwrap_err().to_string()
        };
        for k in [0, 1] {
            let expect = format!("{k} shadow models have no spread, expected at least 2");
            assert_eq!(error(&examples(4, k, 0.0, 3), Spread::Pooled), expect);
        }
        let circular =
            lira(&examples(4, 2, 0.0, 3), &MeanReferenceLikelihoodRatio, Aggregate::Mean, Spread::Pooled);
        let expect = "`mean_reference_likelihood_ratio` compares with the further references, which are the shadow models";
        assert_eq!(circular.unwrap_err().to_string(), expect);
        let same = |name: &str| NamedScores { name: name.to_owned(), scores: column(vec![-3.0, -4.0]) };
        let tied = ScoredExamples::new(
            vec![UserIdx(3), UserIdx(7)],
            vec![true, false],
            column(vec![-2.0, -8.0]),
            column(vec![-1.0, -1.0]),
        )
        .and_then(|examples| examples.with_more_references(vec![same("a"), same("b")]))
        .unwrap();
        let expect = "the shadow models' statistics of user 3 have variance 0, expected a finite one above 0";
        assert_eq!(error(&tied, Spread::OfEachUser), expect);
        let expect = "the shadow models' statistics have variance 0, expected a finite one above 0";
        assert_eq!(error(&tied, Spread::Pooled), expect);
    }

    /// Users with levels of their own, and an effect of being seen: against the right answer, which knows level and spread.
    #[test]
    fn held_in_users_are_told_by_shadows_that_saw_them() {
        let (n_users, effect, n_shadows) = (2000, 1.5, 16);
        let mut rng = Seed(5).rng();
        let level: Vec<f64> = (0..n_users).map(|_| 3.0 * normal(&mut rng)).collect();
        let mut run = |draw: usize| {
            let held_in: Vec<bool> = (0..n_users).map(|user| (user >> (draw / 2)) % 2 == draw % 2).collect();
            let value = |(user, level): (usize, &f64)| {
                level + normal(&mut rng) + if held_in[user] { effect } else { 0.0 }
            };
            let statistic = level.iter().enumerate().map(value).collect();
            let user: Vec<UserIdx> = (0..n_users as u32).map(UserIdx).collect();
            UserStatistics { user, held_in, statistic, n_examples: vec![1; n_users] }
        };
        let shadows: Vec<UserStatistics> = (0..n_shadows).map(&mut run).collect();
        let target = run(18);
        let found = online_lira(&target, &shadows).unwrap();
        let auroc = |statistic: &[f64]| Roc::from_labels(statistic, &target.held_in).unwrap().auroc();
        // Theory: Phi(effect / sqrt 2) = .856 knowing the level, less for the error of two means of eight;
        // without shadows Phi(effect / sqrt(2 (1 + 9))) = .631. Standard errors are about .01.
        let (with, without) = (auroc(&found.statistic), auroc(&target.statistic));
        assert!((0.80..0.87).contains(&with) && (without - 0.631).abs() < 0.05, "{with} {without}");
    }

    #[test]
    fn shadows_of_both_sides_must_fit() {
        let run = |user: u32, held_in: bool, statistic: f64| UserStatistics {
            user: vec![UserIdx(user)],
            held_in: vec![held_in],
            statistic: vec![statistic],
            n_examples: vec![1],
        };
        let target = run(4, true, 0.0);
        let error = |shadows: &[UserStatistics]| online_lira(&target, shadows).unwrap_err().to_string();
        assert!(
            error(&[run(4, true, 1.0), run(5, false, 1.0)]).contains("shadow model 1 are of other users")
        );
        let expect =
            "every shadow model was trained on user 4, expected some that were and some that were not";
        assert_eq!(error(&[run(4, true, 1.0), run(4, true, 2.0)]), expect);
        assert!(error(&[run(4, false, 1.0)]).starts_with("no shadow model was trained on user 4"));
        assert!(error(&[run(4, true, 1.0), run(4, false, 2.0)]).contains("variance"));
    }

    #[test]
    fn a_coarse_shadow_is_named() {
        let tokens = |value: f64| TextScores {
            token_log_probs: Some([[value as f32]].into_iter().collect()),
            ..column(vec![value])
        };
        let shadows = vec![
            NamedScores { name: "a".to_owned(), scores: tokens(-2.0) },
            NamedScores { name: "b".to_owned(), scores: column(vec![-3.0]) },
        ];
        let examples = ScoredExamples::new(vec![UserIdx(3)], vec![true], tokens(-1.0), tokens(-1.0))
            .and_then(|examples| examples.with_more_references(shadows))
            .unwrap();
        let error =
            lira(&examples, &MinK { k: Percent::TWENTY }, Aggregate::Mean, Spread::Pooled).unwrap_err();
        let expect = "`min_k_20` needs Tokens detail, the scores of the further reference 1 have Total";
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn higher_means_held_in() {
        let statistic = z(&examples(60, 5, 6.0, 4), Spread::Pooled);
        let side = |even: usize| statistic.iter().skip(even).step_by(2).copied().collect::<Vec<_>>();
        assert!(mann_whitney(&side(0), &side(1), Alternative::Greater).unwrap().p_value < 1e-9);
    }
}
