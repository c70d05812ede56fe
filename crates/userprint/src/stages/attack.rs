//! Attack: statistics of users, the AUROC with its interval, and the checks that may void it.

mod checks;
mod factors;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use userprint_attack::sequential::{Boundary, SequentialSettings, UserShare, sequential};
use userprint_attack::{
    Aggregate, AttackResult, PerUser, ScoredExamples, Statistic, Validity, evaluate, example_statistics,
    knowledge_curve, knowledge_steps, per_user, statistics, user_statistics,
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
    AttackRow, BootstrapSummary, CurvePoint, Detection, ExampleCounts, KnowledgePoint, Results,
    SequentialSummary, ShareRow, UserCounts, ValidationLoss,
};

/// File of the users' statistics in the run folder.
pub(crate) const STATISTICS: &str = "statistics.parquet";
/// File of the results in the run folder.
pub(crate) const RESULTS: &str = "results.json";

/// The error rates that the attack one example at a time is asked to hold.
const SEQUENTIAL_RATE: f64 = 0.1;

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    let experiment = &pipeline.experiment;
    let target = store::read_scores(&pipeline.folder.file(score::TARGET))?;
    let reference = store::read_scores(&pipeline.folder.file(score::REFERENCE))?;
    let examples = attack_examples(pipeline)?;
    let (users, scored) = join(&examples, target, reference)?;

    let headline = attack(experiment, &scored, experiment.statistic.as_ref(), experiment.aggregate)?;
    let grid = grid(experiment, &scored)?;
    let validity = checks::validity(pipeline, &examples, &users, &scored, &headline)?;
    let per_user = per_user(&headline.users, experiment.raw.attack.false_discovery_rate)?;
    write_statistics(pipeline, &users, &headline, &per_user, &grid)?;
    let mut results = results(pipeline, &scored, &headline, &per_user, &grid, &validity)?;
    (results.exposure, results.bounds) =
        factors::factors(pipeline, &users, &scored, &headline.users, &per_user)?;
    pipeline.folder.write(RESULTS, serde_json::to_string_pretty(&results)?.as_bytes())?;
    let void = if results.void.is_empty() { "valid" } else { "VOID" };
    let note = format!(
        "AUROC {:.3}, null {:.3}, blind {:.3}: {void}",
        results.auroc, results.null_auroc, results.blind_auroc
    );
    Ok(StageOutput::new(&[STATISTICS, RESULTS], note))
}

/// One attack: a statistic and an aggregate with what came of them.
struct Attack {
    statistic: String,
    aggregate: String,
    users: userprint_attack::UserStatistics,
    result: AttackResult,
}

fn attack(
    experiment: &Experiment,
    scored: &ScoredExamples,
    statistic: &dyn Statistic,
    aggregate: Aggregate,
) -> anyhow::Result<Attack> {
    let users = user_statistics(scored, statistic, aggregate)?;
    let result =
        evaluate(&users, experiment.raw.attack.bootstrap_resamples, experiment.seed.named("attack"))?;
    Ok(Attack { statistic: statistic.name(), aggregate: aggregate.to_string(), users, result })
}

/// Every statistic with every aggregate that these scores allow.
fn grid(experiment: &Experiment, scored: &ScoredExamples) -> anyhow::Result<Vec<Attack>> {
    let (resamples, seed) = (experiment.raw.attack.bootstrap_resamples, experiment.seed.named("attack"));
    let cells = userprint_attack::grid(scored, &statistics::all()).cells.into_iter().map(|cell| {
        let result = evaluate(&cell.users, resamples, seed)?;
        Ok(Attack {
            statistic: cell.statistic,
            aggregate: cell.aggregate.to_string(),
            users: cell.users,
            result,
        })
    });
    cells.collect()
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
    Ok(match sequential(&rows, &settings, experiment.seed.named("sequential")) {
        Ok(found) => SequentialSummary {
            rate_asked: SEQUENTIAL_RATE,
            fpr: Some(rates(&found.fpr)),
            fnr: Some(rates(&found.fnr)),
            tpr: Some(rates(&found.tpr)),
            undecided: Some(rates(&found.undecided)),
            mean_examples: Some(found.mean_examples),
            mean_examples_at_hand: Some(found.mean_examples_at_hand),
            undefined: None,
        },
        Err(why) => SequentialSummary {
            rate_asked: SEQUENTIAL_RATE,
            undefined: Some(format!("{:#}", anyhow::Error::from(why))),
            ..SequentialSummary::default()
        },
    })
}

/// The two score tables as one, users numbered in sorted order.
fn join(
    examples: &[AttackExample],
    target: ScoreTable,
    reference: ScoreTable,
) -> anyhow::Result<(Vec<UserId>, ScoredExamples)> {
    for (name, table) in [("target", &target), ("reference", &reference)] {
        let same = table.user_id.len() == examples.len()
            && examples
                .iter()
                .zip(table.user_id.iter().zip(&table.example_id))
                .all(|(example, (user, id))| example.user_id == *user && example.example_id == *id);
        ensure!(
            same,
            "scores/{name}.parquet is not about the attack examples of this run; delete it and run again"
        );
    }
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

fn write_statistics(
    pipeline: &Pipeline,
    users: &[UserId],
    headline: &Attack,
    per_user: &PerUser,
    grid: &[Attack],
) -> anyhow::Result<()> {
    let of = &headline.users;
    let own = [
        ("p_value", per_user.p_value.clone()),
        ("q_value", per_user.q_value.clone()),
        ("rank", per_user.rank.iter().map(|&rank| f64::from(rank)).collect()),
    ];
    let own = own.into_iter().map(|(name, values)| (name.to_owned(), values));
    let table = StatisticsTable {
        user_id: of.user.iter().map(|user| users[user.index()].clone()).collect(),
        held_in: of.held_in.clone(),
        statistic: of.statistic.clone(),
        n_examples: of.n_examples.clone(),
        others: own
            .chain(
                grid.iter().map(|a| (format!("{}_{}", a.statistic, a.aggregate), a.users.statistic.clone())),
            )
            .collect(),
    };
    Ok(store::write_statistics(&pipeline.folder.file(STATISTICS), &table)?)
}

fn results(
    pipeline: &Pipeline,
    scored: &ScoredExamples,
    headline: &Attack,
    per_user: &PerUser,
    grid: &[Attack],
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
        attacks: grid.iter().map(row).collect(),
        exposure: Vec::new(),
        bounds: Vec::new(),
        knowledge: knowledge(experiment, scored)?,
        sequential: one_by_one(experiment, scored)?,
        training: training.curve.iter().map(curve_point).collect::<anyhow::Result<_>>()?,
        target_step: training.best_step,
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
