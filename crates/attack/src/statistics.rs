//! The statistics that exist, one file each.

mod calibrated_min_k_plus_plus;
mod error_zone_ratio;
mod hard_tokens;
mod likelihood_ratio;
mod log_likelihood;
mod mean_reference_likelihood_ratio;
mod min_k;
mod min_k_plus_plus;
mod token_mean_likelihood_ratio;
mod token_mean_log_likelihood;
mod window_share;
mod zlib_ratio;

pub use calibrated_min_k_plus_plus::CalibratedMinKPlusPlus;
pub use error_zone_ratio::ErrorZoneRatio;
pub use hard_tokens::HardTokens;
pub use likelihood_ratio::LikelihoodRatio;
pub use log_likelihood::LogLikelihood;
pub use mean_reference_likelihood_ratio::MeanReferenceLikelihoodRatio;
pub use min_k::MinK;
pub use min_k_plus_plus::MinKPlusPlus;
pub use token_mean_likelihood_ratio::TokenMeanLikelihoodRatio;
pub use token_mean_log_likelihood::TokenMeanLogLikelihood;
pub use window_share::WindowShare;
pub use zlib_ratio::ZlibRatio;

use crate::{Percent, Statistic};

/// Every statistic, the default first; those that read a share of the tokens at 20 %.
///
/// ```
/// let names: Vec<_> = userprint_attack::statistics::all().iter().map(|s| s.name()).collect();
/// assert_eq!(names[0], "token_mean_likelihood_ratio");
/// ```
pub fn all() -> Vec<Box<dyn Statistic>> {
    let mut all: Vec<Box<dyn Statistic>> = vec![
        Box::new(TokenMeanLikelihoodRatio),
        Box::new(LikelihoodRatio),
        Box::new(TokenMeanLogLikelihood),
        Box::new(LogLikelihood),
        Box::new(MeanReferenceLikelihoodRatio),
        Box::new(ZlibRatio),
        Box::new(ErrorZoneRatio),
        Box::new(WindowShare),
    ];
    all.extend(of_share(Percent::TWENTY));
    all
}

/// The statistics that read a share of the tokens.
fn of_share(k: Percent) -> [Box<dyn Statistic>; 4] {
    [
        Box::new(MinK { k }),
        Box::new(MinKPlusPlus { k }),
        Box::new(CalibratedMinKPlusPlus { k }),
        Box::new(HardTokens { k }),
    ]
}

/// The statistic of a name, if it exists; a name that ends in a percentage may have any from 1 to 100.
///
/// ```
/// use userprint_attack::statistics::by_name;
/// assert!(by_name("likelihood_ratio").is_some_and(|statistic| statistic.needs().reference.is_some()));
/// assert!(by_name("min_k_35").is_some() && by_name("min_k_0").is_none());
/// assert!(by_name("loss").is_none());
/// ```
pub fn by_name(name: &str) -> Option<Box<dyn Statistic>> {
    let percent = name.rsplit_once('_').and_then(|(_, percent)| percent.parse().ok());
    let of_share = percent.and_then(|percent| Percent::new(percent).ok()).map(of_share);
    all().into_iter().chain(of_share.into_iter().flatten()).find(|statistic| statistic.name() == name)
}

#[cfg(test)]
mod tests;
