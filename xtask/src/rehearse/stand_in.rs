//! A stand-in for a model of the hub: the files and shapes of GPT-Neo 125M, random weights, a tokenizer of made-up words.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::draw::{CONSONANTS, Draw, VOWELS};

const WIDTH: usize = 768;
const N_LAYERS: usize = 12;
const CONTEXT: usize = 2048;
const VOCAB_SIZE: usize = 50_257;
const N_MERGES: usize = 50_000;
const END: &str = "<|endoftext|>";

/// The commit that `main` stands for.
const COMMIT: &str = "0123456789012345678901234567890123456789";

/// Random weights are even with a standard deviation of .02.
const WEIGHT_RANGE: f32 = 0.0346;

/// The files that a download of the model leaves.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let merges = merges();
    let vocab = vocab(&merges);
    let of_texts = json!({"bos_token": END, "eos_token": END, "unk_token": END});
    let mut of_tokenizer = of_texts.clone();
    of_tokenizer["model_max_length"] = json!(CONTEXT);
    of_tokenizer["tokenizer_class"] = json!("GPT2Tokenizer");
    let small = [
        ("config.json", config()),
        (
            "generation_config.json",
            json!({"_from_model_config": true, "bos_token_id": 50256, "eos_token_id": 50256}),
        ),
        ("special_tokens_map.json", of_texts),
        ("tokenizer.json", tokenizer(&vocab, &merges)),
        ("tokenizer_config.json", of_tokenizer),
        ("vocab.json", vocab),
    ];
    for (name, content) in small {
        fs::write(folder.join(name), content.to_string())?;
    }
    fs::write(folder.join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n")))?;
    let file = folder.join("model.safetensors");
    write_weights(&file).with_context(|| file.display().to_string())
}

/// Puts the files of a folder into a cache of the hub as those of a model's `main`; the answer is the model's folder.
pub(super) fn offer(folder: &Path, cache: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    let snapshot = model.join("snapshots").join(COMMIT);
    fs::create_dir_all(model.join("refs"))?;
    fs::create_dir_all(&snapshot)?;
    fs::write(model.join("refs/main"), COMMIT)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        fs::hard_link(entry.path(), snapshot.join(entry.file_name()))?;
    }
    Ok(snapshot)
}

fn config() -> Value {
    let kinds = (0..N_LAYERS).map(|layer| if is_global(layer) { "global" } else { "local" });
    json!({
        "activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"], "attention_dropout": 0,
        "attention_layers": kinds.collect::<Vec<_>>(), "attention_types": [[["global", "local"], N_LAYERS / 2]],
        "bos_token_id": 50256, "embed_dropout": 0, "eos_token_id": 50256, "gradient_checkpointing": false,
        "hidden_size": WIDTH, "initializer_range": 0.02, "intermediate_size": null, "layer_norm_epsilon": 1e-5,
        "max_position_embeddings": CONTEXT, "model_type": "gpt_neo", "num_heads": 12, "num_layers": N_LAYERS,
        "resid_dropout": 0, "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
        "summary_type": "cls_index", "summary_use_proj": true, "transformers_version": "4.9.0.dev0",
        "use_cache": true, "vocab_size": VOCAB_SIZE, "window_size": 256,
    })
}

fn is_global(layer: usize) -> bool {
    layer.is_multiple_of(2)
}

/// Name, type and shape of each tensor, with the masks of attention that the model's file has too.
fn tensors() -> Vec<(String, &'static str, Vec<usize>)> {
    let mut tensors = vec![
        ("transformer.wte.weight".to_owned(), "F32", vec![VOCAB_SIZE, WIDTH]),
        ("transformer.wpe.weight".to_owned(), "F32", vec![CONTEXT, WIDTH]),
        ("transformer.ln_f.weight".to_owned(), "F32", vec![WIDTH]),
        ("transformer.ln_f.bias".to_owned(), "F32", vec![WIDTH]),
    ];
    for layer in 0..N_LAYERS {
        let mut add = |name: &str, dtype, shape: &[usize]| {
            tensors.push((format!("transformer.h.{layer}.{name}"), dtype, shape.to_vec()));
        };
        for norm in ["ln_1", "ln_2"] {
            add(&format!("{norm}.weight"), "F32", &[WIDTH]);
            add(&format!("{norm}.bias"), "F32", &[WIDTH]);
        }
        for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add(&format!("attn.attention.{projection}.weight"), "F32", &[WIDTH, WIDTH]);
        }
        add("attn.attention.out_proj.bias", "F32", &[WIDTH]);
        if is_global(layer) {
            add("attn.attention.bias", "U8", &[1, 1, CONTEXT, CONTEXT]);
        }
        add("attn.attention.masked_bias", "F32", &[]);
        add("mlp.c_fc.weight", "F32", &[4 * WIDTH, WIDTH]);
        add("mlp.c_fc.bias", "F32", &[4 * WIDTH]);
        add("mlp.c_proj.weight", "F32", &[WIDTH, 4 * WIDTH]);
        add("mlp.c_proj.bias", "F32", &[WIDTH]);
    }
    tensors
}

