//! Every statistic by hand, against its slow definition, and where it must rise, stand still or refuse.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde::Deserialize;
use userprint_core::{Detail, Moments, TextScores};

use super::*;
use crate::examples::NamedScores;
use crate::{Evidence, Percent};

/// One token: log-probability, mean, standard deviation, whether it is the argmax.
type Token = (f32, f32, f32, bool);

/// One text at the finest detail.
fn text(tokens: &[Token]) -> TextScores {
    TextScores {
        log_likelihood: vec![tokens.iter().map(|token| f64::from(token.0)).sum()],
        n_tokens: vec![tokens.len() as u32],
        token_log_probs: Some([tokens.iter().map(|token| token.0)].into_iter().collect()),
        moments: Some(Moments {
            mean: [tokens.iter().map(|token| token.1)].into_iter().collect(),
            std_dev: [tokens.iter().map(|token| token.2)].into_iter().collect(),
            is_argmax: [tokens.iter().map(|token| token.3)].into_iter().collect(),
        }),
    }
}

fn total(log_likelihood: f64, n_tokens: u32) -> TextScores {
    TextScores { log_likelihood: vec![log_likelihood], n_tokens: vec![n_tokens], ..TextScores::default() }
}

fn evidence<'a>(target: &'a TextScores, reference: &'a TextScores, more: &'a [NamedScores]) -> Evidence<'a> {
    Evidence {
        reference: Some(reference),
        more_references: more,
        zlib_bytes: Some(&[8]),
        ..Evidence::new(target, 0)
    }
}

fn more(scores: TextScores) -> Vec<NamedScores> {
    vec![NamedScores { name: "another".to_owned(), scores }]
}

/// One line a statistic: its value with everything that there is, and from the target's scores alone.
#[track_caller]
fn check(evidence: Evidence<'_>, expect: Expect) {
    let alone = Evidence { target: evidence.target, ..Evidence::new(evidence.target, evidence.row) };
    let lines: Vec<String> = all()
        .iter()
        .map(|s| format!("{} {:.5?} {:.5?}\n", s.name(), s.compute(&evidence), s.compute(&alone)))
        .collect();
    expect.assert_eq(&lines.concat());
}

const TARGET: [Token; 6] = [
    (-0.5, -1.0, 0.5, true),
    (-2.0, -1.5, 0.25, false),
    (-6.0, -2.0, 2.0, false),
    (-1.0, -1.0, 1.0, false),
    (-3.0, -2.5, 0.5, false),
    (-0.25, -0.5, 0.5, true),
];
const REFERENCE: [Token; 6] = [
    (-1.0, -1.0, 0.5, true),
    (-3.0, -1.5, 0.5, false),
    (-5.0, -2.0, 1.0, false),
    (-1.0, -2.0, 1.0, true),
    (-2.5, -2.5, 0.5, false),
    (-4.0, -0.5, 1.0, false),
];

