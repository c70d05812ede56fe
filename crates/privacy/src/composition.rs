//! Many steps' privacy losses composed, one direction at a time.
//!
//! The masses are tilted by `e^{λ loss}` before the Fourier transform, with `λ` such that the losses that decide
//! the answer become the likely ones. Then rounding and what wraps around are small next to the answer itself and
//! not next to 1, also where delta is `1e-30`, and the window of losses is only as wide as it must be.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

use crate::grid::{Direction, Side, StepGrid};
use crate::moments::{Moment, Moments};
use crate::steps::Step;

/// What lies outside the window has a tilted chance below `e^-32` on either end.
const OUTSIDE: f64 = 32.0;

/// The part of epsilon that the grid may add, where the spacing is free.
const GRID_SHARE: f64 = 2e-5;

/// No grid and no transform has more points, and a grid of steps with many parts as many fewer.
const MOST_POINTS: f64 = 4_194_304.0;

/// Rounding of one coefficient of the transform, relative to the largest: a few units in the last place.
const ROUNDING: f64 = 1e-15;

/// Answers are tilted to down to a delta of `e^-` this.
const LARGEST_EXPONENT: f64 = 100.0;

/// What a composition is tilted towards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The losses that decide epsilon at this delta.
    Delta(f64),
    /// Those that decide delta at this epsilon.
    Epsilon(f64),
}

/// Steps with their moments, in one direction.
#[derive(Debug)]
pub(crate) struct Losses<'a> {
    steps: &'a [Step],
    moments: Vec<Moments>,
    /// Where each step's noisy sum is cut off.
    ends: Vec<(f64, f64)>,
    direction: Direction,
    /// Chance of what is cut off in all steps together.
    left_out: f64,
}

/// How to compose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    tilt: f64,
    /// The losses that matter.
    window: (f64, f64),
    spacing: f64,
}

impl Plan {
    pub(crate) fn coarser(self, times: f64) -> Self {
        Self { spacing: self.spacing * times, ..self }
    }
}

impl<'a> Losses<'a> {
    /// Up to what has a chance of `left_out` in all steps together, which is taken for an infinite loss.
    ///
    /// Without that cut the rare high losses of a step with a small sampling probability would rule every tilt.
    pub(crate) fn new(steps: &'a [Step], direction: Direction, left_out: f64) -> Self {
        let count: f64 = steps.iter().map(|step| step.count).sum();
        let tail = (left_out / count).max(1e-300);
        let ends: Vec<_> = steps.iter().map(|step| step.mixture.ends(tail)).collect();
        let moments = |reach: f64| {
            let pairs = steps.iter().zip(&ends);
            pairs.map(|(step, &ends)| Moments::between(&step.mixture, reach, ends)).collect()
        };
        let start =
            Self { steps, moments: moments(2.0), ends: ends.clone(), direction, left_out: count * tail };
        // At the variance of the start, λ² Var / 2 = log 1/δ; three times as far is beyond most.
        let deviation = start.at(0.0).variance.sqrt();
        let reach = 4.0 + 3.0 * (2.0 * (LARGEST_EXPONENT + OUTSIDE)).sqrt() / deviation;
        Self { moments: moments(reach), ..start }
    }

    fn count(&self) -> f64 {
        self.steps.iter().map(|step| step.count).sum()
    }

    fn reach(&self) -> f64 {
        self.moments.iter().fold(f64::INFINITY, |least, moments| least.min(moments.reach)) - 1.0
    }

    /// Whether the steps' moments could be had at all.
    pub(crate) fn is_in_reach(&self) -> bool {
        self.reach() > 0.0
    }

    fn power(&self, tilt: f64) -> f64 {
        match self.direction {
            Direction::Remove => 1.0 + tilt,
            Direction::Add => -tilt,
        }
    }

    /// `f(λ) = log E[e^{λ loss}]` over all steps, `f'` and `f''`.
    fn at(&self, tilt: f64) -> Moment {
        let sign = if self.direction == Direction::Remove { 1.0 } else { -1.0 };
        let mut sum = Moment { log: 0.0, mean: 0.0, variance: 0.0 };
        for (step, moments) in self.steps.iter().zip(&self.moments) {
            let one = moments.at(self.power(tilt));
            sum.log += step.count * one.log;
            sum.mean += sign * step.count * one.mean;
            sum.variance += step.count * one.variance;
        }
        sum
    }

    /// `f'(λ)`: where the composed loss lies under a tilt.
    pub(crate) fn mean(&self, tilt: f64) -> f64 {
        self.at(tilt).mean
    }

