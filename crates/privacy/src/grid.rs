//! One step's privacy loss on an even grid of losses.

use crate::mixture::Mixture;
use crate::normal::upper_tail;

/// Which side of the truth a grid is on, for every epsilon and under composition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Never below: connect-the-dots.
    Pessimistic,
    /// Never above.
    Optimistic,
}

/// Which change of the data a privacy loss is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `log M / B` under `M`: the unit was there.
    Remove,
    /// `log B / M` under `B`.
    Add,
}

/// Each leaves a small part of the imbalance.
const BALANCING_PASSES: u32 = 3;

/// Room for rounding when an atom is put on the grid, in spacings.
const ROUNDING: f64 = 1e-6;

/// Masses at losses `origin + (first + i) h`, under the density of the direction.
#[derive(Clone, Debug)]
pub(crate) struct StepGrid {
    pub(crate) origin: f64,
    pub(crate) first: i64,
    pub(crate) masses: Vec<f64>,
    /// The mass at an infinite loss.
    pub(crate) infinite: f64,
}

/// Both densities' masses between successive losses near a grid's.
#[derive(Debug)]
struct Cells<'a> {
    step: &'a Mixture,
    spacing: f64,
    /// The least loss if there is one: much of the mass lies close above it.
    origin: f64,
    /// The first cell belongs to the loss `origin + first h`.
    first: i64,
    mixture: Masses,
    base: Masses,
}

#[derive(Debug, Default)]
struct Masses {
    below: f64,
    between: Vec<f64>,
    above: f64,
}

impl StepGrid {
    /// The loss of the mass at `index`.
    pub(crate) fn loss(&self, index: usize, spacing: f64) -> f64 {
        self.origin + (self.first + index as i64) as f64 * spacing
    }

    /// One step between two values of its noisy sum, in one direction, on one side of the truth.
    pub(crate) fn new(
        step: &Mixture,
        spacing: f64,
        ends: (f64, f64),
        side: Side,
        direction: Direction,
    ) -> Self {
        match side {
            Side::Pessimistic => Cells::at(step, spacing, ends, origin(step, 0.0), 0.0).bounded(direction),
            Side::Optimistic => {
                // The lowest cell ends up on the side to round from, as the others do.
                let nudge = ROUNDING * spacing * if direction == Direction::Remove { -1.0 } else { 1.0 };
                let mut cells = Cells::at(step, spacing, ends, origin(step, 0.5 * spacing) + nudge, 0.5);
                cells.balance(direction);
                cells.rounded(direction)
            }
        }
    }
}

impl<'a> Cells<'a> {
    /// The cells between the losses at `low` and `high`, each from `shift` spacings below its loss.
    fn at(step: &'a Mixture, spacing: f64, (low, high): (f64, f64), origin: f64, shift: f64) -> Self {
        // A least loss belongs to cell 0, in which it lies below the cell's own.
        let lowest = if step.least_loss().is_finite() { 0 } else { i64::MIN };
        let first = (((step.loss(low) - origin) / spacing).floor() as i64).max(lowest);
        let last = (((step.loss(high) - origin) / spacing).ceil() as i64).max(first + 1);
        let (mixture, base) = (Masses::default(), Masses::default());
        let mut cells = Self { step, spacing, origin, first, mixture, base };
        let boundaries: Vec<f64> =
            (0..=(last - first) as usize).map(|i| cells.loss(i) - shift * spacing).collect();
        cells.measure(&boundaries);
        cells
    }

    /// Takes the masses between losses, both densities'.
    fn measure(&mut self, losses: &[f64]) {
        let boundaries = self.step.at_losses(losses);
        self.mixture = Masses::zero(boundaries.len() - 1);
        for part in self.step.parts() {
            self.mixture.add(part.probability, &boundaries, part.sensitivity, self.step.noise);
        }
        self.base = Masses::zero(boundaries.len() - 1);
        self.base.add(1.0, &boundaries, 0.0, self.step.noise);
    }

    /// Connect-the-dots; what is beyond the direction's high end counts as an infinite loss.
    fn bounded(&self, direction: Direction) -> StepGrid {
        match direction {
            Direction::Remove => {
                let mut removed = self.connected();
                removed.masses[0] += self.mixture.below;
                StepGrid { infinite: self.mixture.above, ..removed }
            }
            Direction::Add => {
                let mut added = self.turned(self.connected());
                added.masses[0] += self.base.above;
                StepGrid { infinite: self.base.below, ..added }
            }
        }
    }