fn write_weights(file: &Path) -> anyhow::Result<()> {
    let (mut header, mut end) = (Map::new(), 0);
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let tensors = tensors();
    for (name, dtype, shape) in &tensors {
        let begin = end;
        end += n_bytes(dtype, shape);
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = BufWriter::new(File::create(file)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (name, dtype, shape) in &tensors {
        write_values(&mut file, name, n_bytes(dtype, shape))?;
    }
    Ok(file.flush()?)
}

fn n_bytes(dtype: &str, shape: &[usize]) -> usize {
    shape.iter().product::<usize>() * if dtype == "F32" { 4 } else { 1 }
}

/// Ones for the scale of a norm, zeros for biases and masks, else random numbers.
fn write_values(file: &mut impl Write, name: &str, n_bytes: usize) -> anyhow::Result<()> {
    if name.ends_with("bias") {
        return Ok(file.write_all(&vec![0; n_bytes])?);
    }
    let mut draw = Draw::named(name);
    let mut drawn = vec![0; 2 * WIDTH];
    for _ in 0..n_bytes / (4 * WIDTH) {
        draw.fill(&mut drawn);
        for pair in drawn.chunks_exact(2) {
            let even = f32::from(u16::from_le_bytes([pair[0], pair[1]])) / f32::from(u16::MAX);
            let value = if name.contains("ln_") { 1.0 } else { WEIGHT_RANGE * (2.0 * even - 1.0) };
            file.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}

/// As many merges as GPT-2 has: words letter by letter, consonants and vowels by turns, the shorter beginnings first.
fn merges() -> Vec<String> {
    let mut merges = Vec::new();
    let mut beginnings = vec!["Ġ".to_owned()];
    for letters in [&CONSONANTS[..], &VOWELS[..]].into_iter().cycle() {
        let longer = beginnings
            .iter()
            .flat_map(|begun| letters.iter().map(move |letter| (begun, char::from(*letter))));
        let longer: Vec<(&String, char)> = longer.take(N_MERGES - merges.len()).collect();
        merges.extend(longer.iter().map(|(begun, letter)| format!("{begun} {letter}")));
        if merges.len() == N_MERGES {
            break;
        }
        beginnings = longer.iter().map(|(begun, letter)| format!("{begun}{letter}")).collect();
    }
    merges
}

/// Ids in GPT-2's order: bytes, merges, the end of a text.
fn vocab(merges: &[String]) -> Value {
    // A byte is written as itself where it can be seen.
    let (seen, hidden): (Vec<u8>, Vec<u8>) =
        (0..=255).partition(|byte| matches!(byte, 33..=126 | 161..=172 | 174..=255));
    let hidden = (256..).zip(hidden).filter_map(|(code, _)| char::from_u32(code));
    let bytes = seen.into_iter().map(char::from).chain(hidden).map(String::from);
    let tokens = bytes.chain(merges.iter().map(|merge| merge.replace(' ', ""))).chain([END.to_owned()]);
    tokens.enumerate().map(|(id, token)| (token, json!(id))).collect::<Map<_, _>>().into()
}

fn tokenizer(vocab: &Value, merges: &[String]) -> Value {
    let byte_level = |adds: bool| json!({"type": "ByteLevel", "add_prefix_space": adds, "trim_offsets": !adds, "use_regex": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{
            "id": VOCAB_SIZE - 1, "content": END, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": true, "special": true,
        }],
        "pre_tokenizer": byte_level(false), "post_processor": byte_level(true), "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocab, "merges": merges,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_of_gpt_2s_size() {
        let merges = merges();
        let vocab = vocab(&merges);
        assert_eq!((merges.len(), vocab.as_object().unwrap().len()), (N_MERGES, VOCAB_SIZE));
        assert_eq!((&vocab["!"], &vocab["Ġ"], &vocab[END]), (&json!(0), &json!(220), &json!(50_256)));
        // Words of two syllables are tokens.
        assert!(vocab["Ġbaba"].is_u64() && vocab["Ġzuzu"].is_u64());
    }

    #[test]
    fn parameters_are_those_of_gpt_neo_125m() {
        let is_mask = |name: &str| name.ends_with("attention.bias") || name.ends_with("masked_bias");
        let n: usize = tensors()
            .iter()
            .filter(|(name, ..)| !is_mask(name))
            .map(|(_, dtype, shape)| n_bytes(dtype, shape) / 4)
            .sum();
        assert_eq!(n, 125_198_592);
    }
}