    /// Of the composed loss, untilted.
    pub(crate) fn deviation(&self) -> f64 {
        self.at(0.0).variance.sqrt()
    }

    fn log(&self, tilt: f64) -> f64 {
        let power = self.power(tilt);
        self.steps.iter().zip(&self.moments).map(|(step, moments)| step.count * moments.log(power)).sum()
    }

    /// `λ f'(λ) − f(λ) = log 1/δ`, where Chernoff's bound is sharpest; or `f'(λ) = ε`.
    pub(crate) fn tilt(&self, aim: Aim) -> f64 {
        let is_beyond = |tilt: f64| {
            let moment = self.at(tilt);
            match aim {
                Aim::Delta(delta) => tilt * moment.mean - moment.log > -delta.ln(),
                Aim::Epsilon(epsilon) => moment.mean > epsilon,
            }
        };
        if is_beyond(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, self.reach());
        if !is_beyond(high) {
            return high;
        }
        for _ in 0..40 {
            let middle = if low == 0.0 && high > 1e-9 { high / 8.0 } else { 0.5 * (low + high) };
            if is_beyond(middle) {
                high = middle
            } else {
                low = middle
            }
            if high - low < 1e-3 * high {
                break;
            }
        }
        high
    }

    /// Chernoff's bound at the tilt of the aim: the least epsilon of Rényi accounting, over nearly all orders,
    /// with what is left out added to delta.
    ///
    /// # Reference
    /// Balle et al., arXiv:1905.09982, Theorem 21, at the order `1 + λ`.
    pub(crate) fn epsilon_by_moments(&self, delta: f64) -> f64 {
        let delta = delta - self.left_out;
        if !self.is_in_reach() || delta <= 0.0 {
            return f64::INFINITY;
        }
        let tilt = self.tilt(Aim::Delta(delta));
        if tilt == 0.0 {
            return f64::INFINITY;
        }
        let epsilon = (self.log(tilt) - delta.ln() - (1.0 + tilt).ln()) / tilt - (1.0 / tilt).ln_1p();
        if epsilon.is_nan() { f64::INFINITY } else { epsilon.max(0.0) }
    }

    /// The least delta that Chernoff's bound gives at this epsilon, at most 1.
    ///
    /// `log δ ≤ f(λ) − λ ε + λ log λ − (λ + 1) log(λ + 1)`: no loss adds more than that to `E[(1 − e^{ε − loss})⁺]`.
    pub(crate) fn delta_by_moments(&self, epsilon: f64) -> f64 {
        if !self.is_in_reach() {
            return 1.0;
        }
        let tilt = self.tilt(Aim::Epsilon(epsilon));
        if tilt == 0.0 {
            return 1.0;
        }
        let shape = -tilt * (1.0 / tilt).ln_1p() - (1.0 + tilt).ln();
        // Of 1 and what is no number 1 is the smaller.
        ((self.log(tilt) - tilt * epsilon + shape).exp() + self.left_out).min(1.0)
    }

    /// How to compose under a tilt; nothing where no grid that fits would tell more than the moments do.
    ///
    /// `epsilon` says how large the answer is, and so how fine the grid must be.
    pub(crate) fn plan(&self, tilt: f64, epsilon: f64, discretization: f64) -> Option<Plan> {
        let tilted = self.at(tilt);
        let low = tilted.mean - self.margin(tilt, tilted, -1.0);
        let high = tilted.mean + self.margin(tilt, tilted, 1.0);
        // Spreading a loss to both ends of its cell multiplies E[e^{λ loss}] by about 1 + λ (λ + 1) h² / 12, as losses are spread over it.
        let free = (12.0 * GRID_SHARE * epsilon / (self.count() * (1.0 + tilt))).sqrt();
        let least = self.widest_step().max(high - low) / (0.5 * self.most_points());
        let spacing = discretization.min(free).max(least);
        Some(Plan { tilt, window: (low, high), spacing }).filter(|plan| self.points(plan) <= MOST_POINTS)
    }

    /// A point of a grid costs its step's parts, of which most have two.
    fn most_points(&self) -> f64 {
        let parts = self.steps.iter().map(|step| step.mixture.parts().len()).max().unwrap_or(1);
        MOST_POINTS / (0.5 * parts as f64).max(1.0)
    }

    /// Points of the window, with room for what the grid adds to the losses.
    fn points(&self, plan: &Plan) -> f64 {
        let (low, high) = self.room(plan);
        (high - low) / plan.spacing
    }

