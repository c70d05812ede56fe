//! Attack: statistics of users, the AUROC with its interval, and the checks that may void it.

mod canaries;
mod checks;
mod exact;
mod factors;
mod table;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use rand::seq::index;
use userprint_attack::sequential::{Boundary, SequentialSettings, UserShare, sequential};
use userprint_attack::{
    AttackError, AttackResult, PerUser, ScoredExamples, UserStatistics, Validity, evaluate,
    example_statistics, knowledge_curve, knowledge_steps, per_user, user_statistics, validity,
    with_knowledge_of,
};
use userprint_core::{Membership, Role, UserId, UserIdx};
use userprint_score::ScoreTable;
use userprint_score::store::{self, StatisticsTable};

use super::pretrain::{TrainingRecord, n_examples, read_summary};
use super::score::{AttackExample, attack_examples};
use super::{StageOutput, prepare, score, train};
use crate::experiment::Experiment;
use crate::pipeline::Pipeline;
use crate::results::{
    AttackRow, AurocPoint, BootstrapSummary, CurvePoint, Detection, ExampleCounts, KnowledgePoint, Results,
    SequentialSummary, ShareRow, UserCounts, ValidationLoss,
};
use table::AttackTable;

/// File of the users' statistics in the run folder.
pub(crate) const STATISTICS: &str = "statistics.parquet";
/// File of the results in the run folder.
pub(crate) const RESULTS: &str = "results.json";

/// The error rates that the attack one example at a time is asked to hold.
const SEQUENTIAL_RATE: f64 = 0.1;

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    let experiment = &pipeline.experiment;
    let examples = attack_examples(pipeline)?;
    let target = read_scores(pipeline, score::TARGET, &examples)?;
    let reference = read_scores(pipeline, score::REFERENCE, &examples)?;
    let training = TrainingRecord::read(&pipeline.folder.file(train::TARGET))?;
    check_models(&target, &reference, training.best_step)?;
    let named = mislabelled(&examples, experiment);
    let placebo = placebo(experiment, &named, &reference)?;
    let (auroc_curve, kept) =
        auroc_curve(pipeline, [&examples, &named], &reference, &training)?.into_iter().unzip();
    let examples = named;
    let (users, scored) = join(&examples, target, reference)?;

    let headline = headline(experiment, &scored)?;
    let table = table::table(experiment, &scored, &headline)?;
    let validity = checks::validity(pipeline, &examples, &users, &scored, &headline, placebo)?;
    let per_user = per_user(&headline.users, experiment.raw.attack.false_discovery_rate)?;
    let tables = Columns {
        headline: &headline,
        per_user: &per_user,
        attacks: &table.attacks,
        known: known(experiment, &scored)?,
        kept,
        canaries: canaries::flags(pipeline, &users, &headline.users)?,
    };
    tables.write(pipeline, &users)?;
    let mut results = results(pipeline, &scored, &headline, &per_user, &table, &validity)?;
    results.auroc_curve = auroc_curve;
    results.canaries = canaries::rows(pipeline, &users, &headline.users)?;
    (results.exposure, results.bounds) =
        factors::factors(pipeline, &examples, &users, &scored, &headline.users, &per_user)?;
    results.exact = exact::rows(pipeline, &examples, &users, &scored)?;
    pipeline.folder.write(RESULTS, serde_json::to_string_pretty(&results)?.as_bytes())?;
    let void = if results.void.is_empty() { "valid" } else { "VOID" };
    let note = format!(
        "AUROC {:.3}, null {:.3}, blind {:.3}: {void}",
        results.auroc, results.null_auroc, results.blind_auroc
    );
    Ok(StageOutput::new(&[STATISTICS, RESULTS], note))
}

