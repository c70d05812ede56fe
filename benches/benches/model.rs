//! A forward pass with scores: packed weights on one thread, and tensors, which take all cores.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use userprint_benches::{PRECISIONS, assert_near, in_seconds};
use userprint_core::{Detail, Seed};
use userprint_model::backend::Cpu;
use userprint_model::{Asked, CausalLm, PackedLm, ScoringModel, Sequence, gpt_neo};

/// Tokens of a sequence.
const LENGTH: usize = 512;
/// Tokens of the sequence that is held against the reference.
const CHECKED: usize = 48;

/// A shape that is measured.
struct Shape {
    name: &'static str,
    vocab_size: usize,
    width: usize,
    n_layers: usize,
    n_heads: usize,
    /// Whether the reference is timed too: at the largest size it takes too long.
    times_tensors: bool,
}

/// The desk recipe's model, about one block of GPT-Neo 125M, and all of it.
const SHAPES: [Shape; 3] = [
    Shape { name: "small", vocab_size: 4096, width: 256, n_layers: 4, n_heads: 8, times_tensors: true },
    Shape { name: "block", vocab_size: 32, width: 768, n_layers: 1, n_heads: 12, times_tensors: true },
    Shape { name: "125m", vocab_size: 50_257, width: 768, n_layers: 12, n_heads: 12, times_tensors: false },
];

impl Shape {
    fn init(&self) -> CausalLm<Cpu> {
        let config = gpt_neo::small(self.vocab_size, 2048, self.width, self.n_layers, self.n_heads)
            .expect("the sizes of the benches fit together");
        CausalLm::init(config.decoder, Seed(0), &Default::default())
    }

    fn ids(&self) -> Vec<u32> {
        (0..LENGTH).map(|i| (i * 7919 % self.vocab_size) as u32).collect()
    }
}

/// The log-probabilities of all tokens but the first.
fn log_probs(model: &dyn ScoringModel, ids: &[u32]) -> Vec<f32> {
    let asked = Asked { batch_tokens: LENGTH, detail: Detail::Total };
    let scores = model.score(&[Sequence { ids, n_context: 1 }], asked, &|_| ());
    scores.iter().flatten().map(|score| score.log_prob).collect()
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.throughput(Throughput::Elements(LENGTH as u64 - 1));
    for shape in SHAPES {
        let (lm, ids) = (shape.init(), shape.ids());
        let reference = log_probs(&lm, &ids[..CHECKED]);
        if shape.times_tensors {
            group.bench_function(format!("tensors/{}", shape.name), |bench| {
                bench.iter(|| log_probs(&lm, &ids));
            });
        }
        for (precision, most) in PRECISIONS {
            let packed = PackedLm::pack(&lm, precision).on_threads(1);
            assert_near(&log_probs(&packed, &ids[..CHECKED]), &reference, most);
            group.bench_function(format!("packed-{}/{}", precision.name(), shape.name), |bench| {
                bench.iter(|| log_probs(&packed, &ids));
            });
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = in_seconds(); targets = forward }
criterion_main!(benches);
