//! How layers and agents call each other: traits, frames, connections.
//!
//! **Owns** the wire: [`frame`]s, the [`codec`], the [`hello`], the [`pool`] of connections, the
//! accept loop ([`serve`]) and [`stream`]s. **Does not** know how a request is carried out: that is
//! behind [`Api`], [`Local`] and [`NodeApi`].

mod answer;
pub mod api;
pub mod codec;
pub mod frame;
pub mod hello;
pub mod local;
pub mod node;
pub mod pool;
mod remote;
mod remote_local;
mod remote_node;
#[cfg(test)]
mod remote_tests;
pub mod serve;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod why;
pub mod wire;

pub use answer::{ApiService, LocalService, NodeService};
pub use api::{Answer, Api, ApiError, Body, Call, Op, Query, Read, Reply};
pub use hello::{ClusterToken, ConnKind, Tokens};
pub use local::{AgentInfo, Health, KeyringOp, KeyringReport, Local, LocalError};
pub use node::{NodeAnswer, NodeApi, NodeAsk, NodeError, Nodes};
pub use pool::{CallError, Pool};
pub use remote::{Forwarding, RemoteApi};
pub use remote_local::{keyring_at, members_at};
pub use remote_node::{RemoteNode, RemoteNodes};
pub use serve::{Reject, Request, Service, Services, StreamService, serve};
