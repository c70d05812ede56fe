//! The Rényi divergence of the Poisson-subsampled Gaussian mechanism.
//!
//! `rdp(α) = log A(α) / (α − 1)`, with `A(α) = E_{x~N(0,σ²)} [((1−q) + q φ_1(x)/φ_0(x))^α]`,
//! `φ_m` the density of `N(m, σ²)`. The other direction is never larger.
//! At integer orders by the binomial expansion, between them by quadrature: the series of the paper's Section 3.3
//! alternates, and loses half its digits where the divergence is small.
//!
//! # Reference
//! Mironov, Talwar & Zhang, arXiv:1908.10530, Section 3.2.

use statrs::function::gamma::ln_gamma;

use crate::mixture::Mixture;
use crate::moments::Moments;

/// No series is longer; one that is not done by then has no bound, so infinity.
const MAX_TERMS: u32 = 100_000;

/// Divergence at an order above 1, for `q` strictly between 0 and 1.
pub(crate) fn divergence(step: &Mixture, q: f64, order: f64) -> f64 {
    if order > f64::from(MAX_TERMS) {
        return f64::INFINITY;
    }
    let sigma = step.noise;
    let log_moment = if order.fract() == 0.0 {
        log_moment_integer(q, sigma, order)
    } else {
        let found = Moments::new(step, order).log(order);
        if found.is_finite() { found } else { log_moment_between(q, sigma, order) }
    };
    // An overflow must not become a small number.
    if log_moment.is_nan() { f64::INFINITY } else { log_moment / (order - 1.0) }
}

/// `A = Σ_k C(α,k) (1−q)^(α−k) q^k exp((k² − k) / 2σ²)`.
///
/// The terms without the exponential sum to 1, so `A − 1` is summed: near 1, `log A` would lose its digits.
fn log_moment_integer(q: f64, sigma: f64, order: f64) -> f64 {
    let mut sum = LogSum::new();
    let mut k = 2.0;
    while k <= order {
        let log_weight = ln_binomial(order, k) + (order - k) * (-q).ln_1p() + k * q.ln();
        sum.add(log_weight + ln_exp_m1((k * k - k) / (2.0 * sigma * sigma)));
        k += 1.0;
    }
    ln_1p_exp(sum.log())
}

/// An upper bound from the integer orders on both sides: `log A` is convex in the order, and 0 at order 1.
fn log_moment_between(q: f64, sigma: f64, order: f64) -> f64 {
    let below = order.floor();
    let log_below = if below < 2.0 { 0.0 } else { log_moment_integer(q, sigma, below) };
    let log_above = log_moment_integer(q, sigma, below + 1.0);
    log_below + (order - below) * (log_above - log_below)
}

/// `log Σ e^x`, without leaving the logarithm.
#[derive(Debug)]
struct LogSum {
    largest: f64,
    /// The sum over `e^largest`.
    scaled: f64,
}

impl LogSum {
    fn new() -> Self {
        Self { largest: f64::NEG_INFINITY, scaled: 0.0 }
    }

    fn add(&mut self, log_term: f64) {
        if log_term == f64::NEG_INFINITY {
            return;
        }
        if log_term > self.largest {
            self.scaled *= (self.largest - log_term).exp();
            self.largest = log_term;
        }
        let term = (log_term - self.largest).exp();
        self.scaled += term;
    }

    fn log(&self) -> f64 {
        self.largest + self.scaled.ln()
    }
}

