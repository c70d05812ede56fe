//! RMIA: how many documents of other people a text beats.

use std::collections::BTreeMap;

use userprint_core::{TextScores, UserIdx};

use crate::scores::check_scores;
use crate::statistic::token_mean;
use crate::{AttackError, Evidence, ExampleStatistics, Model, NamedScores, ScoredExamples};

/// What [`rmia`] compares texts with.
#[derive(Clone, Copy, Debug)]
pub enum Population<'a> {
    /// Documents of users on neither side, scored by the same models.
    Documents(&'a PopulationScores),
    /// The attack examples of all other users, whatever side they are on.
    OtherUsers,
}

/// Documents of users on neither side, scored by the models that score the attack examples.
#[derive(Clone, Debug)]
pub struct PopulationScores {
    target: TextScores,
    reference: TextScores,
    more_references: Vec<NamedScores>,
}

impl PopulationScores {
    /// Puts the scores together, those of further references in the order that the attack examples have.
    ///
    /// # Errors
    /// Those of [`ScoredExamples::new`] for scores; [`AttackError::NoPopulation`] without documents.
    ///
    /// ```
    /// use userprint_attack::rmia::PopulationScores;
    /// use userprint_core::TextScores;
    /// let scores = TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// assert!(PopulationScores::new(scores.clone(), scores, vec![]).is_ok());
    /// let none = PopulationScores::new(Default::default(), Default::default(), vec![]).unwrap_err();
    /// assert_eq!(none.to_string(), "there are no documents to compare with");
    /// ```
    pub fn new(
        target: TextScores,
        reference: TextScores,
        more_references: Vec<NamedScores>,
    ) -> Result<Self, AttackError> {
        let n_rows = target.len();
        if n_rows == 0 {
            return Err(AttackError::NoPopulation);
        }
        check_scores(Model::PopulationTarget, &target, n_rows)?;
        check_scores(Model::PopulationReference, &reference, n_rows)?;
        for more in &more_references {
            check_scores(Model::PopulationReference, &more.scores, n_rows)?;
        }
        Ok(Self { target, reference, more_references })
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            reference: Some(&self.reference),
            more_references: &self.more_references,
            ..Evidence::new(&self.target, 0)
        }
    }
}

/// The two numbers of RMIA without models trained for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmiaSettings {
    /// How far the probability under models that were trained on a text follows that under models that were not:
    /// `p_in(x) = offline_a p_out(x) + 1 - offline_a`, from 0 to 1.
    pub offline_a: f64,
    /// By which factor a text's ratio must be above another's to beat it, above 0.
    ///
    /// Ratios of probabilities per token lie near 1, so a factor of 2, usual for images, may be out of reach.
    pub gamma: f64,
}

/// The share of documents of other people that each text beats.
///
/// `#{z: r(x) / r(z) >= gamma} / #{z}` with `r(x) = p_target(x) / p(x)` and
/// `p(x) = ((1 + a) p_out(x) + 1 - a) / 2`.
/// Every probability is per token, `exp(log p(x) / T)`: a whole text's, about `e^-500`, would vanish beside
/// `1 - a`.
/// `p_out` is the mean over the references, the main one and the further ones.
///
/// Documents are ranked once, `O((n + m) log m)` for `n` texts and `m` documents.
/// With [`Population::OtherUsers`] a text is compared with the texts of all users but its own; no label is read.
///
/// # Errors
/// [`AttackError::RmiaSettings`]; [`AttackError::NoPopulation`] if there is one user alone;
/// [`AttackError::OtherReferences`] if the population was scored by other references;
/// [`AttackError::Undefined`] with the row where a probability is 0 in `f64`.
///
/// # Reference
/// Zarifzadeh, Liu, Shokri, arXiv:2312.03262, with its approximation for models none of which saw the text.
/// ```
/// use userprint_attack::ScoredExamples;
/// use userprint_attack::rmia::{Population, RmiaSettings, rmia};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood: [f64; 3]| TextScores {
///     log_likelihood: log_likelihood.to_vec(), n_tokens: vec![3; 3], ..TextScores::default()
/// };
/// let user = vec![UserIdx(0), UserIdx(1), UserIdx(2)];
/// let (target, reference) = (scores([-3.0, -6.0, -9.0]), scores([-6.0, -6.0, -6.0]));
/// let examples = ScoredExamples::new(user, vec![true, true, false], target, reference)?;
/// let settings = RmiaSettings { offline_a: 0.3, gamma: 1.0 };
/// assert_eq!(rmia(&examples, Population::OtherUsers, settings)?.statistic, [1.0, 0.5, 0.0]);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn rmia(
    examples: &ScoredExamples,
    population: Population<'_>,
    settings: RmiaSettings,
) -> Result<ExampleStatistics, AttackError> {
    check_settings(settings)?;
    let ratios = log_ratios(&examples.evidence(0), examples.len(), settings)?;
    let bar = settings.gamma.ln();
    let statistic = match population {
        Population::Documents(documents) => {
            check_references(examples.more_references(), &documents.more_references)?;
            let mut others = log_ratios(&documents.evidence(), documents.target.len(), settings)?;
            others.sort_unstable_by(f64::total_cmp);
            ratios.iter().map(|ratio| n_beaten(&others, ratio - bar) as f64 / others.len() as f64).collect()
        }
        Population::OtherUsers => shares_of_other_users(examples.user(), &ratios, bar)?,
    };
    Ok(ExampleStatistics::of_rows("rmia".to_owned(), examples, statistic))
}

