//! The sequential attack: it asks for one more example only while a user is undecided.

mod density;

use rand::seq::SliceRandom;
use userprint_core::{Seed, UserIdx};
use userprint_stats::{Decision, Interval, Roc, RocPoint, Side, Sprt, StatsError, clopper_pearson};

use crate::example_statistics::UserExamples;
use crate::folds::stratified_folds;
use crate::result::split;
use crate::{AttackError, ExampleStatistics};
use density::Density;

/// Fewest users a side: two for the fit and two to be judged, in each half.
const MIN_USERS: usize = 4;

/// When the sequential attack stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Boundary {
    /// Wald's thresholds on log-likelihood ratios that take a user's examples as independent.
    ///
    /// They are not: what is a user's own moves all of the examples at once, and the error rates asked for are
    /// exceeded the more, the stronger that is. For comparison only.
    WaldIndependent,
    /// Wald's thresholds on log-likelihood ratios with a normal effect of the user in both densities.
    ///
    /// Holds the rates up to `1 / (1 - other rate)` where the densities are true, and not where they are not.
    WaldUserEffect,
    /// Thresholds that other users of known membership have crossed no oftener than asked, on the same ratios.
    ///
    /// Holds the rates for users that are exchangeable with them, whatever the densities: the highest ratio that a
    /// user ever reaches is ranked among those of other held-out users, the lowest among held-in users.
    Calibrated,
}

/// The rates that a sequential attack is asked to hold, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequentialSettings {
    /// Largest chance that a held-out user is called held-in.
    pub fpr: f64,
    /// Largest chance that a held-in user is called held-out.
    pub fnr: f64,
    /// Most examples asked for of one user, who is then left undecided.
    ///
    /// Where users differ by more than training moves them, the examples after the first few say little, and
    /// undecided users would cost all that they have.
    pub most_examples: u32,
    /// When it stops.
    pub boundary: Boundary,
}

/// A share of users, with its exact interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserShare {
    /// Users of whom it holds.
    pub n_counted: u64,
    /// All users.
    pub n_users: u64,
    /// 95 % interval of Clopper and Pearson; the users of one training are not independent, so it is a guide.
    pub interval: Interval,
}

impl UserShare {
    /// The share.
    ///
    /// ```
    /// use userprint_attack::sequential::UserShare;
    /// use userprint_stats::Interval;
    /// let interval = Interval { lower: 0.11, upper: 0.27 };
    /// assert_eq!(UserShare { n_counted: 18, n_users: 100, interval }.value(), 0.18);
    /// ```
    pub fn value(&self) -> f64 {
        self.n_counted as f64 / self.n_users as f64
    }

    fn new(n_counted: usize, n_users: usize) -> Result<Self, AttackError> {
        let (n_counted, n_users) = (n_counted as u64, n_users as u64);
        Ok(Self { n_counted, n_users, interval: clopper_pearson(n_counted, n_users, 0.05)? })
    }
}

/// The attack that asks for the same number of examples of every user, as good as a sequential one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedSize {
    /// Examples asked for; of users with fewer, all.
    pub n_examples: u32,
    /// Mean number over users of examples used.
    pub mean_examples: f64,
}

/// What a sequential attack decided, and what it cost; columns sorted by user.
#[derive(Clone, Debug, PartialEq)]
pub struct SequentialResult {
    /// The user.
    pub user: Vec<UserIdx>,
    /// Whether the target was trained on the user.
    pub held_in: Vec<bool>,
    /// The decision; open where the examples ran out or the most were asked for.
    pub decision: Vec<Decision>,
    /// How many examples were used.
    pub n_examples: Vec<u32>,
    /// Held-out users called held-in, among held-out users: set it beside the rate asked for.
    pub fpr: UserShare,
    /// Held-in users called held-out, among held-in users.
    pub fnr: UserShare,
    /// Held-in users called held-in, among held-in users.
    pub tpr: UserShare,
    /// Held-out users called held-out, among held-out users.
    pub tnr: UserShare,
    /// Users of either side left undecided, among all users.
    pub undecided: UserShare,
    /// Mean number of examples used.
    pub mean_examples: f64,
    /// Mean number of examples at hand.
    pub mean_examples_at_hand: f64,
    /// The least fixed number of examples that does as well; `None` if all examples do not.
    ///
    /// The mean of the example statistics, with one threshold above which users are called held-in and one below
    /// which they are called held-out, has then no larger `fpr` and `fnr` and no smaller `tpr` and `tnr`.
    /// The thresholds are the best for the very users, which favours it.
    pub fixed_size: Option<FixedSize>,
}

