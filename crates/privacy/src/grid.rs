//! One step's privacy loss on an even grid of losses.

use crate::mixture::{Mixture, upper_tail};

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

/// Masses at losses `origin + (first + i) h`, under the density of the direction.
#[derive(Clone, Debug)]
pub(crate) struct StepGrid {
    pub(crate) origin: f64,
    pub(crate) first: i64,
    pub(crate) masses: Vec<f64>,
    /// The mass at an infinite loss.
    pub(crate) infinite: f64,
}

/// Both densities' masses between successive losses of a grid.
#[derive(Debug)]
pub(crate) struct Cells {
    spacing: f64,
    side: Side,
    /// The least loss if there is one: much of the mass lies close above it.
    origin: f64,
    /// The first cell belongs to the loss `origin + first h`.
    first: i64,
    mixture: Masses,
    base: Masses,
}

#[derive(Debug)]
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
}

impl Cells {
    /// The cells between the losses at `low` and `high`.
    ///
    /// Boundaries are on the grid for connect-the-dots, and halfway for atoms on the grid.
    pub(crate) fn new(mixture: &Mixture, spacing: f64, (low, high): (f64, f64), side: Side) -> Self {
        let shift = if side == Side::Pessimistic { 0.0 } else { 0.5 };
        let origin = origin(mixture, shift * spacing);
        let first = ((mixture.loss(low) - origin) / spacing).floor() as i64;
        let last = (((mixture.loss(high) - origin) / spacing).ceil() as i64).max(first + 1);
        let boundary = |index: i64| mixture.at_loss(origin + (index as f64 - shift) * spacing);
        let boundaries: Vec<f64> = (first..=last).map(boundary).collect();
        let mut of_mixture = Masses::zero(boundaries.len() - 1);
        for part in mixture.parts() {
            of_mixture.add(part.probability, &boundaries, part.sensitivity, mixture.noise);
        }
        let mut base = Masses::zero(boundaries.len() - 1);
        base.add(1.0, &boundaries, 0.0, mixture.noise);
        Self { spacing, side, origin, first, mixture: of_mixture, base }
    }

    /// The masses of the direction's own density; what is beyond its high end counts as an infinite loss.
    pub(crate) fn grid(&self, direction: Direction) -> StepGrid {
        match (self.side, direction) {
            (Side::Optimistic, _) => self.rounded(direction),
            (Side::Pessimistic, Direction::Remove) => {
                let mut removed = self.connected();
                removed.masses[0] += self.mixture.below;
                StepGrid { infinite: self.mixture.above, ..removed }
            }
            (Side::Pessimistic, Direction::Add) => {
                let mut added = self.turned(self.connected());
                added.masses[0] += self.base.above;
                StepGrid { infinite: self.base.below, ..added }
            }
        }
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
            let share = (mixture - base * self.loss(i).exp()) / whole;
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
            let is_above = mixture >= base * self.loss(i).exp();
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
