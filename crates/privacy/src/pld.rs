//! Accounting by privacy loss distributions.

use crate::bisection::least;
use crate::composition::{Aim, Losses};
use crate::error::check_target_delta;
use crate::grid::{Direction, Side};
use crate::mixture::Mixture;
use crate::steps::{Step, Steps};
use crate::{Accountant, AccountingError, DpEvent, NeighboringRelation, gaussian};

const DIRECTIONS: [Direction; 2] = [Direction::Remove, Direction::Add];

/// The part of delta that high losses left out may take.
const LEFT_OUT: f64 = 1e-9;

/// A profile ends about here.
const LEAST_PROFILE_DELTA: f64 = 1e-12;

/// Points of a profile after the first.
const PROFILE_POINTS: u32 = 2_000;

/// How much coarser the first passes are.
const COARSER: f64 = 8.0;

/// Three settle nearly always.
const MOST_PASSES: u32 = 8;

/// Composes the distributions of the privacy loss themselves, which is as tight as composition can be.
///
/// Bounds adding or removing one unit: the worse of the two.
/// Losses are put on an even grid so that the bound is never below the truth; Gaussian mechanisms alone are exact, and so is
/// one step of any kind.
/// The grid is finer than asked for where the default would be coarse next to one step's losses, and coarser
/// where it would have more than four million points, or as many fewer as a step has parts; the answer is a bound in any
/// case.
///
/// # Reference
/// Doroshenko et al., arXiv:2207.04380 (connect-the-dots);
/// Koskela et al., arXiv:1906.03049 (composition by Fourier transforms).
#[derive(Clone, Debug, PartialEq)]
pub struct PldAccountant {
    discretization: f64,
}

/// Both sides of a value that is not known exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    /// At most the true value; no claim.
    pub optimistic: f64,
    /// At least the true value: what a claim states.
    pub pessimistic: f64,
}

impl Default for PldAccountant {
    /// A grid of `1e-4`, as dp-accounting has it.
    fn default() -> Self {
        Self { discretization: 1e-4 }
    }
}

/// An event as the accountant sees it.
enum Loss {
    Infinite,
    /// Gaussian mechanisms alone.
    Gaussian {
        mu: f64,
    },
    /// One step of any other kind.
    Step(Mixture),
    Steps(Vec<Step>),
}

