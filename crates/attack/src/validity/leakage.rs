//! Near-duplicate leakage: attack examples that were trained on.

use userprint_stats::{Interval, Roc, StatsError};

use crate::examples::check_length;
use crate::result::roc;
use crate::{Aggregate, AttackError, ExampleStatistics};

/// The largest share of held-in users' attack examples that may be near-duplicates of training examples, beyond the
/// share that held-out users' attack examples have.
///
/// User inference is defined over fresh examples of a user; the more of them were trained on, the more the attack
/// is membership inference of texts, which is another and easier question.
/// At a share of .05 two users in five of the paper's ten attack examples have one, `1 - .95^10 = .40`.
///
/// Why beyond: "Thanks" stands among the training examples of somebody, whoever sends it.
/// What everybody writes is as frequent among the attack examples of held-out users, who were never trained on, and
/// helps neither side; only what held-in users have more of it are copies of their own texts.
pub const MAX_NEAR_DUPLICATE_SHARE: f64 = 0.05;

/// How much of the attack rests on examples that were trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakageCheck {
    /// Attack examples of held-in users.
    pub n_held_in: usize,
    /// Those of them that are near-duplicates of a training example.
    pub n_held_in_duplicates: usize,
    /// Attack examples of held-out users.
    pub n_held_out: usize,
    /// Those of them that are near-duplicates: phrases that everyone uses, or texts that several users sent.
    pub n_held_out_duplicates: usize,
    /// AUROC with all examples.
    pub auroc: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// AUROC without the near-duplicates of either side; `None` if a side has nothing else.
    pub auroc_without: Option<f64>,
    /// Users who have nothing else, so that they are not in `auroc_without`.
    pub n_users_left_out: usize,
}

impl LeakageCheck {
    /// Share of held-in users' attack examples that are near-duplicates of a training example.
    ///
    /// ```
    /// use userprint_attack::validity::leakage;
    /// use userprint_attack::{Aggregate, ExampleStatistics};
    /// use userprint_core::UserIdx;
    /// let rows = ExampleStatistics {
    ///     name: "found".to_owned(), n_tokens: vec![1; 3],
    ///     user: [0, 0, 1].map(UserIdx).to_vec(), held_in: vec![true, true, false], statistic: vec![3.0, 1.0, 2.0],
    /// };
    /// let check = leakage(&rows, Aggregate::Mean, &[true, false, false])?;
    /// assert_eq!((check.held_in_share(), check.auroc, check.auroc_without), (0.5, 0.5, Some(0.0)));
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn held_in_share(&self) -> f64 {
        self.n_held_in_duplicates as f64 / self.n_held_in as f64
    }

    /// Share of held-out users' attack examples that are near-duplicates: what everybody writes.
    ///
    /// ```
    /// # use userprint_attack::validity::leakage;
    /// # use userprint_attack::{Aggregate, ExampleStatistics};
    /// # use userprint_core::UserIdx;
    /// # let rows = ExampleStatistics {
    /// #     name: "found".to_owned(), n_tokens: vec![1; 3],
    /// #     user: [0, 1, 1].map(UserIdx).to_vec(), held_in: vec![true, false, false], statistic: vec![3.0, 1.0, 2.0],
    /// # };
    /// let check = leakage(&rows, Aggregate::Mean, &[false, true, false])?;
    /// assert_eq!((check.held_in_share(), check.held_out_share()), (0.0, 0.5));
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn held_out_share(&self) -> f64 {
        self.n_held_out_duplicates as f64 / self.n_held_out as f64
    }

    /// Why it voids the result, if it does.
    ///
    /// The share among held-in users is more than [`MAX_NEAR_DUPLICATE_SHARE`] above that among held-out users; or
    /// the AUROC without near-duplicates lies outside the interval of the AUROC with them, so that what is printed
    /// is not what fresh examples show.
    pub(super) fn void_reason(&self) -> Option<String> {
        let (held_in, held_out) = (self.held_in_share(), self.held_out_share());
        if held_in - held_out > MAX_NEAR_DUPLICATE_SHARE {
            return Some(format!(
                "{} of {} attack examples of held-in users are near-duplicates of training examples, a share of {held_in:.3}, more than .05 above the {held_out:.3} of held-out users",
                self.n_held_in_duplicates, self.n_held_in,
            ));
        }
        let Some(auroc) = self.auroc_without else {
            return Some(
                "a side has no attack example that is not a near-duplicate of a training example".to_owned(),
            );
        };
        (!self.interval.contains(auroc)).then(|| {
            format!(
                "without near-duplicates of training examples the AUROC is {auroc:.3}, outside the 95 % interval {:.3} to {:.3} with them",
                self.interval.lower, self.interval.upper
            )
        })
    }
}

/// Repeats the attack without the attack examples that are near-duplicates of a training example.
///
/// `is_near_duplicate` has an entry a row: whether most of the text's shingles of 13 words occur among the training
/// examples, in one of them or in several.
///
/// # Errors
/// [`AttackError::UnequalColumns`], [`AttackError::UserOnBothSides`], [`AttackError::NotFinite`],
/// [`AttackError::UndefinedForUser`], [`AttackError::Stats`] if a side is empty.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3: fresh samples of a user; Duan et al., arXiv:2402.07841:
/// overlap of n-grams blurs membership.
/// ```
/// use userprint_attack::validity::leakage;
/// use userprint_attack::{Aggregate, ExampleStatistics};
/// use userprint_core::UserIdx;
/// let rows = ExampleStatistics {
///     name: "found".to_owned(), n_tokens: vec![1; 2],
///     user: [0, 1].map(UserIdx).to_vec(), held_in: vec![true, false], statistic: vec![2.0, 1.0],
/// };
/// let check = leakage(&rows, Aggregate::Mean, &[true, false])?;
/// assert_eq!((check.auroc_without, check.n_users_left_out), (None, 1));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn leakage(
    rows: &ExampleStatistics,
    aggregate: Aggregate,
    is_near_duplicate: &[bool],
) -> Result<LeakageCheck, AttackError> {
    check_length("is_near_duplicate", is_near_duplicate.len(), rows.user.len())?;
    let all = rows.aggregated(aggregate)?;
    let with: Roc = roc(&all)?;
    let fresh = rows.filtered(|row| !is_near_duplicate[row]).aggregated(aggregate)?;
    let auroc_without = match roc(&fresh) {
        Ok(without) => Some(without.auroc()),
        Err(AttackError::Stats(StatsError::EmptySide { .. })) => None,
        Err(error) => return Err(error),
    };
    let count = |held_in: bool, duplicates_only: bool| {
        let rows = rows.held_in.iter().zip(is_near_duplicate);
        rows.filter(|row| *row.0 == held_in && (*row.1 || !duplicates_only)).count()
    };
    Ok(LeakageCheck {
        n_held_in: count(true, false),
        n_held_in_duplicates: count(true, true),
        n_held_out: count(false, false),
        n_held_out_duplicates: count(false, true),
        auroc: with.auroc(),
        interval: with.auroc_interval(0.05)?,
        auroc_without,
        n_users_left_out: all.user.len() - fresh.user.len(),
    })
}