/// The examples with a share of them under others' names: their users change places at random.
///
/// # Reference
/// Kandpal et al., EMNLP 2024, Proposition 2: users that are mixed up can only be harder to tell apart.
fn mislabelled(examples: &[AttackExample], experiment: &Experiment) -> Vec<AttackExample> {
    let mut examples = examples.to_vec();
    let mut rng = experiment.seed.named("label noise").rng();
    let n = (experiment.raw.attack.label_noise * examples.len() as f64).round() as usize;
    let chosen: Vec<usize> = index::sample(&mut rng, examples.len(), n).into_vec();
    let mut labels: Vec<_> =
        chosen.iter().map(|&at| (examples[at].user_id.clone(), examples[at].held_in)).collect();
    if !labels.is_empty() {
        labels.rotate_left(1);
    }
    for (at, label) in chosen.into_iter().zip(labels) {
        (examples[at].user_id, examples[at].held_in) = label;
    }
    examples
}

/// A score table, which must be about the attack examples of this run.
fn read_scores(pipeline: &Pipeline, file: &str, examples: &[AttackExample]) -> anyhow::Result<ScoreTable> {
    let table = store::read_scores(&pipeline.folder.file(file))?;
    let same = table.user_id.len() == examples.len()
        && examples
            .iter()
            .zip(table.user_id.iter().zip(&table.example_id))
            .all(|(example, (user, id))| example.user_id == *user && example.example_id == *id);
    ensure!(same, "{file} is not about the attack examples of this run; delete it and run again");
    Ok(table)
}

/// Refuses scores of one model in the place of two.
fn check_models(target: &ScoreTable, reference: &ScoreTable, steps: u64) -> anyhow::Result<()> {
    ensure!(
        target.scorer != reference.scorer,
        "scores/target.parquet and scores/reference.parquet are both by `{}`; delete scores and run again",
        target.scorer
    );
    ensure!(
        steps == 0 || target.scores != reference.scores,
        "the target was trained for {steps} steps and scores every text as the reference does: its weights never moved, or were not read"
    );
    Ok(())
}

/// The headline attack with the reference's table in the place of the target's, put together by the same code.
fn placebo(
    experiment: &Experiment,
    examples: &[AttackExample],
    reference: &ScoreTable,
) -> anyhow::Result<f64> {
    let (_, scored) = join(examples, reference.clone(), reference.clone())?;
    Ok(validity::placebo(&scored, experiment.statistic.as_ref(), experiment.aggregate)?)
}

/// One attack: a statistic and an aggregate with what came of them.
struct Attack {
    statistic: String,
    aggregate: String,
    users: UserStatistics,
    result: AttackResult,
}

impl Attack {
    fn new(
        experiment: &Experiment,
        statistic: String,
        aggregate: String,
        users: UserStatistics,
    ) -> anyhow::Result<Self> {
        let result =
            evaluate(&users, experiment.raw.attack.bootstrap_resamples, experiment.seed.named("attack"))?;
        Ok(Self { statistic, aggregate, users, result })
    }
}

/// The attack that the experiment names.
fn headline(experiment: &Experiment, scored: &ScoredExamples) -> anyhow::Result<Attack> {
    let (statistic, aggregate) = (experiment.statistic.as_ref(), experiment.aggregate);
    let users = user_statistics(scored, statistic, aggregate)?;
    Attack::new(experiment, statistic.name(), aggregate.to_string(), users)
}

/// The headline attack with each kept checkpoint in the place of the target, and what it says of each user; tables are read
/// under true names, and attacked under those that the attacker has.
fn auroc_curve(
    pipeline: &Pipeline,
    [examples, named]: [&[AttackExample]; 2],
    reference: &ScoreTable,
    training: &TrainingRecord,
) -> anyhow::Result<Vec<(AurocPoint, Vec<f64>)>> {
    let point = |step: u64| -> anyhow::Result<(AurocPoint, Vec<f64>)> {
        let losses = training.curve.iter().find(|point| point.step == step);
        let epoch = losses.context("training.json has no losses at this step")?.epoch;
        let scores = read_scores(pipeline, &score::step_table(step), examples)?;
        let (_, scored) = join(named, scores, reference.clone())?;
        let Attack { result: found, users, .. } = headline(&pipeline.experiment, &scored)?;
        let auroc_interval = [found.auroc_interval.lower, found.auroc_interval.upper];
        Ok((AurocPoint { step, epoch, auroc: found.auroc, auroc_interval }, users.statistic))
    };
    let named = |&step: &u64| point(step).with_context(|| format!("the checkpoint of step {step}"));
    training.kept_steps.iter().map(named).collect()
}

