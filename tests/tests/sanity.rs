//! Two runs whose answer is known: users who cannot be missed, and a model that was never fine-tuned.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use userprint_attack::{
    Aggregate, LikelihoodRatio, ScoredExamples, TokenMeanLikelihoodRatio, evaluate, user_statistics, validity,
};
use userprint_core::{Detail, ExampleSource, Fingerprinter, Membership, Role, Seed, TextScores, UserIdx};
use userprint_data::{
    InMemoryCorpus, Partition, Population, PopulationConfig, Selection, UserSplit, partition,
};
use userprint_mitigate::{StopRule, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::{CausalLm, HfTokenizer, LocalScorer, ModelConfig, ScoringOptions, checkpoint, gpt_neo};
use userprint_score::Scorer;
use userprint_train::{
    Checkpoints, OptimizerConfig, Packing, Schedule, StepReport, Tokenized, TrainData, TrainSettings,
    Validation, tokenize, train,
};

/// Users on each side, and as many who are public.
const SIDE: u32 = 16;
const CONTEXT: usize = 64;

/// A population with its split, and what models of it are made of.
struct World {
    corpus: InMemoryCorpus,
    partition: Partition,
    tokenizer: HfTokenizer,
    config: ModelConfig,
    folder: TempDir,
}

impl World {
    fn new(phrase_probability: f64) -> Self {
        let config = PopulationConfig {
            n_users: 3 * SIDE,
            n_topics: 3,
            n_words: 60,
            min_tokens: 24,
            max_tokens: 40,
            n_habit_words: 6,
            n_phrases: 2,
            phrase_tokens: 6,
            phrase_probability,
            share_exponent: 0.0,
            total_documents: 24 * 3 * SIDE,
            ..PopulationConfig::smoke()
        };
        let population = Population::new(config, Seed(1)).expect("settings in range");
        let corpus = population.sample_corpus(Seed(2));
        let split = UserSplit {
            public: 1.0 / 3.0,
            held_in: 0.5,
            validation: 0.1,
            test: 0.0,
            attack: 0.2,
            min_examples: 5,
        };
        let partition = partition(&corpus, &split, Seed(3)).expect("enough users");
        let public = texts(&select(&corpus, &partition, Membership::Public, Role::Train));
        let public: Vec<&str> = public.iter().map(String::as_str).collect();
        let tokenizer = HfTokenizer::train(&public, 400).expect("room for all bytes");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = gpt_neo::small(400, CONTEXT, 32, 2, 2).expect("sizes that fit together");
        Self { corpus, partition, tokenizer, config, folder }
    }

    fn select(&self, membership: Membership, role: Role) -> Selection<'_> {
        select(&self.corpus, &self.partition, membership, role)
    }

    fn fresh(&self) -> CausalLm<Cpu> {
        CausalLm::init(self.config.decoder.clone(), Seed(4), &Default::default())
    }

    /// Trains on the users of a membership; the answer is the kept checkpoint, read back from the disk.
    fn train(&self, start: &CausalLm<Cpu>, on: Membership, epochs: u32, max_steps: u64) -> CausalLm<Cpu> {
        let Tokenized { documents, owners } =
            tokenize(&self.select(on, Role::Train), &self.tokenizer).expect("all bytes have ids");
        let validation =
            Validation { held_in: texts(&self.select(on, Role::Validation)), held_out: Vec::new() };
        let separator = self.config.eos_token_id.expect("configs made here have one");
        let data = TrainData { documents: &documents, owners: &owners, separator, validation: &validation };
        let settings = TrainSettings {
            rule: TrainingRule::plain(8).expect("a batch of 8"),
            packing: Packing::Blocks,
            block_tokens: CONTEXT,
            epochs,
            max_steps,
            learning_rate: 1e-2,
            warmup_steps: 10,
            schedule: Schedule::Linear,
            optimizer: OptimizerConfig::ADAM,
            evaluations: 6,
            checkpoint_every: None,
            checkpoints: None,
            stop: StopRule::Never,
            microbatch_size: 16,
            activation_checkpointing: false,
            delta: None,
        };
        let folder = self.folder.path().join(on.name());
        let (config, tokenizer) = (&self.config, &self.tokenizer);
        let fingerprint = Fingerprinter::new().with(on.name()).finish();
        let checkpoints = Checkpoints { folder: &folder, config, tokenizer, fingerprint };
        let mut watch = |_: &StepReport| ControlFlow::Continue(());
        train::<Cpu>(start, &data, &settings, &Seed(5).into(), &checkpoints, &mut watch).expect("it trains");
        read(&folder)
    }

    /// The attack examples of both sides under two models.
    fn score(&self, target: CausalLm<Cpu>, reference: CausalLm<Cpu>) -> ScoredExamples {
        let bos_token = self.config.bos_token_id;
        let options = ScoringOptions { bos_token, ..ScoringOptions::default() };
        let scorers = [("target", target), ("reference", reference)]
            .map(|(id, lm)| LocalScorer::new(id, lm, Arc::new(self.tokenizer.clone()), options));
        let (mut user, mut held_in) = (Vec::new(), Vec::new());
        let mut scores = [TextScores::default(), TextScores::default()];
        for (membership, is_held_in) in [(Membership::HeldIn, true), (Membership::HeldOut, false)] {
            let selection = self.select(membership, Role::Attack);
            let first = user.last().map_or(0, |last: &UserIdx| last.0 + 1);
            for at in 0..selection.users().len() as u32 {
                let texts = selection.texts(UserIdx(at)).expect("the corpus is in memory");
                user.extend(vec![UserIdx(first + at); texts.len()]);
                held_in.extend(vec![is_held_in; texts.len()]);
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                for (scorer, scores) in scorers.iter().zip(&mut scores) {
                    scores.append(scorer.score(&texts, Detail::Tokens).expect("texts that are not empty"));
                }
            }
        }
        let [target, reference] = scores;
        ScoredExamples::new(user, held_in, target, reference).expect("scores of one corpus")
    }
}

