//! Nodes: machines that run allocations.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Index;
use super::ids::NodeId;
use super::resources::Amounts;
use super::time::Timestamp;

/// How many events a node keeps.
pub const NODE_EVENTS_MAX: usize = 10;

/// A machine that runs allocations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// Proves that a request comes from this node; never leaves the servers.
    pub secret: uuid::Uuid,
    pub name: String,
    pub datacenter: String,
    pub node_class: String,
    pub node_pool: String,
    pub http_addr: SocketAddr,
    pub rpc_addr: SocketAddr,
    /// The address that ports are published on, without a port.
    pub host_ip: String,
    pub attributes: BTreeMap<String, String>,
    pub meta: BTreeMap<String, String>,
    pub resources: NodeResources,
    pub reserved: NodeReserved,
    pub drivers: BTreeMap<String, DriverInfo>,
    /// A hash of everything that placement looks at and that is not unique to the node.
    pub computed_class: String,
    pub status: NodeStatus,
    pub status_description: String,
    pub status_updated_at: Timestamp,
    pub eligibility: Eligibility,
    pub drain: Option<Drain>,
    pub last_drain: Option<LastDrain>,
    /// Oldest first, at most [`NODE_EVENTS_MAX`].
    pub events: Vec<NodeEvent>,
    pub create_index: Index,
    pub modify_index: Index,
}

impl Node {
    /// Whether new allocations may be placed on it.
    pub fn is_ready(&self) -> bool {
        self.status == NodeStatus::Ready
            && self.eligibility == Eligibility::Eligible
            && self.drain.is_none()
    }

    /// What allocations may use in sum.
    pub fn available(&self) -> Amounts {
        let mut amounts = self.resources.amounts;
        amounts.sub(self.reserved.amounts);
        amounts
    }
}

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeResources {
    pub amounts: Amounts,
    pub cores: u32,
    /// First and last port of the dynamic range.
    pub dynamic_ports: (u16, u16),
    /// (device, address) of each network.
    pub networks: Vec<NodeNetwork>,
}

/// One network interface of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNetwork {
    pub device: String,
    pub address: String,
    pub speed_mbits: u32,
}

/// What the operator keeps back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReserved {
    pub amounts: Amounts,
    pub ports: Vec<u16>,
}

/// What is known of one driver on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverInfo {
    pub detected: bool,
    pub healthy: bool,
    pub description: String,
    pub attributes: BTreeMap<String, String>,
    pub update_time: Timestamp,
}

/// Whether the node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStatus {
    Initializing,
    Ready,
    Down,
    Disconnected,
}

impl NodeStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Whether the node takes new allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Eligibility {
    Eligible,
    Ineligible,
}

impl Eligibility {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Ineligible => "ineligible",
        }
    }
}

/// How a node is to be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainSpec {
    pub limit: DrainLimit,
    pub ignore_system_jobs: bool,
}

/// When what is left on a draining node is forced off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainLimit {
    Never,
    AtOnce,
    After(Duration),
}

/// A drain in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub spec: DrainSpec,
    /// Set if and only if the limit is a duration.
    pub deadline: Timestamp,
    pub started_at: Timestamp,
}

impl Drain {
    /// A drain that begins, or that goes on in another way, at `now`.
    pub fn new(spec: DrainSpec, before: Option<Self>, now: Timestamp) -> Self {
        Self {
            spec,
            deadline: match spec.limit {
                DrainLimit::After(limit) => now.plus(limit),
                DrainLimit::Never | DrainLimit::AtOnce => Timestamp::UNSET,
            },
            started_at: before.map_or(now, |d| d.started_at),
        }
    }

    /// Whether what is left is to be forced off.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.spec.limit {
            DrainLimit::Never => false,
            DrainLimit::AtOnce => true,
            DrainLimit::After(_) => self.deadline <= now,
        }
    }
}

/// What became of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainStatus {
    Draining,
    Complete,
    Canceled,
}

impl DrainStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Complete => "complete",
            Self::Canceled => "canceled",
        }
    }
}

/// The last drain, done or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrain {
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    pub status: DrainStatus,
    pub meta: BTreeMap<String, String>,
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvent {
    pub message: String,
    /// `Cluster`, `Drain`, `Driver: …`.
    pub subsystem: String,
    pub details: BTreeMap<String, String>,
    pub time: Timestamp,
    pub create_index: Index,
}
