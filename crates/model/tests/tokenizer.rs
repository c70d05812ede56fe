//! Tokenizers of checkpoint folders against the libraries they come from, and files that are refused.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use userprint_core::Tokenize;
use userprint_model::{Bos, HfTokenizer, ModelError};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    ids_with_special_tokens: Option<Vec<u32>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// A folder of what is kept beside the project, not in it.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if !folder.is_dir() {
        skipped(name);
    }
    Some(folder).filter(|folder| folder.is_dir())
}

#[expect(clippy::print_stderr, reason = "a test that could not run must not look like one that passed")]
fn skipped(name: &str) {
    eprintln!("SKIPPED: there is no ../shared/{name}");
}

fn load(folder: &Path) -> HfTokenizer {
    HfTokenizer::load_folder(folder).expect("the tokenizer loads")
}

fn ids(tokenizer: &HfTokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&[text]).expect("the text can be encoded").ids.row(0).to_vec()
}

#[track_caller]
fn check_spans(text: &str, spans: &[[u32; 2]]) {
    assert!(spans.is_sorted_by_key(|span| span[0]), "{text:?}: {spans:?}");
    assert!(spans.is_sorted_by_key(|span| span[1]), "{text:?}: {spans:?}");
    for [start, end] in spans {
        let piece = text.get(*start as usize..*end as usize);
        assert!(piece.is_some(), "{text:?}: {start}..{end}");
    }
}

/// Ids and spans, as loaded and once more as saved.
#[track_caller]
fn check_golden(name: &str) -> HfTokenizer {
    let text = fs::read_to_string(fixture(name).join("golden.json")).expect("golden.json is there");
    let cases = serde_json::from_str::<Golden>(&text).expect("golden.json has the known layout").cases;
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let tokenizer = load(&fixture(name));
    let bos = tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known");
    let copy = tempfile::tempdir().expect("a folder");
    tokenizer.save(&copy.path().join("tokenizer.json")).expect("it is saved");
    for tokenizer in [&tokenizer, &load(copy.path())] {
        assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), bos);
        let tokens = tokenizer.encode(&texts).expect("all texts can be encoded");
        for (row, case) in cases.iter().enumerate() {
            assert_eq!(tokens.ids.row(row), case.ids, "{:?}", case.text);
            check_spans(&case.text, tokens.spans.row(row));
            if let Some(expected) = &case.ids_with_special_tokens {
                let with: Vec<u32> = bos.into_iter().chain(case.ids.iter().copied()).collect();
                assert_eq!(&with, expected, "{:?}", case.text);
            }
        }
    }
    tokenizer
}

#[test]
fn sentence_piece_agrees_with_its_library() {
    let tokenizer = check_golden("sentencepiece");
    assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), Some(1));
}

#[test]
fn two_files_agree_with_transformers() {
    check_golden("vocab_merges");
}

/// Ids by the sentencepiece package, version 0.2.3.
#[test]
fn stories260k_agrees_with_sentencepiece() {
    let Some(folder) = shared("checkpoints/stories260K") else { return };
    let tokenizer = load(&folder);
    assert_eq!(tokenizer.vocab_size(), 512);
    assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), Some(1));
    let cases: [(&str, &[u32]); 8] = [
        ("", &[]),
        ("   ", &[]),
        (
            "Once upon a time, there was a ferry.",
            &[403, 407, 261, 378, 432, 383, 286, 261, 272, 285, 420, 422, 426],
        ),
        (
            "  two  spaces \n\nand a line ",
            &[259, 424, 414, 262, 427, 412, 331, 419, 410, 13, 13, 412, 264, 261, 278, 271, 411],
        ),
        ("naïve café 🙂", &[297, 412, 198, 178, 360, 280, 412, 431, 485, 410, 243, 162, 156, 133]),
        ("<s> is text </s>", &[410, 504, 419, 505, 410, 293, 259, 411, 444, 413, 410, 504, 492, 419, 505]),
        ("▁lower▁bar▁", &[410, 278, 327, 285, 268, 295]),
        ("x\u{a0}y 1234", &[410, 444, 498, 422, 410, 475, 479, 472, 484]),
    ];
    for (text, expected) in cases {
        assert_eq!(ids(&tokenizer, text), expected, "{text:?}");
        check_spans(text, tokenizer.encode(&[text]).expect("it can be encoded").spans.row(0));
    }
}

