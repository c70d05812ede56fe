//! Exposure factors of a run: what makes its users easy to find, out of corpus, partition and scores.

use anyhow::Context;
use userprint_attack::exposure::{
    Association, Divergence, DivergenceSource, Exposure, Factor, FactorColumn, divergence_from_scores,
    exposure, proposition_1,
};
use userprint_attack::{
    Aggregate, AttackError, LikelihoodRatio, PerUser, ScoredExamples, TokenMeanLogLikelihood, UserStatistics,
    example_statistics, reference_statistics,
};
use userprint_core::{ExampleSource, Role, Tokenize, Tokens, UserId, UserIdx};
use userprint_data::{Corpus, UserWords, Wording, wording};
use userprint_model::HfTokenizer;

use super::super::pretrain::reference_folder;
use super::super::score::AttackExample;
use super::super::{prepare, train};
use crate::pipeline::Pipeline;
use crate::results::{AssociationRow, BoundRow, FactorRow};

/// How each factor goes with the statistic and with detection, and Proposition 1's bounds.
pub(super) fn factors(
    pipeline: &Pipeline,
    examples: &[AttackExample],
    users: &[UserId],
    scored: &ScoredExamples,
    statistics: &UserStatistics,
    decisions: &PerUser,
) -> anyhow::Result<(Vec<FactorRow>, Vec<BoundRow>)> {
    let tokenizer = HfTokenizer::load_folder(&reference_folder(pipeline)?)?;
    let training = Training::new(pipeline, &tokenizer, users)?;
    let wording = wording_of(pipeline, users)?;
    let from_scores = divergences(scored, &training)?;
    let columns = columns(scored, &training, &wording, &from_scores)?;
    let found = exposure(statistics, decisions, &columns)?;
    let texts: Vec<&str> = examples.iter().map(|example| example.text.as_str()).collect();
    let n_tokens = lengths(&tokenizer.encode(&texts)?);
    let bounds = bounds(scored, &training, &wording, &scored_shares(scored, &n_tokens, users.len()))?;
    Ok((found.into_iter().map(row).collect(), bounds))
}

/// What fine-tuning saw of each user; `None` for users that it never saw.
struct Training {
    n_examples: Vec<Option<f64>>,
    n_duplicates: Vec<Option<f64>>,
    n_tokens: Vec<Option<f64>>,
    share: Vec<Option<f64>>,
}

/// What fine-tuning saw of one user.
struct Seen {
    user: usize,
    /// The duplicate group of each example.
    groups: Vec<u32>,
    n_tokens: usize,
}