/// The headline attack with fewer examples of each user.
fn knowledge(experiment: &Experiment, scored: &ScoredExamples) -> anyhow::Result<Vec<KnowledgePoint>> {
    let rows = example_statistics(scored, experiment.statistic.as_ref())?;
    let (draws, seed) = (experiment.raw.attack.knowledge_draws, experiment.seed.named("knowledge"));
    let curve = knowledge_curve(&rows, experiment.aggregate, &knowledge_steps(&rows)?, draws, seed)?;
    let point = |point: userprint_attack::KnowledgePoint| KnowledgePoint {
        n_examples: point.n_examples,
        users_with_fewer: point.n_held_in_short + point.n_held_out_short,
        auroc: point.mean,
        auroc_std_dev: point.std_dev,
    };
    Ok(curve.into_iter().map(point).collect())
}

/// The headline statistic of each user on one draw of fewer examples, by how many.
fn known(experiment: &Experiment, scored: &ScoredExamples) -> anyhow::Result<Vec<(u32, Vec<f64>)>> {
    let rows = example_statistics(scored, experiment.statistic.as_ref())?;
    let steps = knowledge_steps(&rows)?;
    let found = with_knowledge_of(&rows, experiment.aggregate, &steps, experiment.seed.named("knowledge"))?;
    Ok(steps.into_iter().zip(found.into_iter().map(|users| users.statistic)).collect())
}

/// The headline statistic, asked for one example at a time; a note where there are too few users for it.
fn one_by_one(experiment: &Experiment, scored: &ScoredExamples) -> anyhow::Result<SequentialSummary> {
    let rows = example_statistics(scored, experiment.statistic.as_ref())?;
    let most_examples = rows.user.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(1) as u32;
    let (fpr, fnr) = (SEQUENTIAL_RATE, SEQUENTIAL_RATE);
    let settings = SequentialSettings { fpr, fnr, most_examples, boundary: Boundary::Calibrated };
    let rates = |share: &UserShare| ShareRow {
        share: share.value(),
        interval: [share.interval.lower, share.interval.upper],
    };
    match sequential(&rows, &settings, experiment.seed.named("sequential")) {
        Ok(found) => Ok(SequentialSummary {
            rate_asked: SEQUENTIAL_RATE,
            fpr: Some(rates(&found.fpr)),
            fnr: Some(rates(&found.fnr)),
            tpr: Some(rates(&found.tpr)),
            undecided: Some(rates(&found.undecided)),
            mean_examples: Some(found.mean_examples),
            mean_examples_at_hand: Some(found.mean_examples_at_hand),
            undefined: None,
        }),
        Err(
            why @ (AttackError::TooFewUsers { .. }
            | AttackError::TooFewToCalibrate { .. }
            | AttackError::NoSpreadOfExamples { .. }),
        ) => Ok(SequentialSummary {
            rate_asked: SEQUENTIAL_RATE,
            undefined: Some(format!("{:#}", anyhow::Error::from(why))),
            ..SequentialSummary::default()
        }),
        Err(error) => Err(error.into()),
    }
}

/// The two score tables as one, users numbered in sorted order.
fn join(
    examples: &[AttackExample],
    target: ScoreTable,
    reference: ScoreTable,
) -> anyhow::Result<(Vec<UserId>, ScoredExamples)> {
    let mut users: Vec<UserId> = examples.iter().map(|example| example.user_id.clone()).collect();
    users.sort();
    users.dedup();
    let position = |user: &UserId| users.binary_search(user).map(|at| UserIdx(at as u32)).ok();
    let user = examples.iter().map(|example| position(&example.user_id)).collect::<Option<Vec<_>>>();
    let user = user.context("every user was listed just above")?;
    let held_in = examples.iter().map(|example| example.held_in).collect();
    let zlib_bytes = target.zlib_bytes.iter().map(|&n| u32::try_from(n).unwrap_or(u32::MAX)).collect();
    let scored = ScoredExamples::new(user, held_in, target.scores, reference.scores)?;
    Ok((users, scored.with_zlib_bytes(zlib_bytes)?))
}

