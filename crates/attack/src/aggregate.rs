//! Aggregates: from example statistics to a user statistic.

use std::str::FromStr;

use userprint_core::UnknownName;

/// How the statistics of a user's examples become one number.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3 (mean) and Table 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Aggregate {
    /// The mean over examples, each of equal weight: the paper's.
    Mean,
    /// The example that looks least trained on.
    Min,
    /// The example that looks most trained on.
    Max,
}

impl Aggregate {
    /// Every aggregate, the default first.
    pub const ALL: &'static [Self] = &[Self::Mean, Self::Min, Self::Max];

    /// The name in files.
    ///
    /// ```
    /// assert_eq!(userprint_attack::Aggregate::Mean.name(), "mean");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// The aggregate of some values; `None` for no values or where one is not finite.
    ///
    /// ```
    /// use userprint_attack::Aggregate;
    /// assert_eq!(Aggregate::Mean.apply(&[1.0, 2.0, 6.0]), Some(3.0));
    /// assert_eq!(Aggregate::Max.apply(&[]), None);
    /// ```
    pub fn apply(self, values: &[f64]) -> Option<f64> {
        if !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let value = match self {
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        };
        value.is_finite().then_some(value)
    }
}

impl FromStr for Aggregate {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.iter().find(|aggregate| aggregate.name() == name);
        found.copied().ok_or_else(|| UnknownName { found: name.to_owned(), expected: "mean, min, max" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_round_trip() {
        for &aggregate in Aggregate::ALL {
            assert_eq!(aggregate.name().parse(), Ok(aggregate));
        }
        let error = "median".parse::<Aggregate>().unwrap_err();
        assert_eq!(error.to_string(), "expected one of mean, min, max, found `median`");
    }

    #[test]
    fn undefined_is_none() {
        for aggregate in Aggregate::ALL {
            for values in [&[][..], &[1.0, f64::NAN], &[f64::INFINITY]] {
                assert_eq!(aggregate.apply(values), None, "{aggregate:?} {values:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn lies_among_its_values(values in prop::collection::vec(-1e3f64..1e3, 1..20)) {
            let [mean, min, max] = [Aggregate::Mean, Aggregate::Min, Aggregate::Max].map(|a| a.apply(&values).unwrap());
            prop_assert!(min - 1e-9 <= mean && mean <= max + 1e-9);
            prop_assert!(values.contains(&min) && values.contains(&max));
            prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
        }
    }
}
