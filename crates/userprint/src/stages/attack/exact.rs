//! Exact exposure: what Proposition 1 says where the distribution of every user is known.

use std::collections::BTreeMap;

use anyhow::Context;
use userprint_attack::{ScoredExamples, TokenMeanLikelihoodRatio, example_statistics};
use userprint_core::{ExampleSource, Tokenize, UserId, UserIdx, WhitespaceTokenizer};
use userprint_data::{Corpus, Population, log_sum_exp};

use super::super::score::AttackExample;
use super::super::train;
use crate::experiment::CorpusChoice;
use crate::pipeline::Pipeline;
use crate::results::ExactRow;

/// A held-in user: its position in the population, and its share of the fine-tuning examples.
struct HeldIn {
    position: UserIdx,
    share: f64,
}

/// Proposition 1 of each held-in user of a synthetic population, by exact exposure; nothing where something is planted, which no
/// user's distribution has.
pub(super) fn rows(
    pipeline: &Pipeline,
    examples: &[AttackExample],
    users: &[UserId],
    scored: &ScoredExamples,
) -> anyhow::Result<Vec<ExactRow>> {
    let experiment = &pipeline.experiment;
    let is_planted = !experiment.raw.canaries.is_empty()
        || experiment.raw.copies.is_some()
        || experiment.raw.attack.label_noise > 0.0;
    let CorpusChoice::Synthetic(config) = &experiment.corpus else { return Ok(Vec::new()) };
    if is_planted {
        return Ok(Vec::new());
    }
    let population = Population::new(*config, experiment.seed.named("population"))?;
    let tokenizer = WhitespaceTokenizer::new(population.words());
    let held_in = held_in(pipeline)?;
    if held_in.len() < 2 {
        // Alone, a user has nobody to be told from.
        return Ok(Vec::new());
    }
    let ratios = example_statistics(scored, &TokenMeanLikelihoodRatio)?.statistic;
    let mut by_user: BTreeMap<&UserId, Vec<[f64; 4]>> = BTreeMap::new();
    for (at, example) in examples.iter().enumerate() {
        let Some(own) = held_in.get(&example.user_id) else { continue };
        let tokens = tokenizer.encode(&[&example.text])?;
        let tokens = tokens.ids.row(0);
        let [lower, exposure] = of_document(&population, &held_in, own, tokens);
        let user = &users[scored.user()[at].index()];
        by_user.entry(user).or_default().push([lower, exposure, exposure / tokens.len() as f64, ratios[at]]);
    }
    let row = |(user, documents): (&UserId, Vec<[f64; 4]>)| {
        let n = documents.len() as f64;
        let mean = |of: usize| documents.iter().map(|own| own[of]).sum::<f64>() / n;
        let upper = log_sum_exp(&documents.iter().map(|own| own[1]).collect::<Vec<_>>()) - n.ln();
        let share = held_in[user].share;
        let (exposure_per_token, measured) = (mean(2), mean(3));
        ExactRow { share, lower: mean(0), exposure: mean(1), upper, exposure_per_token, measured }
    };
    let mut rows: Vec<ExactRow> = by_user.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.exposure.total_cmp(&b.exposure));
    Ok(rows)
}

fn held_in(pipeline: &Pipeline) -> anyhow::Result<BTreeMap<UserId, HeldIn>> {
    let corpus = pipeline.corpus()?;
    let (training, groups) = train::examples(pipeline, corpus)?;
    let mut held_in = BTreeMap::new();
    for (at, user) in training.users().iter().enumerate() {
        let share = training.texts(UserIdx(at as u32))?.len() as f64 / groups.len() as f64;
        // Ids of the population's users are in the order of the users.
        let position = corpus.users().binary_search(user).ok().context("a user is not in the corpus")?;
        held_in.insert(user.clone(), HeldIn { position: UserIdx(position as u32), share });
    }
    Ok(held_in)
}

/// `log share + log r` and `log D_task - log D_-u = log(1 + share (r - 1))` of one document, `r = D_u / D_-u`.
///
/// # Reference
/// Kandpal et al., EMNLP 2024, Proposition 1 and its proof, document by document.
fn of_document(
    population: &Population,
    held_in: &BTreeMap<UserId, HeldIn>,
    own: &HeldIn,
    tokens: &[u32],
) -> [f64; 2] {
    let of_own = population.log_prob(own.position, tokens);
    let others = held_in.values().filter(|other| other.position != own.position);
    let terms = others.map(|other| other.share.ln() + population.log_prob(other.position, tokens));
    let others = log_sum_exp(&terms.collect::<Vec<_>>());
    let task = log_sum_exp(&[own.share.ln() + of_own, others]);
    let without = others - (-own.share).ln_1p();
    let log_r = of_own - without;
    [own.share.ln() + log_r, task - without]
}

#[cfg(test)]
mod tests {
    use userprint_core::Seed;
    use userprint_data::PopulationConfig;

    use super::*;

    #[test]
    fn the_mixture_is_the_populations_own() {
        let population = Population::new(PopulationConfig::smoke(), Seed(1)).unwrap();
        let user = |user: u32| {
            let (position, id) = (UserIdx(user), UserId::new(format!("user-{:04}", user + 1)));
            (id, HeldIn { position, share: population.alpha(position) })
        };
        let held_in: BTreeMap<UserId, HeldIn> = (0..150).map(user).collect();
        let mut rng = Seed(2).rng();
        for own in held_in.values().step_by(15) {
            let tokens = population.sample_document(own.position, &mut rng);
            let [lower, exposure] = of_document(&population, &held_in, own, &tokens);
            let expect =
                population.log_prob_task(&tokens) - population.log_prob_without(own.position, &tokens);
            assert!((exposure - expect).abs() < 1e-9, "{exposure} {expect}");
            let log_r = population.log_prob(own.position, &tokens)
                - population.log_prob_without(own.position, &tokens);
            assert!(
                (lower - own.share.ln() - log_r).abs() < 1e-9 && lower <= exposure + 1e-9,
                "{lower} {log_r}"
            );
            // What the upper bound takes the mean of.
            assert!((exposure - (own.share * log_r.exp_m1()).ln_1p()).abs() < 1e-9, "{exposure} {log_r}");
        }
    }
}
