//! What can go wrong with checkpoints and tokenizers.

use std::path::PathBuf;

/// Why a model or a tokenizer could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file that cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A `config.json` of a family that is not built in.
    #[error("{}: model_type is `{found}`, expected one of: gpt_neo", path.display())]
    UnknownFamily {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A setting that no model can have.
    #[error("{key} is {found}, expected {expected}")]
    Config {
        /// Which setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A tensor that is not in the checkpoint.
    #[error("{}: tensor `{key}` is missing, expected shape {expected:?}", path.display())]
    MissingTensor {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor of another shape or type.
    #[error("{}: tensor `{key}` is {found_dtype} {found:?}, expected F32 {expected:?}", path.display())]
    Tensor {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// Its type there.
        found_dtype: String,
        /// Its shape there.
        found: Vec<usize>,
        /// The shape that the config implies.
        expected: Vec<usize>,
    },
    /// Tensors that the model has no place for.
    #[error("{}: {} tensors have no place in the model, the first is `{}`", path.display(), keys.len(), keys[0])]
    ExtraTensors {
        /// Which file.
        path: PathBuf,
        /// Their names.
        keys: Vec<String>,
    },
    /// A tokenizer that cannot be trained.
    #[error("the tokenizer cannot be trained: {reason}")]
    TokenizerTraining {
        /// What the library said.
        reason: String,
    },
    /// Beginning-of-text asked of a tokenizer that has no such token.
    #[error("bos = \"always\" needs a beginning-of-text token, and the checkpoint names none (bos_token_id)")]
    NoBosToken,
}
