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