fn ln_binomial(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// `log(e^x − 1)` for `x > 0`.
fn ln_exp_m1(x: f64) -> f64 {
    if x > 30.0 { x + (-(-x).exp()).ln_1p() } else { x.exp_m1().ln() }
}

/// `log(1 + e^x)`.
fn ln_1p_exp(x: f64) -> f64 {
    if x > 30.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divergence(q: f64, sigma: f64, order: f64) -> f64 {
        let step = Mixture::gaussian(sigma).unwrap().sampled(q);
        super::divergence(&step, q, order)
    }

    /// Per-step divergences to high precision: noise, sampling probability, then (order, divergence).
    type Rows = (f64, f64, [(f64, f64); 10]);

    const Q_PAPER: f64 = 1024.0 / 41_000.0;

    /// By 50-digit arithmetic.
    const KNOWN: [Rows; 4] = [
        (
            1.0,
            0.01,
            [
                (1.25, 0.00010539800509817623),
                (1.5, 0.00012725374332744983),
                (2.0, 0.00017181342207454794),
                (2.5, 0.00021757533228188047),
                (4.0, 0.0003631540489107567),
                (8.0, 0.0008936439076060318),
                (10.5, 0.18833969137955361),
                (16.0, 3.0878507836962448),
                (32.0, 11.246275937048068),
                (64.0, 27.32173187455178),
            ],
        ),
        (
            0.5,
            Q_PAPER,
            [
                (1.25, 0.009262783235439857),
                (1.5, 0.013569610794310996),
                (2.0, 0.0328867652766247),
                (2.5, 0.12093862515208939),
                (4.0, 3.0805507458654726),
                (8.0, 11.78302223993143),
                (10.5, 16.92173861358806),
                (16.0, 28.064154090573876),
                (32.0, 60.191116861845686),
                (64.0, 124.25157532435607),
            ],
        ),
        (
            4.0,
            0.01,
            [
                (1.25, 4.028921561234171e-06),
                (1.5, 4.8354931756331885e-06),
                (2.0, 6.44942509419921e-06),
                (2.5, 8.064409758496034e-06),
                (4.0, 1.2915694178397232e-05),
                (8.0, 2.5899123012404283e-05),
                (10.5, 3.404848416848245e-05),
                (16.0, 5.207209700579857e-05),
                (32.0, 0.00010526360659081726),
                (64.0, 0.0002152091616184214),
            ],
        ),
        (
            2.0,
            0.5,
            [
                (1.25, 0.04086659645829261),
                (1.5, 0.04981937763209318),
                (2.0, 0.06859872438165841),
                (2.5, 0.0886298455242461),
                (4.0, 0.15736820319402478),
                (8.0, 0.4237483331504539),
                (10.5, 0.6585099503800528),
                (16.0, 1.2867733394609893),
                (32.0, 3.2849386205373294),
                (64.0, 7.295850630032514),
            ],
        ),
    ];

    #[test]
    fn known_answers() {
        for (sigma, q, rows) in KNOWN {
            for (order, expected) in rows {
                let found = divergence(q, sigma, order);
                let tolerance = 1e-10 * expected;
                assert!(
                    (found - expected).abs() < tolerance,
                    "σ {sigma} q {q} α {order}: {found} {expected}"
                );
            }
        }
    }

    /// The moment by Simpson's rule over twelve deviations around every hump.
    fn log_moment_by_integration(q: f64, sigma: f64, order: f64) -> f64 {
        let (low, high) = (-12.0 * sigma, order + 12.0 * sigma);
        let n = 40_000;
        let step = (high - low) / f64::from(n);
        let integrand = |x: f64| {
            let ratio =
                (-q).ln_1p() + ln_1p_exp((2.0 * x - 1.0) / (2.0 * sigma * sigma) + q.ln() - (-q).ln_1p());
            let density = -x * x / (2.0 * sigma * sigma) - (sigma * (2.0 * std::f64::consts::PI).sqrt()).ln();
            order * ratio + density
        };
        let mut sum = LogSum::new();
        for at in 0..=n {
            let weight: f64 = if at == 0 || at == n { 1.0 } else { f64::from(2 + 2 * (at % 2)) };
            sum.add(integrand(low + step * f64::from(at)) + weight.ln());
        }
        sum.log() + (step / 3.0).ln()
    }

    #[test]
    fn agrees_with_the_integral() {
        for sigma in [0.6, 1.0, 3.0] {
            for q in [0.001, 0.1, 0.6, 0.99] {
                for order in [1.1, 1.9, 2.0, 3.3, 6.0, 12.5, 40.0] {
                    let fast = divergence(q, sigma, order);
                    let slow = log_moment_by_integration(q, sigma, order) / (order - 1.0);
                    assert!(
                        (fast - slow).abs() < 1e-8 * slow + 1e-12,
                        "σ {sigma} q {q} α {order}: {fast} {slow}"
                    );
                }
            }
        }
    }

    #[test]
    fn rounding_never_makes_a_loss_vanish() {
        for order in [1.1, 1.5, 2.0, 2.5] {
            // For small q the divergence tends to `α q² (e^(1/σ²) − 1) / 2`.
            let found = divergence(1e-9, 1.0, order);
            let limit = order * 0.5 * (1.0_f64.exp() - 1.0) * 1e-18;
            assert!((0.999 * limit..2.0 * limit).contains(&found), "{order}: {found} {limit}");
        }
        assert_eq!(divergence(0.5, 1e-200, 1.5), f64::INFINITY);
        assert_eq!(divergence(0.5, 1e-200, 2.0), f64::INFINITY);
        assert_eq!(divergence(0.5, 1.0, 1e9), f64::INFINITY);
    }
}