#[test]
fn gpt2_has_one_tokenizer_in_two_forms() {
    let Some(folder) = shared("tokenizers/gpt2") else { return };
    let copy = tempfile::tempdir().expect("a folder");
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(folder.join(file), copy.path().join(file)).expect("the file can be copied");
    }
    let (whole, files) = (load(&folder), load(copy.path()));
    let texts = [
        "",
        " ",
        "The harbour was quiet.",
        "  two  spaces \n\n\tand don't",
        "naïve café 🙂 日本語",
        "x<|endoftext|>y",
    ];
    assert_eq!(files.encode(&texts).expect("ids"), whole.encode(&texts).expect("ids"));
    assert_eq!(files.vocab_size(), whole.vocab_size());
    assert_eq!(files.bos_token(Bos::Tokenizer, None).expect("it is known"), None);
}

/// The error and its sources, one line.
fn said(error: &ModelError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[track_caller]
fn check_refused(folder: &Path, parts: &[&str]) {
    let text = said(&HfTokenizer::load_folder(folder).expect_err("should be refused"));
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("the file can be written");
    }
    folder
}

#[test]
fn nothing_found_says_what_was_looked_for() {
    let names = ["tokenizer.json", "vocab.json", "merges.txt", "*.model"];
    check_refused(folder_of(&[]).path(), &[&names[..], &["there are 0", "save_pretrained"]].concat());
    check_refused(folder_of(&[("vocab.json", b"{}")]).path(), &names);
    check_refused(folder_of(&[("a.model", b""), ("b.model", b"")]).path(), &["there are 2"]);
    check_refused(Path::new("no/such/folder"), &["no/such/folder: cannot list it"]);
}

#[test]
fn tokenizer_json_goes_first() {
    let folder = folder_of(&[("vocab.json", b"{"), ("merges.txt", b"x"), ("tokenizer.model", b"\xff")]);
    let tokenizer = load(&fixture("gpt_neo"));
    tokenizer.save(&folder.path().join("tokenizer.json")).expect("it is saved");
    assert_eq!(ids(&load(folder.path()), "The boat"), ids(&tokenizer, "The boat"));
}

mod sentence_piece {
    use super::*;

    const NORMAL: u64 = 1;
    const UNKNOWN: u64 = 2;
    const CONTROL: u64 = 3;
    const USER_DEFINED: u64 = 4;
    const UNUSED: u64 = 5;

