//! Differential privacy events and accountants.
