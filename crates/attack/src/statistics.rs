//! The statistics that exist, one file each.

mod likelihood_ratio;
mod log_likelihood;
mod token_mean_likelihood_ratio;
mod token_mean_log_likelihood;

pub use likelihood_ratio::LikelihoodRatio;
pub use log_likelihood::LogLikelihood;
pub use token_mean_likelihood_ratio::TokenMeanLikelihoodRatio;
pub use token_mean_log_likelihood::TokenMeanLogLikelihood;

use crate::Statistic;

/// Every statistic, the default first.
///
/// ```
/// let names: Vec<_> = userprint_attack::statistics::all().iter().map(|s| s.name()).collect();
/// assert_eq!(names[0], "token_mean_likelihood_ratio");
/// ```
pub fn all() -> Vec<Box<dyn Statistic>> {
    vec![
        Box::new(TokenMeanLikelihoodRatio),
        Box::new(LikelihoodRatio),
        Box::new(TokenMeanLogLikelihood),
        Box::new(LogLikelihood),
    ]
}

/// The statistic of a name, if it exists.
///
/// ```
/// use userprint_attack::statistics::by_name;
/// assert!(by_name("likelihood_ratio").is_some_and(|statistic| statistic.needs().reference));
/// assert!(by_name("loss").is_none());
/// ```
pub fn by_name(name: &str) -> Option<Box<dyn Statistic>> {
    all().into_iter().find(|statistic| statistic.name() == name)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use userprint_core::TextScores;

    use super::*;
    use crate::Evidence;

    fn scores(log_likelihood: f64, n_tokens: u32) -> TextScores {
        TextScores { log_likelihood: vec![log_likelihood], n_tokens: vec![n_tokens], ..TextScores::default() }
    }

    /// One line a statistic: its value with a reference, and without.
    #[track_caller]
    fn check(target: TextScores, reference: TextScores, row: usize, expect: Expect) {
        let evidence = Evidence { target: &target, reference: Some(&reference), row };
        let alone = Evidence { reference: None, ..evidence };
        let lines: Vec<String> = all()
            .iter()
            .map(|s| format!("{} {:?} {:?}\n", s.name(), s.compute(&evidence), s.compute(&alone)))
            .collect();
        expect.assert_eq(&lines.concat());
    }

    /// The reference tokenises otherwise: each mean is over its own tokens.
    #[test]
    fn by_hand() {
        check(
            scores(-12.0, 4),
            scores(-20.0, 5),
            0,
            expect![[r#"
                token_mean_likelihood_ratio Some(1.0) None
                likelihood_ratio Some(8.0) None
                token_mean_log_likelihood Some(-3.0) Some(-3.0)
                log_likelihood Some(-12.0) Some(-12.0)
            "#]],
        );
    }

    #[test]
    fn no_tokens_have_no_mean() {
        check(
            scores(-12.0, 0),
            scores(-20.0, 0),
            0,
            expect![[r#"
                token_mean_likelihood_ratio None None
                likelihood_ratio Some(8.0) None
                token_mean_log_likelihood None None
                log_likelihood Some(-12.0) Some(-12.0)
            "#]],
        );
    }

    #[test]
    fn an_absent_row_has_no_value() {
        check(
            scores(-12.0, 4),
            scores(-20.0, 5),
            1,
            expect![[r#"
                token_mean_likelihood_ratio None None
                likelihood_ratio None None
                token_mean_log_likelihood None None
                log_likelihood None None
            "#]],
        );
    }

    #[test]
    fn names_are_unique_and_found() {
        for statistic in all() {
            let found = by_name(statistic.name()).unwrap();
            assert_eq!(format!("{found:?}"), format!("{statistic:?}"));
        }
    }

    /// A likelier text under the target never lowers a statistic.
    #[test]
    fn higher_means_held_in() {
        let (unlikely, likely, reference) = (scores(-12.0, 4), scores(-8.0, 4), scores(-10.0, 4));
        for statistic in all() {
            let value = |target| {
                let evidence = Evidence { target, reference: Some(&reference), row: 0 };
                statistic.compute(&evidence).unwrap()
            };
            assert!(value(&likely) > value(&unlikely), "{statistic:?}");
        }
    }
}