fn select<'c>(
    corpus: &'c InMemoryCorpus,
    partition: &Partition,
    of: Membership,
    role: Role,
) -> Selection<'c> {
    Selection::new(corpus, partition, of, role).expect("the partition of this corpus")
}

fn texts(source: &dyn ExampleSource) -> Vec<String> {
    let users = (0..source.users().len() as u32).map(UserIdx);
    users.flat_map(|user| source.texts(user).expect("the corpus is in memory")).collect()
}

fn read(folder: &Path) -> CausalLm<Cpu> {
    checkpoint::load(folder, &Default::default()).expect("a checkpoint was kept").0
}

/// Canaries: half of what a user writes is one of two phrases of six words, and training sees each hundreds of times.
#[test]
fn obvious_users_are_found() {
    let world = World::new(0.5);
    let reference = world.fresh();
    let target = world.train(&reference, Membership::HeldIn, 10, u64::MAX);
    let examples = world.score(target, reference);
    let users = user_statistics(&examples, &TokenMeanLikelihoodRatio, Aggregate::Mean).unwrap();
    let result = evaluate(&users, 100, Seed(6)).unwrap();
    assert!(result.auroc > 0.95, "{}", result.auroc);
    assert!(result.auroc_interval.lower > 0.5);
    let twice = || examples.reference().clone();
    let of_reference =
        ScoredExamples::new(examples.user().to_vec(), examples.held_in().to_vec(), twice(), twice()).unwrap();
    assert_eq!(validity::placebo(&of_reference, &TokenMeanLikelihoodRatio, Aggregate::Mean).unwrap(), 0.5);
}

/// Training of no steps keeps the reference.
///
/// Then nothing tells the sides apart: every ratio is exactly 0, and the reference's own log-likelihood ranks users
/// by how plainly they write. Under another seed its 99.9 % interval would miss .5 with chance .001.
#[test]
fn without_fine_tuning_nothing_is_found() {
    let world = World::new(0.1);
    let reference = world.train(&world.fresh(), Membership::Public, 2, u64::MAX);
    let target = world.train(&reference, Membership::HeldIn, 1, 0);
    let examples = world.score(target, reference);
    assert_eq!(examples.target(), examples.reference(), "the same weights give the same scores");

    for statistic in [&TokenMeanLikelihoodRatio as &dyn userprint_attack::Statistic, &LikelihoodRatio] {
        let users = user_statistics(&examples, statistic, Aggregate::Mean).unwrap();
        assert!(users.statistic.iter().all(|&statistic| statistic == 0.0), "{statistic:?}");
        assert_eq!(evaluate(&users, 100, Seed(6)).unwrap().auroc, 0.5, "{statistic:?}");
    }
    let null = validity::null(&examples).unwrap();
    assert!(null.interval.contains(0.5) && null.p_value > 0.001, "{null:?}");
}
