//! A model that was really pre-trained: plain prose for children is likely under it, and under random weights it is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use userprint_core::{Detail, Seed};
use userprint_model::backend::Cpu;
use userprint_model::{Bos, CausalLm, LocalScorer, ScoringOptions, checkpoint};
use userprint_score::Scorer;

/// In the manner of the stories that the model was trained on.
const STORIES: [&str; 3] = [
    "Once upon a time, there was a boy named Tim. Tim had a toy car that he loved very much. One day, Tim went \
     to the park with his mom. He saw a dog and wanted to play with it. The dog was very happy and wagged its \
     tail. Tim and the dog played all day. They became best friends.",
    "One day, a little bird was looking for food. It saw a big tree with many red apples. The bird wanted to eat \
     an apple, but it was too high. A kind cat came and said, \"I can help you.\" The bird was happy and they \
     shared the apple. They were good friends from that day on.",
    "Sara and her brother liked to play in the garden. They found a small box under a tree. Sara wanted to open \
     it, but it was stuck. Her brother said, \"Let us ask Dad.\" Dad opened the box and they saw a shiny stone. \
     They were so excited and said thank you.",
];

const SENTENCES: [&str; 3] = [
    "The cat sat on the bed. It was a sunny day and the cat was happy.",
    "Mom made soup for dinner. The soup was hot and Ben had to wait.",
    "The boy ran to the big tree and looked up at the sky.",
];

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/checkpoints/stories260K");
    if !folder.is_dir() {
        skipped();
    }
    Some(folder).filter(|folder| folder.is_dir())
}

#[expect(clippy::print_stderr, reason = "a test that could not run must not look like one that passed")]
fn skipped() {
    eprintln!("SKIPPED: there is no ../shared/checkpoints/stories260K");
}

/// Nats per token.
fn loss(scorer: &LocalScorer, texts: &[&str]) -> f64 {
    let scores = scorer.score(texts, Detail::Total).expect("the texts can be scored");
    let n_tokens: u64 = scores.n_tokens.iter().map(|&n| u64::from(n)).sum();
    -scores.log_likelihood.iter().sum::<f64>() / n_tokens as f64
}

#[test]
fn prose_for_children_is_likely() {
    let Some(folder) = folder() else { return };
    let (lm, config) = checkpoint::load::<Cpu>(&folder, &Default::default()).expect("the model loads");
    let tokenizer = Arc::new(checkpoint::load_tokenizer(&folder, &config).expect("the tokenizer loads"));
    let bos_token = tokenizer.bos_token(Bos::Tokenizer, config.bos_token_id).expect("it is known");
    assert_eq!(bos_token, Some(1), "texts begin with <s>, as in SentencePiece's Llama models");
    let options = ScoringOptions { bos_token, ..ScoringOptions::default() };
    let scorer = |lm| LocalScorer::new("stories", lm, tokenizer.clone(), options);

    let random = CausalLm::init(config.decoder.clone(), Seed(1), &Default::default());
    let (trained, random) = (scorer(lm), scorer(random));
    let stories = loss(&trained, &STORIES);
    assert!((0.7..1.5).contains(&stories), "{stories} nats per token of stories");
    let sentences = loss(&trained, &SENTENCES);
    assert!((1.3..3.0).contains(&sentences), "{sentences} nats per token of sentences");
    let untrained = loss(&random, &SENTENCES);
    assert!((5.9..6.6).contains(&untrained), "{untrained} nats per token under random weights");
}