    /// Moves the boundaries so that each cell, made one atom, lies at a loss of the grid, hardly above (below for
    /// adding): then rounding down costs next to nothing.
    fn balance(&mut self, direction: Direction) {
        let n = self.mixture.between.len();
        let mut boundaries: Vec<f64> = (0..=n).map(|i| self.loss(i) - 0.5 * self.spacing).collect();
        // The lowest cell is balanced by the choice of the origin.
        let fixed = if self.first == 0 && self.step.least_loss().is_finite() { 2 } else { 0 };
        for _ in 0..BALANCING_PASSES {
            let off = self.off_grid();
            let next_to = |i: usize| 0.5 * (off[i.saturating_sub(1)] + off[i.min(n - 1)]);
            boundaries.iter_mut().enumerate().skip(fixed).for_each(|(i, loss)| *loss -= next_to(i));
            self.measure(&boundaries);
        }
        let off = self.off_grid();
        let sign = if direction == Direction::Remove { 1.0 } else { -1.0 };
        let most = |i: usize| (-sign * off[i.saturating_sub(1)]).max(-sign * off[i.min(n - 1)]).max(0.0);
        let margin = |i: usize| sign * (1.5 * most(i) + ROUNDING * self.spacing);
        let margins: Vec<f64> = (0..=n).map(margin).collect();
        boundaries.iter_mut().zip(margins).skip(fixed).for_each(|(loss, margin)| *loss += margin);
        self.measure(&boundaries);
    }

    /// How far the loss of each cell as one atom is above that of the grid, at most a quarter of the spacing.
    fn off_grid(&self) -> Vec<f64> {
        let off = |(i, (&mixture, &base)): (usize, (&f64, &f64))| {
            let is_told = mixture > 1e-290 && base > 1e-290;
            let off = if is_told { (mixture / base).ln() - self.loss(i) } else { 0.0 };
            off.clamp(-0.25 * self.spacing, 0.25 * self.spacing)
        };
        self.mixture.between.iter().zip(&self.base.between).enumerate().map(off).collect()
    }

    fn loss(&self, index: usize) -> f64 {
        self.origin + (self.first + index as i64) as f64 * self.spacing
    }

    /// Each cell's masses go to its two ends so that both densities keep theirs.
    ///
    /// The ratio `M / B` of every point is spread to both ends around its mean, which no test distinguishes worse.
    ///
    /// # Reference
    /// Doroshenko et al., arXiv:2207.04380, Section 3.
    fn connected(&self) -> StepGrid {
        let n = self.mixture.between.len();
        let mut masses = vec![0.0; n + 1];
        let whole = -(-self.spacing).exp_m1();
        for (i, (&mixture, &base)) in self.mixture.between.iter().zip(&self.base.between).enumerate() {
            // b / (a + b), with a + b = mixture and a e^{-l} + b e^{-l-h} = base.
            let share = (mixture - grown(base, self.loss(i))) / whole;
            let upper = share.clamp(0.0, mixture);
            masses[i] += mixture - upper;
            masses[i + 1] += upper;
        }
        StepGrid { origin: self.origin, first: self.first, masses, infinite: 0.0 }
    }

    /// Each cell becomes one atom, which only loses, at the next loss of the grid that is no higher.
    /// What is outside is left out.
    fn rounded(&self, direction: Direction) -> StepGrid {
        let n = self.mixture.between.len();
        let mut masses = vec![0.0; n + 1];
        for (i, (&mixture, &base)) in self.mixture.between.iter().zip(&self.base.between).enumerate() {
            let is_above = mixture >= grown(base, self.loss(i));
            match direction {
                Direction::Remove => masses[i + usize::from(is_above)] += mixture,
                Direction::Add => masses[n - i - usize::from(is_above)] += base,
            }
        }
        match direction {
            Direction::Remove => {
                StepGrid { origin: self.origin, first: self.first - 1, masses, infinite: 0.0 }
            }
            Direction::Add => {
                StepGrid { origin: -self.origin, first: -(self.first + n as i64), masses, infinite: 0.0 }
            }
        }
    }

    /// The same pair of grids from the other side: masses of the base at the negated losses.
    fn turned(&self, removed: StepGrid) -> StepGrid {
        let last = removed.first + removed.masses.len() as i64 - 1;
        let mut masses: Vec<f64> = removed
            .masses
            .iter()
            .enumerate()
            .map(|(i, mass)| mass * (-removed.loss(i, self.spacing)).exp())
            .collect();
        masses.reverse();
        StepGrid { origin: -self.origin, first: -last, masses, infinite: 0.0 }
    }
}

/// A loss to put on the grid: about the least one, where much of the mass may lie as if in one point.
///
/// With cells that reach half a spacing up, it is what the lowest cell makes as one atom.
fn origin(mixture: &Mixture, half: f64) -> f64 {
    let least = mixture.least_loss();
    if !least.is_finite() {
        return 0.0;
    }
    let mut origin = least;
    for _ in 0..8 {
        let x = mixture.at_loss(origin + half);
        let below = |center: f64| upper_tail((center - x) / mixture.noise);
        let mixed: f64 = mixture.parts().iter().map(|part| part.probability * below(part.sensitivity)).sum();
        let found = (mixed / below(0.0)).ln();
        if half == 0.0 || !found.is_finite() {
            break;
        }
        origin = found.clamp(least, least + half);
    }
    origin
}

