//! A population whose every user is an explicit distribution: what an attack should find is known exactly.

mod author;
mod config;
mod population;
#[cfg(test)]
mod tests;
mod words;

pub use author::log_sum_exp;
pub use config::PopulationConfig;
pub use population::Population;
