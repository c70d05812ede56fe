//! Statistics: one number an example that says how much it looks trained on.

use std::fmt::Debug;

use userprint_core::{Detail, Moments, Ragged, TextScores};

use crate::examples::NamedScores;

/// What is known about one example.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Scores by the model under attack.
    pub target: &'a TextScores,
    /// Scores of the same texts by a model that was not trained on them; present where [`Needs::reference`] is.
    pub reference: Option<&'a TextScores>,
    /// Scores by further models that were not trained on them; empty where there are none.
    pub more_references: &'a [NamedScores],
    /// Length of each text after zlib, bytes; absent where nobody measured it.
    pub zlib_bytes: Option<&'a [u32]>,
    /// The example, a row of all.
    pub row: usize,
}

impl<'a> Evidence<'a> {
    /// A row with the target's scores and nothing else.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let target =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// let evidence = Evidence { reference: Some(&target), ..Evidence::new(&target, 0) };
    /// assert_eq!(evidence.reference_token_mean(), Some(-2.0));
    /// ```
    pub fn new(target: &'a TextScores, row: usize) -> Self {
        Self { target, reference: None, more_references: &[], zlib_bytes: None, row }
    }

    /// The row's log-likelihood under the target, nats.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let target =
    ///     TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
    /// assert_eq!(Evidence::new(&target, 0).target_log_likelihood(), Some(-6.0));
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
    /// assert_eq!(Evidence::new(&target, 0).target_token_mean(), Some(-2.0));
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
    /// assert_eq!(Evidence::new(&scores, 0).reference_log_likelihood(), None);
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
    /// let evidence = Evidence { reference: Some(&scores), ..Evidence::new(&scores, 0) };
    /// assert_eq!(evidence.reference_token_mean(), Some(-2.0));
    /// ```
    pub fn reference_token_mean(&self) -> Option<f64> {
        token_mean(self.reference?, self.row)
    }

    /// The row's token log-probabilities under target and reference, nats, in step.
    ///
    /// `None` unless both are there and both models cut the text into equally many tokens: only then does
    /// the `t`-th of one answer the `t`-th of the other.
    ///
    /// ```
    /// # use userprint_attack::Evidence;
    /// # use userprint_core::TextScores;
    /// let scores = |log_probs: Vec<f32>| TextScores {
    ///     log_likelihood: vec![-6.0], n_tokens: vec![log_probs.len() as u32],
    ///     token_log_probs: Some([log_probs].into_iter().collect()), ..TextScores::default()
    /// };
    /// let (target, two, three) = (scores(vec![-2.0, -4.0]), scores(vec![-3.0; 2]), scores(vec![-2.0; 3]));
    /// let of = |reference| {
    ///     let evidence = Evidence { reference: Some(reference), ..Evidence::new(&target, 0) };
    ///     evidence.token_pairs().map(Iterator::collect::<Vec<_>>)
    /// };
    /// assert_eq!(of(&two), Some(vec![(-2.0, -3.0), (-4.0, -3.0)]));
    /// assert_eq!(of(&three), None);
    /// ```
    pub fn token_pairs(&self) -> Option<impl ExactSizeIterator<Item = (f64, f64)> + 'a> {
        let target = token_log_probs(self.target, self.row)?;
        let reference = token_log_probs(self.reference?, self.row)?;
        let in_step = target.len() == reference.len();
        in_step.then(|| target.iter().zip(reference).map(|(&t, &r)| (f64::from(t), f64::from(r))))
    }
}

pub(crate) fn token_mean(scores: &TextScores, row: usize) -> Option<f64> {
    let n_tokens = scores.n_tokens.get(row).copied().filter(|&n| n > 0)?;
    Some(scores.log_likelihood.get(row)? / f64::from(n_tokens))
}

/// The row's token log-probabilities, nats; `None` where they are absent or there is no token.
pub(crate) fn token_log_probs(scores: &TextScores, row: usize) -> Option<&[f32]> {
    row_of(scores.token_log_probs.as_ref()?, row).filter(|tokens| !tokens.is_empty())
}

/// A row of a moments' column, as long as the row of token log-probabilities.
pub(crate) fn moments_row<T>(
    scores: &TextScores,
    column: fn(&Moments) -> &Ragged<T>,
    row: usize,
) -> Option<&[T]> {
    let n_tokens = token_log_probs(scores, row)?.len();
    row_of(column(scores.moments.as_ref()?), row).filter(|values| values.len() == n_tokens)
}

fn row_of<T>(column: &Ragged<T>, row: usize) -> Option<&[T]> {
    (row < column.n_rows()).then(|| column.row(row))
}

/// What a statistic must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The coarsest detail of the target's scores that is enough.
    pub target: Detail,
    /// The coarsest detail of the reference's scores that is enough, where it compares with a reference.
    pub reference: Option<Detail>,
    /// Whether it compares with more references than one.
    pub more_references: bool,
    /// Whether it needs the texts' lengths after zlib.
    pub zlib_bytes: bool,
}

impl Needs {
    /// The target's scores at this detail and nothing else.
    ///
    /// ```
    /// use userprint_attack::Needs;
    /// use userprint_core::Detail;
    /// let needs = Needs { reference: Some(Detail::Total), ..Needs::target(Detail::Tokens) };
    /// assert!(needs.target == Detail::Tokens && !needs.zlib_bytes);
    /// ```
    pub const fn target(detail: Detail) -> Self {
        Self { target: detail, reference: None, more_references: false, zlib_bytes: false }
    }

    /// Scores of target and reference, each at this detail.
    ///
    /// ```
    /// use userprint_attack::Needs;
    /// use userprint_core::Detail;
    /// assert_eq!(Needs::both(Detail::Tokens).reference, Some(Detail::Tokens));
    /// ```
    pub const fn both(detail: Detail) -> Self {
        Self { reference: Some(detail), ..Self::target(detail) }
    }
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
/// let alone = Evidence::new(&target, 0);
/// assert_eq!(LikelihoodRatio.compute(&Evidence { reference: Some(&reference), ..alone }), Some(2.0));
/// assert_eq!(LikelihoodRatio.compute(&alone), None);
/// ```
pub trait Statistic: Debug + Send + Sync {
    /// The name in files, with its parameters: two statistics that differ have two names.
    fn name(&self) -> String;

    /// What it must be given.
    fn needs(&self) -> Needs;

    /// The statistic of one example, `None` where it is undefined.
    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64>;
}