impl Training {
    fn new(pipeline: &Pipeline, tokenizer: &HfTokenizer, users: &[UserId]) -> anyhow::Result<Self> {
        let (examples, groups) = train::examples(pipeline, pipeline.corpus()?)?;
        let (mut seen, mut first, mut n_all) = (Vec::new(), 0, 0);
        for (at, user) in examples.users().iter().enumerate() {
            let texts = examples.texts(UserIdx(at as u32))?;
            let groups = groups[first..first + texts.len()].to_vec();
            first += texts.len();
            let tokens = tokenizer.encode(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
            let n_tokens = tokens.ids.values().len();
            n_all += n_tokens;
            if let Ok(user) = users.binary_search(user) {
                seen.push(Seen { user, groups, n_tokens });
            }
        }
        Ok(Self::of(users.len(), seen, n_all))
    }

    /// Columns with an entry for each of `n_users`, where fine-tuning saw `n_all` tokens altogether.
    ///
    /// The share of a user alone in training is none: there are no others to tell it from.
    fn of(n_users: usize, seen: Vec<Seen>, n_all: usize) -> Self {
        let nothing = || vec![None; n_users];
        let mut training =
            Self { n_examples: nothing(), n_duplicates: nothing(), n_tokens: nothing(), share: nothing() };
        for Seen { user, mut groups, n_tokens } in seen {
            let n_examples = groups.len();
            groups.sort_unstable();
            groups.dedup();
            training.n_examples[user] = Some(n_examples as f64);
            training.n_duplicates[user] = Some((n_examples - groups.len()) as f64);
            training.n_tokens[user] = Some(n_tokens as f64);
            let share = n_tokens as f64 / n_all as f64;
            training.share[user] = Some(share).filter(|share| 0.0 < *share && *share < 1.0);
        }
        training
    }
}

/// Tokens of each text.
fn lengths(tokens: &Tokens) -> Vec<usize> {
    (0..tokens.ids.n_rows()).map(|row| tokens.ids.row(row).len()).collect()
}

/// Share of the tokens of each user's attack examples that were scored: texts may have been cut, and a first token
/// may be context alone.
fn scored_shares(scored: &ScoredExamples, n_tokens: &[usize], n_users: usize) -> Vec<f64> {
    let (mut n_scored, mut n_all) = (vec![0.0; n_users], vec![0.0; n_users]);
    for (row, user) in scored.user().iter().enumerate() {
        n_scored[user.index()] += f64::from(scored.target().n_tokens[row]);
        n_all[user.index()] += n_tokens[row] as f64;
    }
    n_scored.into_iter().zip(n_all).map(|(n_scored, n_all): (f64, f64)| (n_scored / n_all).min(1.0)).collect()
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
    let plainness =
        reference_statistics(scored, &TokenMeanLogLikelihood)?.aggregated(Aggregate::TokenWeightedMean)?;
    let of_scores =
        |of: fn(&Divergence) -> Option<f64>| from_scores.iter().map(|d| of(d.as_ref()?)).collect();
    let columns: [(Factor, Vec<Option<f64>>); 9] = [
        (Factor::Share, training.share.clone()),
        (Factor::TrainExamples, training.n_examples.clone()),
        (Factor::TrainTokens, training.n_tokens.clone()),
        (Factor::Duplicates, training.n_duplicates.clone()),
        (Factor::PhraseOverlap, wording.phrase_overlap.clone()),
        (Factor::WordDivergence, wording.kl_per_word.clone()),
        (Factor::ReferenceLoss, plainness.statistic.iter().map(|value| Some(-value)).collect()),
        (Factor::Kl, of_scores(|divergence| Some(divergence.kl))),
        (Factor::ChiSquare, of_scores(|divergence| divergence.log_one_plus_chi_square)),
    ];
    Ok(columns.into_iter().map(|(factor, value)| FactorColumn { factor, value }).collect())
}

/// Proposition 1 around each held-in user's mean log-likelihood ratio, with divergences from words: those from the
/// scores would bound them by construction. Words count as if drawn one by one, and the share of them that the scored
/// tokens are, so that both sides speak of the same part of a text.
fn bounds(
    scored: &ScoredExamples,
    training: &Training,
    wording: &Wording,
    scored_share: &[f64],
) -> anyhow::Result<Vec<BoundRow>> {
    let mut rows = Vec::new();
    for (user, ratios) in log_ratios(scored, training.share.len())?.into_iter().enumerate() {
        let words = (training.share[user], wording.kl_per_word[user], wording.chi2_per_word[user]);
        let (Some(share), Some(kl), Some(chi2)) = words else { continue };
        let n_words = wording.words_per_example[user] * scored_share[user];
        let divergence = Divergence {
            kl: kl * n_words,
            log_one_plus_chi_square: Some(chi2.ln_1p() * n_words),
            source: DivergenceSource::Words,
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

#[cfg(test)]
mod tests {
    use userprint_core::TextScores;

    use super::*;

    /// User 1 has four examples, three of them alike, and 30 of 40 tokens; user 2 has one; user 0 was never seen.
    #[test]
    fn training_by_hand() {
        let seen = |user, groups: &[u32], n_tokens| Seen { user, groups: groups.to_vec(), n_tokens };
        let training = Training::of(3, vec![seen(1, &[7, 2, 7, 7], 30), seen(2, &[9], 10)], 40);
        assert_eq!(training.n_examples, [None, Some(4.0), Some(1.0)]);
        assert_eq!(training.n_duplicates, [None, Some(2.0), Some(0.0)]);
        assert_eq!(training.n_tokens, [None, Some(30.0), Some(10.0)]);
        assert_eq!(training.share, [None, Some(0.75), Some(0.25)]);
        let alone = Training::of(2, vec![seen(0, &[1], 30)], 30);
        assert_eq!((alone.share, alone.n_tokens), (vec![None; 2], vec![Some(30.0), None]));
    }

    #[test]
    fn cut_texts_are_scored_in_part() {
        let scores =
            TextScores { log_likelihood: vec![-1.0; 3], n_tokens: vec![4, 4, 3], ..TextScores::default() };
        let user = [0, 0, 1].map(UserIdx).to_vec();
        let scored = ScoredExamples::new(user, vec![true, true, false], scores.clone(), scores).unwrap();
        assert_eq!(scored_shares(&scored, &[4, 12, 3], 2), [0.5, 1.0]);
    }

    /// One held-in user alone in training has no divergence and no bounds, and stops nothing.
    #[test]
    fn a_user_alone_in_training_has_no_bounds() {
        let scores = |log_likelihood: f64| TextScores {
            log_likelihood: vec![log_likelihood; 2],
            n_tokens: vec![4; 2],
            ..TextScores::default()
        };
        let user = [0, 1].map(UserIdx).to_vec();
        let scored = ScoredExamples::new(user, vec![true, false], scores(-1.0), scores(-2.0)).unwrap();
        let training = Training::of(2, vec![Seen { user: 0, groups: vec![1], n_tokens: 30 }], 30);
        assert_eq!(divergences(&scored, &training).unwrap(), [None, None]);
        let words = UserWords { attack: vec!["a b"], rest: vec!["a c"] };
        let bounds = bounds(&scored, &training, &wording(&[words.clone(), words]), &[1.0; 2]).unwrap();
        assert_eq!(bounds, []);
    }
}
