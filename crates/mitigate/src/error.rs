//! Why a defence is refused.

/// Why a defence is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MitigateError {
    /// A step needs at least one example.
    #[error("the batch size is 0, expected at least 1")]
    BatchSize,
    /// A gradient cannot be clipped to this norm.
    #[error("the clip norm is {found}, expected a finite number above 0")]
    ClipNorm {
        /// What was given.
        found: f64,
    },
}
