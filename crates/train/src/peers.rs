//! Devices that share the work of a step.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Device, DeviceId};
use burn::tensor::{Tensor, TensorPrimitive};
use burn_collective::{CollectiveConfig, CollectiveError, PeerId, ReduceOperation};
use rayon::{ThreadPool, ThreadPoolBuilder};
use userprint_model::backend::{KernelBackend, is_host};
use userprint_model::{Batch, CausalLm};

use crate::gradients::{ByPath, accumulated, n_predicted, scaled};
use crate::units::summed;
use crate::{ClippedSum, Gradients, Optimizer, TrainBackend, TrainError, UnitBatch};

/// The first `n` devices of a backend: GPUs 0 to `n − 1`, of WebGPU the discrete ones, or parts of the processor's threads.
///
/// One device is the backend's default.
///
/// # Errors
/// [`TrainError::Setting`] for none, and for more than there are: a processor has as many as threads.
pub fn devices<B: KernelBackend>(n: usize) -> Result<Vec<B::Device>, TrainError> {
    if n == 1 {
        return Ok(vec![B::Device::default()]);
    }
    let most = if is_host::<B>() { rayon::current_num_threads() } else { B::device_count(0) };
    if n == 0 || n > most {
        let expected = format!("1 to {}: there are no more", most.max(1));
        return Err(TrainError::Setting { key: "devices", found: n.to_string(), expected });
    }
    Ok((0..n).map(|index| B::Device::from_id(DeviceId::new(0, index as u16))).collect())
}

/// What one device holds of a training; all hold the same.
#[derive(Debug)]
pub(crate) struct Replica<B: AutodiffBackend> {
    pub(crate) lm: CausalLm<B>,
    pub(crate) optimizer: Optimizer<B>,
}

/// Devices that share the work of a step, each with a replica and with threads of its own.
#[derive(Debug)]
pub(crate) struct Peers<B: AutodiffBackend> {
    replicas: Vec<Replica<B>>,
    /// Of each peer, where there are several: a GPU's queue belongs to a thread, so that a thread lasts for the training.
    pools: Vec<ThreadPool>,
}

/// What the units of a step gave.
#[derive(Debug)]
pub(crate) struct StepSum<B: AutodiffBackend> {
    /// The sum of gradients: of each peer its share, and after [`Peers::all_reduce`] the whole.
    pub(crate) by_peer: Vec<ByPath<B>>,
    /// What the sum is to be multiplied by.
    pub(crate) factor: f64,
    /// Mean loss; `None` of no units.
    pub(crate) loss_nats: Option<f64>,
    /// How many units there were: sequences, examples or users.
    pub(crate) n_units: usize,
    /// Tokens predicted; `None` where that is to be hidden.
    pub(crate) n_tokens: Option<u64>,
    /// Norms, before clipping, of what is clipped.
    pub(crate) norms: Vec<f64>,
}

/// Burn adds up for one group at a time in a process, so that two trainings must take turns.
static COLLECTIVE: Mutex<()> = Mutex::new(());

impl<B: TrainBackend> Peers<B> {
    /// A replica on each device; the model must be on the first.
    ///
    /// # Errors
    /// [`TrainError::Devices`] where threads cannot be started.
    pub(crate) fn new(
        lm: CausalLm<B>,
        optimizer: Optimizer<B>,
        devices: &[B::Device],
    ) -> Result<Self, TrainError> {
        let others = devices
            .iter()
            .skip(1)
            .map(|device| Replica { lm: on_device(&lm, device), optimizer: optimizer.on_device(device) });
        let others: Vec<_> = others.collect();
        let n = devices.len();
        let n_threads =
            if is_host::<B::InnerBackend>() { (rayon::current_num_threads() / n).max(1) } else { 1 };
        let pool = |_: &B::Device| ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pools = if n == 1 { Ok(Vec::new()) } else { devices.iter().map(pool).collect() };
        let pools = pools.map_err(|error| TrainError::Devices { n, reason: error.to_string() })?;
        Ok(Self { replicas: std::iter::once(Replica { lm, optimizer }).chain(others).collect(), pools })
    }

    /// How many devices there are.
    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    /// The replica that is measured and kept.
    pub(crate) fn first(&self) -> &Replica<B> {
        &self.replicas[0]
    }

    /// Runs on every peer at once, each with an input of its own. A panic goes on when all have ended, and nothing waits for it.
    fn each<I: Send, T: Send>(
        &mut self,
        inputs: Vec<I>,
        work: impl Fn(&mut Replica<B>, I) -> T + Sync,
    ) -> Vec<T> {
        if self.pools.is_empty() {
            return self
                .replicas
                .iter_mut()
                .zip(inputs)
                .map(|(replica, input)| work(replica, input))
                .collect();
        }
        let (work, peers) = (&work, self.replicas.iter_mut().zip(&self.pools));
        let ended: Vec<_> = std::thread::scope(|scope| {
            let started = peers
                .zip(inputs)
                .map(|((replica, pool), input)| scope.spawn(move || pool.install(|| work(replica, input))));
            let started: Vec<_> = started.collect();
            started.into_iter().map(|thread| thread.join()).collect()
        });
        ended.into_iter().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    }

    /// Units dealt out in turn, so that peers have about as many each, and of like lengths where units are sorted by it.
    fn dealt<U: Clone>(&self, units: &[U]) -> Vec<Vec<U>> {
        let n = self.replicas.len();
        (0..n).map(|peer| units.iter().skip(peer).step_by(n).cloned().collect()).collect()
    }