    /// `unk`, `<s>`, the characters, then what they make.
    const PIECES: [(&str, f32, u64); 9] = [
        ("<unk>", 0.0, UNKNOWN),
        ("<s>", 0.0, CONTROL),
        ("▁", -3.0, NORMAL),
        ("a", -4.0, NORMAL),
        ("b", -5.0, NORMAL),
        ("ab", -1.0, NORMAL),
        ("▁ab", -2.0, NORMAL),
        ("ba", -0.0, NORMAL),
        ("<x>", 0.0, USER_DEFINED),
    ];

    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        bytes.push(value.to_le_bytes()[0]);
        bytes
    }

    fn numbered(field: u64, value: u64) -> Vec<u8> {
        [number(field << 3), number(value)].concat()
    }

    fn sized(field: u64, bytes: &[u8]) -> Vec<u8> {
        [number(field << 3 | 2), number(bytes.len() as u64), bytes.to_vec()].concat()
    }

    fn piece((text, score, kind): (&str, f32, u64)) -> Vec<u8> {
        let score = [number(2 << 3 | 5), score.to_le_bytes().to_vec()].concat();
        sized(1, &[sized(1, text.as_bytes()), score, numbered(3, kind)].concat())
    }

    /// A model of byte pairs; what is appended to it wins.
    fn model(pieces: &[(&str, f32, u64)]) -> Vec<u8> {
        let pieces: Vec<u8> = pieces.iter().flat_map(|row| piece(*row)).collect();
        [pieces, trainer(3, 2), normalizer(4, 0)].concat()
    }

    fn trainer(field: u64, value: u64) -> Vec<u8> {
        sized(2, &numbered(field, value))
    }

    fn normalizer(field: u64, value: u64) -> Vec<u8> {
        sized(3, &numbered(field, value))
    }

    fn with(model: &[u8]) -> TempDir {
        folder_of(&[("tokenizer.model", model)])
    }

    #[track_caller]
    fn check_ids(model: &[u8], text: &str, expected: &[u32]) {
        let tokenizer = load(with(model).path());
        let tokens = tokenizer.encode(&[text]).expect("it can be encoded");
        assert_eq!(tokens.ids.row(0), expected, "{text:?}");
        check_spans(text, tokens.spans.row(0));
    }

    #[test]
    fn highest_score_first_then_the_leftmost() {
        check_ids(&model(&PIECES), "ab", &[6]);
        check_ids(&model(&PIECES), "aba", &[2, 3, 7]);
        check_ids(&model(&PIECES), "baba", &[2, 7, 7]);
    }

    #[test]
    fn unknown_characters_are_fused() {
        check_ids(&model(&PIECES), "ab??a?", &[6, 0, 3, 0]);
    }

    #[test]
    fn what_a_user_defined_is_never_merged() {
        check_ids(&model(&PIECES), "a<x>b<x>", &[2, 3, 8, 4, 8]);
        let single = [&PIECES[..8], &[("c", 0.0, USER_DEFINED), ("ac", 0.0, NORMAL)]].concat();
        check_ids(&model(&single), "ac", &[2, 3, 8]);
    }

    #[test]
    fn names_of_control_pieces_are_text() {
        check_ids(&model(&PIECES[..8]), "a<s>b", &[2, 3, 0, 4]);
        let more = [&PIECES[..], &[("s", -6.0, NORMAL), ("bs", -7.0, NORMAL)]].concat();
        let bare = [model(&more), normalizer(3, 0)].concat();
        for (text, expected) in [("<s>", &[0, 9, 0][..]), ("<x><s><x>", &[8, 0, 9, 0, 8]), ("bs", &[10])] {
            check_ids(&bare, text, expected);
        }
    }

    #[test]
    fn spaces_follow_the_settings() {
        let keep = model(&PIECES);
        check_ids(&keep, "", &[]);
        check_ids(&keep, " ", &[2, 2]);
        check_ids(&keep, " ab  ", &[2, 6, 2, 2]);
        let remove = [keep.clone(), normalizer(4, 1)].concat();
        check_ids(&remove, "  ab  ab ▁ ", &[6, 6]);
        check_ids(&remove, " ▁ ", &[]);
        let bare = [keep.clone(), normalizer(3, 0)].concat();
        check_ids(&bare, "ab", &[5]);
        let unescaped = [keep, normalizer(5, 0)].concat();
        check_ids(&unescaped, "ab ab", &[0, 5, 0, 5]);
    }

    #[track_caller]
    fn check_bos(model: &[u8], config: &Value, expected: Option<u32>) {
        let config = config.to_string();
        let files = [("x.model", model), ("tokenizer_config.json", config.as_bytes())];
        let tokenizer = load(folder_of(&files).path());
        assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), expected);
    }

    #[test]
    fn a_beginning_of_text_unless_denied() {
        let without = [model(&PIECES), trainer(41, u64::MAX)].concat();
        check_bos(&model(&PIECES), &json!({}), Some(1));
        check_bos(&model(&PIECES), &json!({ "add_bos_token": true }), Some(1));
        check_bos(&model(&PIECES), &json!({ "add_bos_token": false }), None);
        check_bos(&without, &json!({}), None);
        let files: [(&str, &[u8]); 2] =
            [("x.model", &without), ("tokenizer_config.json", b"{\"add_bos_token\": true}")];
        check_refused(folder_of(&files).path(), &["without the beginning-of-text token"]);
    }

    #[test]
    fn what_would_get_other_ids_is_refused() {
        let refused = |model: Vec<u8>, says: &str| {
            let path = "tokenizer.model: cannot convert";
            check_refused(with(&model).path(), &[path, says, "AutoTokenizer.from_pretrained"]);
        };
        let more = |row| model(&[&PIECES[..], &[row]].concat());
        refused([model(&PIECES), trainer(3, 1)].concat(), "a Unigram model");
        refused([model(&PIECES), trainer(3, 4)].concat(), "a model of words or characters");
        refused([model(&PIECES), trainer(24, 1)].concat(), "puts spaces after words");
        let table = sized(3, &[sized(1, b"nmt_nfkc"), sized(2, b"table")].concat());
        refused([model(&PIECES), table].concat(), "a table of characters (nmt_nfkc)");
        refused(more(("aa", -1.0, NORMAL)), "pieces 5 and 9, which have one score");
        refused(more(("az", -9.0, NORMAL)), "piece 9, a character of which is no piece");
        refused(more(("c", 0.0, UNUSED)), "unused pieces");
        refused(more(("y y", 0.0, USER_DEFINED)), "contains a space");
        refused(more((&"a".repeat(257), -9.0, NORMAL)), "piece 9, which is longer than 256 bytes");
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let refused =
            |model: &[u8], says: &str| check_refused(with(model).path(), &["tokenizer.model", says]);
        let more = |row| model(&[&PIECES[..], &[row]].concat());
        refused(b"", "0 pieces are of type unknown");
        refused(b"not a model", "byte 0: field 13 has wire type 6");
        refused(&sized(1, &sized(1, b"\xff")), "field 1 is not UTF-8");
        refused(b"\x0a\xff\xff\xff\xff\x0f\x0a", "a field claims 4294967295 bytes, 1 are left");
        refused(&more(("", 0.0, NORMAL)), "piece 9 is empty");
        refused(&more(("a", -9.0, NORMAL)), "pieces 3 and 9 are the same");
        refused(&more(("c", f32::NAN, NORMAL)), "piece 9 has score NaN");
        refused(&more(("c", 0.0, 7)), "piece 9 has type 7");
        refused(&more(("?", 0.0, UNKNOWN)), "2 pieces are of type unknown");
        refused(&[model(&PIECES), trainer(35, 1)].concat(), "0 pieces stand for bytes, expected 256");
    }

    /// No panic: an error, or a tokenizer where only settings were lost.
    #[test]
    fn damaged_files_never_panic() {
        let whole = fs::read(fixture("sentencepiece").join("tokenizer.model")).expect("the fixture is there");
        let folder = with(b"");
        let path = folder.path().join("tokenizer.model");
        for at in (0..whole.len()).step_by(13) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x81;
            for bytes in [&whole[..at], &flipped] {
                fs::write(&path, bytes).expect("the file can be written");
                if let Ok(tokenizer) = HfTokenizer::load_folder(folder.path()) {
                    tokenizer.encode(&["a text"]).expect("it can be encoded");
                }
            }
        }
    }
}

