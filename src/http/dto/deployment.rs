//! Deployments.

use std::collections::BTreeMap;

use super::{Moment, nullable};

wire! {
    /// The roll-out of one job version.
    pub struct Deployment {
        pub create_index: u64,
        pub create_time: i64,
        pub eval_priority: i64,
        #[serde(rename = "ID")]
        pub id: String,
        pub is_multiregion: bool,
        pub job_create_index: u64,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_modify_index: u64,
        pub job_spec_modify_index: u64,
        pub job_version: u64,
        pub modify_index: u64,
        pub modify_time: i64,
        pub namespace: String,
        pub status: String,
        pub status_description: String,
        #[serde(with = "nullable")]
        pub task_groups: BTreeMap<String, DeploymentState>,
    }

    /// One group's part of a [`Deployment`].
    pub struct DeploymentState {
        pub auto_promote: bool,
        pub auto_revert: bool,
        pub desired_canaries: u32,
        pub desired_total: u32,
        pub healthy_allocs: u32,
        pub placed_allocs: u32,
        #[serde(with = "nullable")]
        pub placed_canaries: Vec<String>,
        /// Nanoseconds.
        pub progress_deadline: i64,
        pub promoted: bool,
        pub require_progress_by: Moment,
        pub unhealthy_allocs: u32,
    }

    /// What every write to a deployment answers.
    pub struct DeploymentUpdateResponse {
        pub deployment_modify_index: u64,
        pub eval_create_index: u64,
        #[serde(rename = "EvalID")]
        pub eval_id: String,
        pub index: u64,
        pub reverted_job_version: Option<u64>,
    }

    /// `PUT /v1/deployment/pause/…`
    pub struct DeploymentPauseRequest {
        #[serde(rename = "DeploymentID")]
        pub deployment_id: String,
        pub pause: bool,
    }

    /// `PUT /v1/deployment/promote/…`
    pub struct DeploymentPromoteRequest {
        pub all: bool,
        #[serde(rename = "DeploymentID")]
        pub deployment_id: String,
        #[serde(with = "nullable")]
        pub groups: Vec<String>,
    }

    /// `PUT /v1/deployment/allocation-health/…`
    pub struct DeploymentAllocHealthRequest {
        #[serde(rename = "DeploymentID")]
        pub deployment_id: String,
        #[serde(rename = "HealthyAllocationIDs", with = "nullable")]
        pub healthy_allocation_ids: Vec<String>,
        #[serde(rename = "UnhealthyAllocationIDs", with = "nullable")]
        pub unhealthy_allocation_ids: Vec<String>,
    }
}
