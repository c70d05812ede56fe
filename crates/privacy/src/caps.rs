//! What a guarantee caps, said for the right quantity.
//!
//! Two quantities look alike and are not. One user's membership over *independent trainings*, at a threshold fixed
//! beforehand, is what a guarantee for that user caps directly. The AUROC across the users of *one run* compares
//! users with each other: exchanging two of them is two changes of the data, and only the expectation over a random
//! membership is capped. Each has a type of its own, and neither turns into the other.

use crate::{AccountingError, TradeOff};

/// At most this, for one user, over independent trainings and at thresholds fixed beforehand.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct PerUserCap(f64);

/// At most this in expectation over which users are held in, for the AUROC across the users of one run.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct ExpectedRunCap(f64);

impl PerUserCap {
    /// The cap, from 0 to 1.
    ///
    /// ```
    /// use userprint_privacy::TradeOff;
    /// assert_eq!(TradeOff::epsilon_delta(0.0, 0.0)?.per_user_auroc_cap().value(), 0.5);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn value(self) -> f64 {
        self.0
    }
}

impl ExpectedRunCap {
    /// The cap, from 0 to 1.
    ///
    /// ```
    /// use userprint_privacy::TradeOff;
    /// assert_eq!(TradeOff::epsilon_delta(0.0, 0.0)?.expected_run_auroc_cap().value(), 0.5);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TradeOff {
    /// The largest true-positive rate on one user, at this false-positive rate: [`TradeOff::max_tpr`] as a cap.
    ///
    /// For `(ε, δ)`, `min(e^ε x + δ, 1 − e^{−ε} (1 − δ − x))`.
    ///
    /// # Errors
    /// [`AccountingError::Rate`] for a rate outside [0, 1].
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let cap = TradeOff::epsilon_delta(1.0, 0.0)?.per_user_tpr_cap(0.1)?;
    /// assert!((cap.value() - 0.1 * 1.0_f64.exp()).abs() < 1e-12);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn per_user_tpr_cap(&self, fpr: f64) -> Result<PerUserCap, AccountingError> {
        self.max_tpr(fpr).map(PerUserCap)
    }

    /// The largest area below one user's ROC over independent trainings.
    ///
    /// For `(ε, δ)`, `1 − (1 − δ)² / (1 + e^ε)`; for `μ`, `Φ(μ / √2)`; for a profile the area below its curve.
    /// It does not cap the AUROC across one run's users.
    ///
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let cap = TradeOff::epsilon_delta(1.0, 0.0)?.per_user_auroc_cap();
    /// assert!((cap.value() - 0.731058579).abs() < 1e-9);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn per_user_auroc_cap(&self) -> PerUserCap {
        PerUserCap(self.area())
    }

    /// The largest expected AUROC across the users of one run, when the held-in users are drawn at random.
    ///
    /// For `(ε, δ)`, `(e^{2ε} + (1 + e^ε) δ) / (1 + e^{2ε})`, by way of the guarantee for two users;
    /// for `μ` and for a profile [`TradeOff::expected_run_auroc_cap_by_midpoint`], which for `μ` is `Φ(μ)`.
    /// An observed AUROC may exceed it: it caps a mean.
    ///
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let cap = TradeOff::epsilon_delta(1.0, 0.0)?.expected_run_auroc_cap();
    /// assert!((cap.value() - 0.880797078).abs() < 1e-9);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn expected_run_auroc_cap(&self) -> ExpectedRunCap {
        let Some((epsilon, delta)) = self.as_epsilon_delta() else {
            return self.expected_run_auroc_cap_by_midpoint();
        };
        // Over e^{2ε}, so that nothing overflows.
        let shrink = (-2.0 * epsilon).exp();
        ExpectedRunCap(((1.0 + ((-epsilon).exp() + shrink) * delta) / (1.0 + shrink)).min(1.0))
    }

    /// The same quantity's sharper cap, `max_tpr(1/2)`; for `(ε, δ)` that is `1 − e^{−ε} (1/2 − δ)` or
    /// `e^ε / 2 + δ`, the lesser.
    ///
    /// Say users `i` and `j` are compared, one of them held in. With `p` the chance that `i` ranks above `j` where
    /// neither is held in, `i` ranks above with a chance of at most `max_tpr(p)` where it is, and `j` with at most
    /// `max_tpr(1 − p)` where it is instead. Both are as likely, and the curve is concave, so that the mean is at
    /// most `max_tpr(1/2)`.
    ///
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let cap = TradeOff::epsilon_delta(1.0, 0.0)?.expected_run_auroc_cap_by_midpoint();
    /// assert!((cap.value() - (1.0 - 0.5 * (-1.0_f64).exp())).abs() < 1e-12);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn expected_run_auroc_cap_by_midpoint(&self) -> ExpectedRunCap {
        ExpectedRunCap(self.at(0.5))
    }
}

/// `1 − (1 − δ)² / (1 + e^ε)`: two triangles and what is between them.
pub(crate) fn area(epsilon: f64, delta: f64) -> f64 {
    1.0 - (1.0 - delta) * (1.0 - delta) / (1.0 + epsilon.exp())
}
