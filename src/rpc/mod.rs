//! How layers and agents call each other: traits, frames, connections.

pub mod api;
pub mod local;
pub mod node;

pub use api::{Answer, Api, ApiError, Body, Call, Op, Query, Read, Reply};
pub use local::{AgentInfo, Health, Local, LocalError};
pub use node::{NodeAnswer, NodeApi, NodeAsk, NodeError};
