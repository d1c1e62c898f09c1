//! Members: the agents that the gossip knows.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What every agent tells the others about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The agent's id: the raft directory's for a server, the node's for a client.
    pub id: uuid::Uuid,
    pub name: String,
    pub region: String,
    pub datacenter: String,
    /// `None` unless it is a server.
    pub server: Option<ServerRole>,
    /// Whether it runs allocations.
    pub client: bool,
    pub http_addr: SocketAddr,
    pub rpc_addr: SocketAddr,
    pub serf_addr: SocketAddr,
    /// The program's version.
    pub build: String,
    pub revision: String,
    /// Oldest and newest protocol that it speaks.
    pub protocol: (u16, u16),
    /// Counts this member's own changes of its record, so that newer ones win.
    pub version: u64,
}

/// What a server adds to its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRole {
    /// Its `bootstrap_expect`; 0: not set.
    pub expect: u32,
    /// The cluster that it belongs to, once it knows.
    pub cluster: Option<uuid::Uuid>,
}

/// Whether a member is there, as the gossip sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MemberStatus {
    Alive,
    Leaving,
    Left,
    Failed,
}

impl MemberStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// A member's record with its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub record: MemberRecord,
    pub status: MemberStatus,
}

/// Every member known, by id.
pub type Members = BTreeMap<uuid::Uuid, Member>;
