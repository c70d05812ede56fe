//! One step as a pair of densities on the line: a mixture of Gaussians, and the Gaussian at 0.

use crate::AccountingError;
use crate::normal::{ln_upper_tail, upper_tail};

/// The unit's contribution in one step: with which chance it moves the sum how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) sensitivity: f64,
    pub(crate) probability: f64,
}

/// A part whose density is `e^-` this of the largest one's is not summed.
const NEGLIGIBLE: f64 = 45.0;

/// `M = Σ_k p_k N(c_k, σ²)` with the unit, and `B = N(0, σ²)` without.
///
/// The parts have ascending sensitivities and probabilities above 0 that sum to 1.
/// The privacy loss `L(x) = log M(x) / B(x)` increases with `x` unless every sensitivity is 0.
///
/// # Reference
/// Charles et al., arXiv:2407.07737, Section 3: the pair dominates every step with such contributions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixture {
    pub(crate) noise: f64,
    parts: Vec<Part>,
    /// Of the parts' probabilities.
    logs: Vec<f64>,
}

impl Mixture {
    pub(crate) fn gaussian(noise: f64) -> Result<Self, AccountingError> {
        let is_fine = noise.is_finite() && noise > 0.0;
        let parts = vec![Part { sensitivity: 1.0, probability: 1.0 }];
        if is_fine {
            Ok(Self { noise, parts, logs: vec![0.0] })
        } else {
            Err(AccountingError::NoiseMultiplier { found: noise })
        }
    }

    pub(crate) fn new(
        noise: f64,
        sensitivities: &[f64],
        probabilities: &[f64],
    ) -> Result<Self, AccountingError> {
        let gaussian = Self::gaussian(noise)?;
        if sensitivities.len() != probabilities.len() || sensitivities.is_empty() {
            let (sensitivities, probabilities) = (sensitivities.len(), probabilities.len());
            return Err(AccountingError::MixtureLength { sensitivities, probabilities });
        }
        for (index, &found) in sensitivities.iter().enumerate() {
            if !(found.is_finite() && found >= 0.0) {
                return Err(AccountingError::Sensitivity { index, found });
            }
        }
        for (index, &found) in probabilities.iter().enumerate() {
            if !(0.0..=1.0).contains(&found) {
                return Err(AccountingError::MixtureProbability { index, found });
            }
        }
        let found: f64 = probabilities.iter().sum();
        if (found - 1.0).abs() > 1e-9 {
            return Err(AccountingError::ProbabilitySum { found });
        }
        let pairs = sensitivities.iter().zip(probabilities);
        let parts = pairs.map(|(&sensitivity, &p)| Part { sensitivity, probability: p / found }).collect();
        Ok(Self { parts, ..gaussian }.tidied())
    }

    /// The same step on a Poisson sample.
    pub(crate) fn sampled(mut self, probability: f64) -> Self {
        for part in &mut self.parts {
            part.probability *= probability;
        }
        self.parts.push(Part { sensitivity: 0.0, probability: 1.0 - probability });
        self.tidied()
    }

