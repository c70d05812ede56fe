//! Two steps by quadrature over the definition, beside the bounds that must not be below them.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy takes for code")]

use libm::erfc;
use userprint_privacy::{Accountant, DpEvent, PldAccountant, RdpAccountant};

/// Panels that each noisy sum is cut into before they are halved where that is needed.
const PANELS: i32 = 32;
/// Error of the quadrature, over the delta that is asked for.
const TOLERANCE: f64 = 1e-7;

/// One step: the chances of how far the unit moves the sum, and the noise.
#[derive(Clone)]
struct Step {
    noise: f64,
    parts: Vec<(f64, f64)>,
    /// Of the chances.
    logs: Vec<f64>,
}

impl Step {
    fn new(noise: f64, parts: Vec<(f64, f64)>) -> Self {
        Self { noise, logs: parts.iter().map(|(_, p)| p.ln()).collect(), parts }
    }

    fn sampled(noise: f64, q: f64) -> Self {
        Self::new(noise, vec![(0.0, 1.0 - q), (1.0, q)])
    }

    fn gaussian(noise: f64) -> Self {
        Self::new(noise, vec![(1.0, 1.0)])
    }

    /// `k` of `n` examples with chance `Bin(k; n, q)`.
    fn examples(noise: f64, q: f64, n: u32) -> Self {
        let mut parts = vec![];
        let mut log = f64::from(n) * (1.0 - q).ln();
        for k in 0..=n {
            parts.push((f64::from(k), log.exp()));
            log += (f64::from(n - k) / f64::from(k + 1)).ln() + (q / (1.0 - q)).ln();
        }
        Self::new(noise, parts)
    }

    /// `log B(x)`.
    fn ln_base(&self, x: f64) -> f64 {
        let z = x / self.noise;
        -0.5 * z * z - (self.noise * (2.0 * std::f64::consts::PI).sqrt()).ln()
    }

    /// The privacy loss of removing the unit, `log M(x) / B(x)`, increasing in `x`; by the largest term.
    fn loss(&self, x: f64) -> f64 {
        let scale = 1.0 / (self.noise * self.noise);
        let parts = || self.parts.iter().zip(&self.logs);
        let terms = || parts().map(|(&(centre, _), log)| log + centre * (x - 0.5 * centre) * scale);
        let largest = terms().fold(f64::NEG_INFINITY, f64::max);
        let weights = terms().map(|term| term - largest).filter(|log| *log > -50.0).map(f64::exp);
        largest + weights.sum::<f64>().ln()
    }

    /// Where the loss passes a value, by bisection.
    fn at_loss(&self, loss: f64) -> f64 {
        let far = 1e4 * (1.0 + self.noise);
        let (mut low, mut high) = (-far, far);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.loss(middle) < loss { low = middle } else { high = middle }
        }
        high
    }

    /// `∫ (M − e^ε B)⁺` for removing, `∫ (B − e^ε M)⁺` for adding, at an epsilon of either sign.
    fn delta(&self, epsilon: f64, removing: bool) -> f64 {
        let above = |x: f64, centre: f64| 0.5 * erfc((x - centre) / self.noise / std::f64::consts::SQRT_2);
        if epsilon < -700.0 {
            return 1.0;
        }
        if removing {
            let x = self.at_loss(epsilon);
            let mixture: f64 = self.parts.iter().map(|&(centre, p)| p * above(x, centre)).sum();
            let base = above(x, 0.0);
            return if base == 0.0 { mixture } else { mixture - epsilon.exp() * base };
        }
        let x = self.at_loss(-epsilon);
        let mixture: f64 = self.parts.iter().map(|&(centre, p)| p * above(-x, -centre)).sum();
        let base = above(-x, 0.0);
        if mixture == 0.0 { base } else { base - epsilon.exp() * mixture }
    }
}

