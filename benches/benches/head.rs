//! Token log-probabilities at the head: in tiles, and through the whole matrix of logits.

use burn::backend::Flex;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Distribution, Int, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use userprint_kernels::head::{self, Head};

/// Hidden states, head and targets of one batch.
struct Input {
    hidden: Tensor<Flex, 2>,
    head: Head<Flex>,
    targets: Tensor<Flex, 1, Int>,
}

impl Input {
    fn random(n: usize, d: usize, v: usize) -> Self {
        let device = Default::default();
        let targets: Vec<i64> = (0..n).map(|i| (i * 7919 % v) as i64).collect();
        Self {
            hidden: Tensor::random([n, d], Distribution::Normal(0.0, 1.0), &device),
            head: Head {
                weight: Tensor::random([v, d], Distribution::Normal(0.0, 0.1), &device),
                soft_cap: None,
            },
            targets: Tensor::from_data(burn::tensor::TensorData::new(targets, [n]), &device),
        }
    }

    fn in_tiles(&self) -> Tensor<Flex, 1> {
        head::token_log_probs(&self.hidden, &self.head, &self.targets)
    }

    fn whole(&self) -> Tensor<Flex, 1> {
        let log_p = log_softmax(self.hidden.clone().matmul(self.head.weight.clone().transpose()), 1);
        log_p.gather(1, self.targets.clone().unsqueeze_dim(1)).squeeze_dim(1)
    }

    fn assert_agreement(&self) {
        let apart = (self.in_tiles() - self.whole()).abs().max().into_scalar();
        assert!(apart < 1e-4, "tiles and the whole matrix differ by {apart} nats");
    }
}

fn token_log_probs(c: &mut Criterion) {
    let mut group = c.benchmark_group("token_log_probs");
    group.sample_size(10);
    for (name, n, d, v) in [("desk", 1024, 256, 4096), ("gpt2", 512, 768, 50_257)] {
        let input = Input::random(n, d, v);
        input.assert_agreement(); // a fast wrong kernel is not a result
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("tiles/{name}"), |bench| bench.iter(|| input.in_tiles()));
        group.bench_function(format!("whole/{name}"), |bench| bench.iter(|| input.whole()));
    }
    group.finish();
}

criterion_group!(benches, token_log_probs);
criterion_main!(benches);
