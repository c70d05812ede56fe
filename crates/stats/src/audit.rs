//! Audits: lower bounds on epsilon from attacks, to set beside a privacy claim.
//!
//! Three kinds, kept apart by their types, since each is sound for its own experiment only:
//!
//! | evidence | type | bound |
//! |---|---|---|
//! | many trainings, one [`Training`] a trial | [`IndependentTrials`] | [`TrialCounts::epsilon_lower_bound`] |
//! | one training, canary users included by independent fair [`CoinFlips`] | [`CoinFlippedCanaries`] | [`OneRunAudit::epsilon_lower_bound`] |
//! | the same, against a claim of Gaussian differential privacy | [`CoinFlippedCanaries`] | [`OneRunAudit::mu_lower_bound`] |
//!
//! The users of one training share its noise, so they are not independent trials: a [`Training`] is a whole model.
//! Here a canary is a *user*: the privacy unit of the bound is what each coin included.

mod bound;
mod canaries;
mod coins;
mod gaussian;
mod one_run;
mod tails;
mod trials;
mod verdict;

pub use bound::{AuditKind, EpsilonLowerBound};
pub use canaries::{CoinFlippedCanaries, GuessCounts};
pub use coins::CoinFlips;
pub use gaussian::MuLowerBound;
pub use one_run::OneRunAudit;
pub use trials::{IndependentTrials, Training, TrialCounts};
pub use verdict::{AuditBounds, FAIL_SIGNIFICANCE, PrivacyClaim, Verdict, WARN_SIGNIFICANCE};

#[cfg(test)]
mod tests;
