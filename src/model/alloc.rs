//! Allocations: one instance of a task group on one node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Index;
use super::ids::{AllocId, DeploymentId, EvalId, JobId, JobKey, Namespace, NodeId};
use super::job::{Job, TaskGroup};
use super::metric::AllocMetric;
use super::resources::AllocatedResources;
use super::task::{TaskPhase, TaskState};
use super::time::Timestamp;

/// One instance of a task group on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    pub id: AllocId,
    pub namespace: Namespace,
    pub eval_id: EvalId,
    /// `<job>.<group>[<n>]`
    pub name: String,
    pub node_id: NodeId,
    pub node_name: String,
    pub job_id: JobId,
    /// The version that it runs.
    pub job: Arc<Job>,
    pub group: String,
    pub resources: AllocatedResources,
    pub metrics: AllocMetric,
    /// What the servers want.
    pub desired: AllocDesiredStatus,
    pub desired_description: String,
    pub transition: DesiredTransition,
    /// What the client says.
    pub client_status: AllocClientStatus,
    pub client_description: String,
    pub task_states: BTreeMap<String, TaskState>,
    pub deployment_id: Option<DeploymentId>,
    pub deployment_health: Option<DeploymentHealth>,
    pub previous: Option<AllocId>,
    pub next: Option<AllocId>,
    pub reschedules: Vec<RescheduleEvent>,
    pub follow_up: Option<EvalId>,
    pub create_index: Index,
    /// The last change of any kind.
    pub modify_index: Index,
    /// The last change that the client must know of: what its long poll compares.
    pub alloc_modify_index: Index,
    pub create_time: Timestamp,
    pub modify_time: Timestamp,
}

impl Allocation {
    /// The job that it belongs to.
    pub fn job_key(&self) -> JobKey {
        JobKey {
            namespace: self.namespace.clone(),
            id: self.job_id.clone(),
        }
    }

    /// The group's spec in the version that it runs.
    pub fn task_group(&self) -> Option<&TaskGroup> {
        self.job.group(&self.group)
    }

    /// The `n` of its name, if the name has one.
    pub fn index(&self) -> Option<u32> {
        self.name
            .strip_suffix(']')?
            .rsplit_once('[')?
            .1
            .parse()
            .ok()
    }

    /// Whether the servers want it gone.
    pub fn is_server_terminal(&self) -> bool {
        self.desired != AllocDesiredStatus::Run
    }

    /// Whether the client says that it ended.
    pub fn is_client_terminal(&self) -> bool {
        self.client_status.is_terminal()
    }

    /// Whether it ended or is to end.
    pub fn is_terminal(&self) -> bool {
        self.is_server_terminal() || self.is_client_terminal()
    }

    /// Whether it still holds its resources: until its client says that it ended.
    pub fn holds_resources(&self) -> bool {
        !self.is_client_terminal()
    }
}

/// The name of instance `n` of `group` of `job`.
pub fn alloc_name(job: &JobId, group: &str, n: u32) -> String {
    format!("{job}.{group}[{n}]")
}

/// What the servers want of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocDesiredStatus {
    Run,
    Stop,
    Evict,
}

impl AllocDesiredStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stop => "stop",
            Self::Evict => "evict",
        }
    }
}

/// What the client says of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocClientStatus {
    Pending,
    Running,
    Complete,
    Failed,
    Lost,
    Unknown,
}

impl AllocClientStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it ended for good.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Lost)
    }

    /// What the states of an allocation's tasks add up to: a failed dead task makes it failed,
    /// else a running one running, else a pending one pending, else complete.
    pub fn of_tasks<'a>(states: impl IntoIterator<Item = &'a TaskState>) -> Self {
        let (mut running, mut pending) = (false, false);
        for state in states {
            match state.phase {
                TaskPhase::Dead if state.failed => return Self::Failed,
                TaskPhase::Dead => {}
                TaskPhase::Running => running = true,
                TaskPhase::Pending => pending = true,
            }
        }
        match (running, pending) {
            (true, _) => Self::Running,
            (false, true) => Self::Pending,
            (false, false) => Self::Complete,
        }
    }
}

/// What the servers ask of an allocation beside its desired status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredTransition {
    pub migrate: Option<bool>,
    pub reschedule: Option<bool>,
    pub force_reschedule: Option<bool>,
    pub no_shutdown_delay: Option<bool>,
}

/// Whether the allocation counts as healthy in its deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentHealth {
    /// `None`: not known yet.
    pub healthy: Option<bool>,
    pub time: Timestamp,
    pub canary: bool,
    pub modify_index: Index,
}

/// One past replacement in an allocation's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescheduleEvent {
    pub time: Timestamp,
    pub previous_alloc: AllocId,
    pub previous_node: NodeId,
    pub delay: Duration,
}

/// What a client reports of one allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocUpdate {
    pub id: AllocId,
    pub client_status: AllocClientStatus,
    pub client_description: String,
    pub task_states: BTreeMap<String, TaskState>,
    /// Set once the client knows.
    pub healthy: Option<(bool, Timestamp)>,
}
