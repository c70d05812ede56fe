//! The grid: every statistic with every aggregate, from one score table.

use crate::example_statistics::aggregate_users;
use crate::{
    Aggregate, AttackError, ExampleStatistics, ScoredExamples, Statistic, UserStatistics, example_statistics,
};

/// One statistic under one aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct GridCell {
    /// Name of the statistic.
    pub statistic: String,
    /// How it was aggregated.
    pub aggregate: Aggregate,
    /// What it says of each user.
    pub users: UserStatistics,
}

/// What could not be computed, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Name of the statistic.
    pub statistic: String,
    /// The aggregate, or none where the statistic itself is undefined.
    pub aggregate: Option<Aggregate>,
    /// The reason.
    pub why: AttackError,
}

/// Every statistic with every aggregate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// What there is, statistic by statistic in the order given, then aggregate by aggregate.
    pub cells: Vec<GridCell>,
    /// What there is not, in the same order.
    pub left_out: Vec<LeftOut>,
}

/// Computes each statistic of each example once, and aggregates it in every way of [`Aggregate::ALL`].
///
/// What cannot be computed from these scores is left out, with the reason: the scores are too coarse, there is one
/// reference alone, lengths after zlib are absent, or the models tokenise differently.
/// The table is for looking; which cell is the result is said beforehand.
///
/// ```
/// use userprint_attack::{Aggregate, ScoredExamples, grid, statistics};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood: [f64; 2]| TextScores {
///     log_likelihood: log_likelihood.to_vec(), n_tokens: vec![3; 2], ..TextScores::default()
/// };
/// let user = vec![UserIdx(0), UserIdx(1)];
/// let examples = ScoredExamples::new(user, vec![true, false], scores([-1.0, -9.0]), scores([-2.0, -4.0]))?;
/// let grid = grid(&examples, &statistics::all());
/// assert_eq!(grid.cells.len(), 4 * Aggregate::ALL.len());
/// assert_eq!(grid.cells[0].statistic, "token_mean_likelihood_ratio");
/// let min_k = grid.left_out.iter().find(|left_out| left_out.statistic == "min_k_20").unwrap();
/// assert_eq!(min_k.why.to_string(), "`min_k_20` needs Tokens detail, the scores of the target have Total");
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn grid(examples: &ScoredExamples, statistics: &[Box<dyn Statistic>]) -> Grid {
    let mut grid = Grid::default();
    for statistic in statistics {
        match example_statistics(examples, statistic.as_ref()) {
            Ok(rows) => grid.add(&rows),
            Err(why) => grid.left_out.push(LeftOut { statistic: statistic.name(), aggregate: None, why }),
        }
    }
    grid
}

