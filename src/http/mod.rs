//! Nomad's `/v1` API over HTTP.
//!
//! **Owns** paths, parameters, headers, JSON spelling and error texts. **Does not** know the
//! store, Raft or any client from inside: everything goes through the traits of
//! [`rpc`](crate::rpc).
//!
//! A connection is accepted by [`serve`], a request becomes a [`Ctx`](context::Ctx) with its body
//! read and bounded, [`routes::dispatch`] finds the handler by path, and every failure is an
//! [`HttpError`](error::HttpError) with one status and one text. [`App`] is all that a handler
//! can reach.

use std::sync::Arc;

use crate::env::Env;
use crate::rpc::{Api, Local, Nodes};

mod blocking;
mod context;
pub mod dto;
mod error;
mod filter;
mod json;
mod page;
mod params;
mod respond;
mod routes;
mod serve;

pub use serve::serve;

/// What requests are answered from.
#[derive(Clone)]
pub struct App {
    /// The cluster.
    pub api: Arc<dyn Api>,
    /// This agent.
    pub local: Arc<dyn Local>,
    /// The clients.
    pub nodes: Arc<dyn Nodes>,
    pub env: Env,
    /// The web UI, unless it is switched off.
    pub pages: Option<dto::page::Pages>,
}
