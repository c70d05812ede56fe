//! Percent: a share in whole steps, so that a count made from it is exact.

use crate::AttackError;

/// A share from 1 % to 100 % in whole percent.
///
/// A fraction would round: `ceil(0.07 * 100)` is 8 in f64.
///
/// ```
/// use userprint_attack::Percent;
/// assert_eq!(Percent::new(20)?.of_at_least_one(11), 3);
/// assert_eq!(Percent::new(0).unwrap_err().to_string(), "expected a percentage from 1 to 100, found 0");
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// 20 %, what published statistics of the least likely tokens use.
    pub const TWENTY: Self = Self(20);
    /// 10 %, the usual trim.
    pub const TEN: Self = Self(10);

    /// A share in percent.
    ///
    /// # Errors
    /// [`AttackError::PercentOutOfRange`] outside 1 to 100.
    ///
    /// ```
    /// assert_eq!(userprint_attack::Percent::new(20)?, userprint_attack::Percent::TWENTY);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn new(percent: u8) -> Result<Self, AttackError> {
        match percent {
            1..=100 => Ok(Self(percent)),
            _ => Err(AttackError::PercentOutOfRange { found: percent }),
        }
    }

    /// The percentage.
    ///
    /// ```
    /// assert_eq!(userprint_attack::Percent::TWENTY.get(), 20);
    /// ```
    pub fn get(self) -> u8 {
        self.0
    }

    /// `ceil(percent * n / 100)`: at least 1 of at least one.
    ///
    /// ```
    /// use userprint_attack::Percent;
    /// assert_eq!([1, 5, 6].map(|n| Percent::TWENTY.of_at_least_one(n)), [1, 1, 2]);
    /// ```
    pub fn of_at_least_one(self, n: usize) -> usize {
        let hundreds = n / 100 * usize::from(self.0);
        hundreds + (n % 100 * usize::from(self.0)).div_ceil(100)
    }

    /// `floor(percent * n / 100)`.
    ///
    /// ```
    /// use userprint_attack::Percent;
    /// assert_eq!([1, 5, 6].map(|n| Percent::TWENTY.of_at_most(n)), [0, 1, 1]);
    /// ```
    pub fn of_at_most(self, n: usize) -> usize {
        n / 100 * usize::from(self.0) + n % 100 * usize::from(self.0) / 100
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(Percent::new(101), Err(AttackError::PercentOutOfRange { found: 101 }));
        assert_eq!(Percent::new(100).map(Percent::get), Ok(100));
        assert_eq!(Percent::TEN.of_at_least_one(usize::MAX), usize::MAX / 10 + 1);
    }

    proptest! {
        #[test]
        fn agrees_with_wide_integers(percent in 1u8..=100, n in 0usize..1_000_000_000) {
            let share = Percent::new(percent).unwrap();
            let hundredths = n as u128 * u128::from(percent);
            prop_assert_eq!(share.of_at_least_one(n) as u128, hundredths.div_ceil(100));
            prop_assert_eq!(share.of_at_most(n) as u128, hundredths / 100);
        }
    }
}
