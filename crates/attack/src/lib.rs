#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`statistic`], [`statistics`], [`examples`], [`aggregate`], [`users`],
//! [`result`], [`validity`], [`audit`], [`error`].
//! To add a statistic, copy `statistics/token_mean_likelihood_ratio.rs` and name it in [`statistics::all`].

pub mod aggregate;
pub mod audit;
pub mod error;
pub mod examples;
pub mod result;
pub mod statistic;
pub mod statistics;
pub mod users;
pub mod validity;

pub use aggregate::Aggregate;
pub use audit::{AuditPlan, UserAudit, audit_users};
pub use error::{AttackError, Model};
pub use examples::ScoredExamples;
pub use result::{AttackResult, FPRS, evaluate};
pub use statistic::{Evidence, Needs, Statistic};
pub use statistics::{LikelihoodRatio, LogLikelihood, TokenMeanLikelihoodRatio, TokenMeanLogLikelihood};
pub use users::{UserStatistics, user_statistics};
pub use validity::Validity;
