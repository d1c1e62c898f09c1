//! What one agent can be asked about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::env::{LogRing, Metrics};
use crate::model::{Members, NodeId};

/// This agent.
pub trait Local: Send + Sync {
    /// Who it is and how it is set up.
    fn info(&self) -> AgentInfo;
    /// The counters of `agent-info`: section → key → value.
    fn stats(&self) -> BTreeMap<String, BTreeMap<String, String>>;
    /// Every agent that the gossip knows.
    fn members(&self) -> Members;
    /// Ends when the members or the leader are no longer those of the moment of this call.
    fn changed(&self) -> BoxFuture<'static, ()>;
    /// The servers that its client talks to.
    fn servers(&self) -> Vec<SocketAddr>;
    /// The leader's rpc address, if one is known.
    fn leader(&self) -> Option<SocketAddr>;
    /// The rpc addresses of the Raft group.
    fn peers(&self) -> Vec<SocketAddr>;
    /// Joins the gossip through these addresses; returns how many answered.
    fn join(&self, addrs: Vec<String>) -> BoxFuture<'_, Result<usize, LocalError>>;
    /// Declares a member gone.
    fn force_leave(&self, name: String, prune: bool) -> BoxFuture<'_, Result<(), LocalError>>;
    /// Changes the keys that this agent's gossip is sealed with; returns what they are then, the
    /// one in use first.
    fn keyring(&self, op: KeyringOp) -> BoxFuture<'_, Result<Vec<String>, LocalError>>;
    /// The same at every member.
    fn keyring_of_all(&self, op: KeyringOp) -> BoxFuture<'_, KeyringReport>;
    /// Whether its server and its client work: (`client`, `server`), each absent without the role.
    fn health(&self) -> (Option<Health>, Option<Health>);
    /// The metrics registry.
    fn metrics(&self) -> &Metrics;
    /// The log lines for `monitor`.
    fn logs(&self) -> &LogRing;
}

/// Who an agent is and how it is set up.
#[derive(Clone, Debug)]
pub struct AgentInfo {
    pub name: String,
    pub region: String,
    pub datacenter: String,
    pub version: String,
    pub revision: String,
    pub server: bool,
    pub client: bool,
    pub dev: bool,
    /// The id of its client's node.
    pub node_id: Option<NodeId>,
    pub http_addr: SocketAddr,
    pub rpc_addr: SocketAddr,
    pub serf_addr: SocketAddr,
    pub data_dir: String,
    pub bind_addr: String,
    pub log_level: String,
    pub bootstrap_expect: u32,
    pub ui_enabled: bool,
    pub cli_hints: bool,
    pub http_max_conns_per_client: u32,
    pub node_class: String,
    pub node_pool: String,
    pub meta: BTreeMap<String, String>,
    pub response_headers: BTreeMap<String, String>,
}

/// What to do with the gossip's keys. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyringOp {
    List,
    Install(String),
    Use(String),
    Remove(String),
}

/// What the members answered to a [`KeyringOp`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringReport {
    /// What went wrong, by member.
    pub failures: BTreeMap<String, String>,
    /// How many members have each key.
    pub keys: BTreeMap<String, u32>,
    /// How many members use each key.
    pub primary: BTreeMap<String, u32>,
    pub members: u32,
}

/// Whether a role works, and in words why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub ok: bool,
    pub message: String,
}

/// Why the agent did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LocalError {
    #[error("{0}")]
    Failed(String),
    #[error("this agent is not a server")]
    NotServer,
    #[error("this agent is not a client")]
    NotClient,
    #[error("no member is named `{0}`")]
    NoSuchMember(String),
}