impl PldAccountant {
    /// An accountant whose grid of losses is at least as fine as this.
    ///
    /// # Errors
    /// [`AccountingError::Discretization`] for what is not above 0 and at most 1.
    /// ```
    /// use userprint_privacy::{Accountant, DpEvent, PldAccountant};
    /// let event = DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(1_000);
    /// let coarse = PldAccountant::new(1e-2)?.epsilon(&event, 1e-5)?;
    /// assert!(coarse >= PldAccountant::default().epsilon(&event, 1e-5)?);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn new(discretization: f64) -> Result<Self, AccountingError> {
        let is_fine = discretization > 0.0 && discretization <= 1.0;
        if is_fine {
            Ok(Self { discretization })
        } else {
            Err(AccountingError::Discretization { found: discretization })
        }
    }

    /// Epsilon at this delta, from both sides.
    ///
    /// The sides are within .5 % of each other for sampling probabilities from .001 on, mostly within 1e-5.
    /// Below, the optimistic side is loose, by up to a quarter in the cases tested; it is 0 where a composition is
    /// too long for a grid.
    ///
    /// # Errors
    /// As [`Accountant::epsilon`].
    /// ```
    /// use userprint_privacy::{DpEvent, PldAccountant};
    /// let event = DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(1_000);
    /// let bracket = PldAccountant::default().epsilon_bracket(&event, 1e-5)?;
    /// assert!(bracket.optimistic <= bracket.pessimistic);
    /// assert!(bracket.pessimistic - bracket.optimistic < 0.1);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn epsilon_bracket(&self, event: &DpEvent, target_delta: f64) -> Result<Bracket, AccountingError> {
        check_target_delta(target_delta)?;
        match loss_of(event)? {
            Loss::Infinite => Ok(Bracket::exact(f64::INFINITY)),
            Loss::Gaussian { mu } => Ok(Bracket::exact(gaussian::epsilon(mu, target_delta))),
            Loss::Step(step) => Ok(Bracket::exact(one_step_epsilon(&step, target_delta))),
            Loss::Steps(steps) => {
                let least = self.worst(&steps, LEFT_OUT * target_delta, |losses| {
                    self.optimistic_epsilon(losses, target_delta)
                });
                let most = self.worst(&steps, LEFT_OUT * target_delta, |losses| {
                    self.pessimistic_epsilon(losses, target_delta)
                });
                Ok(Bracket { optimistic: least.min(most), pessimistic: most })
            }
        }
    }

    /// The least delta that the accountant can prove at this epsilon, at most 1.
    ///
    /// # Errors
    /// [`AccountingError::Epsilon`] for a negative epsilon or none; else as [`Accountant::epsilon`].
    /// ```
    /// use userprint_privacy::{Accountant, DpEvent, PldAccountant};
    /// let (accountant, event) = (PldAccountant::default(), DpEvent::gaussian(2.0).poisson_sampled(0.1));
    /// let epsilon = accountant.epsilon(&event.clone().repeated(50), 1e-6)?;
    /// assert!((accountant.delta(&event.repeated(50), epsilon)? / 1e-6 - 1.0).abs() < 1e-3);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn delta(&self, event: &DpEvent, epsilon: f64) -> Result<f64, AccountingError> {
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return Err(AccountingError::Epsilon { found: epsilon });
        }
        match loss_of(event)? {
            Loss::Infinite => Ok(1.0),
            Loss::Gaussian { mu } => Ok(gaussian::delta(mu, epsilon)),
            Loss::Step(step) => Ok(step.delta(epsilon)),
            Loss::Steps(steps) => {
                // Moments overestimate by far where tails are heavy; a first pass says what may be left out.
                let by_moments = self.worst(&steps, 1e-290, |losses| losses.delta_by_moments(epsilon));
                let pass = |roughly: f64| {
                    let left_out = LEFT_OUT * roughly;
                    self.worst(&steps, left_out, |losses| self.pessimistic_delta(losses, epsilon)).min(1.0)
                };
                let first = pass(1e-6 * by_moments.min(1.0));
                Ok(first.min(pass(first)))
            }
        }
    }

    /// Delta at every epsilon from 0 to where it is about `1e-12`, or as small as rounding lets it be told: about `1e-14` a
    /// step. Never below the truth.
    ///
    /// # Errors
    /// As [`Accountant::epsilon`].
    /// ```
    /// use userprint_privacy::{DpEvent, PldAccountant};
    /// let profile = PldAccountant::default().profile(&DpEvent::gaussian(1.0))?;
    /// // 2 Φ(1/2) − 1: the total variation.
    /// assert!((profile.points()[0].1 - 0.382925).abs() < 1e-6);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn profile(&self, event: &DpEvent) -> Result<Profile, AccountingError> {
        let highest = self.epsilon(event, LEAST_PROFILE_DELTA)?;
        let epsilon = |i: u32| highest * f64::from(i) / f64::from(PROFILE_POINTS);
        let epsilons: Vec<f64> = (0..=PROFILE_POINTS).map(epsilon).collect();
        let deltas = match loss_of(event)? {
            _ if highest.is_infinite() => return Ok(Profile { points: vec![(0.0, 1.0)] }),
            Loss::Infinite => return Ok(Profile { points: vec![(0.0, 1.0)] }),
            Loss::Gaussian { mu } => epsilons.iter().map(|&epsilon| gaussian::delta(mu, epsilon)).collect(),
            Loss::Step(step) => epsilons.iter().map(|&epsilon| step.delta(epsilon)).collect(),
            Loss::Steps(steps) => self.profile_deltas(&steps, &epsilons),
        };
        Ok(Profile { points: epsilons.into_iter().zip(deltas).collect() })
    }

    fn profile_deltas(&self, steps: &[Step], epsilons: &[f64]) -> Vec<f64> {
        let mut worst = vec![0.0_f64; epsilons.len()];
        for direction in DIRECTIONS {
            let losses = Losses::new(steps, direction, LEFT_OUT * LEAST_PROFILE_DELTA);
            let plan = losses.plan(0.0, losses.deviation(), self.discretization);
            let of_direction = match plan {
                Some(plan) => losses.compose(&plan, Side::Pessimistic).deltas(epsilons),
                None => vec![1.0; epsilons.len()],
            };
            worst.iter_mut().zip(of_direction).for_each(|(worst, delta)| *worst = worst.max(delta));
        }
        worst
    }

    fn pessimistic_epsilon(&self, losses: &Losses<'_>, delta: f64) -> f64 {
        let by_grid = self.grid_epsilon(losses, delta, Side::Pessimistic).unwrap_or(f64::INFINITY);
        by_grid.min(losses.epsilon_by_moments(delta))
    }

    fn optimistic_epsilon(&self, losses: &Losses<'_>, delta: f64) -> f64 {
        self.grid_epsilon(losses, delta, Side::Optimistic).unwrap_or(0.0)
    }

    /// Coarse passes say roughly where epsilon lies, and the last tilts there.
    fn grid_epsilon(&self, losses: &Losses<'_>, delta: f64, side: Side) -> Option<f64> {
        let (tilt, rough) = self.rough_epsilon(losses, delta)?;
        // Rounding down costs more than connecting dots where losses crowd at the least one.
        let spacing = self.discretization * if side == Side::Optimistic { 0.125 } else { 1.0 };
        let plan = losses.plan(tilt, rough.max(losses.mean(tilt)), spacing)?;
        losses.compose(&plan, side).epsilon(delta).or(Some(rough).filter(|_| side == Side::Pessimistic))
    }

    /// A bound on a coarse grid and the tilt towards it.
    ///
    /// The first tilt is where Chernoff's bound points, which can be far too high for steps with heavy tails.
    fn rough_epsilon(&self, losses: &Losses<'_>, delta: f64) -> Option<(f64, f64)> {
        let mut tilt = losses.tilt(Aim::Delta(delta));
        let mut least = f64::INFINITY;
        for _ in 0..MOST_PASSES {
            let likely = losses.mean(tilt).min(least);
            let plan = losses.plan(tilt, likely, self.discretization)?;
            let found = losses.compose(&plan.coarser(COARSER), Side::Pessimistic).epsilon(delta);
            least = least.min(found.unwrap_or(f64::INFINITY));
            let next = found.map_or(0.25 * tilt, |epsilon| losses.tilt(Aim::Epsilon(epsilon)));
            let is_settled = found.is_some() && (next - tilt).abs() <= 0.1 * tilt;
            tilt = next;
            if is_settled {
                break;
            }
        }
        Some((tilt, least)).filter(|_| least.is_finite())
    }

    fn pessimistic_delta(&self, losses: &Losses<'_>, epsilon: f64) -> f64 {
        let by_moments = losses.delta_by_moments(epsilon);
        let plan = losses.plan(losses.tilt(Aim::Epsilon(epsilon)), epsilon, self.discretization);
        let by_grid = |plan| losses.compose(&plan, Side::Pessimistic).delta(epsilon);
        plan.map_or(by_moments, |plan| by_moments.min(by_grid(plan)))
    }

    /// The larger of both directions, with what may be left out; infinity where one is no number.
    fn worst(&self, steps: &[Step], left_out: f64, value: impl Fn(&Losses<'_>) -> f64) -> f64 {
        let of = |direction| value(&Losses::new(steps, direction, left_out));
        let worse = |most: f64, value: f64| if value.is_nan() { f64::INFINITY } else { most.max(value) };
        DIRECTIONS.map(of).into_iter().fold(0.0, worse)
    }
}