    fn room(&self, plan: &Plan) -> (f64, f64) {
        let spread = plan.spacing * (4.0 + self.count() * (1.0 + plan.tilt) * plan.spacing);
        (plan.window.0 - spread, plan.window.1 + spread)
    }

    /// How far the tilted loss strays to one side of its mean, but for a chance of `e^-32`, by Chernoff's bound.
    fn margin(&self, tilt: f64, tilted: Moment, side: f64) -> f64 {
        let natural = (2.0 * OUTSIDE / tilted.variance).sqrt();
        let margin = |eighths: i32| {
            let more = natural * 2.0_f64.powf(f64::from(eighths) / 4.0);
            let is_served = self.power(tilt + side * more).abs() < self.reach();
            let log = if is_served { self.log(tilt + side * more) } else { f64::INFINITY };
            (log - tilted.log + OUTSIDE) / more - side * tilted.mean
        };
        (-24..=8).map(margin).fold(f64::INFINITY, f64::min)
    }

    fn widest_step(&self) -> f64 {
        let width =
            |(step, &(low, high)): (&Step, &(f64, f64))| step.mixture.loss(high) - step.mixture.loss(low);
        self.steps.iter().zip(&self.ends).map(width).fold(0.0, f64::max)
    }

    pub(crate) fn compose(&self, plan: &Plan, side: Side) -> Composed {
        let window = self.room(plan);
        let points = transform_length((self.points(plan).ceil() as usize + 2).max(64));
        let mut planner = RealFftPlanner::<f64>::new();
        let forward = planner.plan_fft_forward(points);
        let inverse = planner.plan_fft_inverse(points);
        let mut product = vec![Complex::new(1.0, 0.0); points / 2 + 1];
        let (mut log_mass, mut origin, mut kept) = (0.0, 0.0, 0.0);
        for ((step, moments), &ends) in self.steps.iter().zip(&self.moments).zip(&self.ends) {
            let grid = StepGrid::new(&step.mixture, plan.spacing, ends, side, self.direction);
            let log_moment = moments.log(self.power(plan.tilt));
            let mut wrapped = vec![0.0; points];
            let mut mass = 0.0;
            let mut place = grid.first.rem_euclid(points as i64) as usize;
            for (i, &untilted) in grid.masses.iter().enumerate() {
                let tilted = untilted * (plan.tilt * grid.loss(i, plan.spacing) - log_moment).exp();
                wrapped[place] += tilted;
                mass += tilted;
                place = if place + 1 == points { 0 } else { place + 1 };
            }
            wrapped.iter_mut().for_each(|tilted| *tilted /= mass);
            log_mass += step.count * (log_moment + mass.ln());
            origin += step.count * grid.origin;
            kept += step.count * (-grid.infinite).ln_1p();
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut wrapped, &mut spectrum).expect("both buffers are as long as the plan says");
            for (all, one) in product.iter_mut().zip(&spectrum) {
                *all *= power(*one, step.count);
            }
        }
        // Realness at both ends of the spectrum, which rounding breaks.
        product[0].im = 0.0;
        if let Some(last) = product.last_mut() {
            last.im = 0.0;
        }
        let mut wrapped = inverse.make_output_vec();
        inverse
            .process(&mut product, &mut wrapped)
            .expect("both buffers fit the plan and both ends are real");
        let first = ((window.0 - origin) / plan.spacing).floor() as i64;
        wrapped.rotate_left(first.rem_euclid(points as i64) as usize);
        let error = 2.0 * (-OUTSIDE).exp() + ROUNDING * (8.0 * self.count() + (points as f64).sqrt());
        if !log_mass.is_finite() || wrapped.iter().any(|mass| mass.is_nan()) {
            return Composed::unknown(side);
        }
        let masses = wrapped.iter().map(|mass| mass.max(0.0) / points as f64).collect();
        Composed {
            side,
            spacing: plan.spacing,
            lowest: origin + first as f64 * plan.spacing,
            tilt: plan.tilt,
            log_mass,
            masses,
            infinite: -kept.exp_m1(),
            error,
        }
    }
}

/// The least even length from `points` on without a prime factor above 5, nearly.
fn transform_length(points: usize) -> usize {
    let power = points.next_power_of_two();
    let candidates = [power / 16 * 9, power / 8 * 5, power / 4 * 3, power];
    candidates.into_iter().find(|length| *length >= points).unwrap_or(power)
}

fn power(base: Complex<f64>, count: f64) -> Complex<f64> {
    if count == 1.0 {
        return base;
    }
    let log_length = base.norm_sqr().ln() * 0.5 * count;
    if log_length < -700.0 {
        Complex::new(0.0, 0.0)
    } else {
        Complex::from_polar(log_length.exp(), base.arg() * count)
    }
}