fn check_settings(settings: RmiaSettings) -> Result<(), AttackError> {
    let RmiaSettings { offline_a, gamma } = settings;
    if !((0.0..=1.0).contains(&offline_a) && gamma > 0.0 && gamma.is_finite()) {
        return Err(AttackError::RmiaSettings { offline_a, gamma });
    }
    Ok(())
}

fn check_references(examples: &[NamedScores], population: &[NamedScores]) -> Result<(), AttackError> {
    let names = |references: &[NamedScores]| -> Vec<String> {
        references.iter().map(|reference| reference.name.clone()).collect()
    };
    let (expected, found) = (names(examples), names(population));
    if found == expected { Ok(()) } else { Err(AttackError::OtherReferences { found, expected }) }
}

/// `log (p_target(x) / p(x))` of each row.
fn log_ratios(
    evidence: &Evidence<'_>,
    n_rows: usize,
    settings: RmiaSettings,
) -> Result<Vec<f64>, AttackError> {
    let ratio = |row| log_ratio(&Evidence { row, ..*evidence }, settings.offline_a);
    (0..n_rows)
        .map(|row| ratio(row).ok_or_else(|| AttackError::Undefined { statistic: "rmia".to_owned(), row }))
        .collect()
}

fn log_ratio(evidence: &Evidence<'_>, a: f64) -> Option<f64> {
    let mut p_out = evidence.reference_token_mean()?.exp();
    for reference in evidence.more_references {
        p_out += token_mean(&reference.scores, evidence.row)?.exp();
    }
    p_out /= (1 + evidence.more_references.len()) as f64;
    let p = ((1.0 + a) * p_out + 1.0 - a) / 2.0;
    Some(evidence.target_token_mean()? - p.ln()).filter(|ratio| ratio.is_finite())
}

/// How many of the sorted ratios are no higher.
fn n_beaten(sorted: &[f64], bar: f64) -> usize {
    sorted.partition_point(|&other| other <= bar)
}

