//! Privacy by experiment: canaries that coins put into a training, guessed from the trained model, against what it claims.
//!
//! Each test is one training on a part of the synthetic population and some hundred canaries of random words, and takes
//! about ten seconds on two cores. A sound training fails one of them with a chance of at most .001 each.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use rand::RngExt;
use userprint_attack::{AuditPlan, UserAudit, UserStatistics, audit_users};
use userprint_core::{Detail, Fingerprinter, Ragged, Seed, Tokenize, UserIdx};
use userprint_data::{Corpus, Population, PopulationConfig};
use userprint_mitigate::{BatchChoice, Claim, DpSampling, Length, PrivacyTarget, StopRule, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::{CausalLm, HfTokenizer, LocalScorer, ScoringOptions, checkpoint, gpt_neo};
use userprint_score::Scorer;
use userprint_stats::audit::{CoinFlips, GuessCounts, PrivacyClaim, Verdict};
use userprint_train::{
    Checkpoints, NoiseKey, Packing, Randomness, StepReport, TrainData, TrainSettings, Validation, train,
};

const CANARIES: usize = 600;
/// Of those, the surest on either side are guessed.
const GUESSES: usize = 140;
/// Documents of a user, canary or not.
const DOCUMENTS: usize = 2;
const STEPS: u64 = 150;
const SAMPLING_PROBABILITY: f64 = 0.1;
const CLIP_NORM: f64 = 0.5;
const DELTA: f64 = 1e-5;
const CONTEXT: usize = 32;
const VOCABULARY: usize = 2500;
const BOS: u32 = 0;

/// Canaries are users of several documents, or examples of one.
#[derive(Clone, Copy)]
enum Canary {
    Example,
    User,
}

impl Canary {
    fn n_documents(self) -> usize {
        match self {
            Self::Example => 1,
            Self::User => DOCUMENTS,
        }
    }

    fn sampling(self) -> DpSampling {
        match self {
            Self::Example => DpSampling::Examples,
            Self::User => DpSampling::Users { examples_per_user: DOCUMENTS as u32 },
        }
    }
}

/// Texts of four words for each canary: a word of its own, and some that only who learnt the text by heart expects after it.
fn canaries(canary: Canary) -> Vec<Vec<String>> {
    let mut rng = Seed(11).named("canaries").rng();
    let mut keys = BTreeSet::new();
    while keys.len() < CANARIES * canary.n_documents() {
        let letters: String = (0..3).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
        keys.insert(letters);
    }
    let mut value = || char::from(rng.random_range(b'a'..=b'p')).to_string().repeat(3);
    let texts: Vec<String> = keys.into_iter().map(|key| [key, value(), value(), value()].join(" ")).collect();
    texts.chunks(canary.n_documents()).map(<[String]>::to_vec).collect()
}

/// Texts of ordinary users.
fn population() -> Vec<Vec<String>> {
    let config = PopulationConfig { n_users: 60, total_documents: 60 * 24, ..PopulationConfig::smoke() };
    let corpus = Population::new(config, Seed(1)).expect("settings in range").sample_corpus(Seed(2));
    let texts = |user| {
        let examples = corpus.examples(UserIdx(user)).expect("the corpus is in memory");
        examples.into_iter().take(DOCUMENTS).map(|example| example.text).collect()
    };
    (0..60).map(texts).collect()
}

/// Trains by the rule on everybody and on the canaries that coins include; what the canaries then show.
fn audit(
    canary: Canary,
    rule_for: impl FnOnce(PrivacyTarget) -> TrainingRule,
    n_guesses: usize,
) -> (UserAudit, Option<Claim>) {
    let (canaries, population) = (canaries(canary), population());
    let coins = CoinFlips::toss(CANARIES, 7).expect("canaries");
    let included = canaries.iter().zip(coins.heads()).filter(|(_, heads)| **heads).map(|(texts, _)| texts);
    let users: Vec<&Vec<String>> = population.iter().chain(included).collect();
    let all: Vec<&str> = canaries.iter().chain(&population).flatten().map(String::as_str).collect();
    // Often enough for a canary's own word to be one token.
    let keys = canaries.iter().flatten().filter_map(|text| text.split(' ').next());
    let often: Vec<&str> = keys.flat_map(|key| [key; 100]).chain(all).collect();
    let tokenizer = HfTokenizer::train(&often, VOCABULARY).expect("room for all bytes");
    let (mut documents, mut owners) = (Ragged::new(), Vec::new());
    for (user, texts) in users.iter().enumerate() {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for ids in tokenizer.encode(&texts).expect("all bytes have ids").ids.rows() {
            documents.push(ids.iter().copied());
            owners.push(UserIdx(user as u32));
        }
    }
    let config = gpt_neo::small(VOCABULARY, CONTEXT, 32, 2, 2).expect("sizes that fit together");
    let start = CausalLm::<Cpu>::init(config.decoder.clone(), Seed(3), &Default::default());
    let sampled = match canary {
        Canary::Example => documents.n_rows(),
        Canary::User => users.len(),
    };
    let rule = rule_for(PrivacyTarget {
        epsilon: 1.0,
        delta: DELTA,
        sampling: canary.sampling(),
        length: Length::Steps(STEPS),
        batch: BatchChoice::Expected((SAMPLING_PROBABILITY * sampled as f64) as u64),
        n_examples: documents.n_rows() as u64,
        n_users: users.len() as u64,
        n_parameters: 1,
    });
    let settings = TrainSettings {
        rule,
        packing: Packing::Documents,
        block_tokens: CONTEXT,
        epochs: u32::MAX,
        max_steps: STEPS,
        learning_rate: 1e-2,
        warmup_steps: 5,
        evaluations: 1,
        checkpoint_every: None,
        stop: StopRule::Never,
        microbatch_size: 32,
        delta: Some(DELTA),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let validation = Validation { held_in: population[0].clone(), held_out: Vec::new() };
    let data = TrainData { documents: &documents, owners: &owners, separator: BOS, validation: &validation };
    let fingerprint = Fingerprinter::new().with("audit").finish();
    let checkpoints =
        Checkpoints { folder: folder.path(), config: &config, tokenizer: &tokenizer, fingerprint };
    let randomness = Randomness { seed: Seed(5), noise_key: Some(NoiseKey::new([42; 32])) };
    let mut watch = |_: &StepReport| ControlFlow::Continue(());
    let outcome =
        train::<Cpu>(&start, &data, &settings, &randomness, &checkpoints, &mut watch).expect("it trains");
    let target = checkpoint::load::<Cpu>(folder.path(), &Default::default()).expect("it was kept").0;

    let tokenizer = Arc::new(tokenizer);
    let options = ScoringOptions { bos_token: Some(BOS), ..ScoringOptions::default() };
    let score = |id: &str, lm| {
        let scorer = LocalScorer::new(id, lm, tokenizer.clone(), options);
        let texts: Vec<&str> = canaries.iter().flatten().map(String::as_str).collect();
        scorer.score(&texts, Detail::Total).expect("texts with tokens").log_likelihood
    };
    let (target, reference) = (score("target", target), score("reference", start));
    let ratios: Vec<f64> =
        target.iter().zip(reference).map(|(target, reference)| target - reference).collect();
    let statistics = UserStatistics {
        user: (0..CANARIES as u32).map(UserIdx).collect(),
        held_in: coins.heads().to_vec(),
        statistic: ratios.chunks(canary.n_documents()).map(|own| own.iter().sum()).collect(),
        n_examples: vec![canary.n_documents() as u32; CANARIES],
    };
    let guesses = GuessCounts { n_in: n_guesses / 2, n_out: n_guesses / 2 };
    let claim = outcome.claim.as_ref();
    let claim = claim.map(|claim| PrivacyClaim::new(claim.epsilon(), claim.delta()).expect("a claim"));
    let plan = AuditPlan { guesses, delta: DELTA, claim };
    (audit_users(&statistics, &coins, &plan).expect("one statistic a coin"), outcome.claim)
}

/// The lower bound stays under the claim; one above it at .05 alone is a warning.
#[track_caller]
fn check_claim(canary: Canary, epsilon: f64) {
    let rule = |target: PrivacyTarget| {
        let plan = PrivacyTarget { epsilon, ..target }.plan().expect("a target that can be kept");
        plan.rule(CLIP_NORM).expect("values in range")
    };
    let (found, claim) = audit(canary, rule, GUESSES);
    let claim = claim.expect("there is noise");
    assert!(claim.epsilon() <= epsilon && claim.epsilon() > 0.99 * epsilon, "{claim}");
    eprintln!(
        "{claim}: {} of {} right, {:?}",
        found.guessed.n_correct(),
        found.guessed.n_guesses(),
        found.bounds
    );
    assert_ne!(found.verdict, Some(Verdict::Fail), "{claim}: {:?}", found.bounds);
}

/// Without noise the same audit sees the canaries.
#[track_caller]
fn check_sees(canary: Canary) {
    let rule = |target: PrivacyTarget| {
        TrainingRule::dp_sgd(target.sampling, SAMPLING_PROBABILITY, CLIP_NORM, 0.0).expect("values in range")
    };
    let (found, claim) = audit(canary, rule, GUESSES);
    assert_eq!(claim, None);
    let bound = found.bounds.warn().epsilon;
    assert!(bound >= 3.0, "{} of {} right: {bound}", found.guessed.n_correct(), found.guessed.n_guesses());
}

#[test]
fn without_noise_examples_are_seen() {
    check_sees(Canary::Example);
}

#[test]
fn without_noise_users_are_seen() {
    check_sees(Canary::User);
}

#[test]
fn examples_at_epsilon_1() {
    check_claim(Canary::Example, 1.0);
}

#[test]
fn examples_at_epsilon_4() {
    check_claim(Canary::Example, 4.0);
}

#[test]
fn examples_at_epsilon_16() {
    check_claim(Canary::Example, 16.0);
}

#[test]
fn users_at_epsilon_1() {
    check_claim(Canary::User, 1.0);
}

#[test]
fn users_at_epsilon_4() {
    check_claim(Canary::User, 4.0);
}

#[test]
fn users_at_epsilon_16() {
    check_claim(Canary::User, 16.0);
}
