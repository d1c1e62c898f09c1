//! Allocations, their tasks' states and how they were placed.

use std::collections::BTreeMap;

use super::{JobJson, Moment, is_zero, nullable};

wire! {
    /// One row of an allocation list.
    pub struct AllocListStub {
        /// Only on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub allocated_resources: Option<AllocatedResources>,
        pub client_description: String,
        pub client_status: String,
        pub create_index: u64,
        pub create_time: i64,
        pub deployment_status: Option<AllocDeploymentStatus>,
        pub desired_description: String,
        pub desired_status: String,
        pub desired_transition: Option<DesiredTransition>,
        #[serde(rename = "EvalID")]
        pub eval_id: String,
        #[serde(rename = "FollowupEvalID")]
        pub followup_eval_id: String,
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_type: String,
        pub job_version: u64,
        pub modify_index: u64,
        pub modify_time: i64,
        pub name: String,
        pub namespace: String,
        pub next_allocation: String,
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub node_name: String,
        #[serde(with = "nullable")]
        pub preempted_allocations: Vec<String>,
        pub preempted_by_allocation: String,
        pub reschedule_tracker: Option<RescheduleTracker>,
        pub task_group: String,
        #[serde(with = "nullable")]
        pub task_states: BTreeMap<String, TaskState>,
    }

    /// One allocation, whole. Zero fields are left out.
    pub struct Allocation {
        #[serde(skip_serializing_if = "is_zero")]
        pub alloc_modify_index: u64,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub alloc_states: Vec<AllocState>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub allocated_resources: Option<AllocatedResources>,
        #[serde(skip_serializing_if = "is_zero")]
        pub client_description: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub client_status: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub create_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub create_time: i64,
        #[serde(rename = "DeploymentID", skip_serializing_if = "is_zero")]
        pub deployment_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub deployment_status: Option<AllocDeploymentStatus>,
        #[serde(skip_serializing_if = "is_zero")]
        pub desired_description: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub desired_status: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub desired_transition: Option<DesiredTransition>,
        #[serde(rename = "EvalID", skip_serializing_if = "is_zero")]
        pub eval_id: String,
        #[serde(rename = "FollowupEvalID", skip_serializing_if = "is_zero")]
        pub followup_eval_id: String,
        #[serde(rename = "ID", skip_serializing_if = "is_zero")]
        pub id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub job: Option<JobJson>,
        #[serde(rename = "JobID", skip_serializing_if = "is_zero")]
        pub job_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub metrics: Option<AllocMetric>,
        #[serde(skip_serializing_if = "is_zero")]
        pub modify_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub modify_time: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub namespace: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub network_status: Option<AllocNetworkStatus>,
        #[serde(skip_serializing_if = "is_zero")]
        pub next_allocation: String,
        #[serde(rename = "NodeID", skip_serializing_if = "is_zero")]
        pub node_id: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub node_name: String,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub preempted_allocations: Vec<String>,
        #[serde(skip_serializing_if = "is_zero")]
        pub preempted_by_allocation: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub previous_allocation: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reschedule_tracker: Option<RescheduleTracker>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resources: Option<Resources>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shared_resources: Option<Resources>,
        #[serde(rename = "SigningKeyID", skip_serializing_if = "is_zero")]
        pub signing_key_id: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub task_group: String,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub task_resources: BTreeMap<String, Resources>,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub task_states: BTreeMap<String, TaskState>,
    }

    /// A past change of an allocation's client status.
    pub struct AllocState {
        pub field: u8,
        pub time: Moment,
        pub value: String,
    }

    /// What an allocation holds.
    pub struct AllocatedResources {
        pub shared: AllocatedSharedResources,
        #[serde(with = "nullable")]
        pub task_lifecycles: BTreeMap<String, Option<TaskLifecycle>>,
        #[serde(with = "nullable")]
        pub tasks: BTreeMap<String, AllocatedTaskResources>,
    }

    /// What its tasks share.
    pub struct AllocatedSharedResources {
        #[serde(rename = "DiskMB")]
        pub disk_mb: i64,
        #[serde(with = "nullable")]
        pub networks: Vec<NetworkResource>,
        #[serde(with = "nullable")]
        pub ports: Vec<PortMapping>,
    }

    /// One port of an allocation. Zero fields are left out.
    pub struct PortMapping {
        #[serde(rename = "HostIP", skip_serializing_if = "is_zero")]
        pub host_ip: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub ignore_collision: bool,
        #[serde(skip_serializing_if = "is_zero")]
        pub label: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub to: i32,
        #[serde(skip_serializing_if = "is_zero")]
        pub value: i32,
    }

    /// When a task runs that is not a main task.
    pub struct TaskLifecycle {
        pub hook: String,
        pub sidecar: bool,
    }

    /// What one task holds.
    pub struct AllocatedTaskResources {
        pub cpu: AllocatedCpu,
        #[serde(with = "nullable")]
        pub devices: Vec<serde_json::Value>,
        pub memory: AllocatedMemory,
        #[serde(with = "nullable")]
        pub networks: Vec<NetworkResource>,
    }

    /// CPU of a task.
    pub struct AllocatedCpu {
        pub cpu_shares: i64,
        #[serde(with = "nullable")]
        pub reserved_cores: Vec<u16>,
    }

    /// Memory of a task.
    pub struct AllocatedMemory {
        #[serde(rename = "MemoryMB")]
        pub memory_mb: i64,
        #[serde(rename = "MemoryMaxMB")]
        pub memory_max_mb: i64,
    }

    /// A network with its ports. Zero fields are left out.
    pub struct NetworkResource {
        #[serde(rename = "CIDR", skip_serializing_if = "is_zero")]
        pub cidr: String,
        #[serde(rename = "DNS", skip_serializing_if = "Option::is_none")]
        pub dns: Option<DnsConfig>,
        #[serde(skip_serializing_if = "is_zero")]
        pub device: String,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub dynamic_ports: Vec<Port>,
        #[serde(skip_serializing_if = "is_zero")]
        pub hostname: String,
        #[serde(rename = "IP", skip_serializing_if = "is_zero")]
        pub ip: String,
        #[serde(rename = "MBits", skip_serializing_if = "is_zero")]
        pub mbits: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: String,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub reserved_ports: Vec<Port>,
    }

    /// A labelled port. Zero fields are left out.
    pub struct Port {
        #[serde(skip_serializing_if = "is_zero")]
        pub host_network: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub ignore_collision: bool,
        #[serde(skip_serializing_if = "is_zero")]
        pub label: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub to: i32,
        #[serde(skip_serializing_if = "is_zero")]
        pub value: i32,
    }

    /// Resolver settings.
    pub struct DnsConfig {
        #[serde(with = "nullable")]
        pub options: Vec<String>,
        #[serde(with = "nullable")]
        pub searches: Vec<String>,
        #[serde(with = "nullable")]
        pub servers: Vec<String>,
    }

    /// The older form of what an allocation or task holds; clients still read it.
    pub struct Resources {
        #[serde(rename = "CPU")]
        pub cpu: i64,
        pub cores: i64,
        #[serde(with = "nullable")]
        pub devices: Vec<serde_json::Value>,
        #[serde(rename = "DiskMB")]
        pub disk_mb: i64,
        #[serde(rename = "IOPS")]
        pub iops: i64,
        #[serde(rename = "MemoryMB")]
        pub memory_mb: i64,
        #[serde(rename = "MemoryMaxMB")]
        pub memory_max_mb: i64,
        #[serde(rename = "NUMA")]
        pub numa: Option<serde_json::Value>,
        #[serde(with = "nullable")]
        pub networks: Vec<NetworkResource>,
        #[serde(rename = "SecretsMB")]
        pub secrets_mb: i64,
    }

    /// Whether the allocation counts as healthy in its deployment.
    pub struct AllocDeploymentStatus {
        pub canary: bool,
        pub healthy: Option<bool>,
        pub modify_index: u64,
        pub timestamp: Moment,
    }

    /// What the servers ask of an allocation beside its desired status.
    pub struct DesiredTransition {
        pub force_reschedule: Option<bool>,
        pub migrate: Option<bool>,
        pub migrate_disable_placement: Option<bool>,
        pub no_shutdown_delay: Option<bool>,
        pub reschedule: Option<bool>,
    }

    /// The chain of replacements that led to an allocation.
    pub struct RescheduleTracker {
        #[serde(with = "nullable")]
        pub events: Vec<RescheduleEvent>,
        pub last_reschedule: String,
    }

    /// One replacement in the chain.
    pub struct RescheduleEvent {
        /// Nanoseconds.
        pub delay: i64,
        #[serde(rename = "PrevAllocID")]
        pub prev_alloc_id: String,
        #[serde(rename = "PrevNodeID")]
        pub prev_node_id: String,
        /// Nanoseconds since the epoch.
        pub reschedule_time: i64,
    }

    /// The allocation's own network, where it has one.
    pub struct AllocNetworkStatus {
        pub address: String,
        #[serde(rename = "AddressIPv6")]
        pub address_ipv6: String,
        #[serde(rename = "DNS")]
        pub dns: Option<DnsConfig>,
        pub interface_name: String,
    }

    /// What a placement attempt saw.
    pub struct AllocMetric {
        /// Nanoseconds.
        pub allocation_time: i64,
        #[serde(with = "nullable")]
        pub class_exhausted: BTreeMap<String, u32>,
        #[serde(with = "nullable")]
        pub class_filtered: BTreeMap<String, u32>,
        pub coalesced_failures: u32,
        #[serde(with = "nullable")]
        pub constraint_filtered: BTreeMap<String, u32>,
        #[serde(with = "nullable")]
        pub dimension_exhausted: BTreeMap<String, u32>,
        pub node_pool: String,
        #[serde(with = "nullable")]
        pub nodes_available: BTreeMap<String, u32>,
        pub nodes_evaluated: u32,
        pub nodes_exhausted: u32,
        pub nodes_filtered: u32,
        pub nodes_in_pool: u32,
        #[serde(with = "nullable")]
        pub quota_exhausted: Vec<String>,
        #[serde(with = "nullable")]
        pub resources_exhausted: BTreeMap<String, Resources>,
        #[serde(with = "nullable")]
        pub score_meta_data: Vec<NodeScoreMeta>,
        /// The form before [`AllocMetric::score_meta_data`].
        #[serde(with = "nullable")]
        pub scores: BTreeMap<String, f64>,
    }

    /// One node's score with its parts.
    pub struct NodeScoreMeta {
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub norm_score: f64,
        #[serde(with = "nullable")]
        pub scores: BTreeMap<String, f64>,
    }

    /// One task's state.
    pub struct TaskState {
        #[serde(with = "nullable")]
        pub events: Vec<TaskEvent>,
        pub failed: bool,
        pub finished_at: Option<Moment>,
        pub last_restart: Option<Moment>,
        pub paused: String,
        pub restarts: u64,
        pub started_at: Option<Moment>,
        /// `pending`, `running` or `dead`.
        pub state: String,
    }

    /// Something that happened to a task. The scalar fields repeat what `details` says.
    pub struct TaskEvent {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub details: BTreeMap<String, String>,
        pub disk_limit: i64,
        pub display_message: String,
        pub download_error: String,
        pub driver_error: String,
        pub driver_message: String,
        pub exit_code: i64,
        pub failed_sibling: String,
        pub fails_task: bool,
        pub generic_source: String,
        pub kill_error: String,
        pub kill_reason: String,
        /// Nanoseconds.
        pub kill_timeout: i64,
        pub message: String,
        pub restart_reason: String,
        pub setup_error: String,
        pub signal: i64,
        /// Nanoseconds.
        pub start_delay: i64,
        pub task_signal: String,
        pub task_signal_reason: String,
        /// Nanoseconds since the epoch.
        pub time: i64,
        #[serde(rename = "Type")]
        pub kind: String,
        pub validation_error: String,
        pub vault_error: String,
    }

    /// What `PUT /v1/allocation/…/stop` answers.
    pub struct AllocStopResponse {
        #[serde(rename = "EvalID")]
        pub eval_id: String,
        pub index: u64,
    }
}
