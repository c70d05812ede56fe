//! The table of attacks: every statistic with every aggregate, and those that learn from other users.

use userprint_attack::learned::{LearnedSettings, learned};
use userprint_attack::rmia::{Population, RmiaSettings, rmia};
use userprint_attack::set_level::set_level;
use userprint_attack::{
    Aggregate, AttackError, ExampleStatistics, Grid, LeftOut, ScoredExamples, UserStatistics,
    example_statistics, grid, statistics,
};

use super::Attack;
use crate::experiment::Experiment;
use crate::results::LeftOutRow;

/// Ratios of probabilities per token lie near 1, where a text beats another if its ratio is the higher one.
///
/// Probabilities per token are a few hundredths: beside `1 - offline_a` of the usual .3 for images nothing would be
/// left of the reference.
const RMIA: RmiaSettings = RmiaSettings { offline_a: 1.0, gamma: 1.0 };

/// Five folds leave four fifths of the users to learn from and need five users a side.
///
/// The penalty is scikit-learn's default, `C = 1`, on features of standard deviation 1: there are no users to spare
/// for choosing another.
const LEARNED: LearnedSettings = LearnedSettings { n_folds: 5, penalty: 1.0 };

/// What came of all attacks, and which have no result.
pub(super) struct AttackTable {
    pub(super) attacks: Vec<Attack>,
    pub(super) left_out: Vec<LeftOutRow>,
}

/// Every attack that these scores allow; the headline is among them whatever its parameters.
pub(super) fn table(
    experiment: &Experiment,
    scored: &ScoredExamples,
    headline: &Attack,
) -> anyhow::Result<AttackTable> {
    let statistics = statistics::all();
    let mut grid = grid(scored, &statistics);
    match rmia(scored, Population::OtherUsers, RMIA) {
        Ok(rows) => grid.add(&rows),
        Err(why) => grid.left_out.push(LeftOut { statistic: "rmia".to_owned(), aggregate: None, why }),
    }
    let rows: Vec<ExampleStatistics> = statistics
        .iter()
        .filter_map(|statistic| example_statistics(scored, statistic.as_ref()).ok())
        .collect();
    let of_many = [
        ("learned", Aggregate::Mean.to_string(), combination(experiment, &grid)),
        ("set_level", "welch_t".to_owned(), tests(experiment, &rows)),
    ];

    let mut attacks = Vec::new();
    for cell in grid.cells {
        attacks.push(Attack::new(experiment, cell.statistic, cell.aggregate.to_string(), cell.users)?);
    }
    let mut left_out: Vec<LeftOutRow> = grid.left_out.into_iter().map(left_out_row).collect();
    for (statistic, aggregate, users) in of_many {
        match users {
            Ok(users) => attacks.push(Attack::new(experiment, statistic.to_owned(), aggregate, users)?),
            Err(why) => {
                left_out.push(left_out_row(LeftOut {
                    statistic: statistic.to_owned(),
                    aggregate: None,
                    why,
                }));
            }
        }
    }
    let is_headline =
        |attack: &Attack| attack.statistic == headline.statistic && attack.aggregate == headline.aggregate;
    if !attacks.iter().any(is_headline) {
        let (statistic, aggregate) = (headline.statistic.clone(), headline.aggregate.clone());
        attacks.push(Attack::new(experiment, statistic, aggregate, headline.users.clone())?);
    }
    Ok(AttackTable { attacks, left_out })
}

/// The mean of every statistic, weighed on other users than it judges.
fn combination(experiment: &Experiment, grid: &Grid) -> Result<UserStatistics, AttackError> {
    let means = grid.cells.iter().filter(|cell| cell.aggregate == Aggregate::Mean);
    let features: Vec<UserStatistics> = means.map(|cell| cell.users.clone()).collect();
    learned(&features, LEARNED, experiment.seed.named("attack"))
}

/// Welch's t of all of a user's examples.
fn tests(experiment: &Experiment, rows: &[ExampleStatistics]) -> Result<UserStatistics, AttackError> {
    let found = set_level(rows, LEARNED.penalty, experiment.seed.named("attack"))?;
    Ok(UserStatistics {
        user: found.user,
        held_in: found.held_in,
        statistic: found.t,
        n_examples: found.n_examples,
    })
}

fn left_out_row(left_out: LeftOut) -> LeftOutRow {
    LeftOutRow {
        statistic: left_out.statistic,
        aggregate: left_out.aggregate.map(|aggregate| aggregate.to_string()),
        reason: format!("{:#}", anyhow::Error::from(left_out.why)),
    }
}
