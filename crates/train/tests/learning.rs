//! A tiny model learns two texts by heart, and early stopping notices.

mod tiny;

use std::sync::Arc;

use tiny::Tiny;
use userprint_core::Detail;
use userprint_mitigate::StopRule;
use userprint_model::backend::Cpu;
use userprint_model::{LocalScorer, ScoringOptions, checkpoint};
use userprint_score::Scorer;

const TEXTS: [&str; 2] = ["the fox sees seven red stones", "a grey heron waits by the lake"];
const OTHER: [&str; 2] = ["seven herons by a red lake", "stones the fox waits"];

/// 150 steps over both texts.
fn tiny(held_in: &[&str], held_out: &[&str]) -> Tiny {
    let mut tiny = Tiny::new(&TEXTS, held_in, held_out);
    tiny.settings.epochs = 150;
    tiny.settings.evaluations = 15;
    tiny.settings.warmup_steps = 10;
    tiny
}

#[test]
fn two_texts_are_learnt_by_heart() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = tiny(&TEXTS, &OTHER).train(folder.path()).expect("training ends well");
    let (first, last) = (outcome.curve[0], outcome.curve[15]);
    assert!((first.held_in - 300f64.ln()).abs() < 0.2, "a fresh model guesses: {}", first.held_in);
    // Nobody knows which of the two texts comes: their first tokens cost 2 ln 2 together, the rest nothing.
    let least = 2.0 * 2f64.ln() / (outcome.n_tokens.expect("no secret samples") / 150) as f64;
    for loss in [last.held_in, last.train_loss.expect("steps were done")] {
        assert!(least * 0.9999 < loss && loss < least + 0.05, "loss {loss}, the least is {least}");
    }
    assert!(last.held_out.expect("held-out texts") > 2.0, "held-out loss {:?}", last.held_out);
}

#[test]
fn patience_ends_training_and_the_best_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tiny = tiny(&OTHER, &[]);
    tiny.settings.stop = StopRule::Patience { evaluations: 2 };
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert!(outcome.steps < 150, "it went on to the end");
    let best = outcome.curve.iter().position(|point| point.step == outcome.best_step).expect("a point");
    assert_eq!(outcome.curve.len(), best + 3, "two evaluations after the best");
    let held_in = outcome.curve[best].held_in;
    assert!(outcome.curve.iter().all(|point| point.held_in >= held_in), "not the least loss");
    assert!(outcome.curve.iter().all(|point| point.held_out.is_none()));

    let (kept, _) =
        checkpoint::load::<Cpu>(folder.path(), &Default::default()).expect("the checkpoint loads");
    let options = ScoringOptions { bos_token: Some(0), ..ScoringOptions::default() };
    let scorer = LocalScorer::new("kept", kept, Arc::new(tiny.tokenizer), options);
    let scores = scorer.score(&OTHER, Detail::Total).expect("all texts can be scored");
    let n_tokens: u32 = scores.n_tokens.iter().sum();
    let loss = -scores.log_likelihood.iter().sum::<f64>() / f64::from(n_tokens);
    assert_eq!(
        loss.to_bits(),
        held_in.to_bits(),
        "the kept model's loss is {loss}, the curve says {held_in}"
    );
}
