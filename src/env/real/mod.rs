//! The operating system behind the seams.

#![allow(
    clippy::disallowed_methods,
    reason = "this is where the world comes in"
)]

mod alloc_fs;
mod clock;
mod disk;
mod entropy;
mod host;
mod net;
mod store;

pub use alloc_fs::RealAllocFs;
pub use clock::RealClock;
pub use disk::RealDisk;
pub use entropy::RealEntropy;
pub use host::{RealHost, quick_facts};
pub use net::RealNet;
pub use store::RealStore;
