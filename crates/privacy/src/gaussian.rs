//! The Gaussian mechanism in closed form: `N(μ, 1)` against `N(0, 1)`.

use crate::bisection::least;
use crate::normal::{mills, upper_quantile, upper_tail};

/// `δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)`, with its digits also where it is tiny.
///
/// # Reference
/// Balle & Wang, arXiv:1805.06530, Theorem 8.
pub(crate) fn delta(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 {
        return 0.0;
    }
    let near = epsilon / mu - 0.5 * mu;
    let far = epsilon / mu + 0.5 * mu;
    // e^ε times the density at `far` is the density at `near`.
    let density = (-0.5 * near * near).exp();
    if near > 0.0 {
        return density * (mills(near) - mills(far));
    }
    if far > 0.0 {
        return upper_tail(near) - density * mills(far);
    }
    upper_tail(near) - epsilon.exp() * upper_tail(far)
}

/// The least `ε` from 0 on with `δ(ε) ≤ delta`, by bisection to the last digits, rounded up.
pub(crate) fn epsilon(mu: f64, delta: f64) -> f64 {
    if self::delta(mu, 0.0) <= delta {
        return 0.0;
    }
    // δ(ε) ≤ Φ(μ/2 − ε/μ) and 40 deviations are beyond every delta.
    least(0.0, mu * (0.5 * mu + 40.0), |epsilon| self::delta(mu, epsilon) <= delta)
}

/// The `μ` at which `δ_μ(ε)` is `delta`, rounded up: the least that reaches a point of a profile.
pub(crate) fn mu_through(epsilon: f64, delta: f64) -> f64 {
    let mut high = 1.0;
    while self::delta(high, epsilon) < delta && high < 1e9 {
        high *= 2.0;
    }
    least(0.0, high, |mu| self::delta(mu, epsilon) >= delta)
}

/// `Φ(Φ⁻¹(x) + μ)`: the most true positives at a false-positive rate.
pub(crate) fn max_tpr(mu: f64, fpr: f64) -> f64 {
    if fpr <= 0.0 || fpr >= 1.0 {
        return if mu.is_infinite() || fpr >= 1.0 { 1.0 } else { 0.0 };
    }
    upper_tail(upper_quantile(fpr) - mu)
}

/// `Φ(μ / √2)`: the area below that curve.
pub(crate) fn area(mu: f64) -> f64 {
    upper_tail(-mu * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses() {
        for mu in [1e-3, 0.1, 1.0, 7.0, 200.0] {
            for delta_wanted in [1e-3, 1e-6, 1e-12, 1e-100] {
                let found = epsilon(mu, delta_wanted);
                assert!(delta(mu, found) <= delta_wanted);
                if found > 0.0 {
                    assert!(delta(mu, found * (1.0 - 1e-9)) > delta_wanted, "{mu} {delta_wanted} {found}");
                    assert!((mu_through(found, delta_wanted) / mu - 1.0).abs() < 1e-9);
                }
            }
        }
    }
}
