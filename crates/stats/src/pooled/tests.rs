//! Pooling against its definition, a plain AUROC, and bad input.

use proptest::prelude::*;

use super::*;
use crate::Roc;

fn stratum(rows: &[(u32, bool, f64)]) -> Stratum {
    Stratum {
        user: rows.iter().map(|row| row.0).collect(),
        held_in: rows.iter().map(|row| row.1).collect(),
        statistic: rows.iter().map(|row| row.2).collect(),
    }
}

fn side(stratum: &Stratum, held_in: bool) -> Vec<f64> {
    let rows = stratum.held_in.iter().zip(&stratum.statistic);
    rows.filter(|row| *row.0 == held_in).map(|row| *row.1).collect()
}

/// The definition: each stratum's AUROC, weighted by its pairs.
fn by_strata(strata: &[Stratum]) -> f64 {
    let (mut won, mut all) = (0.0, 0.0);
    for stratum in strata {
        let (held_in, held_out) = (side(stratum, true), side(stratum, false));
        let pairs = (held_in.len() * held_out.len()) as f64;
        won += pairs * Roc::new(&held_in, &held_out).unwrap().auroc();
        all += pairs;
    }
    won / all
}

/// Three to nine users a stratum, drawn from ten, with both sides present.
fn strata() -> impl Strategy<Value = Vec<Stratum>> {
    let row = (any::<bool>(), (-4i8..4).prop_map(f64::from));
    let one = prop::collection::vec(row, 3..10).prop_map(|mut rows| {
        rows[0].0 = true;
        rows[1].0 = false;
        let rows: Vec<_> = (0..).zip(rows).map(|(user, (held_in, value))| (user, held_in, value)).collect();
        stratum(&rows)
    });
    prop::collection::vec(one, 1..4)
}

proptest! {
    #[test]
    fn agrees_with_the_definition(strata in strata()) {
        prop_assert!((pooled_auroc(&strata).unwrap() - by_strata(&strata)).abs() < 1e-12);
    }

    #[test]
    fn shifting_a_run_changes_nothing(mut strata in strata(), shift in -100i8..100) {
        let before = pooled_auroc(&strata).unwrap();
        let interval = pooled_interval(&strata, 40, 0.05, 3).unwrap();
        strata[0].statistic.iter_mut().for_each(|value| *value += f64::from(shift));
        prop_assert_eq!(pooled_auroc(&strata).unwrap(), before);
        prop_assert_eq!(pooled_interval(&strata, 40, 0.05, 3).unwrap(), interval);
    }

    #[test]
    fn interval_lies_in_the_unit_interval(strata in strata(), seed: u64) {
        let interval = pooled_interval(&strata, 40, 0.05, seed).unwrap();
        prop_assert!(0.0 <= interval.lower && interval.lower <= interval.upper && interval.upper <= 1.0);
    }
}

/// The same run twice holds no more users than the run once, so the interval is the same.
/// Rows taken for independent would narrow it by a factor of √2.
#[test]
fn users_are_clusters() {
    let rows: Vec<_> = (0..40).map(|user| (user, user % 2 == 0, f64::from(user * 7 % 31))).collect();
    let run = stratum(&rows);
    let once = pooled_interval(std::slice::from_ref(&run), 500, 0.05, 1).unwrap();
    let twice = pooled_interval(&[run.clone(), run.clone()], 500, 0.05, 1).unwrap();
    assert_eq!(once, twice);
    let mut others = run.clone();
    others.user.iter_mut().for_each(|user| *user += 40);
    let independent = pooled_interval(&[run, others], 500, 0.05, 1).unwrap();
    let ratio = (once.upper - once.lower) / (independent.upper - independent.lower);
    assert!((1.2..1.7).contains(&ratio), "{ratio}");
}

#[test]
fn threads_do_not_matter() {
    let run = stratum(&[(0, true, 1.0), (1, true, 3.0), (2, false, 2.0), (3, false, 0.0)]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pooled_interval(std::slice::from_ref(&run), 100, 0.1, 5)).unwrap()
    };
    assert_eq!(on(1), on(3));
}

/// Half of the draws of two users leave a side empty, and are drawn again; one pair says next to nothing.
#[test]
fn one_user_a_side() {
    let run = stratum(&[(4, true, 2.0), (9, false, 1.0)]);
    let interval = pooled_interval(&[run], 100, 0.05, 1).unwrap();
    assert_eq!(interval, newcombe(1.0, 1, 1, 0.05).unwrap());
    assert!(interval.lower < 0.21 && interval.upper == 1.0, "{interval:?}");
}

#[test]
fn all_tied() {
    let run = stratum(&[(0, true, 1.0), (1, false, 1.0), (2, false, 1.0)]);
    assert_eq!(pooled_auroc(std::slice::from_ref(&run)), Ok(0.5));
    assert_eq!(pooled_interval(&[run], 40, 0.05, 1), newcombe(0.5, 1, 2, 0.05));
}

/// A user in three runs counts once.
#[test]
fn separated_runs_have_a_width() {
    let run = |first: u32| {
        let rows: Vec<_> =
            (first..first + 20).map(|user| (user, user % 2 == 0, f64::from(user % 2 == 0))).collect();
        stratum(&rows)
    };
    let found = pooled_interval(&[run(0), run(0), run(10)], 100, 0.05, 1);
    assert_eq!(found, newcombe(1.0, 15, 15, 0.05));
}

#[track_caller]
fn check_error(bad: Stratum, expect: &str) {
    let good = stratum(&[(0, true, 1.0), (1, false, 0.0)]);
    let strata = [good, bad];
    assert_eq!(pooled_auroc(&strata).unwrap_err().to_string(), expect);
    assert_eq!(pooled_interval(&strata, 40, 0.05, 1).unwrap_err().to_string(), expect);
}

#[test]
fn bad_strata_are_named() {
    check_error(stratum(&[(0, true, 1.0)]), "stratum 1 has no held-out rows");
    check_error(Stratum::default(), "stratum 1 has no held-in rows");
    check_error(
        stratum(&[(0, true, 1.0), (1, false, f64::NAN)]),
        "row 1 of stratum 1 is NaN, expected a finite number",
    );
    check_error(stratum(&[(7, true, 1.0), (7, false, 1.0)]), "user 7 is on both sides of stratum 1");
    let mut uneven = stratum(&[(0, true, 1.0), (1, false, 0.0)]);
    uneven.statistic.pop();
    check_error(uneven, "stratum 1 has 2 users, 2 memberships and 1 statistics");
}

#[test]
fn bad_settings() {
    let run = [stratum(&[(0, true, 1.0), (1, false, 0.0)])];
    assert_eq!(pooled_auroc(&[]), Err(StatsError::NoStrata));
    assert_eq!(
        pooled_interval(&run, 39, 0.05, 1),
        Err(StatsError::TooFewResamples { found: 39, needed: 40 })
    );
    assert!(matches!(pooled_interval(&run, 40, 1.5, 1), Err(StatsError::SignificanceOutOfRange { .. })));
}
