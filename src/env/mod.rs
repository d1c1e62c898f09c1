//! The seams between the program and the world: clock, entropy, network, tasks, metrics, logs.
//!
//! **Owns** small object-safe traits, one real and one simulated implementation of each, and
//! the supervised [`spawn`]. **Does not** know what flows through them.
//!
//! Everything that differs from run to run comes through an [`Env`], which `agent::build`
//! makes once and hands down. [`real`] has the operating system behind it; [`sim`] has one
//! seed: the same seed gives the same run under a paused tokio clock.

pub mod alloc_fs;
mod clock;
pub mod disk;
mod entropy;
pub mod host;
pub mod log;
pub mod metrics;
mod net;
pub mod real;
pub mod sim;
pub mod small_file;
pub mod store;
mod task;

use std::sync::Arc;

pub use alloc_fs::AllocFs;
pub use clock::{Clock, Elapsed, timeout, timeout_at};
pub use disk::{Disk, DiskFile};
pub use entropy::Entropy;
pub use host::Host;
pub use log::LogRing;
pub use metrics::Metrics;
pub use net::{Conn, Datagram, Listener, Net, Stream};
pub use store::Store;
pub use task::{Task, TaskError, TaskGroup, blocking, spawn, spawn_essential};

/// All seams of one agent. Cloning shares them.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub net: Arc<dyn Net>,
    pub disk: Arc<dyn Disk>,
    pub files: Arc<dyn AllocFs>,
    pub host: Arc<dyn Host>,
    pub metrics: Metrics,
    pub logs: LogRing,
    /// Whether heavy work gets a thread of its own. The simulation has one thread.
    pub threads: bool,
}

impl Env {
    /// The operating system behind every seam.
    pub fn real() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(real::RealClock);
        Self {
            entropy: Arc::new(real::RealEntropy),
            net: Arc::new(real::RealNet),
            disk: Arc::new(real::RealDisk::new()),
            files: Arc::new(real::RealAllocFs),
            host: Arc::new(real::RealHost),
            metrics: Metrics::new(clock.clone()),
            logs: LogRing::new(clock.clone()),
            threads: true,
            clock,
        }
    }

    /// One machine in a network of its own, everything drawn from `seed`. For a network of
    /// several machines see [`sim::SimWorld`].
    pub fn sim(seed: u64) -> Self {
        sim::SimWorld::new(seed).env("sim")
    }

    /// Does heavy work without holding up other tasks, where there are threads.
    pub async fn heavy<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        match self.threads {
            true => blocking(name, work).await,
            false => Ok(work()),
        }
    }
}
