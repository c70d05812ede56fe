//! Which files of a model are wanted, and which names are let near the disk.

use crate::ModelError;

/// Config and tokenizer, in every form that a tokenizer has.
const SMALL: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "adapter_config.json",
];

/// Weights, the first form that is offered: stem and extension, of the file itself or of its shards.
const WEIGHTS: [(&str, &str); 2] = [("model", "safetensors"), ("pytorch_model", "bin")];

const ADAPTER: &str = "adapter_model.safetensors";

/// The offered files that a model needs, the small ones first and the weights last.
pub(super) fn wanted(offered: &[String]) -> Vec<String> {
    let has = |name: &str| offered.iter().any(|offered| offered == name);
    let mut names: Vec<String> =
        SMALL.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect();
    for (stem, extension) in WEIGHTS {
        let (whole, index) = (format!("{stem}.{extension}"), format!("{stem}.{extension}.index.json"));
        if has(&whole) {
            names.push(whole);
            break;
        }
        if has(&index) {
            names.push(index);
            let mut shards: Vec<&String> =
                offered.iter().filter(|name| shard(name, stem, extension).is_some()).collect();
            shards.sort();
            names.extend(shards.into_iter().cloned());
            break;
        }
    }
    names.extend(has(ADAPTER).then(|| ADAPTER.to_owned()));
    names
}

/// The first thing that a model cannot do without and these files lack.
pub(super) fn lacks(names: &[String]) -> Option<String> {
    let has = |name: &str| names.iter().any(|held| held == name);
    if has("adapter_config.json") {
        return (!has(ADAPTER)).then(|| ADAPTER.to_owned());
    }
    if !has("config.json") {
        return Some("config.json".to_owned());
    }
    if !["tokenizer.json", "vocab.json", "tokenizer.model"].into_iter().any(has) {
        return Some("tokenizer.json".to_owned());
    }
    for (stem, extension) in WEIGHTS {
        if has(&format!("{stem}.{extension}")) {
            return None;
        }
        if has(&format!("{stem}.{extension}.index.json")) {
            return missing_shard(names, stem, extension);
        }
    }
    Some("model.safetensors".to_owned())
}

fn missing_shard(names: &[String], stem: &str, extension: &str) -> Option<String> {
    let n_shards = names.iter().find_map(|name| shard(name, stem, extension)).unwrap_or(1);
    (1..=n_shards)
        .map(|index| format!("{stem}-{index:05}-of-{n_shards:05}.{extension}"))
        .find(|name| !names.contains(name))
}

/// How many shards there are, from the name of one: `stem-00001-of-00003.extension`.
fn shard(name: &str, stem: &str, extension: &str) -> Option<u32> {
    let middle = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(extension)?.strip_suffix('.')?;
    let (index, n_shards) = middle.split_once("-of-")?;
    let number = |digits: &str| digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (number(index) && number(n_shards)).then(|| n_shards.parse().ok())?
}

/// Refuses what is no `owner/name` or `name`.
pub(super) fn check_name(name: &str) -> Result<(), ModelError> {
    let parts: Vec<&str> = name.split('/').collect();
    // The cache joins the two by `--`.
    let fits = parts.len() <= 2 && parts.iter().all(|part| is_plain(part) && !part.contains("--"));
    let expected = "owner/name of letters, digits, `-`, `_` and `.`";
    if fits { Ok(()) } else { Err(refused("model name", name, expected)) }
}

/// Refuses what is no branch, tag or commit.
pub(super) fn check_revision(revision: &str) -> Result<(), ModelError> {
    let fits = revision.split('/').all(is_plain);
    let expected = "a branch, a tag or a commit";
    if fits { Ok(()) } else { Err(refused("revision", revision, expected)) }
}

pub(super) fn refused(what: &'static str, found: &str, expected: &'static str) -> ModelError {
    ModelError::HubName { what, found: found.to_owned(), expected }
}

/// Whether this is one component of a path, and an ordinary one.
pub(super) fn is_plain(part: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=128).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(usual)
}

/// Whether a listed path stays within its folder.
pub(super) fn stays_within(path: &str) -> bool {
    !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether this is a full commit.
pub(super) fn is_commit(revision: &str) -> bool {
    is_hexadecimal(revision, 40)
}

/// Whether this is a SHA-256.
pub(super) fn is_sha256(etag: &str) -> bool {
    is_hexadecimal(etag, 64)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(offered: &str, expected: &str, lacking: Option<&str>) {
        let found = wanted(&names(offered));
        assert_eq!(found, names(expected));
        assert_eq!(lacks(&found).as_deref(), lacking);
    }

    #[test]
    fn safetensors_are_preferred_and_code_is_left() {
        check(
            "modeling.py pytorch_model.bin model.safetensors flax_model.msgpack onnx/model.safetensors tokenizer.json config.json",
            "config.json tokenizer.json model.safetensors",
            None,
        );
    }

    #[test]
    fn pytorch_where_there_is_nothing_else() {
        check(
            "config.json merges.txt pytorch_model.bin tf_model.h5 vocab.json",
            "config.json vocab.json merges.txt pytorch_model.bin",
            None,
        );
    }

    #[test]
    fn shards_with_their_index() {
        let index = "model.safetensors.index.json";
        let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        check(
            &format!(
                "{two} {one} {index} config.json tokenizer.json model-1-of-2.safetensors pytorch_model.bin"
            ),
            &format!("config.json tokenizer.json {index} {one} {two}"),
            None,
        );
        check(
            &format!("{two} {index} config.json tokenizer.json"),
            &format!("config.json tokenizer.json {index} {two}"),
            Some(one),
        );
    }

    #[test]
    fn an_adapter_needs_no_model() {
        check(
            "adapter_config.json adapter_model.safetensors",
            "adapter_config.json adapter_model.safetensors",
            None,
        );
        check("adapter_config.json", "adapter_config.json", Some("adapter_model.safetensors"));
    }

    #[test]
    fn what_a_model_lacks() {
        check("README.md", "", Some("config.json"));
        check("config.json model.safetensors", "config.json model.safetensors", Some("tokenizer.json"));
        check("config.json vocab.json", "config.json vocab.json", Some("model.safetensors"));
    }
}
