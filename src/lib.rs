//! Tumen: one binary that makes a cluster of machines run jobs.
//!
//! The map, from the pure core outwards; a layer imports only layers above it in this list
//! (`tests/layering.rs` holds the exact arrows):
//!
//! - [`model`]: domain types and the rules on them. No clock, no I/O.
//! - [`env`]: the seams: clock, entropy, network, disk, tasks, metrics.
//! - [`jobspec`]: HCL2 job files to drafts, with source spans.
//! - [`state`]: the replicated state: commands, `apply`, snapshots, watches.
//! - [`scheduler`]: pure planning: a view and an evaluation become a plan.
//! - [`rpc`]: frames, connections and the traits through which layers call each other.
//! - [`gossip`]: who is there (SWIM).
//! - [`consensus`]: what is agreed (Raft).
//! - [`server`]: leader duties and the operations of the API.
//! - [`client`]: runs allocations on this machine.
//! - [`http`]: Nomad's `/v1` API.
//! - [`ui`]: server-rendered pages.
//! - [`agent`]: configuration and the composition root.
//! - [`testnet`]: local clusters of real processes, and the demo.
//! - [`cli`]: the commands.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::disallowed_methods,
        reason = "a test that panics fails, and some tests measure the real world"
    )
)]

pub mod agent;
pub mod cli;
pub mod client;
pub mod consensus;
pub mod env;
pub mod gossip;
pub mod http;
pub mod jobspec;
pub mod model;
pub mod rpc;
pub mod scheduler;
pub mod server;
pub mod state;
pub mod testnet;
pub mod ui;
