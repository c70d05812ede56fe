//! SentencePiece's byte-pair models as `tokenizers` can run them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::folder::read_json;
use super::merges::merges;
use super::pieces::{Normalizer, Piece, PieceKind, Pieces};
use super::{HfTokenizer, template};
use crate::ModelError;
use crate::checkpoint::io;

/// SentencePiece's word for a space, U+2581.
const SPACE: &str = "▁";

const BYTE_PAIRS: u64 = 2;

/// Loads the file at `path`, and asks the folder's `tokenizer_config.json` about the beginning of text.
pub(crate) fn load(folder: &Path, path: &Path) -> Result<HfTokenizer, ModelError> {
    let unsupported = |found| ModelError::UnsupportedTokenizer { path: path.to_owned(), found };
    let bytes = fs::read(path).map_err(|e| io(path, "read it", e))?;
    let pieces = Pieces::read(&bytes).map_err(|e| io(path, "read it as a SentencePiece model", e))?;
    check(&pieces).map_err(unsupported)?;
    let config = read_json(&folder.join("tokenizer_config.json"))?;
    let add_bos = config.get("add_bos_token").and_then(Value::as_bool);
    let bos = bos(&pieces);
    if add_bos == Some(true) && bos.is_none() {
        return Err(unsupported(
            "a model without the beginning-of-text token that add_bos_token asks for".into(),
        ));
    }
    let parts = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer(&pieces.normalizer),
        "pre_tokenizer": pre_tokenizer(&pieces),
        "post_processor": template::post_processor(bos.filter(|_| add_bos != Some(false))),
        "decoder": decoder(&pieces.normalizer),
        "model": model(&pieces).map_err(unsupported)?,
    });
    HfTokenizer::from_parts(path, &parts)
}

/// Refuses, with a phrase, what no parts of a `tokenizer.json` do as SentencePiece does.
fn check(pieces: &Pieces<'_>) -> Result<(), String> {
    let kind = match pieces.trainer.model_type {
        1 => Some("a Unigram model"),
        BYTE_PAIRS => None,
        _ => Some("a model of words or characters"),
    };
    if let Some(kind) = kind {
        return Err(kind.to_owned());
    }
    let normalizer = &pieces.normalizer;
    if normalizer.has_charsmap {
        return Err(format!("a normalizer with a table of characters ({})", normalizer.name.escape_debug()));
    }
    if pieces.trainer.space_is_suffix {
        return Err("a model that puts spaces after words".to_owned());
    }
    if pieces.of(PieceKind::Unused).next().is_some() {
        return Err("a model with unused pieces".to_owned());
    }
    if pieces.of(PieceKind::UserDefined).any(|piece| piece.text.contains(' ')) {
        return Err("a model with a user-defined piece that contains a space".to_owned());
    }
    Ok(())
}

fn bos<'a>(pieces: &Pieces<'a>) -> Option<(&'a str, u32)> {
    let id = u32::try_from(pieces.trainer.bos_id).ok()?;
    let piece = pieces.pieces.get(id as usize)?;
    (piece.kind == PieceKind::Control).then_some((piece.text, id))
}

fn model(pieces: &Pieces<'_>) -> Result<Value, String> {
    let vocab: Map<String, Value> =
        pieces.pieces.iter().enumerate().map(|(id, piece)| (piece.text.to_owned(), id.into())).collect();
    Ok(json!({
        "type": "BPE",
        "unk_token": pieces.of(PieceKind::Unknown).next().map(|piece| piece.text),
        "fuse_unk": true,
        "byte_fallback": pieces.trainer.byte_fallback,
        // What a user defined stands alone after the pre-tokenizer and no merges lead to it.
        "ignore_merges": pieces.of(PieceKind::UserDefined).next().is_some(),
        "vocab": vocab,
        "merges": merges(pieces)?,
    }))
}

/// `\A` and `\z`, as `^` and `$` mean lines to the engine that Python's tokenizers use.
fn normalizer(settings: &Normalizer<'_>) -> Value {
    let regex = |pattern: &str, content: &str| json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content });
    let space = if settings.escape_whitespaces { SPACE } else { " " };
    let mut steps = Vec::new();
    if settings.remove_extra_whitespaces {
        // At the end SentencePiece also drops the spaces that a text spells as pieces do.
        let ends = if settings.escape_whitespaces { r"[ ▁]+\z" } else { r" +\z" };
        steps.extend([regex(r"\A +", ""), regex(ends, ""), regex(" {2,}", " ")]);
    }
    if settings.add_dummy_prefix {
        steps.push(json!({ "type": "Prepend", "prepend": space }));
    }
    if settings.escape_whitespaces {
        steps.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE }));
    }
    json!({ "type": "Sequence", "normalizers": steps })
}

/// Cuts out what a user defined, the longest first, as SentencePiece does before it merges.
///
/// With `ignore_merges` the name of a control piece would be that piece where it stands alone between such
/// cuts, so it is cut as well, at a place that no merge crosses; a name without such a place is left.
fn pre_tokenizer(pieces: &Pieces<'_>) -> Value {
    let mut defined: Vec<&str> = pieces.of(PieceKind::UserDefined).map(|piece| piece.text).collect();
    if defined.is_empty() {
        return Value::Null;
    }
    defined.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let mut patterns: Vec<String> = defined.into_iter().map(escaped).collect();
    for (left, right) in cuts(pieces) {
        patterns.push(format!("(?<={})(?={})", escaped(&left.to_string()), escaped(&right.to_string())));
    }
    let pattern = patterns.join("|");
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

/// For each name that must stay text, two neighbours in it that stand so in no piece.
fn cuts(pieces: &Pieces<'_>) -> BTreeSet<(char, char)> {
    let neighbours = |text: &str| text.chars().zip(text.chars().skip(1)).collect::<Vec<_>>();
    let normal = pieces.of(PieceKind::Normal);
    let joined: BTreeSet<(char, char)> = normal.clone().flat_map(|piece| neighbours(piece.text)).collect();
    let known: BTreeSet<&str> = normal.map(|piece| piece.text).collect();
    // Two unknown characters are one token.
    let has_token = |char: char| pieces.trainer.byte_fallback || known.contains(char.to_string().as_str());
    let can_cut = |pair: &(char, char)| !joined.contains(pair) && (has_token(pair.0) || has_token(pair.1));
    let is_text = |piece: &&Piece<'_>| !matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined);
    let names = pieces.pieces.iter().filter(is_text);
    names.filter_map(|piece| neighbours(piece.text).into_iter().find(can_cut)).collect()
}

fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for char in text.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

fn decoder(settings: &Normalizer<'_>) -> Value {
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if settings.add_dummy_prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}
