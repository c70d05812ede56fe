//! Token log-probabilities at the head: tensors in tiles, the whole matrix of logits, and packed weights.
//!
//! Tensors run on all cores, packed weights on one.

use burn::backend::Flex;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Distribution, Int, Tensor, TensorData};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use userprint_benches::{PRECISIONS, assert_near, in_seconds};
use userprint_kernels::head::{self, Head};
use userprint_kernels::inference::{PackedMatrix, PackedRows, Precision, TokenScore, VocabularyHead};

/// Hidden states, head and targets of one batch.
struct Input {
    hidden: Tensor<Flex, 2>,
    head: Head<Flex>,
    targets: Vec<u32>,
}

impl Input {
    fn random(n: usize, d: usize, v: usize) -> Self {
        let device = Default::default();
        let deviation = 1.0 / (d as f64).sqrt();
        Self {
            hidden: Tensor::random([n, d], Distribution::Normal(0.0, 1.0), &device),
            head: Head {
                weight: Tensor::random([v, d], Distribution::Normal(0.0, deviation), &device),
                soft_cap: None,
            },
            targets: (0..n).map(|i| (i * 7919 % v) as u32).collect(),
        }
    }

    fn target_tensor(&self) -> Tensor<Flex, 1, Int> {
        let ids: Vec<i64> = self.targets.iter().copied().map(i64::from).collect();
        let n = ids.len();
        Tensor::from_data(TensorData::new(ids, [n]), &self.hidden.device())
    }

    fn in_tiles(&self) -> Tensor<Flex, 1> {
        head::token_log_probs(&self.hidden, &self.head, &self.target_tensor())
    }

    fn whole(&self) -> Tensor<Flex, 1> {
        let log_p = log_softmax(self.hidden.clone().matmul(self.head.weight.clone().transpose()), 1);
        log_p.gather(1, self.target_tensor().unsqueeze_dim(1)).squeeze_dim(1)
    }

    fn packed(&self, precision: Precision) -> Packed<'_> {
        let [n, d] = self.hidden.dims();
        let mut rows = PackedRows::new(precision);
        rows.resize(n, d);
        floats(self.hidden.clone()).chunks_exact(d).enumerate().for_each(|(i, row)| rows.set(i, row));
        let weight = PackedMatrix::new(floats(self.head.weight.clone()), self.head.weight.dims(), precision);
        Packed { rows, weight, targets: &self.targets }
    }
}

/// The same input as the processor's forward pass has it.
struct Packed<'a> {
    rows: PackedRows,
    weight: PackedMatrix,
    targets: &'a [u32],
}

impl Packed<'_> {
    fn score(&self, moments: bool) -> Vec<TokenScore> {
        VocabularyHead { weight: &self.weight, soft_cap: None }.score(&self.rows, self.targets, moments)
    }
}

fn floats<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
    tensor.into_data().into_vec().expect("tensors of Flex are in f32")
}

fn log_probs(scores: &[TokenScore]) -> Vec<f32> {
    scores.iter().map(|score| score.log_prob).collect()
}

fn bench_packed(group: &mut BenchmarkGroup<'_, WallTime>, size: &str, input: &Input, reference: &[f32]) {
    for (precision, most) in PRECISIONS {
        let packed = input.packed(precision);
        for (detail, moments) in [("total", false), ("moments", true)] {
            assert_near(&log_probs(&packed.score(moments)), reference, most);
            group.bench_function(format!("packed-{}-{detail}/{size}", precision.name()), |bench| {
                bench.iter(|| packed.score(moments));
            });
        }
    }
}

fn token_log_probs(c: &mut Criterion) {
    let mut group = c.benchmark_group("token_log_probs");
    for (size, n, d, v) in [("desk", 1024, 256, 4096), ("gpt2", 512, 768, 50_257)] {
        let input = Input::random(n, d, v);
        let reference = floats(input.whole());
        assert_near(&floats(input.in_tiles()), &reference, 1e-4); // a fast wrong kernel is not a result
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("whole/{size}"), |bench| bench.iter(|| input.whole()));
        group.bench_function(format!("tiles/{size}"), |bench| bench.iter(|| input.in_tiles()));
        bench_packed(&mut group, size, &input, &reference);
    }
    group.finish();
}

criterion_group! { name = benches; config = in_seconds(); targets = token_log_probs }
criterion_main!(benches);