fn shares_of_other_users(user: &[UserIdx], ratios: &[f64], bar: f64) -> Result<Vec<f64>, AttackError> {
    let mut all = ratios.to_vec();
    all.sort_unstable_by(f64::total_cmp);
    let mut of_user: BTreeMap<UserIdx, Vec<f64>> = BTreeMap::new();
    for (&user, &ratio) in user.iter().zip(ratios) {
        of_user.entry(user).or_default().push(ratio);
    }
    if of_user.len() < 2 {
        return Err(AttackError::NoPopulation);
    }
    for own in of_user.values_mut() {
        own.sort_unstable_by(f64::total_cmp);
    }
    let share = |(user, ratio): (&UserIdx, &f64)| {
        let own = &of_user[user];
        let beaten = n_beaten(&all, ratio - bar) - n_beaten(own, ratio - bar);
        beaten as f64 / (all.len() - own.len()) as f64
    };
    Ok(user.iter().zip(ratios).map(share).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: RmiaSettings = RmiaSettings { offline_a: 0.3, gamma: 1.1 };

    /// User, then log-likelihoods of a text of four tokens under target, reference and another reference.
    type Row = (u32, f64, f64, f64);

    fn scores(rows: &[Row], column: fn(&Row) -> f64) -> TextScores {
        TextScores {
            log_likelihood: rows.iter().map(column).collect(),
            n_tokens: vec![4; rows.len()],
            ..TextScores::default()
        }
    }

    fn another(rows: &[Row], name: &str) -> Vec<NamedScores> {
        vec![NamedScores { name: name.to_owned(), scores: scores(rows, |row| row.3) }]
    }

    fn examples(rows: &[Row]) -> ScoredExamples {
        let user: Vec<UserIdx> = rows.iter().map(|row| UserIdx(row.0)).collect();
        let held_in = user.iter().map(|user| user.0 % 2 == 0).collect();
        ScoredExamples::new(user, held_in, scores(rows, |row| row.1), scores(rows, |row| row.2))
            .and_then(|examples| examples.with_more_references(another(rows, "b")))
            .unwrap()
    }

    fn population(rows: &[Row], name: &str) -> PopulationScores {
        PopulationScores::new(scores(rows, |row| row.1), scores(rows, |row| row.2), another(rows, name))
            .unwrap()
    }

    /// Probabilities and every pair, as the formula has them.
    fn by_pairs(x: &Row, others: &[&Row], settings: RmiaSettings) -> f64 {
        let ratio = |row: &Row| {
            let p = |log_likelihood: f64| (log_likelihood / 4.0).exp();
            let p_out = (p(row.2) + p(row.3)) / 2.0;
            p(row.1) / (0.5 * ((1.0 + settings.offline_a) * p_out + (1.0 - settings.offline_a)))
        };
        let beaten = others.iter().filter(|z| ratio(x) / ratio(z) >= settings.gamma);
        beaten.count() as f64 / others.len() as f64
    }

    fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
        prop::collection::vec((0u32..5, -20.0f64..-0.01, -20.0f64..-0.01, -20.0f64..-0.01), 1..most)
    }

    proptest! {
        #[test]
        fn agrees_with_all_pairs(
            mut rows in rows(30), documents in rows(30), offline_a in 0.0f64..=1.0, gamma in 0.5f64..3.0
        ) {
            rows.push((5, -1.0, -2.0, -3.0));
            rows.push((6, -2.0, -1.0, -3.0));
            let settings = RmiaSettings { offline_a, gamma };
            let examples = examples(&rows);
            let documents_of_others = population(&documents, "b");
            let outside = rmia(&examples, Population::Documents(&documents_of_others), settings).unwrap();
            let cross = rmia(&examples, Population::OtherUsers, settings).unwrap();
            let documents: Vec<&Row> = documents.iter().collect();
            for (row, x) in rows.iter().enumerate() {
                let others: Vec<&Row> = rows.iter().filter(|z| z.0 != x.0).collect();
                prop_assert_eq!(outside.statistic[row], by_pairs(x, &documents, settings));
                prop_assert_eq!(cross.statistic[row], by_pairs(x, &others, settings));
            }
        }

        /// A likelier text under the target beats no fewer documents.
        #[test]
        fn higher_means_held_in(mut rows in rows(20), documents in rows(30), rise in 0.0f64..1.0) {
            let documents = population(&documents, "b");
            let of = |rows: &[Row]| rmia(&examples(rows), Population::Documents(&documents), SETTINGS).unwrap();
            let before = of(&rows);
            rows.iter_mut().for_each(|row| row.1 *= rise);
            rows[0].1 -= 1e-9; // some score is below 0
            let after = of(&rows);
            prop_assert!(before.statistic[1..].iter().zip(&after.statistic[1..]).all(|(b, a)| a >= b));
        }
    }

    /// With whole texts' probabilities, `1 - a` would swamp the reference and leave the target's likelihood alone.
    #[test]
    fn probabilities_are_per_token() {
        let long = |log_likelihood: [f64; 2]| TextScores {
            log_likelihood: log_likelihood.to_vec(),
            n_tokens: vec![250; 2],
            ..TextScores::default()
        };
        let user = vec![UserIdx(0), UserIdx(1)];
        let (target, reference) = (long([-600.0, -500.0]), long([-900.0, -510.0]));
        let examples = ScoredExamples::new(user, vec![true, false], target, reference).unwrap();
        let statistic = |offline_a| {
            rmia(&examples, Population::OtherUsers, RmiaSettings { offline_a, gamma: 1.0 }).unwrap().statistic
        };
        assert_eq!(statistic(1.0), [1.0, 0.0]);
        assert_eq!(statistic(0.9), [1.0, 0.0]);
        assert_eq!(statistic(0.0), [0.0, 1.0]); // the reference counts for nothing
    }

    #[test]
    fn bad_input() {
        let rows = [(0, -1.0, -1.0, -1.0), (1, -2.0, -2.0, -2.0)];
        for (offline_a, gamma) in [(-0.1, 1.0), (1.1, 1.0), (f64::NAN, 1.0), (0.3, 0.0), (0.3, f64::INFINITY)]
        {
            let error = rmia(&examples(&rows), Population::OtherUsers, RmiaSettings { offline_a, gamma });
            let error = error.unwrap_err().to_string();
            let expect = format!(
                "expected offline a from 0 to 1 and gamma above 0 and finite, found {offline_a} and {gamma}"
            );
            assert_eq!(error, expect);
        }
        let alone = rmia(&examples(&rows[..1]), Population::OtherUsers, SETTINGS);
        assert_eq!(alone, Err(AttackError::NoPopulation));
        let other = population(&rows, "c");
        let error = rmia(&examples(&rows), Population::Documents(&other), SETTINGS).unwrap_err();
        let expect = "the population was scored by the further references [\"c\"], the examples by [\"b\"]";
        assert_eq!(error.to_string(), expect);
        let impossible = [(0, -1.0, -9000.0, -9000.0), (1, -2.0, -2.0, -2.0)];
        let no_slack = RmiaSettings { offline_a: 1.0, gamma: 1.0 };
        let error = rmia(&examples(&impossible), Population::OtherUsers, no_slack).unwrap_err();
        assert_eq!(error.to_string(), "`rmia` has no finite value for row 0");
    }
}
