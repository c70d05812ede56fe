//! ROC curves, intervals and tests over slices of numbers.
