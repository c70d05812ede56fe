//! Events: what a mechanism did, as a value.

/// What a mechanism did to the data, completely: an accountant reads nothing else.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DpEvent {
    /// Something without any differential privacy.
    NonPrivate,
    /// A sum of contributions of norm at most `C`, plus normal noise of standard deviation `noise_multiplier * C`.
    Gaussian {
        /// Standard deviation of the noise over the sensitivity, `σ / C`.
        noise_multiplier: f64,
    },
    /// Normal noise on a sum whose sensitivity is drawn anew each time, and not told.
    MixtureOfGaussians {
        /// Standard deviation of the noise over the clip norm, `σ / C`.
        noise_multiplier: f64,
        /// The sensitivities over the clip norm, each at least 0.
        sensitivities: Vec<f64>,
        /// Chance of each; they sum to 1.
        probabilities: Vec<f64>,
    },
    /// An event on a sample into which each unit enters by its own coin.
    ///
    /// Shuffled batches of a fixed size are something else, and have no event here.
    PoissonSampled {
        /// Chance of the coin.
        sampling_probability: f64,
        /// What happens to the sample.
        event: Box<DpEvent>,
    },
    /// One event several times, each with fresh randomness.
    SelfComposed {
        /// The event.
        event: Box<DpEvent>,
        /// How many times.
        count: u64,
    },
    /// Several events one after the other.
    Composed {
        /// The events.
        events: Vec<DpEvent>,
    },
}

impl DpEvent {
    /// Normal noise of `noise_multiplier` sensitivities.
    ///
    /// ```
    /// use userprint_privacy::DpEvent;
    /// assert_eq!(DpEvent::gaussian(1.5), DpEvent::Gaussian { noise_multiplier: 1.5 });
    /// ```
    pub fn gaussian(noise_multiplier: f64) -> Self {
        Self::Gaussian { noise_multiplier }
    }

    /// One step on a Poisson sample of examples, for a user of at most `examples_per_user` (ELS).
    ///
    /// `k` of the user's examples are drawn with chance `Bin(k; G, q)`, and then move the sum by at most `k C`.
    /// This protects the *user*, and is sharper than group privacy over the same step on examples.
    /// The number of examples must hold for every user. For a probability outside [0, 1] it is the plain sampled step,
    /// which accountants refuse by that name.
    ///
    /// # Reference
    /// Charles et al., arXiv:2407.07737, Section 3.
    /// ```
    /// use userprint_privacy::DpEvent;
    /// let DpEvent::MixtureOfGaussians { sensitivities, probabilities, .. } =
    ///     DpEvent::example_sampled(1.0, 0.5, 2)
    /// else { unreachable!() };
    /// assert_eq!((sensitivities, probabilities), (vec![0.0, 1.0, 2.0], vec![0.25, 0.5, 0.25]));
    /// ```
    pub fn example_sampled(noise_multiplier: f64, sampling_probability: f64, examples_per_user: u32) -> Self {
        if !(0.0..=1.0).contains(&sampling_probability) {
            return Self::gaussian(noise_multiplier).poisson_sampled(sampling_probability);
        }
        let (first, probabilities) = binomial(examples_per_user, sampling_probability);
        let sensitivities = (first..).take(probabilities.len()).map(f64::from).collect();
        Self::MixtureOfGaussians { noise_multiplier, sensitivities, probabilities }
    }

    /// This event on a Poisson sample of the data.
    ///
    /// ```
    /// use userprint_privacy::DpEvent;
    /// let event = DpEvent::gaussian(1.5).poisson_sampled(0.04);
    /// assert!(matches!(event, DpEvent::PoissonSampled { sampling_probability: 0.04, .. }));
    /// ```
    #[must_use]
    pub fn poisson_sampled(self, sampling_probability: f64) -> Self {
        Self::PoissonSampled { sampling_probability, event: Box::new(self) }
    }

    /// This event `count` times.
    ///
    /// ```
    /// use userprint_privacy::DpEvent;
    /// let event = DpEvent::gaussian(1.5).repeated(10);
    /// assert!(matches!(event, DpEvent::SelfComposed { count: 10, .. }));
    /// ```
    #[must_use]
    pub fn repeated(self, count: u64) -> Self {
        Self::SelfComposed { event: Box::new(self), count }
    }
}

/// `Bin(k; n, q)` for `k` from `first` on, as far as it is above 0 next to the largest in floating point.
fn binomial(n: u32, q: f64) -> (u32, Vec<f64>) {
    if q == 0.0 || q == 1.0 {
        return (if q == 1.0 { n } else { 0 }, vec![1.0]);
    }
    // From the mode on both ways, by the ratio of neighbours; the mode counts as 1 until the end.
    let odds = q / (1.0 - q);
    let ratio = |k: u32| odds * f64::from(n - k) / (f64::from(k) + 1.0);
    let mode = (((f64::from(n) + 1.0) * q).floor() as u32).min(n);
    let carried = |weight: &mut f64, times: f64| {
        *weight *= times;
        Some(*weight).filter(|weight| *weight > 0.0)
    };
    let mut weights: Vec<f64> =
        (0..mode).rev().scan(1.0, |weight, k| carried(weight, 1.0 / ratio(k))).collect();
    let first = mode - weights.len() as u32;
    weights.reverse();
    weights.push(1.0);
    weights.extend((mode..n).scan(1.0, |weight, k| carried(weight, ratio(k))));
    let sum: f64 = weights.iter().sum();
    (first, weights.iter().map(|weight| weight / sum).collect())
}
