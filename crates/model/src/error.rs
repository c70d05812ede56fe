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
    #[error(
        "model_type is `{found}`, expected one of: {}",
        crate::families::FAMILIES.map(|family| family.model_type).join(", ")
    )]
    UnknownFamily {
        /// What it says.
        found: String,
    },
    /// A setting that no model can have.
    #[error("{key} is {found}, expected {expected}")]
    Config {
        /// Which setting.
        key: String,
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
    /// A tensor of another shape.
    #[error("{}: tensor `{key}` is {found_dtype} {found:?}, expected {expected:?}", path.display())]
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
    /// A folder without weights.
    #[error("{}: cannot read its weights, expected one of: {}", folder.display(), expected.join(", "))]
    NoWeights {
        /// Which folder.
        folder: PathBuf,
        /// The files that would do.
        expected: Vec<&'static str>,
    },
    /// A shard that the index names and that is not there.
    #[error("{}: names the shard `{file}`, which is not beside it: fetch it as well", path.display())]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// Which shard.
        file: String,
    },
    /// A shard that would lie in another folder than its index.
    #[error("{}: names the shard `{file}`, expected the plain name of a file beside it", path.display())]
    ShardElsewhere {
        /// The index.
        path: PathBuf,
        /// What it says.
        file: String,
    },
    /// A tensor that is not in the shard that the index names.
    #[error("{}: tensor `{key}` should be in `{file}` and is not: fetch index and shards of one revision", path.display())]
    NotInShard {
        /// The index.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// Where it should be.
        file: String,
    },
    /// A tensor that two shards hold and the index does not place.
    #[error("{}: tensor `{key}` is in {} as well, and the index does not say which one counts", path.display(), other.display())]
    TwiceInShards {
        /// One shard.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// The other shard.
        other: PathBuf,
    },
    /// A tensor asked for that holds no floating-point numbers.
    #[error("{}: tensor `{key}` is {found}, expected F64, F32, F16 or BF16", path.display())]
    NotFloat {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// Its type there.
        found: String,
    },
    /// A tensor whose values do not follow one another.
    #[error("{}: tensor `{key}` of shape {shape:?} has strides {strides:?}, expected rows one after another: save it again after `.contiguous()`", path.display())]
    NotContiguous {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
        /// From one value to the next along each side, in values.
        strides: Vec<i64>,
    },
    /// A pickle that asks for more than tensors.
    #[error("{}: the pickle asks to call `{global}`, only tensors are read; nothing in it was run", path.display())]
    UnsafePickle {
        /// Which file.
        path: PathBuf,
        /// What it asks for.
        global: String,
    },
    /// A checkpoint in the format of PyTorch before 1.6.
    #[error(
        "{}: is in PyTorch's format from before 1.6, expected safetensors or the zip format; save it again, in its folder:\n\
         from transformers import AutoModelForCausalLM\n\
         AutoModelForCausalLM.from_pretrained(\".\").save_pretrained(\".\", safe_serialization=True)",
        path.display()
    )]
    LegacyTorch {
        /// Which file.
        path: PathBuf,
    },
    /// A pointer that Git LFS left in place of a file.
    #[error("{}: is a pointer of Git LFS, expected the file itself: fetch it with `git lfs pull`", path.display())]
    LfsPointer {
        /// Which file.
        path: PathBuf,
    },
    /// A tokenizer that cannot be trained.
    #[error("the tokenizer cannot be trained: {reason}")]
    TokenizerTraining {
        /// What the library said.
        reason: String,
    },
    /// A checkpoint folder without a tokenizer.
    #[error(
        "{}: no tokenizer, looked for tokenizer.json, for vocab.json with merges.txt and for one *.model file \
         (there are {n_models}); add one, or let transformers write tokenizer.json: \
         AutoTokenizer.from_pretrained(name).save_pretrained(folder)",
        path.display()
    )]
    NoTokenizer {
        /// Which folder.
        path: PathBuf,
        /// How many `*.model` files it has.
        n_models: usize,
    },
    /// A tokenizer whose ids the conversion to `tokenizer.json` would not keep.
    #[error(
        "{}: cannot convert {found}; let transformers write tokenizer.json: \
         AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        path.display()
    )]
    UnsupportedTokenizer {
        /// Which file.
        path: PathBuf,
        /// What stands in the way.
        found: String,
    },
    /// Beginning-of-text asked of a tokenizer that has no such token.
    #[error("bos = \"always\" needs a beginning-of-text token, and the checkpoint names none (bos_token_id)")]
    NoBosToken,
    /// A model's name, a revision or an address that no hub can have.
    #[error("{what} is `{found}`, expected {expected}")]
    HubName {
        /// What it is.
        what: &'static str,
        /// What it says; `unfit` where it may hold a password.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// No connection to the hub, or one that broke; what came of the file before is kept.
    #[error(
        "{endpoint} cannot be reached for `{name}`, or the connection broke; what has come is kept, so try again"
    )]
    HubUnreachable {
        /// Name of the model.
        name: String,
        /// Address of the hub.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub answered with an error.
    #[error("the hub answered {status} for {what} of `{name}`: {reason}")]
    HubRefused {
        /// Name of the model.
        name: String,
        /// The revision or the file asked for.
        what: String,
        /// Status of the answer.
        status: u16,
        /// What that means.
        reason: &'static str,
    },
    /// The hub answered with what no hub should, or offers no model that can be used.
    #[error("the hub's answer for `{name}` cannot be used: it {reason}")]
    HubAnswer {
        /// Name of the model.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model that is not in the cache, or not all of it, where only the cache may be used.
    #[error("offline, and the cache lacks {missing} of `{name}` at `{revision}`; fetch it once online")]
    HubOffline {
        /// Name of the model.
        name: String,
        /// The revision asked for.
        revision: String,
        /// What is missing first.
        missing: String,
    },
    /// Content that is not what the hub announced; it was removed.
    #[error("{}: the SHA-256 of {file} is {found}, expected {expected}; it was removed, so try again", path.display())]
    HubChecksum {
        /// Where it was.
        path: PathBuf,
        /// Name of the file.
        file: String,
        /// SHA-256 of what was there.
        found: String,
        /// SHA-256 that the hub announced.
        expected: String,
    },
}
