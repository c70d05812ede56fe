//! User inference attacks: example statistics, aggregates, validity checks.
