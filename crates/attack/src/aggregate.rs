//! Aggregates: from example statistics to a user statistic.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use userprint_core::UnknownName;

use crate::Percent;

/// How the statistics of a user's examples become one number.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3 (mean) and Table 6 (min and max).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Aggregate {
    /// The mean over examples, each of equal weight: the paper's.
    Mean,
    /// The mean over examples, each weighted by its tokens: of a statistic that is a mean over tokens, the mean over
    /// all of the user's tokens.
    TokenWeightedMean,
    /// The mean without the lowest and the highest examples.
    TrimmedMean {
        /// How many examples are cut from each side, rounded down; one or two are always left, so that 50 % and
        /// more give the median.
        each_side: Percent,
    },
    /// The middle example, or the mean of the two middle ones.
    Median,
    /// The example that looks least trained on.
    Min,
    /// The example that looks most trained on.
    Max,
    /// The mean of the highest examples, or of all where there are fewer.
    TopMean {
        /// How many.
        count: NonZeroU32,
    },
    /// `log sum_i exp(t_i)`: near the maximum, and higher the more examples come close.
    ///
    /// It lies between `max` and `max + log n`, so it also ranks users by their number of examples.
    LogSumExp,
}

const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();

impl Aggregate {
    /// Every aggregate, the default first; those with a parameter at its usual value.
    pub const ALL: &'static [Self] = &[
        Self::Mean,
        Self::TokenWeightedMean,
        Self::TrimmedMean { each_side: Percent::TEN },
        Self::Median,
        Self::Min,
        Self::Max,
        Self::TopMean { count: FIVE },
        Self::LogSumExp,
    ];

    /// The aggregate of the statistics of examples with so many tokens.
    ///
    /// `None` for no values, where one is not finite, where there is not one number of tokens a value, or where
    /// the result overflows.
    ///
    /// ```
    /// use userprint_attack::Aggregate;
    /// assert_eq!(Aggregate::Mean.apply(&[1.0, 2.0, 6.0], &[8, 1, 1]), Some(3.0));
    /// assert_eq!(Aggregate::TokenWeightedMean.apply(&[1.0, 2.0, 6.0], &[8, 1, 1]), Some(1.6));
    /// assert_eq!(Aggregate::Max.apply(&[], &[]), None);
    /// ```
    pub fn apply(self, values: &[f64], n_tokens: &[u32]) -> Option<f64> {
        if values.is_empty()
            || values.len() != n_tokens.len()
            || !values.iter().all(|value| value.is_finite())
        {
            return None;
        }
        let value = match self {
            Self::Mean => mean(values),
            Self::TokenWeightedMean => token_weighted_mean(values, n_tokens),
            Self::TrimmedMean { each_side } => middle(values, each_side.of_at_most(values.len())),
            Self::Median => middle(values, values.len()),
            Self::Min => min(values),
            Self::Max => max(values),
            Self::TopMean { count } => {
                let sorted = sorted(values);
                mean(&sorted[sorted.len().saturating_sub(count.get() as usize)..])
            }
            Self::LogSumExp => {
                let max = max(values);
                max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
            }
        };
        value.is_finite().then_some(value)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn token_weighted_mean(values: &[f64], n_tokens: &[u32]) -> f64 {
    let weighted = values.iter().zip(n_tokens).map(|(value, &n)| value * f64::from(n));
    weighted.sum::<f64>() / n_tokens.iter().map(|&n| f64::from(n)).sum::<f64>()
}

/// The mean without `cut` values on each side, of which one or two are left.
fn middle(values: &[f64], cut: usize) -> f64 {
    let sorted = sorted(values);
    let cut = cut.min((sorted.len() - 1) / 2);
    mean(&sorted[cut..sorted.len() - cut])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The name in files; [`str::parse`] reads it back.
///
/// ```
/// use userprint_attack::Aggregate;
/// let aggregate: Aggregate = "trimmed_mean_25".parse()?;
/// assert_eq!(aggregate.apply(&[0.0, 1.0, 3.0, 100.0], &[1; 4]), Some(2.0));
/// assert_eq!(aggregate.to_string(), "trimmed_mean_25");
/// # Ok::<(), userprint_core::UnknownName>(())
/// ```
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::TokenWeightedMean => f.write_str("token_weighted_mean"),
            Self::TrimmedMean { each_side } => write!(f, "trimmed_mean_{}", each_side.get()),
            Self::Median => f.write_str("median"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::TopMean { count } => write!(f, "top_mean_{count}"),
            Self::LogSumExp => f.write_str("log_sum_exp"),
        }
    }
}