/// What is told of each user: the columns of `statistics.parquet`.
struct Columns<'a> {
    headline: &'a Attack,
    per_user: &'a PerUser,
    attacks: &'a [Attack],
    /// The headline statistic on fewer examples, by how many.
    known: Vec<(u32, Vec<f64>)>,
    /// The headline statistic with each kept checkpoint in the place of the target.
    kept: Vec<Vec<f64>>,
    /// Whether each is a canary, by tier.
    canaries: Vec<Vec<bool>>,
}

impl Columns<'_> {
    fn write(self, pipeline: &Pipeline, users: &[UserId]) -> anyhow::Result<()> {
        let (of, per_user) = (&self.headline.users, self.per_user);
        let own = [
            ("p_value", per_user.p_value.clone()),
            ("q_value", per_user.q_value.clone()),
            ("rank", per_user.rank.iter().map(|&rank| f64::from(rank)).collect()),
        ];
        let own = own.into_iter().map(|(name, values)| (name.to_owned(), values));
        let attacks = self.attacks.iter();
        let attacks =
            attacks.map(|a| (format!("{}_{}", a.statistic, a.aggregate), a.users.statistic.clone()));
        let known = self.known.into_iter().map(|(n, values)| (format!("known_{n}"), values));
        let kept = self.kept.into_iter().enumerate().map(|(at, values)| (format!("checkpoint_{at}"), values));
        let canaries =
            self.canaries.into_iter().enumerate().map(|(tier, own)| (format!("canary_{tier}"), own));
        let detected = ("is_detected".to_owned(), per_user.is_detected.clone());
        let table = StatisticsTable {
            user_id: of.user.iter().map(|user| users[user.index()].clone()).collect(),
            held_in: of.held_in.clone(),
            statistic: of.statistic.clone(),
            n_examples: of.n_examples.clone(),
            flags: [detected].into_iter().chain(canaries).collect(),
            others: own.chain(attacks).chain(known).chain(kept).collect(),
        };
        Ok(store::write_statistics(&pipeline.folder.file(STATISTICS), &table)?)
    }
}

fn results(
    pipeline: &Pipeline,
    scored: &ScoredExamples,
    headline: &Attack,
    per_user: &PerUser,
    table: &AttackTable,
    validity: &Validity,
) -> anyhow::Result<Results> {
    let experiment = &pipeline.experiment;
    let training = TrainingRecord::read(&pipeline.folder.file(train::TARGET))?;
    let found = &headline.result;
    Ok(Results {
        schema: 2,
        name: experiment.raw.name.clone(),
        seed: experiment.raw.seed,
        void: validity.void_reasons()?,
        checks: checks::rows(validity)?,
        detection: Detection {
            false_discovery_rate: per_user.rate,
            held_in: per_user.n_held_in_detected,
            held_out: per_user.n_held_out_detected,
            least_p_value: per_user.least_p_value(),
            least_detected: per_user.least_detected(),
        },
        statistic: headline.statistic.clone(),
        aggregate: headline.aggregate.clone(),
        auroc: found.auroc,
        auroc_interval: [found.auroc_interval.lower, found.auroc_interval.upper],
        is_interval_approximate: found.is_interval_approximate,
        auroc_bootstrap: BootstrapSummary {
            resamples: found.bootstrap.resamples,
            mean: found.bootstrap.mean,
            std_dev: found.bootstrap.std_dev,
        },
        tpr_at_fpr: by_rate(found),
        placebo_auroc: validity.placebo,
        null_auroc: validity.null.auroc,
        null_interval: [validity.null.interval.lower, validity.null.interval.upper],
        blind_auroc: validity.blind.auroc,
        blind_p_value: validity.blind.p_value,
        validation_loss: validation_loss(&training)?,
        users: user_counts(pipeline)?,
        examples: example_counts(pipeline, scored)?,
        attacks: table.attacks.iter().map(row).collect(),
        attacks_left_out: table.left_out.clone(),
        exposure: Vec::new(),
        bounds: Vec::new(),
        exact: Vec::new(),
        knowledge: knowledge(experiment, scored)?,
        sequential: one_by_one(experiment, scored)?,
        auroc_curve: Vec::new(),
        canaries: Vec::new(),
        training: training.curve.iter().map(curve_point).collect::<anyhow::Result<_>>()?,
        target_step: training.best_step,
        promise: training.promise,
        model: read_summary(pipeline)?,
    })
}