mod two_files {
    use super::*;

    /// The fixture's two files alone, and others.
    fn with(files: &[(&str, Value)]) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["vocab.json", "merges.txt"] {
            fs::copy(fixture("vocab_merges").join(file), folder.path().join(file)).expect("it can be copied");
        }
        for (name, value) in files {
            fs::write(folder.path().join(name), value.to_string()).expect("the file can be written");
        }
        folder
    }

    fn vocab() -> Value {
        let text = fs::read_to_string(fixture("vocab_merges").join("vocab.json")).expect("it is there");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn n_tokens() -> u32 {
        u32::try_from(vocab().as_object().expect("an object").len()).expect("a small vocabulary")
    }

    #[test]
    fn without_other_files_the_separator_is_special() {
        let tokenizer = load(with(&[]).path());
        assert_eq!(ids(&tokenizer, "<|endoftext|>"), [0]);
        assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), None);
    }

    #[test]
    fn a_space_before_the_text_where_asked() {
        let asked = load(with(&[("tokenizer_config.json", json!({ "add_prefix_space": true }))]).path());
        assert_eq!(ids(&asked, "the ferry"), ids(&load(with(&[]).path()), " the ferry"));
    }

    #[test]
    fn added_tokens_keep_their_ids() {
        let next = n_tokens();
        let token = json!({ "content": "<sep>", "lstrip": true, "normalized": false, "special": true });
        let config = json!({
            "added_tokens_decoder": { (next + 1).to_string(): token },
            "bos_token": "<bos>",
            "add_bos_token": true,
        });
        let added = json!({ "<user>": next });
        let folder = with(&[("tokenizer_config.json", config), ("added_tokens.json", added)]);
        let tokenizer = load(folder.path());
        assert_eq!(ids(&tokenizer, "<user> <sep><bos>"), [next, next + 1, next + 2]);
        assert_eq!(tokenizer.bos_token(Bos::Tokenizer, None).expect("it is known"), Some(next + 2));
        assert_eq!(tokenizer.vocab_size(), next as usize + 3);
    }

    #[test]
    fn listed_special_tokens_follow() {
        let next = n_tokens();
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let list = json!({ key: ["<a>", { "content": "<b>" }] });
            let tokenizer = load(with(&[("special_tokens_map.json", list)]).path());
            assert_eq!(ids(&tokenizer, "<a><b>"), [next, next + 1], "{key}");
        }
    }

    #[test]
    fn ids_that_cannot_be_kept_are_refused() {
        let next = n_tokens();
        for id in [3, next + 1] {
            let folder = with(&[("added_tokens.json", json!({ "<user>": id }))]);
            check_refused(folder.path(), &[&format!("added token {id} does not follow the others")]);
        }
    }

    #[test]
    fn other_classes_are_refused() {
        let folder = with(&[("tokenizer_config.json", json!({ "tokenizer_class": "Qwen2Tokenizer" }))]);
        check_refused(folder.path(), &["vocab.json", "Qwen2Tokenizer", "save_pretrained"]);
    }

    #[test]
    fn a_beginning_of_text_without_an_id_is_refused() {
        let mut renamed = vocab();
        let entries = renamed.as_object_mut().expect("an object");
        let id = entries.remove("<|endoftext|>").expect("it has one");
        entries.insert("<|other|>".to_owned(), id);
        let config = json!({ "add_bos_token": true });
        let folder = with(&[("tokenizer_config.json", config), ("vocab.json", renamed)]);
        check_refused(folder.path(), &["tokenizer_config.json", "bos_token"]);
    }

    #[test]
    fn vocabularies_that_are_none_are_refused() {
        check_refused(with(&[("vocab.json", json!([]))]).path(), &["vocab.json: cannot read it"]);
        check_refused(with(&[("vocab.json", json!({ "a": 0 }))]).path(), &["255 of the 256 bytes"]);
        let mut holes = vocab();
        holes["far"] = json!(u32::MAX);
        check_refused(with(&[("vocab.json", holes)]).path(), &["ids run to 4294967295"]);
    }

    #[test]
    fn merges_that_are_none_are_refused() {
        let refused = |text: &str, says: &str| {
            let folder = with(&[]);
            fs::write(folder.path().join("merges.txt"), text).expect("the file can be written");
            check_refused(folder.path(), &["merges.txt", says]);
        };
        refused("#version: 0.2\nh e\nh", "line 3 is not two entries");
        refused("h e r", "line 1 is not two entries");
        refused("h no-such-entry", "line 1 is not two entries");
        refused("<|endoftext|> <|endoftext|>", "the two parts of line 1 together");
    }

    #[test]
    fn special_tokens_of_another_layout_are_refused() {
        let folder = with(&[("special_tokens_map.json", json!({ "bos_token": 7 }))]);
        check_refused(folder.path(), &["cannot read its special tokens"]);
        let folder = with(&[("added_tokens.json", json!(["<user>"]))]);
        check_refused(folder.path(), &["cannot read its added tokens"]);
    }
}
