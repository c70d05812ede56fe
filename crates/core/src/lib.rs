#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`user`], [`example`], [`membership`], [`ragged`], [`seed`],
//! [`fingerprint`], [`tokenize`], [`source`], [`train_set`], [`scores`].

pub mod example;
pub mod fingerprint;
pub mod membership;
pub mod ragged;
pub mod scores;
pub mod seed;
pub mod source;
pub mod tokenize;
pub mod train_set;
pub mod user;

pub use example::{Example, ExampleId, Origin};
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use membership::{Membership, Role, UnknownName};
pub use ragged::Ragged;
pub use scores::{Detail, Moments, TextScores};
pub use seed::Seed;
pub use source::{ExampleSource, SourceError};
pub use tokenize::{Tokenize, TokenizeError, Tokens, WhitespaceTokenizer};
pub use train_set::TrainSet;
pub use user::{UserId, UserIdx};
