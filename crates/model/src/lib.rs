//! Causal language models on Burn, their checkpoints and tokenizers.
