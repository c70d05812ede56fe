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
use userprint_model::{CausalLm, HfTokenizer, LocalScorer, ModelConfig, ScoringOptions, checkpoint, gpt_neo};
use userprint_score::Scorer;
use userprint_stats::audit::{CoinFlips, GuessCounts, PrivacyClaim, Verdict};
use userprint_train::{
    Checkpoints, NoiseKey, OptimizerConfig, Packing, Randomness, Schedule, StepReport, TrainData,
    TrainSettings, Validation, train,
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

/// Who there is: all canaries with their coins, and what the training sees.
struct World {
    canary: Canary,
    canaries: Vec<Vec<String>>,
    coins: CoinFlips,
    tokenizer: HfTokenizer,
    documents: Ragged<u32>,
    owners: Vec<UserIdx>,
    validation: Validation,
    start: CausalLm<Cpu>,
    config: ModelConfig,
}

impl World {
    fn new(canary: Canary) -> Self {
        let (canaries, population) = (canaries(canary), population());
        let coins = CoinFlips::toss(CANARIES, 7).expect("canaries");
        // Often enough for a canary's own word to be one token.
        let keys = canaries.iter().flatten().filter_map(|text| text.split(' ').next());
        let all = canaries.iter().chain(&population).flatten().map(String::as_str);
        let often: Vec<&str> = keys.flat_map(|key| [key; 100]).chain(all).collect();
        let tokenizer = HfTokenizer::train(&often, VOCABULARY).expect("room for all bytes");
        let included =
            canaries.iter().zip(coins.heads()).filter(|(_, heads)| **heads).map(|(texts, _)| texts);
        let (mut documents, mut owners) = (Ragged::new(), Vec::new());
        for (user, texts) in population.iter().chain(included).enumerate() {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for ids in tokenizer.encode(&texts).expect("all bytes have ids").ids.rows() {
                documents.push(ids.iter().copied());
                owners.push(UserIdx(user as u32));
            }
        }
        let validation = Validation { held_in: population[0].clone(), held_out: Vec::new() };
        let config = gpt_neo::small(VOCABULARY, CONTEXT, 32, 2, 2).expect("sizes that fit together");
        let start = CausalLm::init(config.decoder.clone(), Seed(3), &Default::default());
        Self { canary, canaries, coins, tokenizer, documents, owners, validation, start, config }
    }

    /// Whose privacy is to be kept, on these data.
    fn target(&self, epsilon: f64) -> PrivacyTarget {
        let (n_examples, n_users) =
            (self.documents.n_rows() as u64, self.owners.last().map_or(0, |last| last.0 + 1));
        let n_sampled = match self.canary {
            Canary::Example => n_examples,
            Canary::User => u64::from(n_users),
        };
        PrivacyTarget {
            epsilon,
            delta: DELTA,
            sampling: self.canary.sampling(),
            length: Length::Steps(STEPS),
            batch: BatchChoice::Expected((SAMPLING_PROBABILITY * n_sampled as f64) as u64),
            n_examples,
            n_users: n_users.into(),
            n_parameters: 1,
        }
    }

    /// The trained model, and what the training claims.
    fn train(&self, rule: TrainingRule) -> (CausalLm<Cpu>, Option<Claim>) {
        let settings = TrainSettings {
            rule,
            packing: Packing::Documents,
            block_tokens: CONTEXT,
            epochs: u32::MAX,
            max_steps: STEPS,
            learning_rate: 1e-2,
            warmup_steps: 5,
            schedule: Schedule::Linear,
            optimizer: OptimizerConfig::ADAM,
            evaluations: 1,
            checkpoint_every: None,
            checkpoints: None,
            stop: StopRule::Never,
            microbatch_size: 32,
            activation_checkpointing: false,
            delta: Some(DELTA),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let Self { documents, owners, validation, config, tokenizer, .. } = self;
        let data = TrainData { documents, owners, separator: BOS, validation };
        let fingerprint = Fingerprinter::new().with("audit").finish();
        let checkpoints = Checkpoints { folder: folder.path(), config, tokenizer, fingerprint };
        let randomness = Randomness { seed: Seed(5), noise_key: Some(NoiseKey::new([42; 32])) };
        let mut watch = |_: &StepReport| ControlFlow::Continue(());
        let outcome = train::<Cpu>(&self.start, &data, &settings, &randomness, &checkpoints, &mut watch);
        let trained = checkpoint::load(folder.path(), &Default::default()).expect("it was kept").0;
        (trained, outcome.expect("it trains").claim)
    }

    /// Log-likelihood of each canary.
    fn score(&self, id: &str, lm: CausalLm<Cpu>) -> Vec<f64> {
        let options = ScoringOptions { bos_token: Some(BOS), ..ScoringOptions::default() };
        let scorer = LocalScorer::new(id, lm, Arc::new(self.tokenizer.clone()), options);
        let texts: Vec<&str> = self.canaries.iter().flatten().map(String::as_str).collect();
        let found = scorer.score(&texts, Detail::Total).expect("texts with tokens").log_likelihood;
        found.chunks(self.canary.n_documents()).map(|own| own.iter().sum()).collect()
    }
}

/// Trains by the rule on everybody and on the canaries that coins include; what the canaries then show.
fn audit(world: &World, rule: TrainingRule) -> (UserAudit, Option<Claim>) {
    let (trained, claim) = world.train(rule);
    let (target, reference) = (world.score("target", trained), world.score("reference", world.start.clone()));
    let statistics = UserStatistics {
        user: (0..CANARIES as u32).map(UserIdx).collect(),
        held_in: world.coins.heads().to_vec(),
        statistic: target.iter().zip(reference).map(|(target, reference)| target - reference).collect(),
        n_examples: vec![world.canary.n_documents() as u32; CANARIES],
    };
    let guesses = GuessCounts { n_in: GUESSES / 2, n_out: GUESSES / 2 };
    let claimed = claim.as_ref();
    let claimed = claimed.map(|claim| PrivacyClaim::new(claim.epsilon(), claim.delta()).expect("a claim"));
    let plan = AuditPlan { guesses, delta: DELTA, claim: claimed };
    (audit_users(&statistics, &world.coins, &plan).expect("one statistic a coin"), claim)
}

/// The lower bound stays under the claim; one above it at .05 alone is a warning.
#[track_caller]
fn check_claim(canary: Canary, epsilon: f64) {
    let world = World::new(canary);
    let plan = world.target(epsilon).plan().expect("a target that can be kept");
    let (found, claim) = audit(&world, plan.rule(CLIP_NORM).expect("values in range"));
    let claim = claim.expect("there is noise");
    assert!(claim.epsilon() <= epsilon && claim.epsilon() > 0.99 * epsilon, "{claim}");
    say(&claim, &found);
    assert_ne!(found.verdict, Some(Verdict::Fail), "{claim}: {:?}", found.bounds);
}

#[expect(
    clippy::print_stderr,
    reason = "a bound above the claim at .05 alone is a warning, which must be seen"
)]
fn say(claim: &Claim, found: &UserAudit) {
    let UserAudit { guessed, bounds, .. } = found;
    let (right, all) = (guessed.n_correct(), guessed.n_guesses());
    let warning = if found.verdict == Some(Verdict::Warn) { "WARNING: " } else { "" };
    let [warn, fail] = [bounds.warn().epsilon, bounds.fail().epsilon];
    eprintln!(
        "{warning}{claim}: {right} of {all} right, epsilon at least {warn:.2} at .05, {fail:.2} at .001"
    );
}

/// Without noise the same audit sees the canaries.
#[track_caller]
fn check_sees(canary: Canary) {
    let world = World::new(canary);
    let rule = TrainingRule::dp_sgd(canary.sampling(), SAMPLING_PROBABILITY, CLIP_NORM, 0.0);
    let (found, claim) = audit(&world, rule.expect("values in range"));
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
