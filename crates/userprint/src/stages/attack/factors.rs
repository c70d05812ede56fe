//! Exposure factors of a run: what makes its users easy to find, out of corpus, partition and scores.

use anyhow::Context;
use userprint_attack::exposure::{
    Association, Divergence, DivergenceSource, Exposure, Factor, FactorColumn, divergence_from_scores,
    exposure, proposition_1,
};
use userprint_attack::{
    Aggregate, AttackError, LikelihoodRatio, PerUser, ScoredExamples, TokenMeanLogLikelihood, UserStatistics,
    example_statistics, user_statistics,
};
use userprint_core::{ExampleSource, Role, Tokenize, UserId, UserIdx};
use userprint_data::{Corpus, UserWords, Wording, wording};
use userprint_model::HfTokenizer;

use super::super::pretrain::reference_folder;
use super::super::{prepare, train};
use crate::pipeline::Pipeline;
use crate::results::{AssociationRow, BoundRow, FactorRow};

/// How each factor goes with the statistic and with detection, and Proposition 1's bounds.
pub(super) fn factors(
    pipeline: &Pipeline,
    users: &[UserId],
    scored: &ScoredExamples,
    statistics: &UserStatistics,
    decisions: &PerUser,
) -> anyhow::Result<(Vec<FactorRow>, Vec<BoundRow>)> {
    let training = Training::new(pipeline, users)?;
    let wording = wording_of(pipeline, users)?;
    let from_scores = divergences(scored, &training)?;
    let columns = columns(scored, &training, &wording, &from_scores)?;
    let found = exposure(statistics, decisions, &columns)?;
    let bounds = bounds(scored, &training, &wording)?;
    Ok((found.into_iter().map(row).collect(), bounds))
}

/// What fine-tuning saw of each user; `None` for users that it never saw.
struct Training {
    n_examples: Vec<Option<f64>>,
    n_duplicates: Vec<Option<f64>>,
    n_tokens: Vec<Option<f64>>,
    share: Vec<Option<f64>>,
}

impl Training {
    fn new(pipeline: &Pipeline, users: &[UserId]) -> anyhow::Result<Self> {
        let corpus = pipeline.corpus()?;
        let (examples, groups) = train::examples(pipeline, corpus)?;
        let tokenizer = HfTokenizer::load_folder(&reference_folder(pipeline)?)?;
        let nothing = || vec![None; users.len()];
        let mut training =
            Self { n_examples: nothing(), n_duplicates: nothing(), n_tokens: nothing(), share: nothing() };
        let mut first = 0;
        for (at, user) in examples.users().iter().enumerate() {
            let texts = examples.texts(UserIdx(at as u32))?;
            let mut own = groups[first..first + texts.len()].to_vec();
            first += texts.len();
            own.sort_unstable();
            own.dedup();
            let tokens = tokenizer.encode(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
            let Ok(user) = users.binary_search(user) else { continue };
            training.n_examples[user] = Some(texts.len() as f64);
            training.n_duplicates[user] = Some((texts.len() - own.len()) as f64);
            training.n_tokens[user] = Some(tokens.ids.values().len() as f64);
        }
        let all: f64 = training.n_tokens.iter().flatten().sum();
        training.share = training.n_tokens.iter().map(|n| n.map(|n| n / all)).collect();
        Ok(training)
    }
}

/// Attack examples against all others of each user.
fn wording_of(pipeline: &Pipeline, users: &[UserId]) -> anyhow::Result<Wording> {
    let (corpus, partition) = (pipeline.corpus()?, prepare::read(pipeline)?);
    let mut texts = Vec::with_capacity(users.len());
    for user in users {
        let at = |list: &[UserId]| list.binary_search(user).ok().context("a user is not in the corpus");
        let is_attack =
            partition.roles.row(at(&partition.users)?).iter().map(|role| *role == Some(Role::Attack));
        let examples = corpus.examples(UserIdx(at(corpus.users())? as u32))?;
        texts.push(examples.into_iter().map(|example| example.text).zip(is_attack).collect::<Vec<_>>());
    }
    let words = texts.iter().map(|own| {
        let side = |wanted: bool| {
            own.iter().filter(|(_, is_attack)| *is_attack == wanted).map(|(text, _)| text.as_str()).collect()
        };
        UserWords { attack: side(true), rest: side(false) }
    });
    Ok(wording(&words.collect::<Vec<_>>()))
}

/// Log-likelihood ratios of each user's attack examples, nats, users in order.
fn log_ratios(scored: &ScoredExamples, n_users: usize) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut by_user = vec![Vec::new(); n_users];
    for (user, ratio) in scored.user().iter().zip(example_statistics(scored, &LikelihoodRatio)?.statistic) {
        by_user[user.index()].push(ratio);
    }
    Ok(by_user)
}