impl Grid {
    /// Adds a statistic of examples that was computed elsewhere, such as RMIA's.
    ///
    /// ```
    /// use userprint_attack::{Aggregate, ExampleStatistics, Grid};
    /// use userprint_core::UserIdx;
    /// let mut grid = Grid::default();
    /// grid.add(&ExampleStatistics {
    ///     name: "mine".to_owned(), user: vec![UserIdx(4)], held_in: vec![true], n_tokens: vec![3],
    ///     statistic: vec![f64::MAX],
    /// });
    /// assert_eq!(grid.cells.len(), Aggregate::ALL.len() - 1);
    /// assert_eq!(grid.left_out[0].aggregate, Some(Aggregate::TokenWeightedMean)); // overflows
    /// ```
    pub fn add(&mut self, rows: &ExampleStatistics) {
        let left_out = |aggregate, why| LeftOut { statistic: rows.name.clone(), aggregate, why };
        let by_user = match rows.by_user() {
            Ok(by_user) => by_user,
            Err(why) => return self.left_out.push(left_out(None, why)),
        };
        for &aggregate in Aggregate::ALL {
            match aggregate_users(&by_user, &rows.name, aggregate) {
                Ok(users) => self.cells.push(GridCell { statistic: rows.name.clone(), aggregate, users }),
                Err(why) => self.left_out.push(left_out(Some(aggregate), why)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use userprint_core::{Detail, Moments, TextScores, UserIdx};

    use super::*;
    use crate::examples::NamedScores;
    use crate::{statistics, user_statistics};

    /// Four users with two texts of five tokens each, at a detail as asked.
    fn scores(detail: Detail, n_tokens: usize, shift: u32) -> TextScores {
        let token = |row: usize, t: usize| -(((row * 7 + t * 3 + shift as usize) % 11) as f32) / 4.0 - 0.25;
        let rows = || (0..8).map(move |row| (0..n_tokens).map(move |t| token(row, t)));
        TextScores {
            log_likelihood: rows().map(|row| row.map(f64::from).sum()).collect(),
            n_tokens: vec![n_tokens as u32; 8],
            token_log_probs: (detail >= Detail::Tokens).then(|| rows().collect()),
            moments: (detail >= Detail::Moments).then(|| Moments {
                mean: rows().map(|row| row.map(|_| -1.0)).collect(),
                std_dev: rows().map(|row| row.map(|_| 1.0)).collect(),
                is_argmax: rows().map(|row| row.map(|token| token > -1.0)).collect(),
            }),
        }
    }

    fn examples(target: TextScores, reference: TextScores) -> ScoredExamples {
        let user: Vec<UserIdx> = (0..8).map(|row| UserIdx(row / 2)).collect();
        let held_in = user.iter().map(|user| user.0 % 2 == 0).collect();
        ScoredExamples::new(user, held_in, target, reference).unwrap()
    }

    #[track_caller]
    fn check(examples: &ScoredExamples, expect: Expect) {
        let all = statistics::all();
        let grid = grid(examples, &all);
        let n_left_out = grid.left_out.len();
        assert_eq!(grid.cells.len() + n_left_out * Aggregate::ALL.len(), all.len() * Aggregate::ALL.len());
        let line = |left_out: &LeftOut| format!("{}: {}\n", left_out.statistic, left_out.why);
        expect.assert_eq(&grid.left_out.iter().map(line).collect::<String>());
    }

    #[test]
    fn all_there_is() {
        let more = NamedScores { name: "another".to_owned(), scores: scores(Detail::Total, 4, 3) };
        let examples = examples(scores(Detail::Moments, 5, 0), scores(Detail::Moments, 5, 1))
            .with_more_references(vec![more])
            .and_then(|examples| examples.with_zlib_bytes(vec![30; 8]))
            .unwrap();
        check(&examples, expect![[""]]);
        let grid = grid(&examples, &statistics::all());
        for (cell, statistic) in grid.cells.chunks(Aggregate::ALL.len()).zip(statistics::all()) {
            for (cell, &aggregate) in cell.iter().zip(Aggregate::ALL) {
                assert_eq!((&cell.statistic, cell.aggregate), (&statistic.name(), aggregate));
                assert_eq!(cell.users, user_statistics(&examples, statistic.as_ref(), aggregate).unwrap());
            }
        }
    }

    #[test]
    fn what_is_left_out_says_why() {
        let of = |detail, n_tokens| examples(scores(Detail::Moments, 5, 0), scores(detail, n_tokens, 1));
        check(
            &of(Detail::Total, 5),
            expect![[r#"
            mean_reference_likelihood_ratio: `mean_reference_likelihood_ratio` needs a reference beside the main one
            zlib_ratio: `zlib_ratio` needs the length of each text after zlib
            error_zone_ratio: `error_zone_ratio` needs Tokens detail, the scores of the reference have Total
            window_share: `window_share` needs Tokens detail, the scores of the reference have Total
            calibrated_min_k_plus_plus_20: `calibrated_min_k_plus_plus_20` needs Moments detail, the scores of the reference have Total
            hard_tokens_20: `hard_tokens_20` needs Tokens detail, the scores of the reference have Total
        "#]],
        );
        check(
            &of(Detail::Moments, 4),
            expect![[r#"
            mean_reference_likelihood_ratio: `mean_reference_likelihood_ratio` needs a reference beside the main one
            zlib_ratio: `zlib_ratio` needs the length of each text after zlib
            error_zone_ratio: `error_zone_ratio` compares token by token: row 0 has 5 tokens under the target and 4 under the reference
            window_share: `window_share` compares token by token: row 0 has 5 tokens under the target and 4 under the reference
            hard_tokens_20: `hard_tokens_20` compares token by token: row 0 has 5 tokens under the target and 4 under the reference
        "#]],
        );
    }
}
