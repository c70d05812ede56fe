//! Token log-probabilities and their friends on Burn, a plain reference beside each.
