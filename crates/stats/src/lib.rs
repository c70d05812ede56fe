#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`roc`], [`interval`], [`auroc`], [`delong`], [`bootstrap`], [`pooled`], [`contrast`],
//! [`permutation`], [`binomial`], [`conformal`], [`multiple`], [`rank_test`], [`t_test`], [`correlation`],
//! [`sequential`], [`audit`], [`error`].

pub mod audit;
pub mod auroc;
pub mod binomial;
pub mod bootstrap;
mod column;
pub mod conformal;
pub mod contrast;
pub mod correlation;
pub mod delong;
pub mod error;
#[cfg(test)]
mod golden;
pub mod interval;
mod levels;
pub mod multiple;
mod normal;
pub mod permutation;
mod placement;
pub mod pooled;
pub mod rank_test;
pub mod roc;
pub mod sequential;
mod student;
pub mod t_test;

pub use binomial::{binomial_lower_bound, binomial_upper_bound, clopper_pearson};
pub use bootstrap::{Bootstrap, Resamples, bootstrap_auroc};
pub use conformal::conformal_p_values;
pub use contrast::{Contrast, Term, contrast};
pub use correlation::{Correlation, spearman};
pub use delong::{PairedAuroc, paired_delong};
pub use error::{Side, StatsError};
pub use interval::Interval;
pub use multiple::{benjamini_hochberg, benjamini_hochberg_adjusted, holm, holm_adjusted};
pub use permutation::permutation_p_value;
pub use pooled::{Stratum, pooled_auroc, pooled_interval};
pub use rank_test::{Alternative, RankTest, mann_whitney};
pub use roc::{Roc, RocPoint};
pub use sequential::{Decision, Sprt};
pub use t_test::{TTest, one_sample_t, welch};