    /// The mean gradient of sequences, by their tokens, as `of_batch` finds it; each peer takes at most `microbatch_size` in a pass.
    pub(crate) fn mean(
        &mut self,
        sequences: &[Vec<u32>],
        microbatch_size: usize,
        of_batch: impl Fn(&CausalLm<B>, &Batch<B>) -> Gradients<B> + Sync,
    ) -> StepSum<B> {
        let n_tokens = n_predicted(sequences);
        let found = self.each(self.dealt(sequences), |replica, own| {
            if own.is_empty() {
                return (0.0, ByPath::<B>::new());
            }
            let Gradients { loss_nats, by_path } =
                accumulated(&own, microbatch_size, &replica.lm.device(), |batch| {
                    of_batch(&replica.lm, batch)
                });
            let share = n_predicted(&own) as f64 / n_tokens as f64;
            (share * loss_nats, scaled::<B>(by_path, share))
        });
        let (losses, by_peer): (Vec<f64>, _) = found.into_iter().unzip();
        let loss_nats = Some(losses.iter().sum());
        let (n_units, n_tokens) = (sequences.len(), Some(n_tokens));
        StepSum { by_peer, factor: 1.0, loss_nats, n_units, n_tokens, norms: Vec::new() }
    }

    /// The sum of the units' clipped gradients; a unit is never divided.
    ///
    /// # Errors
    /// [`TrainError::NormNotFinite`].
    pub(crate) fn clipped_sum<U: AsRef<[Vec<u32>]> + Clone + Send>(
        &mut self,
        units: &[U],
        microbatch_size: usize,
        step: u64,
        clipped: impl Fn(&CausalLm<B>, &UnitBatch<B>) -> ClippedSum<B> + Sync,
    ) -> Result<StepSum<B>, TrainError> {
        let found = self.each(self.dealt(units), |Replica { lm, .. }, own| {
            summed(&own, microbatch_size, &lm.device(), |batch| clipped(lm, batch))
        });
        let (mut by_peer, mut loss_nats, mut n_tokens, mut norms) = (Vec::new(), 0.0, 0, Vec::new());
        for (sum, of_peer) in found {
            let Some(sum) = sum else {
                by_peer.push(ByPath::<B>::new());
                continue;
            };
            sum.check_norms(step)?;
            loss_nats += sum.losses_nats.iter().sum::<f64>();
            n_tokens += of_peer;
            norms.extend(sum.norms);
            by_peer.push(sum.by_path);
        }
        let n_units = units.len();
        let loss_nats = (n_units > 0).then(|| loss_nats / n_units as f64);
        Ok(StepSum { by_peer, factor: 1.0, loss_nats, n_units, n_tokens: Some(n_tokens), norms })
    }

    /// Adds up the peers' shares: each then has the same sum, down to the bits.
    ///
    /// # Errors
    /// [`TrainError::Devices`].
    pub(crate) fn all_reduce(&mut self, sum: &mut StepSum<B>) -> Result<(), TrainError> {
        let n = self.replicas.len();
        if n == 1 {
            return Ok(());
        }
        // A peer that had no unit has zeros. All of it before the first call, because a peer that fails later is waited for.
        let sizes: BTreeMap<String, usize> = sum.by_peer.iter().flat_map(sizes::<B>).collect();
        for (replica, share) in self.replicas.iter().zip(&mut sum.by_peer) {
            let device = replica.lm.device();
            for (path, &size) in &sizes {
                share.entry(path.clone()).or_insert_with(|| Tensor::zeros([size], &device));
            }
        }
        let shares = std::mem::take(&mut sum.by_peer).into_iter().enumerate().collect();
        let _turn = COLLECTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        burn_collective::reset_collective::<B::InnerBackend>();
        let added = self.each(shares, |replica, (peer, share)| {
            let failed = |error| TrainError::Devices { n, reason: format!("{error:?}") };
            all_reduced::<B>(&replica.lm.device(), peer, n, share).map_err(failed)
        });
        sum.by_peer = added.into_iter().collect::<Result<_, _>>()?;
        Ok(())
    }

    /// One update of every replica, each by its own copy of the sum.
    pub(crate) fn update(&mut self, sum: StepSum<B>, learning_rate: f64) {
        let StepSum { by_peer, factor, loss_nats, .. } = sum;
        self.each(by_peer, |Replica { lm, optimizer }, by_path| {
            let by_path = scaled::<B>(by_path, factor);
            let gradients = Gradients { loss_nats: loss_nats.unwrap_or(f64::NAN), by_path };
            *lm = optimizer.update(lm.clone(), gradients, learning_rate);
        });
    }
}

/// The same weights on a device.
pub(crate) fn on_device<B: AutodiffBackend>(lm: &CausalLm<B>, device: &B::Device) -> CausalLm<B> {
    CausalLm { config: lm.config.clone(), module: lm.module.clone().fork(device) }
}

/// One peer's part in adding up.
fn all_reduced<B: TrainBackend>(
    device: &B::Device,
    peer: usize,
    n: usize,
    share: ByPath<B>,
) -> Result<ByPath<B>, CollectiveError> {
    let id = PeerId::from(peer);
    // A tree: Burn's ring panics where a tensor has few more values than there are peers.
    let config = CollectiveConfig::default().with_num_devices(n);
    burn_collective::register::<B::InnerBackend>(id, device.clone(), config)?;
    let mut sum = ByPath::<B>::new();
    for (path, tensor) in share {
        let tensor = tensor.into_primitive().tensor();
        let added = burn_collective::all_reduce::<B::InnerBackend>(id, tensor, ReduceOperation::Sum)?;
        sum.insert(path, Tensor::from_primitive(TensorPrimitive::Float(added)));
    }
    Ok(sum)
}

fn sizes<B: AutodiffBackend>(by_path: &ByPath<B>) -> Vec<(String, usize)> {
    by_path.iter().map(|(path, tensor)| (path.clone(), tensor.dims()[0])).collect()
}
