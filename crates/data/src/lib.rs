#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`corpus`], [`in_memory_corpus`], [`read`], [`objects`], [`relational`], [`recipes`], [`user_documents`], [`split`], [`selection`], [`canary`], [`copies`], [`synthetic`], [`blind`],
//! [`near_duplicates`], [`overlap`], [`wording`],
//! [`error`].

pub mod blind;
pub mod canary;
mod columns;
pub mod copies;
pub mod corpus;
pub mod error;
pub mod fresh;
pub mod in_memory_corpus;
pub mod near_duplicates;
pub mod objects;
mod origin;
pub mod overlap;
mod position;
pub mod read;
pub mod recipes;
pub mod relational;
mod rows_file;
pub mod selection;
pub mod shadow;
pub mod split;
pub mod synthetic;
pub mod user_documents;
pub mod wording;
mod words;

pub use blind::BlindClassifier;
pub use canary::{Canary, CanaryKind, CanaryTier, Planted, plant};
pub use columns::Columns;
pub use copies::CopiesConfig;
pub use corpus::Corpus;
pub use error::CorpusError;
pub use fresh::keep_fresh;
pub use in_memory_corpus::{CorpusRow, ExampleIds, InMemoryCorpus};
pub use near_duplicates::{NearCopy, NearDuplicates};
pub use objects::Objects;
pub use overlap::near_copies;
pub use position::Position;
pub use read::{n_rows, read_corpus, read_rows};
pub use recipes::{Preparation, Recipe};
pub use relational::{Cluster, Duplicates, Inspection, RelationalSplit, SharedTexts, SplitCounts, SplitStep};
pub use selection::{Selection, join_near_copies, train_set};
pub use shadow::shadow;
pub use split::{Partition, UserSplit, partition};
pub use synthetic::{Population, PopulationConfig, log_sum_exp};
pub use user_documents::{UserDocuments, UserDraw};
pub use wording::{UserWords, Wording, wording};
