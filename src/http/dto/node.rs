//! Nodes and node pools.

use std::collections::BTreeMap;

use super::alloc::NetworkResource;
use super::{Moment, nullable};

wire! {
    /// One row of the node list.
    pub struct NodeListStub {
        /// Without a port.
        pub address: String,
        /// Only on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub attributes: Option<BTreeMap<String, String>>,
        pub create_index: u64,
        pub datacenter: String,
        pub drain: bool,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub drivers: BTreeMap<String, DriverInfo>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub host_volumes: BTreeMap<String, serde_json::Value>,
        #[serde(rename = "ID")]
        pub id: String,
        pub last_drain: Option<LastDrain>,
        pub modify_index: u64,
        pub name: String,
        pub node_class: String,
        pub node_pool: String,
        /// Only on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub node_resources: Option<NodeResources>,
        /// Only on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reserved_resources: Option<NodeReservedResources>,
        pub scheduling_eligibility: String,
        pub status: String,
        pub status_description: String,
        pub version: String,
    }

    /// One node, whole.
    pub struct Node {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub attributes: BTreeMap<String, String>,
        #[serde(rename = "CSIControllerPlugins", deserialize_with = "nullable::deserialize")]
        pub csi_controller_plugins: BTreeMap<String, serde_json::Value>,
        #[serde(rename = "CSINodePlugins", deserialize_with = "nullable::deserialize")]
        pub csi_node_plugins: BTreeMap<String, serde_json::Value>,
        pub cgroup_parent: String,
        pub computed_class: String,
        pub create_index: u64,
        pub datacenter: String,
        pub drain: bool,
        pub drain_strategy: Option<DrainStrategy>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub drivers: BTreeMap<String, DriverInfo>,
        #[serde(with = "nullable")]
        pub events: Vec<NodeEvent>,
        #[serde(rename = "GCVolumesOnNodeGC")]
        pub gc_volumes_on_node_gc: bool,
        #[serde(rename = "HTTPAddr")]
        pub http_addr: String,
        #[serde(with = "nullable")]
        pub host_networks: BTreeMap<String, serde_json::Value>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub host_volumes: BTreeMap<String, serde_json::Value>,
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(rename = "IdentitySigningKeyID")]
        pub identity_signing_key_id: String,
        pub last_alloc_update_index: u64,
        pub last_drain: Option<LastDrain>,
        pub last_missed_heartbeat_index: u64,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub links: BTreeMap<String, String>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub meta: BTreeMap<String, String>,
        pub modify_index: u64,
        pub name: String,
        pub node_class: String,
        pub node_max_allocs: i64,
        pub node_pool: String,
        pub node_resources: NodeResources,
        pub reserved_resources: NodeReservedResources,
        pub scheduling_eligibility: String,
        /// Always empty: it never leaves the servers.
        #[serde(rename = "SecretID")]
        pub secret_id: String,
        pub status: String,
        pub status_description: String,
        /// Seconds since the epoch.
        pub status_updated_at: i64,
        #[serde(rename = "TLSEnabled")]
        pub tls_enabled: bool,
    }

    /// What is known of one driver on the node.
    pub struct DriverInfo {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub attributes: BTreeMap<String, String>,
        pub detected: bool,
        pub health_description: String,
        pub healthy: bool,
        pub update_time: Moment,
    }

    /// Something that happened to a node.
    pub struct NodeEvent {
        pub create_index: u64,
        #[serde(with = "nullable")]
        pub details: BTreeMap<String, String>,
        pub message: String,
        pub subsystem: String,
        pub timestamp: Moment,
    }

    /// A drain in progress.
    pub struct DrainStrategy {
        /// Nanoseconds.
        pub deadline: i64,
        pub force_deadline: Moment,
        pub ignore_system_jobs: bool,
        pub started_at: Moment,
    }

    /// The last drain.
    pub struct LastDrain {
        #[serde(rename = "AccessorID")]
        pub accessor_id: String,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, String>,
        pub started_at: Moment,
        /// `draining`, `complete` or `canceled`.
        pub status: String,
        pub updated_at: Moment,
    }

    /// What the machine has.
    pub struct NodeResources {
        pub cpu: NodeCpu,
        #[serde(with = "nullable")]
        pub devices: Vec<serde_json::Value>,
        pub disk: NodeDisk,
        pub max_dynamic_port: u32,
        pub memory: NodeMemory,
        pub min_dynamic_port: u32,
        #[serde(with = "nullable")]
        pub networks: Vec<NetworkResource>,
        #[serde(with = "nullable")]
        pub node_networks: Vec<NodeNetwork>,
        pub processors: NodeProcessors,
    }

    /// CPU of a node.
    pub struct NodeCpu {
        pub cpu_shares: i64,
        #[serde(with = "nullable")]
        pub reservable_cpu_cores: Vec<u32>,
        pub total_cpu_cores: u32,
    }

    /// Disk of a node.
    pub struct NodeDisk {
        #[serde(rename = "DiskMB")]
        pub disk_mb: i64,
    }

    /// Memory of a node.
    pub struct NodeMemory {
        #[serde(rename = "MemoryMB")]
        pub memory_mb: i64,
    }

    /// A network interface of a node.
    pub struct NodeNetwork {
        #[serde(with = "nullable")]
        pub addresses: Vec<NodeAddress>,
        pub device: String,
        pub mac_address: String,
        pub mode: String,
        pub speed: u32,
    }

    /// An address of a node's interface.
    pub struct NodeAddress {
        pub address: String,
        pub alias: String,
        pub family: String,
        pub gateway: String,
        pub reserved_ports: String,
    }

    /// How the cores hang together.
    pub struct NodeProcessors {
        pub topology: Option<NodeTopology>,
    }

    /// Cores by NUMA node.
    pub struct NodeTopology {
        #[serde(with = "nullable")]
        pub cores: Vec<NodeCore>,
        #[serde(with = "nullable")]
        pub distances: Vec<Vec<u8>>,
        #[serde(with = "nullable")]
        pub nodes: Vec<u32>,
        pub override_total_compute: i64,
        pub override_withold_compute: i64,
    }

    /// One core.
    pub struct NodeCore {
        pub base_speed: i64,
        pub disable: bool,
        pub grade: bool,
        pub guess_speed: i64,
        #[serde(rename = "ID")]
        pub id: u32,
        pub max_speed: i64,
        #[serde(rename = "NodeID")]
        pub node_id: u32,
        #[serde(rename = "SocketID")]
        pub socket_id: u32,
    }

    /// What the operator keeps back.
    pub struct NodeReservedResources {
        pub cpu: NodeReservedCpu,
        pub disk: NodeDisk,
        pub memory: NodeMemory,
        pub networks: NodeReservedNetworks,
    }

    /// CPU kept back.
    pub struct NodeReservedCpu {
        pub cpu_shares: i64,
        #[serde(with = "nullable")]
        pub reserved_cpu_cores: Vec<u32>,
    }

    /// Ports kept back.
    pub struct NodeReservedNetworks {
        pub reserved_host_ports: String,
    }

    /// `PUT /v1/node/…/drain`; a spec of `null` cancels.
    pub struct NodeDrainRequest {
        pub drain_spec: Option<DrainSpec>,
        pub mark_eligible: bool,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, String>,
        #[serde(rename = "NodeID")]
        pub node_id: String,
    }

    /// How to drain.
    pub struct DrainSpec {
        /// Nanoseconds; 0: none; below 0: at once.
        pub deadline: i64,
        pub ignore_system_jobs: bool,
    }

    /// `PUT /v1/node/…/eligibility`
    pub struct NodeEligibilityRequest {
        pub eligibility: String,
        #[serde(rename = "NodeID")]
        pub node_id: String,
    }

    /// What drain and eligibility answer.
    pub struct NodeUpdateResponse {
        pub eval_create_index: u64,
        #[serde(rename = "EvalIDs", with = "nullable")]
        pub eval_ids: Vec<String>,
        pub index: u64,
        pub node_modify_index: u64,
    }

    /// A named set of nodes.
    pub struct NodePool {
        pub create_index: u64,
        pub description: String,
        pub hash: Option<String>,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, String>,
        pub modify_index: u64,
        pub name: String,
        /// Nanoseconds.
        #[serde(rename = "NodeIdentityTTL")]
        pub node_identity_ttl: i64,
        pub scheduler_configuration: Option<serde_json::Value>,
    }
}