/// `δ(ε)` at many epsilons, pessimistic; the larger of adding and removing at each.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    points: Vec<(f64, f64)>,
}

impl Profile {
    /// `(ε, δ(ε))`, ascending in epsilon from 0; a single point at delta 1 where nothing is protected.
    ///
    /// ```
    /// use userprint_privacy::{DpEvent, PldAccountant};
    /// let profile = PldAccountant::default().profile(&DpEvent::NonPrivate)?;
    /// assert_eq!(profile.points(), [(0.0, 1.0)]);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }
}

impl Bracket {
    fn exact(value: f64) -> Self {
        Self { optimistic: value, pessimistic: value }
    }
}

impl Accountant for PldAccountant {
    fn relation(&self) -> NeighboringRelation {
        NeighboringRelation::AddOrRemove
    }

    fn epsilon(&self, event: &DpEvent, target_delta: f64) -> Result<f64, AccountingError> {
        check_target_delta(target_delta)?;
        match loss_of(event)? {
            Loss::Infinite => Ok(f64::INFINITY),
            Loss::Gaussian { mu } => Ok(gaussian::epsilon(mu, target_delta)),
            Loss::Step(step) => Ok(one_step_epsilon(&step, target_delta)),
            Loss::Steps(steps) => Ok(self.worst(&steps, LEFT_OUT * target_delta, |losses| {
                self.pessimistic_epsilon(losses, target_delta)
            })),
        }
    }
}

fn loss_of(event: &DpEvent) -> Result<Loss, AccountingError> {
    let Steps::Private(steps) = Steps::of(event)? else {
        return Ok(Loss::Infinite);
    };
    // Gaussian mechanisms add up to one: μ² = Σ 1/σ².
    let squared = |step: &Step| step.mixture.mu().map(|mu| step.count * mu * mu);
    let mu = steps.iter().filter_map(squared).sum::<f64>().sqrt();
    let mut others: Vec<Step> = steps.into_iter().filter(|step| step.mixture.mu().is_none()).collect();
    if others.is_empty() {
        return Ok(if mu.is_finite() { Loss::Gaussian { mu } } else { Loss::Infinite });
    }
    if mu > 0.0 {
        match Mixture::gaussian(1.0 / mu) {
            Ok(mixture) => others.push(Step { mixture, count: 1.0 }),
            Err(_) => return Ok(Loss::Infinite),
        }
    }
    match others.as_slice() {
        [Step { mixture, count: 1.0 }] => Ok(Loss::Step(mixture.clone())),
        _ => Ok(Loss::Steps(others)),
    }
}

/// The least epsilon of one step at a delta, by bisection to the last digits, rounded up.
fn one_step_epsilon(step: &Mixture, delta: f64) -> f64 {
    if step.delta(0.0) <= delta {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while step.delta(high) > delta {
        if high > 1e300 {
            return f64::INFINITY;
        }
        (low, high) = (high, 2.0 * high);
    }
    least(low, high, |epsilon| step.delta(epsilon) <= delta)
}
