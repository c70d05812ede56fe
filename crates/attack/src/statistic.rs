//! Statistics: one number an example that says how much it looks trained on.

use std::fmt::Debug;

use userprint_core::{Detail, TextScores};

/// What is known about one example.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Scores by the model under attack.
    pub target: &'a TextScores,
    /// Scores of the same texts by a model that was not trained on them; present where [`Needs::reference`] is.
    pub reference: Option<&'a TextScores>,
    /// The example, a row of both.
    pub row: usize,
}

impl Evidence<'_> {
    /// The row's log-likelihood under the target, nats.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let target =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// let evidence = Evidence { target: &target, reference: None, row: 0 };
    /// assert_eq!(evidence.target_log_likelihood(), Some(-6.0));
    /// ```
    pub fn target_log_likelihood(&self) -> Option<f64> {
        self.target.log_likelihood.get(self.row).copied()
    }

    /// The row's log-likelihood under the target, nats per token of the target.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let target =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// let evidence = Evidence { target: &target, reference: None, row: 0 };
    /// assert_eq!(evidence.target_token_mean(), Some(-2.0));
    /// ```
    pub fn target_token_mean(&self) -> Option<f64> {
        token_mean(self.target, self.row)
    }

    /// The row's log-likelihood under the reference, nats.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let scores =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// let evidence = Evidence { target: &scores, reference: None, row: 0 };
    /// assert_eq!(evidence.reference_log_likelihood(), None);
    /// ```
    pub fn reference_log_likelihood(&self) -> Option<f64> {
        self.reference?.log_likelihood.get(self.row).copied()
    }

    /// The row's log-likelihood under the reference, nats per token of the reference.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let scores =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// let evidence = Evidence { target: &scores, reference: Some(&scores), row: 0 };
    /// assert_eq!(evidence.reference_token_mean(), Some(-2.0));
    /// ```
    pub fn reference_token_mean(&self) -> Option<f64> {
        token_mean(self.reference?, self.row)
    }
}

fn token_mean(scores: &TextScores, row: usize) -> Option<f64> {
    let n_tokens = scores.n_tokens.get(row).copied().filter(|&n| n > 0)?;
    Some(scores.log_likelihood.get(row)? / f64::from(n_tokens))
}

/// What a statistic must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The coarsest detail that is enough, of the target and, if it is needed, of the reference.
    pub detail: Detail,
    /// Whether it compares with a reference.
    pub reference: bool,
}

/// One number an example; higher means held-in.
///
/// # Guarantees
/// - Higher means held-in; no caller negates it.
/// - It reads no row but its own, and no more than it says it needs.
/// - `None` where it is undefined, for instance where something that it needs is absent.
///
/// ```
/// use userprint_attack::{Evidence, LikelihoodRatio, Statistic};
/// use userprint_core::TextScores;
/// let scores = |log_likelihood| TextScores {
///     log_likelihood: vec![log_likelihood], n_tokens: vec![4], ..TextScores::default()
/// };
/// let (target, reference) = (scores(-8.0), scores(-10.0));
/// let evidence = Evidence { target: &target, reference: Some(&reference), row: 0 };
/// assert_eq!(LikelihoodRatio.compute(&evidence), Some(2.0));
/// assert_eq!(LikelihoodRatio.compute(&Evidence { reference: None, ..evidence }), None);
/// ```
pub trait Statistic: Debug + Send + Sync {
    /// The name in files.
    fn name(&self) -> &'static str;

    /// What it must be given.
    fn needs(&self) -> Needs;

    /// The statistic of one example, `None` where it is undefined.
    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64>;
}
