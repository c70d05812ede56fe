//! Training sequences: the same for a step whether or not training was interrupted before it.

use rand::seq::SliceRandom;
use userprint_core::{Ragged, Seed};

use crate::Packing;

/// The training sequences of every epoch.
///
/// # Guarantees
/// - Each epoch holds each document that has tokens once, in an order drawn from the seed and the epoch alone.
/// - Every epoch has the same number of sequences.
#[derive(Debug)]
pub struct Sequences<'a> {
    documents: &'a Ragged<u32>,
    separator: u32,
    packing: Packing,
    block_tokens: usize,
    seed: Seed,
}

impl<'a> Sequences<'a> {
    /// Sequences of at most `block_tokens + 1` tokens: that many inputs and their targets.
    pub fn new(
        documents: &'a Ragged<u32>,
        separator: u32,
        packing: Packing,
        block_tokens: usize,
        seed: Seed,
    ) -> Self {
        Self { documents, separator, packing, block_tokens, seed }
    }

    /// Number of sequences in an epoch.
    pub fn n_per_epoch(&self) -> usize {
        match self.packing {
            Packing::Blocks => {
                let separators = self.documents.rows().filter(|document| !document.is_empty()).count();
                let stream = self.documents.values().len() + separators;
                stream.saturating_sub(1).div_ceil(self.block_tokens)
            }
            Packing::Documents => self.documents.rows().filter(|document| !document.is_empty()).count(),
        }
    }

    /// The sequences of an epoch, in order.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<u32>> {
        let mut order: Vec<usize> =
            (0..self.documents.n_rows()).filter(|&row| !self.documents.row(row).is_empty()).collect();
        order.shuffle(&mut self.seed.indexed(epoch).rng());
        let documents = order
            .into_iter()
            .map(|row| std::iter::once(self.separator).chain(self.documents.row(row).iter().copied()));
        match self.packing {
            Packing::Documents => {
                documents.map(|tokens| tokens.take(self.block_tokens + 1).collect()).collect()
            }
            Packing::Blocks => {
                let stream: Vec<u32> = documents.flatten().collect();
                let starts = (0..stream.len().saturating_sub(1)).step_by(self.block_tokens);
                starts
                    .map(|start| stream[start..(start + self.block_tokens + 1).min(stream.len())].to_vec())
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Ragged<u32> {
        (1..=7u32).map(|n| (0..n).map(move |i| 10 * n + i).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn blocks_predict_each_token_once() {
        let documents = documents();
        let sequences = Sequences::new(&documents, 0, Packing::Blocks, 4, Seed(1));
        let epoch = sequences.epoch(0);
        assert_eq!(epoch.len(), sequences.n_per_epoch());
        let mut predicted: Vec<u32> =
            epoch.iter().flat_map(|s| s[1..].to_vec()).filter(|&t| t != 0).collect();
        predicted.sort_unstable();
        let mut expected = documents.values().to_vec();
        expected.sort_unstable();
        assert_eq!(predicted, expected);
    }

    #[test]
    fn documents_stay_whole_up_to_the_cut() {
        let documents = documents();
        let epoch = Sequences::new(&documents, 0, Packing::Documents, 4, Seed(1)).epoch(3);
        assert_eq!(epoch.len(), 7);
        assert!(epoch.iter().all(|s| s[0] == 0 && s.len() <= 5));
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let documents = documents();
        let sequences = Sequences::new(&documents, 0, Packing::Blocks, 4, Seed(1));
        assert_eq!(sequences.epoch(0), sequences.epoch(0));
        assert_ne!(sequences.epoch(0), sequences.epoch(1));
    }
}