/// Attacks users one example at a time, in random order, until the decision is clear.
///
/// The users of each side are dealt into two halves. Normal densities of the example statistic, of equal spread for
/// the two sides, are fitted on one half and used on the other, so that no user is judged by a density that has
/// seen the user; [`Boundary::Calibrated`] takes its thresholds from the *other* users of the same half.
/// The running sum of log-likelihood ratios then grows with the statistic. Where held-in examples of the fit do not
/// lie higher than held-out ones there is no evidence, and every user stays undecided.
///
/// What it saves depends on how much users differ.
/// Where examples are independent given the side it needs about half of a fixed number; where effects of users are
/// of the size of the shift between the sides nothing is saved, as no number of examples decides.
///
/// # Errors
/// [`AttackError::UnequalColumns`], [`AttackError::UserOnBothSides`], [`AttackError::NotFinite`];
/// [`AttackError::NoExamples`] if at most 0 may be asked for; [`AttackError::TooFewUsers`] below 4 a side;
/// [`AttackError::NoSpreadOfExamples`] if the examples of all users are equal;
/// [`AttackError::TooFewToCalibrate`] if a rate is finer than the other users can show;
/// [`AttackError::Stats`] if a rate is not above 0 and below 1, or they sum to 1.
///
/// # Reference
/// Wald, Annals of Mathematical Statistics 16(2), 1945; Vovk et al., Algorithmic Learning in a Random World, 2005,
/// for the calibrated thresholds.
/// ```
/// use userprint_attack::ExampleStatistics;
/// use userprint_attack::sequential::{Boundary, SequentialSettings, sequential};
/// use userprint_core::{Seed, UserIdx};
/// // 40 users with 30 examples each; those of held-in users lie higher by a deviation or so.
/// let rows = ExampleStatistics {
///     name: "mine".to_owned(),
///     n_tokens: vec![1; 1200],
///     user: (0..1200).map(|row| UserIdx(row / 30)).collect(),
///     held_in: (0..1200).map(|row| row < 600).collect(),
///     statistic: (0..1200).map(|row| f64::from(row * 7919 % 101) + if row < 600 { 30.0 } else { 0.0 }).collect(),
/// };
/// let settings = SequentialSettings {
///     fpr: 0.1, fnr: 0.1, most_examples: 30, boundary: Boundary::WaldUserEffect,
/// };
/// let found = sequential(&rows, &settings, Seed(7))?;
/// assert!(found.tpr.value() > 0.8 && found.mean_examples < 15.0);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn sequential(
    rows: &ExampleStatistics,
    settings: &SequentialSettings,
    seed: Seed,
) -> Result<SequentialResult, AttackError> {
    let wald = Sprt::new(settings.fpr, settings.fnr)?;
    let most_examples = settings.most_examples as usize;
    if most_examples == 0 {
        return Err(AttackError::NoExamples);
    }
    let mut users = rows.by_user()?;
    let stream = seed.named("sequential");
    for user in &mut users {
        user.statistic.shuffle(&mut stream.named("order").indexed(u64::from(user.user.0)).rng());
    }
    let side: Vec<bool> = users.iter().map(|user| user.held_in).collect();
    check_sides(&side)?;
    let halves = stratified_folds(&side, 2, stream)?;
    let mut stops = vec![Stop { decision: Decision::Open, n_examples: 0 }; users.len()];
    for half in [0, 1] {
        let (judged, fitted): (Vec<usize>, Vec<usize>) =
            (0..users.len()).partition(|&user| halves[user] == half);
        let of = |held_in: bool| {
            let chosen = fitted.iter().map(|&user| &users[user]).filter(move |user| user.held_in == held_in);
            chosen.map(|user| &user.statistic[..]).collect::<Vec<_>>()
        };
        let density = match settings.boundary {
            Boundary::WaldIndependent => Density::independent(&of(true), &of(false))?,
            Boundary::WaldUserEffect | Boundary::Calibrated => {
                Density::with_user_effect(&of(true), &of(false))?
            }
        };
        let judged_users: Vec<&UserExamples> = judged.iter().map(|&user| &users[user]).collect();
        let asked = |user: &&UserExamples| {
            density.increments(&user.statistic[..user.statistic.len().min(most_examples)])
        };
        let increments: Vec<Vec<f64>> = judged_users.iter().map(asked).collect();
        let found = match settings.boundary {
            Boundary::WaldIndependent | Boundary::WaldUserEffect => increments
                .iter()
                .map(|increments| stop_at_wald(wald, increments))
                .collect::<Result<_, _>>()?,
            Boundary::Calibrated => stop_at_calibrated(&judged_users, &increments, settings)?,
        };
        for (user, stop) in judged.into_iter().zip(found) {
            stops[user] = stop;
        }
    }
    result(&users, &stops)
}

