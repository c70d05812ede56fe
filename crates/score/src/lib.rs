//! Scorers: log-likelihood of texts under a model, and the score table.
