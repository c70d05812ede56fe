//! Defences as data: filters, the training rule, the stop rule and the claim they imply.