/// The same for two steps, the larger of both directions: over the first step's sum, given its loss.
fn delta([first, second]: [&Step; 2], epsilon: f64, target: f64) -> f64 {
    let farthest = first.parts.last().unwrap().0;
    let of = |removing: bool| {
        let integrand = |x: f64| {
            let (density, loss) = if removing {
                ((first.ln_base(x) + first.loss(x)).exp(), first.loss(x))
            } else {
                (first.ln_base(x).exp(), -first.loss(x))
            };
            density * second.delta(epsilon - loss, removing)
        };
        let (low, high) = (-9.0 * first.noise, 9.0 * first.noise + if removing { farthest } else { 0.0 });
        let width = (high - low) / f64::from(PANELS);
        let panel = |i: i32| {
            let left = low + f64::from(i) * width;
            let ends = [left, left + 0.5 * width, left + width].map(|x| (x, integrand(x)));
            simpson(&integrand, ends, TOLERANCE * target / f64::from(PANELS), 40)
        };
        (0..PANELS).map(panel).sum::<f64>()
    };
    of(true).max(of(false))
}

/// Adaptive Simpson's rule over a panel of three points with their values.
fn simpson(f: &dyn Fn(f64) -> f64, [a, b, c]: [(f64, f64); 3], tolerance: f64, depth: u32) -> f64 {
    let rule = |[a, b, c]: [(f64, f64); 3]| (c.0 - a.0) / 6.0 * (a.1 + 4.0 * b.1 + c.1);
    let middle = |a: f64, c: f64| (0.5 * (a + c), f(0.5 * (a + c)));
    let (left, right) = ([a, middle(a.0, b.0), b], [b, middle(b.0, c.0), c]);
    let (whole, halves) = (rule([a, b, c]), rule(left) + rule(right));
    if depth == 0 || (halves - whole).abs() <= 15.0 * tolerance {
        return halves + (halves - whole) / 15.0;
    }
    simpson(f, left, 0.5 * tolerance, depth - 1) + simpson(f, right, 0.5 * tolerance, depth - 1)
}

/// The bounds are on their sides of the truth, and the pessimistic one is within 1e-3 of it.
#[track_caller]
fn check(steps: [&Step; 2], event: &DpEvent, target: f64) {
    let bracket = PldAccountant::default().epsilon_bracket(event, target).unwrap();
    let at = |epsilon: f64| delta(steps, epsilon, target) / target;
    let sound = at(bracket.pessimistic);
    assert!(sound <= 1.0 + 1e-6, "{event:?}: epsilon {} has {sound} times the delta", bracket.pessimistic);
    let near = at(bracket.pessimistic * (1.0 - 1e-3));
    assert!(near > 1.0, "{event:?}: epsilon {} is far above the truth, {near}", bracket.pessimistic);
    let below = at(bracket.optimistic);
    assert!(below >= 1.0 - 1e-6, "{event:?}: {} is above the truth, {below}", bracket.optimistic);
    let renyi = RdpAccountant::default().epsilon(event, target).unwrap();
    assert!(renyi >= bracket.optimistic, "by Rényi divergences: {renyi}, {bracket:?}");
}

#[test]
fn two_sampled_steps() {
    for (noise, q) in [(0.3, 1e-4), (0.3, 0.1), (0.5, 0.01), (1.0, 0.001), (1.0, 0.3), (3.0, 0.9), (8.0, 0.5)]
    {
        for target in [1e-5, 1e-9] {
            let step = Step::sampled(noise, q);
            let event = DpEvent::gaussian(noise).poisson_sampled(q).repeated(2);
            check([&step, &step], &event, target);
        }
    }
}

/// The regime where nearly every coin falls heads somewhere: users with many examples.
#[test]
fn two_steps_on_examples_of_users() {
    for (noise, q, examples) in [(1.0, 0.01, 4), (3.0, 0.1, 3), (2.0, 0.3, 10), (10.0, 0.5, 100)] {
        let step = Step::examples(noise, q, examples);
        let event = DpEvent::example_sampled(noise, q, examples).repeated(2);
        check([&step, &step], &event, 1e-6);
    }
}

#[test]
fn steps_of_two_kinds() {
    for (noise, q, other) in [(1.0, 0.01, 2.0), (1.0, 0.01, 0.3), (0.7, 0.2, 1.0)] {
        let event = DpEvent::Composed {
            events: vec![DpEvent::gaussian(noise).poisson_sampled(q), DpEvent::gaussian(other)],
        };
        check([&Step::gaussian(other), &Step::sampled(noise, q)], &event, 1e-6);
    }
}
