//! Corpora in, splits out: readers, the user split, the synthetic population, the blind baseline.