/// `mass e^loss`, where nothing stays nothing and `e^loss` may be beyond the numbers.
fn grown(mass: f64, loss: f64) -> f64 {
    match mass {
        0.0 => 0.0,
        _ if loss < 700.0 => mass * loss.exp(),
        _ => (mass.ln() + loss).exp(),
    }
}

impl Masses {
    fn zero(cells: usize) -> Self {
        Self { below: 0.0, between: vec![0.0; cells], above: 0.0 }
    }

    /// Adds `weight N(center, noise²)`, each cell as a difference of the nearer tails.
    fn add(&mut self, weight: f64, boundaries: &[f64], center: f64, noise: f64) {
        let place = |x: f64| {
            let z = (x - center) / noise;
            (z > 0.0, weight * upper_tail(z.abs()))
        };
        let mut left = place(boundaries[0]);
        self.below += if left.0 { weight - left.1 } else { left.1 };
        for (cell, &x) in self.between.iter_mut().zip(&boundaries[1..]) {
            let right = place(x);
            *cell += match (left.0, right.0) {
                (true, true) => left.1 - right.1,
                (false, false) => right.1 - left.1,
                _ => weight - left.1 - right.1,
            }
            .max(0.0);
            left = right;
        }
        self.above += if left.0 { left.1 } else { weight - left.1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `δ(ε)` of a grid by definition.
    fn delta(grid: &StepGrid, spacing: f64, epsilon: f64) -> f64 {
        let gain = |(i, mass): (usize, &f64)| mass * (1.0 - (epsilon - grid.loss(i, spacing)).exp()).max(0.0);
        grid.infinite + grid.masses.iter().enumerate().map(gain).sum::<f64>()
    }

    #[test]
    fn one_step_lies_between_its_grids() {
        let sampled = |noise: f64, q: f64| Mixture::gaussian(noise).unwrap().sampled(q);
        let several = Mixture::new(1.5, &[0.0, 0.4, 1.0, 3.0], &[0.5, 0.2, 0.2, 0.1]).unwrap();
        let moving = Mixture::new(0.8, &[0.3, 1.0], &[0.6, 0.4]).unwrap();
        for step in
            [sampled(0.5, 0.02), sampled(1.0, 0.3), sampled(4.0, 0.9), sampled(0.3, 0.01), several, moving]
        {
            let ends = step.ends(1e-12);
            for spacing in [1e-2, 1e-3] {
                for epsilon in [-0.5, -0.1, 0.0, 0.013, 0.2, 0.77, 1.5, 4.0] {
                    let between = |direction, exact: f64| {
                        let grid = |side| {
                            delta(&StepGrid::new(&step, spacing, ends, side, direction), spacing, epsilon)
                        };
                        let (low, high) = (grid(Side::Optimistic), grid(Side::Pessimistic));
                        let what =
                            format!("{step:?} {direction:?} h {spacing} ε {epsilon}: {low} {exact} {high}");
                        assert!(low <= exact + 1e-12 && exact <= high + 1e-12, "{what}");
                        assert!(high - low <= 0.5 * spacing, "{what}");
                    };
                    let beyond = |x: f64, sign: f64, of: &Mixture| -> f64 {
                        let tail = |part: &crate::mixture::Part| {
                            part.probability * upper_tail(sign * (x - part.sensitivity) / of.noise)
                        };
                        of.parts().iter().map(tail).sum()
                    };
                    let base = |x: f64, sign: f64| upper_tail(sign * x / step.noise);
                    let x = step.at_loss(epsilon);
                    between(Direction::Remove, beyond(x, 1.0, &step) - epsilon.exp() * base(x, 1.0));
                    let x = step.at_loss(-epsilon);
                    between(Direction::Add, base(x, -1.0) - epsilon.exp() * beyond(x, -1.0, &step));
                }
            }
        }
    }

    #[test]
    fn masses_of_both_densities_are_kept() {
        let step = Mixture::gaussian(0.7).unwrap().sampled(0.2);
        let grid = StepGrid::new(&step, 1e-3, step.ends(1e-14), Side::Pessimistic, Direction::Remove);
        let mixture: f64 = grid.masses.iter().sum();
        let base: f64 =
            grid.masses.iter().enumerate().map(|(i, mass)| mass * (-grid.loss(i, 1e-3)).exp()).sum();
        assert!((mixture + grid.infinite - 1.0).abs() < 1e-12, "{mixture}");
        assert!((base - 1.0).abs() < 1e-12, "{base}");
    }
}
