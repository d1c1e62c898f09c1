//! The whole cluster in one process: real servers and clients, gossip, rpc and Raft, on simulated
//! machines, on a paused clock, from one seed.
//!
//! [`harness::sim`] runs a story, `sim_twice` compares two runs; [`cluster::Cluster`] is what a
//! story acts on. To see what happened: `TUMEN_TRACE=1 cargo test --test sim NAME --
//! --nocapture`. To look further: `TUMEN_SEEDS=500 cargo test --test sim random`; to see one
//! seed again: `TUMEN_SEED=1007`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails, and the paused clock is the simulation"
)]

mod agents;
mod chaos;
mod cluster;
mod engine;
mod harness;
mod jobs;
mod stories;
mod trace;
