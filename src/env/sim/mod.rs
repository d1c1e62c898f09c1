//! The simulated world: one seed, one paused tokio clock, machines that share a network.
//!
//! Run it inside `#[tokio::test(start_paused = true)]`. All randomness of all machines comes
//! from the seed, each machine with a stream of its own, so that one machine drawing more
//! numbers changes nothing on another.

#![allow(
    clippy::disallowed_methods,
    reason = "the pausable clock is the simulation itself"
)]

mod alloc_fs;
mod clock;
mod disk;
mod entropy;
mod host;
mod net;
mod pipe;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use alloc_fs::SimAllocFs;
pub use clock::SimClock;
pub use disk::SimDisk;
pub use entropy::SimEntropy;
pub use host::SimHost;
pub use net::{SimNet, SimNetwork};
pub use store::SimStore;

use crate::env::{Clock, Entropy, Env, LogRing, Metrics};

/// A number of simulated machines on one network.
#[derive(Clone)]
pub struct SimWorld {
    seed: u64,
    network: SimNetwork,
    clock: Arc<SimClock>,
    disks: Arc<Mutex<BTreeMap<String, SimDisk>>>,
    files: Arc<Mutex<BTreeMap<String, SimAllocFs>>>,
    stores: Arc<Mutex<BTreeMap<String, SimStore>>>,
}

impl SimWorld {
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock::new());
        Self {
            seed,
            network: SimNetwork::new(seed),
            clock,
            disks: Arc::default(),
            files: Arc::default(),
            stores: Arc::default(),
        }
    }

    /// The network, for cutting and healing links.
    pub fn network(&self) -> &SimNetwork {
        &self.network
    }

    /// The clock, for setting the wall time.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// A machine's disk, which outlives the programs that run there.
    pub fn disk(&self, machine: &str) -> SimDisk {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = || SimEntropy::named(self.seed, &format!("disk of {machine}")).u64();
        let disk = disks.entry(machine.to_owned());
        disk.or_insert_with(|| SimDisk::new(seed())).clone()
    }

    /// A machine's directory tree for allocations, which outlives its programs.
    pub fn files(&self, machine: &str) -> SimAllocFs {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || SimAllocFs::new(self.clock.clone());
        files.entry(machine.to_owned()).or_insert_with(new).clone()
    }

    /// A machine's local store, which outlives its programs.
    pub fn store(&self, machine: &str) -> SimStore {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || SimStore::new(Duration::from_millis(2));
        stores.entry(machine.to_owned()).or_insert_with(new).clone()
    }

    /// One machine. The same name draws the same randomness.
    pub fn env(&self, machine: &str) -> Env {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Env {
            entropy: Arc::new(SimEntropy::named(self.seed, machine)),
            net: Arc::new(SimNet::new(self.network.clone(), machine)),
            disk: Arc::new(self.disk(machine)),
            files: Arc::new(self.files(machine)),
            host: Arc::new(SimHost::new(machine)),
            metrics: Metrics::new(clock.clone()),
            logs: LogRing::new(clock.clone()),
            threads: false,
            clock,
        }
    }
}
