//! What is agreed: Raft.

mod identity;
mod log;
mod machine;
mod snapshot;
mod standin;
mod types;
mod wire;
