//! The set-level test: are all of a user's texts together likelier than held-out users' texts?

use userprint_core::{Seed, UserIdx};
use userprint_stats::{Alternative, welch};

use crate::example_statistics::UserExamples;
use crate::folds::stratified_folds;
use crate::learned::Combination;
use crate::per_user::rank_p_values;
use crate::{AttackError, ExampleStatistics};

/// A test for each user, in columns sorted by user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetLevelTests {
    /// The user.
    pub user: Vec<UserIdx>,
    /// Whether the target was trained on the user.
    pub held_in: Vec<bool>,
    /// How many examples the test takes together.
    pub n_examples: Vec<u32>,
    /// Welch's t of the user's examples against held-out users' examples; higher means held-in.
    pub t: Vec<f64>,
    /// Chance of a `t` as high for a held-out user: its rank among the held-out users of the same half.
    pub p_value: Vec<f64>,
    /// The p-value that `t` would have if examples were independent, which those of one user are not; see
    /// [`set_level`].
    pub t_test_p_value: Vec<f64>,
}

/// Tests each user with weights that other users taught.
///
/// Users are dealt into two halves, both sides alike.
/// On one half, a logistic regression over users' mean statistics weighs the statistics.
/// Each user of the other half gets Welch's `t` of its examples' weighted sums against those of the first half's
/// held-out users; then the halves change places.
/// Nothing about a judged user, its label included, enters the weights or the texts that it is judged by, so that
/// held-out users of the judged half and users without an effect are exchangeable, and
/// `p = (1 + #{held-out v of the half: t_v >= t_u}) / (1 + n_out)`, a held-out user itself left out, holds its level
/// whatever the examples' distribution.
/// It cannot be below `1 / (1 + n_out)` with `n_out` held-out users in the half.
///
/// The t-test of the publication takes examples as independent.
/// A user's are not: where users differ by half as much as the examples of one, and there is no effect,
/// `t_test_p_value` is at most .05 for .17 of users with 5 examples, .32 with 20 and .45 with 80; `p_value` is for
/// .048, .049 and .051, where 1/21 = .048 is what ranks among 20 can give (40 users a side; standard errors .001, with
/// 80 examples .007 and .004).
/// It is there to be compared with, not to be reported.
///
/// `O(n_users n_examples)`.
///
/// # Errors
/// [`AttackError::TooFewExamples`] with the user who has one example; [`AttackError::NoFeatures`];
/// [`AttackError::OtherUsers`] unless all statistics are of the same rows; those of
/// [`ExampleStatistics::aggregated`] and of [`learned`](crate::learned::learned) with two folds;
/// [`AttackError::Stats`] if sums do not vary.
///
/// # Reference
/// Maini et al., arXiv:2406.06443 (weights from one half, a t-test on the other); ranks instead of Student's
/// distribution are ours.
/// ```
/// use userprint_attack::ExampleStatistics;
/// use userprint_attack::set_level::set_level;
/// use userprint_core::{Seed, UserIdx};
/// // 80 users with two examples each, the first 40 held in.
/// let user: Vec<UserIdx> = (0..160).map(|row| UserIdx(row / 2)).collect();
/// let held_in: Vec<bool> = user.iter().map(|user| user.0 < 40).collect();
/// let statistic = (0..160).map(|row| f64::from(row * 7 % 10) + if row < 80 { 20.0 } else { 0.0 }).collect();
/// let rows = ExampleStatistics { name: "mine".to_owned(), user, held_in, n_tokens: vec![1; 160], statistic };
/// let tests = set_level(&[rows], 1.0, Seed(7))?;
/// assert!(tests.p_value[..40].iter().all(|p_value| *p_value == 1.0 / 21.0));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn set_level(
    statistics: &[ExampleStatistics],
    penalty: f64,
    seed: Seed,
) -> Result<SetLevelTests, AttackError> {
    let users = users(statistics)?;
    let held_in: Vec<bool> = users.iter().map(|user| user.held_in).collect();
    let half_of = stratified_folds(&held_in, 2, seed.named("set_level"))?;
    let mut tests = SetLevelTests {
        user: users.iter().map(|user| user.user).collect(),
        n_examples: users.iter().map(|user| user.n_examples() as u32).collect(),
        t: vec![0.0; users.len()],
        p_value: vec![1.0; users.len()],
        t_test_p_value: vec![1.0; users.len()],
        held_in,
    };
    for half in 0..2 {
        let part = |of: usize| (0..users.len()).filter(|&user| half_of[user] == of).collect::<Vec<_>>();
        judge(&mut tests, &users, &part(1 - half), &part(half), penalty)?;
    }
    Ok(tests)
}

/// A user's examples under every statistic.
struct User {
    user: UserIdx,
    held_in: bool,
    by_statistic: Vec<Vec<f64>>,
}

impl User {
    fn n_examples(&self) -> usize {
        self.by_statistic[0].len()
    }

    fn means(&self) -> impl Iterator<Item = f64> {
        self.by_statistic.iter().map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The weighted sum of each example.
    fn sums(&self, weights: &Combination) -> Vec<f64> {
        let row = |example: usize| self.by_statistic.iter().map(move |values| values[example]);
        (0..self.n_examples()).map(|example| weights.apply(row(example))).collect()
    }
}

fn users(statistics: &[ExampleStatistics]) -> Result<Vec<User>, AttackError> {
    let first = statistics.first().ok_or(AttackError::NoFeatures)?;
    let new =
        |of: UserExamples| User { user: of.user, held_in: of.held_in, by_statistic: vec![of.statistic] };
    let mut users: Vec<User> = first.by_user()?.into_iter().map(new).collect();
    for (feature, rows) in statistics.iter().enumerate().skip(1) {
        if rows.user != first.user || rows.held_in != first.held_in {
            return Err(AttackError::OtherUsers { feature });
        }
        for (user, of) in users.iter_mut().zip(rows.by_user()?) {
            user.by_statistic.push(of.statistic);
        }
    }
    match users.iter().find(|user| user.n_examples() < 2) {
        Some(user) => {
            Err(AttackError::TooFewExamples { user_idx: user.user.0, found: user.n_examples(), needed: 2 })
        }
        None => Ok(users),
    }
}

/// Fits weights to the training users and judges the others.
fn judge(
    tests: &mut SetLevelTests,
    users: &[User],
    training: &[usize],
    judged: &[usize],
    penalty: f64,
) -> Result<(), AttackError> {
    let means: Vec<Vec<f64>> = users.iter().map(|user| user.means().collect()).collect();
    let columns: Vec<Vec<f64>> = (0..users[0].by_statistic.len())
        .map(|statistic| means.iter().map(|of_user| of_user[statistic]).collect())
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let weights = Combination::fit(&columns, &tests.held_in, training, penalty)?;
    let held_out = |user: &&usize| !users[**user].held_in;
    let compared: Vec<f64> =
        training.iter().filter(held_out).flat_map(|&user| users[user].sums(&weights)).collect();
    for &user in judged {
        let test = welch(&users[user].sums(&weights), &compared, Alternative::Greater)?;
        (tests.t[user], tests.t_test_p_value[user]) = (test.t, test.p_value);
    }
    let of_judged = |user: &usize| (tests.t[*user], users[*user].held_in);
    let (t, held_in): (Vec<f64>, Vec<bool>) = judged.iter().map(of_judged).unzip();
    for (&user, p_value) in judged.iter().zip(rank_p_values(&t, &held_in)?) {
        tests.p_value[user] = p_value;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