/// Where one user's sequence ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stop {
    decision: Decision,
    n_examples: u32,
}

fn check_sides(side: &[bool]) -> Result<(), AttackError> {
    for (name, wanted) in [(Side::HeldIn, true), (Side::HeldOut, false)] {
        let found = side.iter().filter(|&&held_in| held_in == wanted).count();
        if found < MIN_USERS {
            return Err(AttackError::TooFewUsers { side: name, found, needed: MIN_USERS });
        }
    }
    Ok(())
}

fn stop_at_wald(mut wald: Sprt, increments: &[f64]) -> Result<Stop, StatsError> {
    for (n_examples, &increment) in (1..).zip(increments) {
        let decision = wald.observe(increment)?;
        if decision != Decision::Open {
            return Ok(Stop { decision, n_examples });
        }
    }
    Ok(Stop { decision: Decision::Open, n_examples: increments.len() as u32 })
}

/// The running sums of some increments.
fn running(increments: &[f64]) -> impl Iterator<Item = f64> {
    increments.iter().scan(0.0, |sum, increment| {
        *sum += increment;
        Some(*sum)
    })
}

/// Stops each user beyond what the other users of the same half have reached.
///
/// A user crosses above if `(1 + #{others >= highest}) / (1 + n_others) <= fpr`, over other held-out users, which
/// is to exceed the `floor(fpr (1 + n_others))`-th highest of them; below alike. The first crossing decides, so
/// the chance of a wrong decision is at most that of ever crossing.
fn stop_at_calibrated(
    users: &[&UserExamples],
    increments: &[Vec<f64>],
    settings: &SequentialSettings,
) -> Result<Vec<Stop>, AttackError> {
    // The lowest is the highest with the other sign, so that one rule serves both thresholds.
    let highest = |sign: f64| {
        let of_user =
            |increments: &Vec<f64>| running(increments).map(|sum| sign * sum).fold(f64::MIN, f64::max);
        increments.iter().map(of_user).collect::<Vec<f64>>()
    };
    let side: Vec<bool> = users.iter().map(|user| user.held_in).collect();
    let (ups, downs) = (highest(1.0), highest(-1.0));
    let (of_held_in, of_held_out) = (split(&downs, &side).0, split(&ups, &side).1);
    let upper = Threshold::new(of_held_out, Side::HeldOut, settings.fpr);
    let lower = Threshold::new(of_held_in, Side::HeldIn, settings.fnr);
    (0..users.len())
        .map(|user| {
            let up = upper.beyond((!side[user]).then_some(ups[user]))?;
            let down = lower.beyond(side[user].then_some(downs[user]))?;
            let decisions = running(&increments[user]).map(|sum| match sum {
                sum if sum > up => Decision::HeldIn,
                sum if -sum > down => Decision::HeldOut,
                _ => Decision::Open,
            });
            let stop = (1..).zip(decisions).find(|(_, decision)| *decision != Decision::Open);
            let (n_examples, decision) = stop.unwrap_or((increments[user].len() as u32, Decision::Open));
            Ok(Stop { decision, n_examples })
        })
        .collect()
}

/// The highest running sums of users that ought not to cross, descending.
struct Threshold {
    highest: Vec<f64>,
    side: Side,
    rate: f64,
}

impl Threshold {
    fn new(mut highest: Vec<f64>, side: Side, rate: f64) -> Self {
        highest.sort_unstable_by(|a, b| b.total_cmp(a));
        Self { highest, side, rate }
    }

