//! The composition root: configuration in, a running agent out.
//!
//! Nothing else constructs. [`Agent::build`] binds every socket first, so that addresses are
//! known and a port in use is told before anything starts; then it makes the layers from the
//! inside out. [`Agent::shutdown`] takes them down from the outside in: no new requests, then
//! the client (which leaves containers alone, unless `-dev` takes away what it started), then
//! gossip, the server's duties, and the log last.
//!
//! Every role is optional: a client without a server asks the servers that [`membership`] finds.
//!
//! Token tree: process → {http, rpc, gossip, membership, client, server}. An essential task that panics
//! cancels the process.

mod build;
mod client_part;
pub mod command;
pub mod config;
mod dirs;
mod join;
mod keys;
mod local;
mod membership;
pub mod notify;
mod output;
mod remembered;
mod server_part;
mod sockets;

pub use build::{Agent, BuildError};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from; empty where that is not known.
pub const REVISION: &str = match option_env!("TUMEN_REVISION") {
    Some(revision) => revision,
    None => "",
};
