//! Exponential moments of the privacy loss of one step, by quadrature.

use crate::mixture::Mixture;

/// How far the normal densities are followed, in deviations: `e^-72` is left out.
const DEVIATIONS: f64 = 12.0;

/// Beyond this many points an order counts as out of reach.
const MOST_NODES: f64 = 65_536.0;

/// `K(s) = log E_B[e^{sL}]` of one step and what tilting by `s` makes of the loss.
///
/// `K(1 + λ)` is the log-moment of the loss of removing a unit, `K(−λ)` that of adding one;
/// `rdp(α) = K(α) / (α − 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    /// `K(s)`.
    pub(crate) log: f64,
    /// `K'(s)`, the mean of `L` under the density `∝ e^{sL} B`.
    pub(crate) mean: f64,
    /// `K''(s)`, its variance.
    pub(crate) variance: f64,
}

/// The trapezoidal rule over one step's losses.
///
/// `M / B` has no zero within `π σ² / c` of the real line, so that the rule errs by less than `e^-39`.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    nodes: Vec<Node>,
    /// The largest `|s|` served.
    pub(crate) reach: f64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    loss: f64,
    /// `e^L − 1`.
    excess: f64,
    /// `log` of the density of `B` times the width.
    log_weight: f64,
}

impl Moments {
    /// For `|s|` up to `reach`, or as far as it can be.
    pub(crate) fn new(mixture: &Mixture, reach: f64) -> Self {
        Self::between(mixture, reach, (f64::NEG_INFINITY, f64::INFINITY))
    }

    /// Of the part of the step between two ends, a little beyond included.
    pub(crate) fn between(mixture: &Mixture, reach: f64, (low, high): (f64, f64)) -> Self {
        let noise = mixture.noise;
        let sensitivity = mixture.largest_sensitivity();
        let width = (0.5 * noise).min(0.5 * noise * noise / sensitivity);
        let reach = reach.min(MOST_NODES * width / sensitivity);
        let right = reach * sensitivity + DEVIATIONS * noise;
        let left = (reach * sensitivity).min(flat_from(mixture)) + DEVIATIONS * noise;
        let is_in_reach = reach > 1.0 && (left + right) / width < 3.0 * MOST_NODES;
        if !is_in_reach {
            return Self { nodes: vec![], reach: 0.0 };
        }
        let (left, right) = ((-left).max(low), right.min(high));
        let (first, last) = ((left / width).floor() as i64, (right / width).ceil() as i64);
        let node = |index: i64| {
            let x = index as f64 * width;
            let loss = mixture.loss(x);
            let z = x / noise;
            let log_density = -0.5 * z * z - (noise * (2.0 * std::f64::consts::PI).sqrt()).ln();
            Node { loss, excess: loss.exp_m1(), log_weight: log_density + width.ln() }
        };
        Self { nodes: (first..=last).map(node).collect(), reach }
    }

    /// `K(s)`, to about 13 digits also where it is tiny; infinity out of reach.
    ///
    /// `E_B[e^L] = 1`, so `E_B[e^{sL}] − 1` is summed as `e^{sL} − 1 − s (e^L − 1)`, which has one sign.
    pub(crate) fn log(&self, s: f64) -> f64 {
        if s.abs() > self.reach {
            return f64::INFINITY;
        }
        let largest = self.largest(s);
        if largest > 600.0 {
            let sum: f64 = self.nodes.iter().map(|node| (node.tilted(s) - largest).exp()).sum();
            return largest + sum.ln();
        }
        let term = |node: &Node| {
            let weight = node.log_weight;
            let power = s * node.loss;
            if power < 30.0 && node.loss < 30.0 {
                weight.exp() * (power.exp_m1() - s * node.excess)
            } else {
                (weight + power).exp() - weight.exp() - s * ((weight + node.loss).exp() - weight.exp())
            }
        };
        self.nodes.iter().map(term).sum::<f64>().ln_1p()
    }

    /// All three at `s`, which is within reach.
    pub(crate) fn at(&self, s: f64) -> Moment {
        let largest = self.largest(s);
        let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
        for node in &self.nodes {
            let weight = (node.tilted(s) - largest).exp();
            total += weight;
            first += weight * node.loss;
            second += weight * node.loss * node.loss;
        }
        let mean = first / total;
        Moment { log: self.log(s), mean, variance: (second / total - mean * mean).max(0.0) }
    }

    fn largest(&self, s: f64) -> f64 {
        self.nodes.iter().fold(f64::NEG_INFINITY, |most, node| most.max(node.tilted(s)))
    }
}

impl Node {
    fn tilted(&self, s: f64) -> f64 {
        self.log_weight + s * self.loss
    }
}

/// How far left of 0 the loss still falls: beyond, it is `log p_0` but for a thousandth.
fn flat_from(mixture: &Mixture) -> f64 {
    let Some(least) = mixture.parts().iter().map(|part| part.sensitivity).find(|c| *c > 0.0) else {
        return 0.0;
    };
    mixture.noise * mixture.noise * (7.0 - mixture.least_loss()) / least
}
