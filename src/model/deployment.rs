//! Deployments: the roll-out of a job version, watched until it is healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Index;
use super::ids::{AllocId, DeploymentId, JobId, JobKey, Namespace};
use super::time::Timestamp;

/// The roll-out of one job version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub namespace: Namespace,
    pub job_id: JobId,
    pub job_version: u64,
    pub job_modify_index: Index,
    pub job_spec_modify_index: Index,
    pub job_create_index: Index,
    pub groups: BTreeMap<String, DeploymentGroup>,
    pub status: DeploymentStatus,
    pub status_description: String,
    pub eval_priority: u8,
    pub create_index: Index,
    pub modify_index: Index,
    pub create_time: Timestamp,
    pub modify_time: Timestamp,
}

impl Deployment {
    /// The job that it rolls out.
    pub fn job_key(&self) -> JobKey {
        JobKey {
            namespace: self.namespace.clone(),
            id: self.job_id.clone(),
        }
    }

    /// Whether canaries wait for somebody to promote them.
    pub fn needs_promotion(&self) -> bool {
        self.groups
            .values()
            .any(|g| g.desired_canaries > 0 && !g.promoted)
    }
}

/// One group's part of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentGroup {
    pub auto_revert: bool,
    pub auto_promote: bool,
    pub progress_deadline: Duration,
    /// Fails when nothing became healthy by then; unset: no deadline.
    pub require_progress_by: Timestamp,
    pub promoted: bool,
    pub placed_canaries: Vec<AllocId>,
    pub desired_canaries: u32,
    pub desired_total: u32,
    pub placed: u32,
    pub healthy: u32,
    pub unhealthy: u32,
}

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStatus {
    Running,
    Paused,
    Failed,
    Successful,
    Cancelled,
}

impl DeploymentStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Successful => "successful",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it still changes things.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// The status descriptions that clients match on.
pub mod description {
    pub const RUNNING: &str = "Deployment is running";
    pub const RUNNING_NEEDS_PROMOTION: &str = "Deployment is running but requires manual promotion";
    pub const RUNNING_AUTO_PROMOTION: &str = "Deployment is running pending automatic promotion";
    pub const PAUSED: &str = "Deployment is paused";
    pub const SUCCESSFUL: &str = "Deployment completed successfully";
    pub const STOPPED_JOB: &str = "Cancelled because job is stopped";
    pub const NEWER_JOB: &str = "Cancelled due to newer version of job";
    pub const FAILED_ALLOCATIONS: &str = "Failed due to unhealthy allocations";
    pub const FAILED_PROGRESS: &str = "Failed due to progress deadline";
    pub const FAILED_BY_USER: &str = "Deployment marked as failed";
}