/// A composed privacy loss on a grid, tilted.
///
/// The mass at `loss` is `masses[n] e^{log_mass − λ loss}`.
#[derive(Clone, Debug)]
pub(crate) struct Composed {
    side: Side,
    spacing: f64,
    lowest: f64,
    tilt: f64,
    log_mass: f64,
    masses: Vec<f64>,
    infinite: f64,
    /// What the transform may have wrong, over `e^{log_mass − λ ε}`.
    error: f64,
}

impl Composed {
    /// Where the numbers failed: all may be infinite loss, or none.
    fn unknown(side: Side) -> Self {
        let infinite = if side == Side::Pessimistic { 1.0 } else { 0.0 };
        let (masses, tilt, log_mass, error) = (vec![0.0, 0.0], 0.0, 0.0, 0.0);
        Self { side, spacing: 1.0, lowest: 0.0, tilt, log_mass, masses, infinite, error }
    }

    fn loss(&self, index: usize) -> f64 {
        self.lowest + index as f64 * self.spacing
    }

    /// `(ε, δ(ε))` at each loss of the grid, from the highest down.
    ///
    /// `δ(ε) = Σ over losses l > ε of mass(l) (1 − e^{ε − l})`, carried from one grid point to the next.
    fn profile(&self) -> impl Iterator<Item = (f64, f64)> {
        let (step, next) = ((-self.tilt * self.spacing).exp(), (-(1.0 + self.tilt) * self.spacing).exp());
        let between = -step * (-self.spacing).exp_m1();
        let (mut above, mut scaled, mut here) = (0.0, 0.0, 0.0);
        (0..self.masses.len()).rev().map(move |n| {
            // `above` = Σ m_k e^{−λ (l_k − l_n)} and `scaled` = Σ m_k (e^{−λ (l_k − l_n)} − e^{−(λ+1)(l_k − l_n)}), k > n.
            scaled = next * scaled + between * (above + here);
            above = step * (above + here);
            here = self.masses[n];
            let loss = self.loss(n);
            (loss, self.with_error(scaled, loss))
        })
    }

    fn with_error(&self, scaled: f64, epsilon: f64) -> f64 {
        let unit = (self.log_mass - self.tilt * epsilon).exp();
        match self.side {
            Side::Pessimistic => (unit * (scaled + self.error) + self.infinite).min(1.0),
            Side::Optimistic => (unit * (scaled - self.error)).max(0.0),
        }
    }

    /// The least epsilon from 0 on at which delta is at most `target`; infinity where there is none.
    ///
    /// Nothing where it lies below the window.
    pub(crate) fn epsilon(&self, target: f64) -> Option<f64> {
        let mut above: Option<(f64, f64)> = None;
        for (loss, delta) in self.profile() {
            if delta > target {
                let Some((above, less)) = above else {
                    let is_open = self.side == Side::Pessimistic;
                    return Some(if is_open { f64::INFINITY } else { loss.max(0.0) });
                };
                // δ is linear in e^ε between losses.
                let share = (delta - target) / (delta - less);
                return Some((loss + (share * (above - loss).exp_m1()).ln_1p()).max(0.0));
            }
            if loss < 0.0 {
                return Some(0.0);
            }
            above = Some((loss, delta));
        }
        None
    }

    /// Delta at an epsilon.
    pub(crate) fn delta(&self, epsilon: f64) -> f64 {
        self.deltas(&[epsilon]).first().copied().unwrap_or(1.0)
    }

    /// Delta at ascending epsilons, linear in `e^ε` between losses; 1 below the window. Of the pessimistic side alone.
    pub(crate) fn deltas(&self, epsilons: &[f64]) -> Vec<f64> {
        let mut wanted = epsilons.iter().rev().peekable();
        let mut deltas = Vec::with_capacity(epsilons.len());
        let mut above: Option<(f64, f64)> = None;
        for (loss, delta) in self.profile() {
            while let Some(&&epsilon) = wanted.peek().filter(|epsilon| ***epsilon >= loss) {
                let between = |(above, less): (f64, f64)| {
                    delta + (epsilon - loss).exp_m1() / (above - loss).exp_m1() * (less - delta)
                };
                deltas.push(above.map_or(delta, between));
                wanted.next();
            }
            above = Some((loss, delta));
        }
        deltas.extend(wanted.map(|_| 1.0));
        deltas.reverse();
        deltas
    }
}
