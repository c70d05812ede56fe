#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`statistic`], [`statistics`], [`examples`], [`aggregate`], [`users`],
//! [`result`], [`example_statistics`], [`per_user`], [`exposure`], [`knowledge`],
//! [`sequential`], [`validity`], [`error`].
//! To add a statistic, copy `statistics/token_mean_likelihood_ratio.rs` and name it in [`statistics::all`].

pub mod aggregate;
pub mod error;
pub mod example_statistics;
pub mod examples;
pub mod exposure;
pub mod knowledge;
pub mod per_user;
pub mod result;
pub mod sequential;
pub mod statistic;
pub mod statistics;
pub mod users;
pub mod validity;

pub use aggregate::Aggregate;
pub use error::{AttackError, Model};
pub use example_statistics::{ExampleStatistics, example_statistics};
pub use examples::ScoredExamples;
pub use knowledge::{KnowledgePoint, knowledge_curve, knowledge_steps};
pub use per_user::{PerUser, per_user};
pub use result::{AttackResult, FPRS, evaluate};
pub use statistic::{Evidence, Needs, Statistic};
pub use statistics::{LikelihoodRatio, LogLikelihood, TokenMeanLikelihoodRatio, TokenMeanLogLikelihood};
pub use users::{UserStatistics, user_statistics};
pub use validity::Validity;