    /// In order, each sensitivity once, none without a chance.
    fn tidied(mut self) -> Self {
        self.parts.retain(|part| part.probability > 0.0);
        self.parts.sort_by(|a, b| a.sensitivity.total_cmp(&b.sensitivity));
        self.parts.dedup_by(|later, kept| {
            let is_same = later.sensitivity == kept.sensitivity;
            kept.probability += if is_same { later.probability } else { 0.0 };
            is_same
        });
        self.logs = self.parts.iter().map(|part| part.probability.ln()).collect();
        self
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// `μ` where the step is a plain Gaussian mechanism, 0 where it is none at all.
    pub(crate) fn mu(&self) -> Option<f64> {
        match self.parts.as_slice() {
            [only] => Some(only.sensitivity / self.noise),
            _ => None,
        }
    }

    /// `q` where the step is the Poisson-subsampled Gaussian mechanism of sensitivity 1.
    pub(crate) fn sampling_probability(&self) -> Option<f64> {
        match self.parts.as_slice() {
            [none, one] if none.sensitivity == 0.0 && one.sensitivity == 1.0 => Some(one.probability),
            _ => None,
        }
    }

    pub(crate) fn largest_sensitivity(&self) -> f64 {
        self.parts.last().map_or(0.0, |part| part.sensitivity)
    }

    /// `log p_0`, below which no loss is; minus infinity where every part moves the sum.
    pub(crate) fn least_loss(&self) -> f64 {
        match self.parts.first() {
            Some(part) if part.sensitivity == 0.0 => part.probability.ln(),
            _ => f64::NEG_INFINITY,
        }
    }

    /// `log N(x; c, σ²) / N(x; 0, σ²)`.
    fn exponent(&self, part: Part, x: f64) -> f64 {
        let scaled = part.sensitivity / self.noise;
        scaled * (x / self.noise - 0.5 * scaled)
    }

    /// `L(x)`, with its digits where it is near 0.
    pub(crate) fn loss(&self, x: f64) -> f64 {
        self.loss_and_slope(x).0
    }

    /// `L(x)` and `dL/dx`.
    fn loss_and_slope(&self, x: f64) -> (f64, f64) {
        let logs =
            || self.parts.iter().zip(&self.logs).map(|(&part, log)| (part, log + self.exponent(part, x)));
        let largest = logs().fold(f64::NEG_INFINITY, |most, (_, log)| most.max(log));
        let (mut sum, mut moved) = (0.0, 0.0);
        for (part, log) in logs().filter(|(_, log)| *log > largest - NEGLIGIBLE) {
            let weight = (log - largest).exp();
            sum += weight;
            moved += part.sensitivity * weight;
        }
        let slope = moved / sum / (self.noise * self.noise);
        let loss = largest + sum.ln();
        if loss.abs() > 0.5 {
            return (loss, slope);
        }
        // Near 0 the digits are those of M / B − 1.
        let excess = |&part: &Part| part.probability * self.exponent(part, x).exp_m1();
        (self.parts.iter().map(excess).sum::<f64>().ln_1p(), slope)
    }

    /// The `x` at which the loss is `loss`; minus infinity where no loss is as low.
    pub(crate) fn at_loss(&self, loss: f64) -> f64 {
        if loss <= self.least_loss() {
            return f64::NEG_INFINITY;
        }
        let variance = self.noise * self.noise;
        let back =
            |part: Part, exponent: f64| exponent * variance / part.sensitivity + 0.5 * part.sensitivity;
        match *self.parts.as_slice() {
            [only] => return back(only, loss),
            [none, one] if none.sensitivity == 0.0 => {
                // log(1 + (e^l − 1) / q)
                let exponent = if loss > 30.0 {
                    loss - one.probability.ln()
                } else {
                    (loss.exp_m1() / one.probability).ln_1p()
                };
                return back(one, exponent);
            }
            _ => {}
        }
        // Each part alone bounds the loss from below, and Newton's steps on a convex function then only descend.
        let moving = self.parts.iter().filter(|part| part.sensitivity > 0.0);
        let start = moving.map(|&part| back(part, loss - part.probability.ln()));
        self.descend(start.fold(f64::INFINITY, f64::min), loss)
    }

    /// As [`Mixture::at_loss`] for ascending losses, each found from the one before.
    pub(crate) fn at_losses(&self, losses: &[f64]) -> Vec<f64> {
        let mut last = f64::NEG_INFINITY;
        let at = |&loss: &f64| {
            // From the left the first of Newton's steps goes beyond, and the others descend.
            let is_far = !last.is_finite() || self.is_in_closed_form();
            last = if is_far { self.at_loss(loss) } else { self.descend(last, loss) };
            last
        };
        losses.iter().map(at).collect()
    }

    fn is_in_closed_form(&self) -> bool {
        match self.parts.as_slice() {
            [_] => true,
            [none, _] => none.sensitivity == 0.0,
            _ => false,
        }
    }

    /// Newton's method towards the `x` at which the loss is `loss`.
    fn descend(&self, mut x: f64, loss: f64) -> f64 {
        for _ in 0..100 {
            let (found, slope) = self.loss_and_slope(x);
            let step = (found - loss) / slope;
            if !step.is_finite() {
                break;
            }
            x -= step;
            if step.abs() <= 1e-13 * (x.abs() + self.noise) {
                break;
            }
        }
        x
    }

    /// `δ(ε)` of one such step, the larger of removing and adding the unit, exactly.
    ///
    /// `P(L > ε) − e^ε Q(L > ε)`, where the loss passes epsilon at one point of the line.
    pub(crate) fn delta(&self, epsilon: f64) -> f64 {
        // The point itself and the centres of both densities, in deviations: only tails that are chances.
        let x = self.at_loss(epsilon) / self.noise;
        let removed = |part: &Part| [x - part.sensitivity / self.noise, x];
        let x = self.at_loss(-epsilon) / self.noise;
        let added = |part: &Part| [-x, part.sensitivity / self.noise - x];
        let (mut of_removing, mut of_adding) = (0.0, 0.0);
        for part in &self.parts {
            of_removing += part.probability * less_grown(removed(part), epsilon);
            of_adding += part.probability * less_grown(added(part), epsilon);
        }
        if of_removing.is_nan() || of_adding.is_nan() {
            return 1.0;
        }
        f64::max(of_removing, of_adding).clamp(0.0, 1.0)
    }

    /// What `B` falls below, and `M` exceeds, with a chance of at most `tail` each.
    pub(crate) fn ends(&self, tail: f64) -> (f64, f64) {
        let mut deviations = 1.0;
        while upper_tail(deviations) > tail {
            deviations += 0.25;
        }
        let above = |x: f64| {
            let part_above = |part: &Part| part.probability * upper_tail((x - part.sensitivity) / self.noise);
            self.parts.iter().map(part_above).sum::<f64>()
        };
        let (mut low, mut high) = (0.0, self.largest_sensitivity() + deviations * self.noise);
        while high - low > 0.1 * self.noise {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if above(middle) > tail { low = middle } else { high = middle }
        }
        (-deviations * self.noise, high)
    }
}

/// `P[Z > z] − e^ε P[Z > w]`, with its digits where the two hardly differ or one is beyond the numbers.
fn less_grown([z, w]: [f64; 2], epsilon: f64) -> f64 {
    if epsilon.abs() < 1.0 {
        return (upper_tail(z) - upper_tail(w)) - epsilon.exp_m1() * upper_tail(w);
    }
    let grown = if w == f64::INFINITY { 0.0 } else { (epsilon + ln_upper_tail(w)).exp() };
    upper_tail(z) - grown
}