impl FromStr for Aggregate {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let with_parameter = || {
            let (kind, parameter) = name.rsplit_once('_')?;
            match kind {
                "trimmed_mean" => {
                    Some(Self::TrimmedMean { each_side: Percent::new(parameter.parse().ok()?).ok()? })
                }
                "top_mean" => Some(Self::TopMean { count: parameter.parse().ok()? }),
                _ => None,
            }
        };
        let found = Self::ALL.iter().copied().chain(with_parameter()).find(|found| found.to_string() == name);
        found.ok_or_else(|| UnknownName {
            found: name.to_owned(),
            expected: "mean, token_weighted_mean, trimmed_mean_PERCENT, median, min, max, top_mean_COUNT, log_sum_exp",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_round_trip() {
        for &aggregate in Aggregate::ALL {
            assert_eq!(aggregate.to_string().parse(), Ok(aggregate));
        }
        for name in ["top_mean_1", "top_mean_4294967295", "trimmed_mean_1", "trimmed_mean_100"] {
            assert_eq!(name.parse::<Aggregate>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        let error = "average".parse::<Aggregate>().unwrap_err();
        let expect = "expected one of mean, token_weighted_mean, trimmed_mean_PERCENT, median, min, max, \
                      top_mean_COUNT, log_sum_exp, found `average`";
        assert_eq!(error.to_string(), expect);
        let others = ["", "_", "trimmed_mean", "trimmed_mean_0", "trimmed_mean_010", "trimmed_mean_101"];
        for name in others.into_iter().chain(["top_mean_0", "top_mean_-1", "top_mean_x", "Mean"]) {
            assert!(name.parse::<Aggregate>().is_err(), "{name}");
        }
    }

    /// One line an aggregate, of examples with 1, 2, 3 … tokens.
    #[track_caller]
    fn check(values: &[f64], expect: expect_test::Expect) {
        let n_tokens: Vec<u32> = (1..).take(values.len()).collect();
        let line = |a: &Aggregate| format!("{a} {:?}\n", a.apply(values, &n_tokens));
        expect.assert_eq(&Aggregate::ALL.iter().map(line).collect::<String>());
    }

    #[test]
    fn by_hand() {
        check(
            &[5.0, -4.0, 1.0, 2.0],
            expect_test::expect![[r#"
            mean Some(1.0)
            token_weighted_mean Some(0.8)
            trimmed_mean_10 Some(1.0)
            median Some(1.5)
            min Some(-4.0)
            max Some(5.0)
            top_mean_5 Some(1.0)
            log_sum_exp Some(5.065999438222741)
        "#]],
        );
        check(
            &[0.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, -90.0],
            expect_test::expect![[r#"
            mean Some(-4.6)
            token_weighted_mean Some(-12.727272727272727)
            trimmed_mean_10 Some(4.375)
            median Some(4.5)
            min Some(-90.0)
            max Some(9.0)
            top_mean_5 Some(7.0)
            log_sum_exp Some(9.458417659486853)
        "#]],
        );
    }

    #[test]
    fn undefined_is_none() {
        for aggregate in Aggregate::ALL {
            for values in [&[][..], &[1.0, f64::NAN], &[f64::INFINITY]] {
                assert_eq!(aggregate.apply(values, &vec![1; values.len()]), None, "{aggregate} {values:?}");
            }
            assert_eq!(aggregate.apply(&[1.0], &[1, 2]), None, "{aggregate}: uneven columns");
        }
        assert_eq!(Aggregate::TokenWeightedMean.apply(&[1.0, 2.0], &[0, 0]), None);
        assert_eq!(Aggregate::Mean.apply(&[f64::MAX, f64::MAX], &[1, 1]), None);
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1e3f64..1e3, 1..30)
    }

    proptest! {
        #[test]
        fn lies_among_its_values(values in values(), seed in 1u32..1000) {
            let n_tokens: Vec<u32> = (0..values.len() as u32).map(|i| 1 + (i * seed) % 97).collect();
            let (least, most) = (min(&values), max(&values));
            for aggregate in Aggregate::ALL {
                let value = aggregate.apply(&values, &n_tokens).unwrap();
                let most = match aggregate {
                    Aggregate::LogSumExp => most + (values.len() as f64).ln(),
                    _ => most,
                };
                prop_assert!(least - 1e-9 <= value && value <= most + 1e-9, "{aggregate} {value}");
            }
        }

        #[test]
        fn equal_lengths_have_equal_weights(values in values(), n in 1u32..10_000) {
            let n_tokens = vec![n; values.len()];
            let [plain, weighted] =
                [Aggregate::Mean, Aggregate::TokenWeightedMean].map(|a| a.apply(&values, &n_tokens).unwrap());
            prop_assert!((plain - weighted).abs() < 1e-9);
        }

        /// The order of a user's examples does not matter, and a constant added to all is added to the result.
        #[test]
        fn moves_with_its_values(values in values(), shift in -100.0f64..100.0) {
            let n_tokens: Vec<u32> = (1..).take(values.len()).collect();
            let turned: Vec<f64> = values.iter().rev().copied().collect();
            let turned_tokens: Vec<u32> = n_tokens.iter().rev().copied().collect();
            let shifted: Vec<f64> = values.iter().map(|value| value + shift).collect();
            for aggregate in Aggregate::ALL {
                let value = aggregate.apply(&values, &n_tokens).unwrap();
                prop_assert!((aggregate.apply(&turned, &turned_tokens).unwrap() - value).abs() < 1e-9);
                prop_assert!((aggregate.apply(&shifted, &n_tokens).unwrap() - value - shift).abs() < 1e-9);
            }
        }

        /// Median and trimmed mean by their definitions: drop an extreme pair at a time.
        #[test]
        fn trimming_drops_extreme_pairs(values in values(), percent in 1u8..=100) {
            let mut left = sorted(&values);
            let each_side = Percent::new(percent).unwrap();
            for _ in 0..values.len() * usize::from(percent) / 100 {
                if left.len() > 2 {
                    left.remove(0);
                    left.pop();
                }
            }
            let trimmed = Aggregate::TrimmedMean { each_side }.apply(&values, &vec![1; values.len()]).unwrap();
            prop_assert!((trimmed - mean(&left)).abs() < 1e-9);
            let median = Aggregate::Median.apply(&values, &vec![1; values.len()]).unwrap();
            let (below, above) = (
                values.iter().filter(|&&value| value < median).count(),
                values.iter().filter(|&&value| value > median).count(),
            );
            prop_assert_eq!(below, above);
        }
    }
}