/// The divergence of each held-in user from the others, as far as target and reference are the mixtures with and
/// without it.
fn divergences(scored: &ScoredExamples, training: &Training) -> anyhow::Result<Vec<Option<Divergence>>> {
    let ratios = log_ratios(scored, training.share.len())?;
    let of = |(ratios, share): (Vec<f64>, &Option<f64>)| {
        share.map(|share| divergence_from_scores(&ratios, share)).transpose()
    };
    Ok(ratios.into_iter().zip(&training.share).map(of).collect::<Result<_, AttackError>>()?)
}

fn columns(
    scored: &ScoredExamples,
    training: &Training,
    wording: &Wording,
    from_scores: &[Option<Divergence>],
) -> anyhow::Result<Vec<FactorColumn>> {
    let as_target = ScoredExamples::new(
        scored.user().to_vec(),
        scored.held_in().to_vec(),
        scored.reference().clone(),
        scored.reference().clone(),
    )?;
    let plainness = user_statistics(&as_target, &TokenMeanLogLikelihood, Aggregate::TokenWeightedMean)?;
    let of_scores =
        |of: fn(&Divergence) -> Option<f64>| from_scores.iter().map(|d| of(d.as_ref()?)).collect();
    let columns: [(Factor, Vec<Option<f64>>); 9] = [
        (Factor::Share, training.share.clone()),
        (Factor::TrainExamples, training.n_examples.clone()),
        (Factor::TrainTokens, training.n_tokens.clone()),
        (Factor::Duplicates, training.n_duplicates.clone()),
        (Factor::PhraseOverlap, wording.phrase_overlap.clone()),
        (Factor::NGramDivergence, wording.kl_per_word.clone()),
        (Factor::ReferenceLoss, plainness.statistic.iter().map(|value| Some(-value)).collect()),
        (Factor::Kl, of_scores(|divergence| Some(divergence.kl))),
        (Factor::ChiSquare, of_scores(|divergence| divergence.log_one_plus_chi_square)),
    ];
    Ok(columns.into_iter().map(|(factor, value)| FactorColumn { factor, value }).collect())
}

/// Proposition 1 around each held-in user's mean log-likelihood ratio, with divergences from words: those from the
/// scores would bound them by construction. Words count as if drawn one by one.
fn bounds(scored: &ScoredExamples, training: &Training, wording: &Wording) -> anyhow::Result<Vec<BoundRow>> {
    let mut rows = Vec::new();
    for (user, ratios) in log_ratios(scored, training.share.len())?.into_iter().enumerate() {
        let words = (training.share[user], wording.kl_per_word[user], wording.chi2_per_word[user]);
        let (Some(share), Some(kl), Some(chi2)) = words else { continue };
        let n_words = wording.words_per_example[user];
        let divergence = Divergence {
            kl: kl * n_words,
            log_one_plus_chi_square: Some(chi2.ln_1p() * n_words),
            source: DivergenceSource::NGrams,
        };
        let measured = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let bounds = proposition_1(share, &divergence, measured)?;
        let Some(upper) = bounds.log_upper else { continue };
        rows.push(BoundRow { share, lower: bounds.lower, measured, upper, is_inside: bounds.is_inside() });
    }
    rows.sort_by(|a, b| a.measured.total_cmp(&b.measured));
    Ok(rows)
}

fn row(found: Exposure) -> FactorRow {
    let of = |found: Result<Association, AttackError>| match found {
        Ok(found) => AssociationRow {
            users: found.n_users,
            estimate: Some(found.estimate),
            interval: Some([found.interval.lower, found.interval.upper]),
            adjusted_p_value: Some(found.adjusted_p_value),
            undefined: None,
        },
        Err(why) => {
            let undefined = Some(format!("{:#}", anyhow::Error::from(why)));
            AssociationRow { users: 0, estimate: None, interval: None, adjusted_p_value: None, undefined }
        }
    };
    FactorRow {
        factor: found.factor.name().to_owned(),
        held_in: of(found.held_in),
        held_out: of(found.held_out),
        all: of(found.all),
        detected: of(found.detected),
    }
}