    /// What a user must exceed; `own` is the user's highest if that is among the users here.
    fn beyond(&self, own: Option<f64>) -> Result<f64, AttackError> {
        let n_others = self.highest.len() - usize::from(own.is_some());
        let n_allowed = (self.rate * (1 + n_others) as f64 + 1e-9).floor() as usize;
        // A rate just below 1 rounds up to all of them and one more.
        let n_allowed = n_allowed.min(n_others);
        if n_allowed == 0 {
            let (side, rate) = (self.side, self.rate);
            return Err(AttackError::TooFewToCalibrate { side, rate, found: n_others });
        }
        let last = self.highest[n_allowed - 1];
        Ok(if own.is_some_and(|own| own >= last) { self.highest[n_allowed] } else { last })
    }
}

fn result(users: &[UserExamples], stops: &[Stop]) -> Result<SequentialResult, AttackError> {
    let n_of = |held_in: bool| users.iter().filter(|user| user.held_in == held_in).count();
    let n_called = |held_in: bool, decision: Decision| {
        let called = users.iter().zip(stops);
        called.filter(|(user, stop)| user.held_in == held_in && stop.decision == decision).count()
    };
    let n_open = n_called(true, Decision::Open) + n_called(false, Decision::Open);
    let mean = |total: u64| total as f64 / users.len() as f64;
    let share = |held_in, decision| UserShare::new(n_called(held_in, decision), n_of(held_in));
    let (fpr, fnr) = (share(false, Decision::HeldIn)?, share(true, Decision::HeldOut)?);
    let (tpr, tnr) = (share(true, Decision::HeldIn)?, share(false, Decision::HeldOut)?);
    let is_as_good = |points: &[RocPoint]| {
        // Shares of whole users; the allowance is for rounding in 1 - share.
        let at_most = |share: f64, other: &UserShare| share <= other.value() + 1e-12;
        let at_least = |share: f64, other: &UserShare| share >= other.value() - 1e-12;
        let finds = |point: &RocPoint| at_most(point.fpr, &fpr) && at_least(point.tpr, &tpr);
        let clears = |point: &RocPoint| at_most(1.0 - point.tpr, &fnr) && at_least(1.0 - point.fpr, &tnr);
        points.iter().any(finds) && points.iter().any(clears)
    };
    Ok(SequentialResult {
        user: users.iter().map(|user| user.user).collect(),
        held_in: users.iter().map(|user| user.held_in).collect(),
        decision: stops.iter().map(|stop| stop.decision).collect(),
        n_examples: stops.iter().map(|stop| stop.n_examples).collect(),
        fpr,
        fnr,
        tpr,
        tnr,
        undecided: UserShare::new(n_open, users.len())?,
        mean_examples: mean(stops.iter().map(|stop| u64::from(stop.n_examples)).sum()),
        mean_examples_at_hand: mean(users.iter().map(|user| user.statistic.len() as u64).sum()),
        fixed_size: fixed_size(users, is_as_good)?,
    })
}

/// The least number of examples whose mean is as good, by trying 1, 2, 3 and so on.
fn fixed_size(
    users: &[UserExamples],
    is_as_good: impl Fn(&[RocPoint]) -> bool,
) -> Result<Option<FixedSize>, AttackError> {
    let side: Vec<bool> = users.iter().map(|user| user.held_in).collect();
    let most = users.iter().map(|user| user.statistic.len()).max().unwrap_or(0);
    let mut sums = vec![0.0; users.len()];
    for n_examples in 1..=most {
        for (sum, user) in sums.iter_mut().zip(users) {
            *sum += user.statistic.get(n_examples - 1).unwrap_or(&0.0);
        }
        let n_used = |user: &UserExamples| n_examples.min(user.statistic.len());
        let means: Vec<f64> = sums.iter().zip(users).map(|(sum, user)| sum / n_used(user) as f64).collect();
        let (held_in, held_out) = split(&means, &side);
        if is_as_good(&Roc::new(&held_in, &held_out)?.points()) {
            let total: usize = users.iter().map(n_used).sum();
            let mean_examples = total as f64 / users.len() as f64;
            return Ok(Some(FixedSize { n_examples: n_examples as u32, mean_examples }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
