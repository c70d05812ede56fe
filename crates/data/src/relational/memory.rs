//! Memory of the query engine in two parts: for what can write to the disk, and for what cannot.

use std::fmt;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// The part of the memory that sorts and joins may fill before they write to the disk.
const SPILLED: f64 = 0.3;

/// A pool that keeps some memory for what cannot write to the disk.
///
/// Sorts that may fill everything leave nothing for their merges, which take up to twice as much again, and then fail.
#[derive(Debug)]
pub(super) struct TwoPools {
    spilled: FairSpillPool,
    held: GreedyMemoryPool,
    n_bytes: usize,
}

impl TwoPools {
    pub(super) fn new(n_bytes: usize) -> Self {
        let n_spilled = (n_bytes as f64 * SPILLED) as usize;
        Self {
            spilled: FairSpillPool::new(n_spilled),
            held: GreedyMemoryPool::new(n_bytes - n_spilled),
            n_bytes,
        }
    }

    fn of(&self, consumer: &MemoryConsumer) -> &dyn MemoryPool {
        if consumer.can_spill() { &self.spilled } else { &self.held }
    }
}

impl fmt::Display for TwoPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.n_bytes)
    }
}

impl MemoryPool for TwoPools {
    fn name(&self) -> &str {
        "two pools"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.of(consumer).register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.of(consumer).unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.of(reservation.consumer()).grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.of(reservation.consumer()).shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.of(reservation.consumer()).try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.spilled.reserved() + self.held.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.n_bytes)
    }
}
