//! Evaluations: requests to the scheduler to look at a job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Index;
use super::diff::DesiredUpdates;
use super::ids::{DeploymentId, EvalId, JobId, JobKey, Namespace, NodeId};
use super::job::JobType;
use super::metric::AllocMetric;
use super::time::Timestamp;

/// One request to look at a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub id: EvalId,
    pub namespace: Namespace,
    pub priority: u8,
    pub kind: JobType,
    pub trigger: EvalTrigger,
    pub job_id: JobId,
    pub job_modify_index: Index,
    pub node_id: Option<NodeId>,
    pub node_modify_index: Index,
    pub deployment_id: Option<DeploymentId>,
    pub status: EvalStatus,
    pub status_description: String,
    /// Not before this time; unset: at once.
    pub wait_until: Timestamp,
    pub next: Option<EvalId>,
    pub previous: Option<EvalId>,
    /// The blocked evaluation that holds what this one could not place.
    pub blocked: Option<EvalId>,
    /// By group.
    pub failed_groups: BTreeMap<String, AllocMetric>,
    /// Instances not placed, by group.
    pub queued: BTreeMap<String, u32>,
    /// Computed node classes known to fit or not, for a blocked evaluation.
    pub class_eligibility: BTreeMap<String, bool>,
    /// Whether a constraint on node-unique properties makes classes meaningless.
    pub escaped_class: bool,
    /// The state the scheduler saw.
    pub snapshot_index: Index,
    pub create_index: Index,
    pub modify_index: Index,
    pub create_time: Timestamp,
    pub modify_time: Timestamp,
    /// By group, what its plan did.
    pub annotations: BTreeMap<String, DesiredUpdates>,
}

impl Evaluation {
    /// A pending evaluation of `job`, created now.
    pub fn pending(id: EvalId, job: &super::Job, trigger: EvalTrigger, now: Timestamp) -> Self {
        Self {
            id,
            namespace: job.spec.namespace.clone(),
            priority: job.spec.priority,
            kind: job.spec.kind,
            trigger,
            job_id: job.spec.id.clone(),
            job_modify_index: job.job_modify_index,
            node_id: None,
            node_modify_index: 0,
            deployment_id: None,
            status: EvalStatus::Pending,
            status_description: String::new(),
            wait_until: Timestamp::UNSET,
            next: None,
            previous: None,
            blocked: None,
            failed_groups: BTreeMap::new(),
            queued: BTreeMap::new(),
            class_eligibility: BTreeMap::new(),
            escaped_class: false,
            snapshot_index: 0,
            create_index: 0,
            modify_index: 0,
            create_time: now,
            modify_time: now,
            annotations: BTreeMap::new(),
        }
    }

    /// The job it is about.
    pub fn job_key(&self) -> JobKey {
        JobKey {
            namespace: self.namespace.clone(),
            id: self.job_id.clone(),
        }
    }
}

/// Where an evaluation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvalStatus {
    Blocked,
    Pending,
    Complete,
    Failed,
    Canceled,
}

impl EvalStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Pending => "pending",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing will come of it any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Canceled)
    }
}

/// What made an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvalTrigger {
    JobRegister,
    JobDeregister,
    NodeDrain,
    NodeUpdate,
    AllocStop,
    DeploymentWatcher,
    FailedFollowUp,
    MaxPlanAttempts,
    AllocFailure,
    QueuedAllocs,
    MaxDisconnectTimeout,
    Reconnect,
    AllocReschedule,
    JobScaling,
}

impl EvalTrigger {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobRegister => "job-register",
            Self::JobDeregister => "job-deregister",
            Self::NodeDrain => "node-drain",
            Self::NodeUpdate => "node-update",
            Self::AllocStop => "alloc-stop",
            Self::DeploymentWatcher => "deployment-watcher",
            Self::FailedFollowUp => "failed-follow-up",
            Self::MaxPlanAttempts => "max-plan-attempts",
            Self::AllocFailure => "alloc-failure",
            Self::QueuedAllocs => "queued-allocs",
            Self::MaxDisconnectTimeout => "max-disconnect-timeout",
            Self::Reconnect => "reconnect",
            Self::AllocReschedule => "alloc-reschedule",
            Self::JobScaling => "job-scaling",
        }
    }
}
