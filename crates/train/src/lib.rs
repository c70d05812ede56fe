//! Fine-tuning: the loop, its schedule, checkpoints and hooks.