#[test]
fn by_hand() {
    let (target, reference) = (text(&TARGET), text(&REFERENCE));
    check(
        evidence(&target, &reference, &more(total(-20.0, 5))),
        expect![[r#"
        token_mean_likelihood_ratio Some(0.62500) None
        likelihood_ratio Some(3.75000) None
        token_mean_log_likelihood Some(-2.12500) Some(-2.12500)
        log_likelihood Some(-12.75000) Some(-12.75000)
        mean_reference_likelihood_ratio Some(1.25000) None
        zlib_ratio Some(-1.59375) None
        error_zone_ratio Some(0.68750) None
        window_share Some(0.85667) None
        min_k_20 Some(-4.50000) Some(-4.50000)
        min_k_plus_plus_20 Some(-2.00000) Some(-2.00000)
        calibrated_min_k_plus_plus_20 Some(1.25000) None
        hard_tokens_20 Some(0.37811) None
    "#]],
    );
}

/// The reference cuts the text otherwise: means are over each model's own tokens, and nothing goes token by token.
#[test]
fn other_tokens() {
    let (target, reference) = (text(&TARGET), text(&REFERENCE[..5]));
    check(
        evidence(&target, &reference, &more(total(-20.0, 5))),
        expect![[r#"
        token_mean_likelihood_ratio Some(0.37500) None
        likelihood_ratio Some(-0.25000) None
        token_mean_log_likelihood Some(-2.12500) Some(-2.12500)
        log_likelihood Some(-12.75000) Some(-12.75000)
        mean_reference_likelihood_ratio Some(1.12500) None
        zlib_ratio Some(-1.59375) None
        error_zone_ratio None None
        window_share None None
        min_k_20 Some(-4.50000) Some(-4.50000)
        min_k_plus_plus_20 Some(-2.00000) Some(-2.00000)
        calibrated_min_k_plus_plus_20 Some(1.00000) None
        hard_tokens_20 None None
    "#]],
    );
}

#[test]
fn totals_alone() {
    let (target, reference) = (total(-12.0, 4), total(-20.0, 5));
    check(
        Evidence { zlib_bytes: None, ..evidence(&target, &reference, &[]) },
        expect![[r#"
        token_mean_likelihood_ratio Some(1.00000) None
        likelihood_ratio Some(8.00000) None
        token_mean_log_likelihood Some(-3.00000) Some(-3.00000)
        log_likelihood Some(-12.00000) Some(-12.00000)
        mean_reference_likelihood_ratio None None
        zlib_ratio None None
        error_zone_ratio None None
        window_share None None
        min_k_20 None None
        min_k_plus_plus_20 None None
        calibrated_min_k_plus_plus_20 None None
        hard_tokens_20 None None
    "#]],
    );
}

#[test]
fn no_tokens_have_no_mean() {
    let nothing = TextScores { log_likelihood: vec![-12.0], ..text(&[]) };
    check(
        evidence(&nothing, &nothing, &more(total(-12.0, 0))),
        expect![[r#"
        token_mean_likelihood_ratio None None
        likelihood_ratio Some(0.00000) None
        token_mean_log_likelihood None None
        log_likelihood Some(-12.00000) Some(-12.00000)
        mean_reference_likelihood_ratio None None
        zlib_ratio Some(-1.50000) None
        error_zone_ratio None None
        window_share None None
        min_k_20 None None
        min_k_plus_plus_20 None None
        calibrated_min_k_plus_plus_20 None None
        hard_tokens_20 None None
    "#]],
    );
}

#[test]
fn an_absent_row_has_no_value() {
    let (target, reference) = (text(&TARGET), text(&REFERENCE));
    let more = more(total(-20.0, 5));
    let evidence = Evidence { row: 1, ..evidence(&target, &reference, &more) };
    for statistic in all() {
        assert_eq!(statistic.compute(&evidence), None, "{statistic:?}");
    }
}

#[test]
fn names_are_unique_and_found() {
    let mut names: Vec<String> = all().iter().map(|statistic| statistic.name()).collect();
    for statistic in all() {
        let found = by_name(&statistic.name()).unwrap();
        assert_eq!(format!("{found:?}"), format!("{statistic:?}"));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all().len());
    assert_eq!(by_name("hard_tokens_7").unwrap().name(), "hard_tokens_7");
    for name in ["min_k", "min_k_020", "min_k_101", "min_k_+20", "_20", "20", ""] {
        assert!(by_name(name).is_none(), "{name}");
    }
}

/// Columns of a text, row 0, without the moments of the reference.
struct Columns {
    target: Vec<f64>,
    reference: Vec<f64>,
}

fn columns(target: &[Token], reference: &[Token]) -> Columns {
    let of = |tokens: &[Token]| tokens.iter().map(|token| f64::from(token.0)).collect();
    Columns { target: of(target), reference: of(reference) }
}

/// How many of `n` tokens the lowest 20 % are: the least number that is 20 % or more.
fn n_lowest(n: usize) -> usize {
    (1..=n).find(|lowest| lowest * 5 >= n).unwrap()
}

/// Takes the lowest away one by one.
fn lowest_mean(values: &[f64]) -> f64 {
    let mut left = values.to_vec();
    let mut sum = 0.0;
    for _ in 0..n_lowest(values.len()) {
        let lowest = (0..left.len()).min_by(|&a, &b| left[a].total_cmp(&left[b])).unwrap();
        sum += left.remove(lowest);
    }
    sum / n_lowest(values.len()) as f64
}

fn lowest_standardised(tokens: &[Token]) -> f64 {
    let z = |token: &Token| f64::from(token.0 - token.1) / f64::from(token.2);
    lowest_mean(&tokens.iter().map(z).collect::<Vec<_>>())
}

/// Every window of every length, each summed anew.
fn share_of_windows(columns: &Columns) -> f64 {
    let (mut sum, n) = (0.0, columns.target.len());
    for length in [2, 3, 4, 6, 9, 13, 18, 25, 32, 40] {
        let length = if length < n { length } else { n };
        let mut won = 0;
        for first in 0..=n - length {
            let delta: f64 = (first..first + length).map(|t| columns.target[t] - columns.reference[t]).sum();
            won += usize::from(delta > 0.0);
        }
        sum += won as f64 / (n - length + 1) as f64;
    }
    sum / 10.0
}

fn rises_over_falls(target: &[Token], reference: &[Token]) -> f64 {
    let wrong = (0..target.len()).filter(|&t| !target[t].3);
    let deltas: Vec<f64> = wrong.map(|t| f64::from(target[t].0) - f64::from(reference[t].0)).collect();
    let rise: f64 = deltas.iter().filter(|&&delta| delta > 0.0).sum();
    let fall: f64 = deltas.iter().filter(|&&delta| delta < 0.0).sum();
    (0.1 + rise) / (0.1 - fall)
}

fn rise_of_hardest(columns: &Columns) -> f64 {
    let mut order: Vec<usize> = (0..columns.target.len()).collect();
    order.sort_by(|&a, &b| columns.target[a].total_cmp(&columns.target[b]));
    order.sort_by(|&a, &b| columns.reference[a].total_cmp(&columns.reference[b]));
    let hardest = &order[..n_lowest(order.len())];
    let rise: f64 = hardest.iter().map(|&t| columns.target[t].exp() - columns.reference[t].exp()).sum();
    rise / hardest.len() as f64
}

/// A token with the spread that its own probability demands; eighths, so that sums are exact in any order.
fn token() -> impl Strategy<Value = Token> {
    (-160i32..=0, -40i32..=0, 1i32..80, any::<bool>()).prop_map(|(log_prob, mean, spread, is_argmax)| {
        let (log_prob, mean) = (log_prob as f32 / 8.0, mean as f32 / 8.0);
        (log_prob, mean, (spread as f32 / 8.0).max(1.01 * least_spread(log_prob, mean)), is_argmax)
    })
}

/// The least standard deviation of a distribution with such a token.
fn least_spread(log_prob: f32, mean: f32) -> f32 {
    (log_prob - mean).abs() * (log_prob / 2.0).exp()
}

/// Target and reference of one text.
fn texts() -> impl Strategy<Value = Vec<(Token, Token)>> {
    prop::collection::vec((token(), token()), 1..60)
}

proptest! {
    #[test]
    fn agrees_with_the_definitions(tokens in texts()) {
        let (target, reference): (Vec<Token>, Vec<Token>) = tokens.into_iter().unzip();
        let (scores, calibration) = (text(&target), text(&reference));
        let evidence = evidence(&scores, &calibration, &[]);
        let columns = columns(&target, &reference);
        let close = |statistic: &dyn Statistic, expect: f64| {
            let found = statistic.compute(&evidence).unwrap();
            assert!((found - expect).abs() <= 1e-9 * (1.0 + expect.abs()), "{statistic:?} {found} {expect}");
        };
        let k = Percent::TWENTY;
        close(&MinK { k }, lowest_mean(&columns.target));
        close(&MinKPlusPlus { k }, lowest_standardised(&target));
        close(&CalibratedMinKPlusPlus { k }, lowest_standardised(&target) - lowest_standardised(&reference));
        close(&ErrorZoneRatio, rises_over_falls(&target, &reference));
        close(&WindowShare, share_of_windows(&columns));
        close(&HardTokens { k }, rise_of_hardest(&columns));
    }

    /// A likelier token under the target, all else equal, lowers no statistic.
    #[test]
    fn higher_means_held_in(tokens in texts(), place in any::<prop::sample::Index>(), eighths in 1u8..40) {
        let (mut target, reference): (Vec<Token>, Vec<Token>) = tokens.into_iter().unzip();
        let place = place.index(target.len());
        let (log_prob, mean, std_dev, is_argmax) = target[place];
        let raised = (log_prob + f32::from(eighths) / 8.0).min(0.0);
        // A spread that both probabilities allow.
        let std_dev = std_dev.max(1.01 * least_spread(raised, mean));
        let [before, after] = [log_prob, raised].map(|log_prob| {
            target[place] = (log_prob, mean, std_dev, is_argmax);
            text(&target)
        });
        let (reference, more) = (text(&reference), more(total(-20.0, 5)));
        for statistic in all() {
            let value = |scores| statistic.compute(&evidence(scores, &reference, &more)).unwrap();
            prop_assert!(value(&after) >= value(&before) - 1e-12 * value(&before).abs(), "{statistic:?}");
        }
    }

    /// Only windows know in what order the tokens come.
    #[test]
    fn order_matters_to_windows_alone(tokens in texts(), seed in any::<u64>()) {
        let mut shuffled = tokens.clone();
        rand::seq::SliceRandom::shuffle(&mut shuffled[..], &mut userprint_core::Seed(seed).rng());
        let texts = |tokens: &[(Token, Token)]| {
            let (target, reference): (Vec<Token>, Vec<Token>) = tokens.iter().copied().unzip();
            (text(&target), text(&reference))
        };
        let (before, after, more) = (texts(&tokens), texts(&shuffled), more(total(-20.0, 5)));
        for statistic in all().iter().filter(|statistic| statistic.name() != "window_share") {
            let [before, after] = [&before, &after]
                .map(|(target, reference)| statistic.compute(&evidence(target, reference, &more)).unwrap());
            prop_assert!((before - after).abs() <= 1e-12 * (1.0 + before.abs()), "{statistic:?}");
        }
    }

    /// With several references the average counts, between the results of each, and none is picked.
    #[test]
    fn references_are_averaged(totals in prop::collection::vec(-90.0f64..0.0, 2..6), target in -90.0f64..0.0) {
        let target = total(target, 7);
        let references: Vec<TextScores> = totals.iter().map(|&value| total(value, 5)).collect();
        let of_each: Vec<f64> = references
            .iter()
            .map(|reference| TokenMeanLikelihoodRatio.compute(&evidence(&target, reference, &[])).unwrap())
            .collect();
        let name = |(index, scores): (usize, &TextScores)| {
            NamedScores { name: index.to_string(), scores: scores.clone() }
        };
        for main in 0..references.len() {
            let others = references.iter().enumerate().filter(|(index, _)| *index != main);
            let others: Vec<NamedScores> = others.map(name).collect();
            let evidence = evidence(&target, &references[main], &others);
            let found = MeanReferenceLikelihoodRatio.compute(&evidence).unwrap();
            let mean = of_each.iter().sum::<f64>() / of_each.len() as f64;
            prop_assert!((found - mean).abs() < 1e-9, "{found} {mean}");
        }
    }

    /// A statistic reads no more than it says: finer scores than it needs do not change it.
    #[test]
    fn reads_what_it_needs(tokens in texts()) {
        let (target, reference): (Vec<Token>, Vec<Token>) = tokens.into_iter().unzip();
        let (target, reference, more) = (text(&target), text(&reference), more(total(-20.0, 5)));
        let all_there_is = evidence(&target, &reference, &more);
        for statistic in all() {
            let needs = statistic.needs();
            let coarse = |scores: &TextScores, detail| TextScores {
                token_log_probs: scores.token_log_probs.clone().filter(|_| detail >= Detail::Tokens),
                moments: scores.moments.clone().filter(|_| detail >= Detail::Moments),
                ..scores.clone()
            };
            let target = coarse(&target, needs.target);
            let reference = needs.reference.map(|detail| coarse(&reference, detail));
            let needed = Evidence {
                target: &target,
                reference: reference.as_ref(),
                more_references: if needs.more_references { &more } else { &[] },
                zlib_bytes: all_there_is.zlib_bytes.filter(|_| needs.zlib_bytes),
                row: 0,
            };
            prop_assert_eq!(statistic.compute(&needed), statistic.compute(&all_there_is), "{:?}", statistic);
        }
    }

    /// The reference in the target's place says nothing about any text.
    #[test]
    fn placebo_is_constant(tokens in prop::collection::vec(token(), 1..60)) {
        let scores = text(&tokens);
        let evidence = evidence(&scores, &scores, &[]);
        let placebo = |statistic: &dyn Statistic| statistic.compute(&evidence).unwrap();
        let k = Percent::TWENTY;
        for statistic in [&TokenMeanLikelihoodRatio as &dyn Statistic, &LikelihoodRatio, &WindowShare] {
            prop_assert_eq!(placebo(statistic), 0.0);
        }
        prop_assert_eq!(placebo(&CalibratedMinKPlusPlus { k }), 0.0);
        prop_assert_eq!(placebo(&HardTokens { k }), 0.0);
        prop_assert_eq!(placebo(&ErrorZoneRatio), 1.0);
    }
}

/// Fine-tuning that lowers no wrong token: finite, above any text with a fall of that size, and ordered by the rise.
#[test]
fn texts_without_a_fall_are_ordered() {
    let value = |deltas: &[(f32, bool)]| {
        let reference: Vec<Token> = deltas.iter().map(|_| (-4.0, -1.0, 1.0, false)).collect();
        let target: Vec<Token> =
            deltas.iter().map(|&(delta, is_argmax)| (-4.0 + delta, -1.0, 1.0, is_argmax)).collect();
        let (target, reference) = (text(&target), text(&reference));
        ErrorZoneRatio.compute(&evidence(&target, &reference, &[])).unwrap()
    };
    let never_wrong = value(&[(2.0, true), (-1.0, true)]);
    let (no_fall, more) = (value(&[(2.0, false)]), value(&[(3.0, false)]));
    let (balanced, no_rise) = (value(&[(2.0, false), (-2.0, false)]), value(&[(-2.0, false)]));
    assert!((never_wrong, balanced) == (1.0, 1.0) && more > no_fall && no_fall > 1.0 && 1.0 > no_rise);
    assert!((no_fall - 21.0).abs() < 1e-5 && (no_fall * no_rise - 1.0).abs() < 1e-12);
    // With sums of some nats the prior hardly shows.
    let long: Vec<(f32, bool)> = (0..60).map(|t| (if t % 3 == 0 { -0.5 } else { 1.0 }, false)).collect();
    assert!((value(&long) - 4.0).abs() < 0.04);
}

/// A spread that was rounded to 0 is no division by 0, and a certain token is as expected.
#[test]
fn a_lost_spread_is_bounded() {
    let value = |token: Token| {
        let target = text(&[token]);
        MinKPlusPlus { k: Percent::TWENTY }.compute(&Evidence::new(&target, 0)).unwrap()
    };
    assert_eq!(value((0.0, 0.0, 0.0, true)), 0.0);
    let surprised = value((-30.0, -1e-9, 0.0, false));
    assert!((surprised + 15f64.exp()).abs() < 1e-3, "{surprised}");
    assert_eq!(value((-2.0, -1.0, 0.5, false)), -2.0);
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    zlib_bytes: u32,
    target: Model,
    reference: Model,
    statistics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Model {
    log_probs: Vec<f32>,
    mean: Vec<f32>,
    std_dev: Vec<f32>,
    is_argmax: Vec<bool>,
}

impl Model {
    fn scores(&self) -> TextScores {
        let moments = self.mean.iter().zip(&self.std_dev).zip(&self.is_argmax);
        let tokens = self.log_probs.iter().zip(moments);
        let tokens: Vec<Token> =
            tokens.map(|(&log_prob, ((&mean, &std_dev), &right))| (log_prob, mean, std_dev, right)).collect();
        text(&tokens)
    }
}

#[test]
fn agrees_with_numpy() {
    let golden = include_str!("../../../../fixtures/example_statistics/golden.json");
    let golden: Golden = serde_json::from_str(golden).unwrap();
    assert_eq!(golden.cases.len(), 10);
    for (index, case) in golden.cases.iter().enumerate() {
        let (target, reference) = (case.target.scores(), case.reference.scores());
        let zlib_bytes = [case.zlib_bytes];
        let evidence = Evidence { zlib_bytes: Some(&zlib_bytes), ..evidence(&target, &reference, &[]) };
        assert_eq!(case.statistics.len(), 8);
        for (name, expect) in &case.statistics {
            let found = by_name(name).unwrap().compute(&evidence).unwrap();
            assert!(
                (found - expect).abs() <= 1e-9 * (1.0 + expect.abs()),
                "{name} of text {index}: {found} {expect}"
            );
        }
    }
}
