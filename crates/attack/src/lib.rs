#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`statistic`], [`statistics`], [`examples`], [`percent`], [`mod@example_statistics`],
//! [`aggregate`], [`users`], [`result`], [`mod@grid`], [`mod@rmia`], [`mod@lira`], [`logistic`], [`mod@learned`],
//! [`mod@set_level`], [`mod@per_user`], [`mod@exposure`], [`knowledge`], [`sequential`], [`validity`], [`audit`],
//! [`error`].
//! To add a statistic, copy `statistics/token_mean_likelihood_ratio.rs` and name it in [`statistics::all`].

pub mod aggregate;
pub mod audit;
pub mod error;
pub mod example_statistics;
pub mod examples;
pub mod exposure;
mod folds;
pub mod grid;
pub mod knowledge;
pub mod learned;
pub mod lira;
pub mod logistic;
#[cfg(test)]
mod normal;
pub mod per_user;
pub mod percent;
pub mod result;
pub mod rmia;
mod scores;
pub mod sequential;
pub mod set_level;
pub mod statistic;
pub mod statistics;
pub mod users;
pub mod validity;

pub use aggregate::Aggregate;
pub use audit::{AuditPlan, UserAudit, audit_users};
pub use error::{AttackError, Model};
pub use example_statistics::{ExampleStatistics, example_statistics, reference_statistics};
pub use examples::{NamedScores, ScoredExamples};
pub use grid::{Grid, GridCell, LeftOut, grid};
pub use knowledge::{KnowledgePoint, knowledge_curve, knowledge_steps, with_knowledge_of};
pub use per_user::{PerUser, per_user};
pub use percent::Percent;
pub use result::{AttackResult, FPRS, evaluate};
pub use statistic::{Evidence, Needs, Statistic};
pub use statistics::{
    CalibratedMinKPlusPlus, ErrorZoneRatio, HardTokens, LikelihoodRatio, LogLikelihood,
    MeanReferenceLikelihoodRatio, MinK, MinKPlusPlus, TokenMeanLikelihoodRatio, TokenMeanLogLikelihood,
    WindowShare, ZlibRatio,
};
pub use users::{UserStatistics, user_statistics};
pub use validity::Validity;
