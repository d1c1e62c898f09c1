//! What is agreed: Raft.

mod identity;
mod log;
mod machine;
mod snapshot;
mod types;
mod wire;