fn by_rate(result: &AttackResult) -> BTreeMap<String, Option<f64>> {
    result.tpr_at_fpr.iter().map(|(rate, tpr)| (rate.to_string(), *tpr)).collect()
}

fn row(attack: &Attack) -> AttackRow {
    AttackRow {
        statistic: attack.statistic.clone(),
        aggregate: attack.aggregate.clone(),
        auroc: attack.result.auroc,
        auroc_interval: [attack.result.auroc_interval.lower, attack.result.auroc_interval.upper],
        tpr_at_fpr: by_rate(&attack.result),
    }
}

fn curve_point(point: &userprint_train::CurvePoint) -> anyhow::Result<CurvePoint> {
    Ok(CurvePoint {
        step: point.step,
        epoch: point.epoch,
        train_loss: point.train_loss,
        held_in: point.held_in,
        held_out: point
            .held_out
            .context("no held-out validation examples; the validation fraction must be above 0")?,
    })
}

fn validation_loss(training: &TrainingRecord) -> anyhow::Result<ValidationLoss> {
    let at = |step: u64| training.curve.iter().find(|point| point.step == step);
    let reference = curve_point(at(0).context("training.json has no losses before the first step")?)?;
    let target =
        curve_point(at(training.best_step).context("training.json has no losses at the kept step")?)?;
    Ok(ValidationLoss {
        held_in: target.held_in,
        held_out: target.held_out,
        reference_held_in: reference.held_in,
        reference_held_out: reference.held_out,
        gap_growth: (target.held_out - target.held_in) - (reference.held_out - reference.held_in),
    })
}

fn user_counts(pipeline: &Pipeline) -> anyhow::Result<UserCounts> {
    let partition = prepare::read(pipeline)?;
    let n = |membership| prepare::count(&partition, membership);
    Ok(UserCounts {
        public: n(Membership::Public),
        held_in: n(Membership::HeldIn),
        held_out: n(Membership::HeldOut),
        dropped: partition.n_dropped,
    })
}

fn example_counts(pipeline: &Pipeline, scored: &ScoredExamples) -> anyhow::Result<ExampleCounts> {
    let partition = prepare::read(pipeline)?;
    let n = |membership, role| n_examples(&partition, membership, role);
    Ok(ExampleCounts {
        pretrain: n(Membership::Public, Role::Train),
        train: n(Membership::HeldIn, Role::Train),
        attack_held_in: n(Membership::HeldIn, Role::Attack),
        attack_held_out: n(Membership::HeldOut, Role::Attack),
        scored_tokens: scored.target().n_tokens.iter().map(|&n| u64::from(n)).sum(),
    })
}

#[cfg(test)]
mod tests {
    use userprint_core::TextScores;
    use userprint_score::{Reading, ScorerId};

    use super::*;

    fn scores(scorer: &str, log_likelihood: f64) -> ScoreTable {
        ScoreTable {
            scorer: ScorerId::new(scorer),
            reading: Reading::default(),
            user_id: vec![UserId::new("a")],
            example_id: vec![userprint_core::ExampleId::new("1")],
            n_bytes: vec![9],
            zlib_bytes: vec![9],
            scores: TextScores {
                log_likelihood: vec![log_likelihood],
                n_tokens: vec![2],
                ..TextScores::default()
            },
        }
    }

    #[test]
    fn one_model_in_two_places_is_refused() {
        let (target, reference) = (scores("target f32", -1.0), scores("reference f32", -2.0));
        assert!(check_models(&target, &reference, 9).is_ok());
        let error = check_models(&reference, &reference, 9).unwrap_err().to_string();
        assert!(error.contains("are both by `reference f32`"), "{error}");
        let unmoved = scores("target f32", -2.0);
        let error = check_models(&unmoved, &reference, 9).unwrap_err().to_string();
        assert!(error.contains("its weights never moved"), "{error}");
        assert!(check_models(&unmoved, &reference, 0).is_ok(), "nothing was trained");
    }
}
